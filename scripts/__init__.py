"""Benchmarks, the papers' tables and the quick start: modules of the checkout."""

import preprocessing.starting  # noqa: F401 - before what takes long to import, see there
