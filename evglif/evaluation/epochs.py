"""Which epoch of a run is the best: one rule for the run, which keeps its weights, and for the picture of it."""

from __future__ import annotations

from collections.abc import Sequence

Row = dict[str, float]
"""Figures of an epoch: ``epoch``, counted from 1, and what was measured in it."""


def best_row(history: Sequence[Row]) -> Row | None:
    """The epoch of the highest validation accuracy; among equals of the lowest loss, then the first.

    None without validation.
    """
    judged = [row for row in history if "validation_accuracy" in row]
    return max(judged, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]), default=None)
