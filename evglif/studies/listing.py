"""The runs in a folder as a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from evglif.evaluation.report import write_csv
from evglif.studies.runs import FoundRun, find_runs
from evglif.studies.space import differing, said
from evglif.studies.tables import table
from preprocessing.terminal import paragraph, shown

SHOWN = ("data", "model.name", "model.neuron")
"""Settings that have a column of their own."""
ORDERS = {"name": lambda run: str(run.folder), "validation": lambda run: -_validation(run, 0.0)}
LONGEST = 60


def run(options: argparse.Namespace) -> int:
    """The work of ``python -m evglif.runs``."""
    runs = sorted(find_runs([options.folder]), key=ORDERS[options.sort])
    settings = [_told(values) for values in differing([run.settings for run in runs])]
    head = ("run", "network", "neuron", "seed", "epochs", "validation, %", "test, %", "minutes", "what else differs")
    rows = [_cells(run, options.folder, each) for run, each in zip(runs, settings, strict=True)]
    print(paragraph(table(head, rows)))
    done = sum(run.results is not None for run in runs)
    print(f"\n{done} of {len(runs)} finished. Validation and test: of the epoch of best validation.")
    if options.csv:
        write_csv(options.csv, list(_figures(runs[0])), (list(_figures(run).values()) for run in runs))
        print(f"written to {shown(options.csv)}")
    return 0


def _told(values: dict[str, Any]) -> str:
    text = said({name: value for name, value in values.items() if name not in SHOWN[1:]})
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _cells(run: FoundRun, root: Path, settings: str) -> tuple[str, ...]:
    name = "." if run.folder == root else str(run.folder.relative_to(root))
    epochs = f"{len(run.history)} of {run.recipe.epochs}" if run.results is None else str(run.recipe.epochs)
    validation, test = _validation(run, None), run.test
    return (
        name,
        run.network,
        run.neuron,
        str(run.recipe.seed),
        epochs,
        "–" if validation is None else f"{100 * validation:.2f}",
        "–" if test is None else f"{100 * test['accuracy']:.2f}",
        f"{run.seconds / 60:.1f}",
        settings,
    )


def _validation(run: FoundRun, otherwise: Any) -> Any:
    return otherwise if run.best is None else run.best["validation_accuracy"]


def _figures(run: FoundRun) -> dict[str, Any]:
    return {
        "run": str(run.folder),
        "data": None if run.data is None else str(run.data),
        "network": run.network,
        "neuron": run.neuron,
        "seed": run.recipe.seed,
        "epochs": len(run.history),
        "epochs_wanted": run.recipe.epochs,
        "validation_accuracy": _validation(run, None),
        "test_accuracy": None if run.test is None else run.test["accuracy"],
        "seconds": run.seconds,
    }
