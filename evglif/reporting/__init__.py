"""A run as one HTML page that says what its data are, what was trained, how good it is, and how to run it."""

from evglif.reporting.page import render, write_report
from evglif.reporting.record import RunRecord, read_run

__all__ = ["RunRecord", "read_run", "render", "write_report"]
