"""What a finished run found, as it stands in its folder: read and checked in one place, for whoever tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocessing.plain import brief, fitting, parse_json

RESULTS = "results.json"
CHOSEN = {"best": "epoch of best validation", "last": "last epoch"}
"""Weights of a run → how their epoch was chosen."""


def weights_that_count(results: Mapping[str, Any]) -> str:
    """``"best"`` or ``"last"``: those of the epoch of best validation where one was chosen, else of the last."""
    return "best" if "best" in results else "last"


def read_results(path: Path, num_classes: int | None = None) -> dict[str, Any] | None:
    """What stands in ``results.json``; None where there is no such file, as of a run that is not finished.

    Args:
        path: the file.
        num_classes: of the data; None for as many as it says itself.

    Raises:
        ValueError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = fitting("it", parse_json(path.read_bytes()), dict[str, Any])
        _check_results(found, num_classes)
    except ValueError as error:
        again = "remove it, and the same command evaluates the finished run again"
        raise ValueError(f"{path} is not what a run writes: {error}; {again}") from error
    return found


def _check_results(found: Mapping[str, Any], num_classes: int | None) -> None:
    """Make sure of all in ``results.json`` that is read of it: what a picture is drawn of, and what is printed.

    Raises:
        ValueError: naming what is missing or wrong.
    """
    needed = {"data": str, "model": str, "neuron": str, "training_seconds": float}
    for name, hint in needed.items():
        fitting(name, found.get(name), hint)
    for name in ("last", "recipe"):
        fitting(name, found.get(name), dict[str, Any])
    for name in CHOSEN:
        test = fitting(name, found.get(name, {}), dict[str, Any]).get("test")
        if test is None:
            continue
        figures = fitting(f"{name}.test", test, dict[str, Any])
        fitting(f"{name}.test.accuracy", figures.get("accuracy"), float)
        fitting(f"{name}.test.num_samples", figures.get("num_samples"), int)
        counts = fitting(f"{name}.test.confusion", figures.get("confusion"), list[list[int]])
        num_classes = num_classes or len(counts)
        fit = {len(counts), *map(len, counts)} == {num_classes} and min(map(min, counts), default=-1) >= 0
        if not fit or sum(map(sum, counts)) != figures["num_samples"]:
            raise ValueError(
                f"{name}.test.confusion is {brief(counts)}; expected the counts of {figures['num_samples']} samples by "
                f"{num_classes} classes"
            )
