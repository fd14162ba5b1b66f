"""The epochs of a run: their figures out of its file, and which is the best.

One rule for the run, which keeps that epoch's weights, and for all that tells of it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from preprocessing.plain import brief

Row = dict[str, float]
"""Figures of an epoch: ``epoch``, counted from 1, and what was measured in it."""


def best_row(history: Sequence[Row]) -> Row | None:
    """The epoch of the highest validation accuracy; among equals of the lowest loss, then the first.

    None without validation.
    """
    judged = [row for row in history if "validation_accuracy" in row]
    return max(judged, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]), default=None)


def read_rows(metrics: Path) -> list[Row]:
    """Figures by epoch of a ``metrics.csv``; of an epoch that has several lines, those of all together.

    Raises:
        FileNotFoundError: there is no such file, as before the first epoch is over.
        ValueError: it is damaged.
    """
    rows: dict[str, Row] = {}
    try:
        with metrics.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                found = {name: float(value) for name, value in line.items() if value and name != "step"}
                if line.get("epoch"):
                    rows.setdefault(line["epoch"], {}).update(found)
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError(f"{metrics} is damaged: {brief(str(error))}; the same training writes it again") from error
    return list(rows.values())
