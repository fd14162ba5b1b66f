"""What came out of a run: its figures on the test split, pictures, and what is printed."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from statistics import fmean
from typing import Any, NamedTuple

import torch

from evglif.checkpoint import read_checkpoint
from evglif.evaluation.epochs import Row
from evglif.evaluation.figures import Evaluation
from evglif.evaluation.session import evaluate_checkpoint
from evglif.recipe import Recipe
from evglif.results import CHOSEN, weights_that_count
from evglif.training.run import METRICS, REPORT, Run
from preprocessing.cache import FrameCache
from preprocessing.calling import spoken
from preprocessing.drawing import optional_picture
from preprocessing.own_code import imported
from preprocessing.terminal import paragraph

NUM_LAST = 10
AGAIN = "the run is finished and its results are kept; the same command draws it"


class Outcome(NamedTuple):
    """What came out of a run.

    Attributes:
        results: its figures, plain values.
        evaluation: of the epoch of best validation, or of the last without validation; None without test samples.
    """

    results: dict[str, Any]
    evaluation: Evaluation | None


def outcome(recipe: Recipe, run: Run, history: list[Row], cache: FrameCache, device: str) -> Outcome:
    """The figures of a finished run.

    Among the results, ``"best"`` and ``"last"`` hold those of the epoch of best validation and of the last epoch,
    with an evaluation on the test split as ``"test"`` where there is one. With ``track_test`` there is
    ``"test_by_epoch"`` too, among it the best test epoch, under a name that says what it was chosen on.
    """
    last = read_checkpoint(run.folder / "last.pt")
    results: dict[str, Any] = {
        "data": str(cache.path),
        "fingerprint": cache.fingerprint,
        "recipe": recipe.to_dict(),
        "model": last.model.spec.name,
        "neuron": last.model.spec.neuron.name,
        "num_parameters": sum(parameter.numel() for parameter in last.model.parameters()),
        "num_train": run.identity["num_train"],
        "num_validation": run.identity["num_validation"],
        "processes": run.identity["processes"],
        "training_seconds": sum(row["seconds"] for row in history),
        "versions": {"torch": torch.__version__, "python": sys.version.split()[0]},
    }
    best = run.folder / "best.pt"
    judged = {"best": read_checkpoint(best)} if best.exists() else {}
    evaluations = []
    for name, checkpoint in {**judged, "last": last}.items():
        results[name] = dict(checkpoint.metrics)
        if len(cache.indices("test")):
            evaluations.append(evaluate_checkpoint(checkpoint, cache, "test", recipe.loader, device))
            results[name]["test"] = evaluations[-1].to_dict()
    if recipe.track_test and "test_accuracy" in history[0]:
        results["test_by_epoch"] = by_epoch(history)
    return Outcome(results, evaluations[0] if evaluations else None)


def by_epoch(history: list[Row]) -> dict[str, Any]:
    """What the papers report of test accuracies by epoch: the mean of the last ten, and the best epoch of all."""
    best = max(history, key=lambda row: row["test_accuracy"])
    last = [row["test_accuracy"] for row in history[-NUM_LAST:]]
    return {
        "mean_of_last": {"epochs": len(last), "accuracy": fmean(last)},
        "best_epoch_chosen_on_the_test_split": {"epoch": best["epoch"], "accuracy": best["test_accuracy"]},
    }


def plot_run(folder: Path, results: dict[str, Any], classes: tuple[str, ...]) -> None:
    """Draw ``curves.png`` and, where there was a test split, ``confusion.png``, as far as they are not there.

    One that cannot be drawn is a warning.
    """
    title = f"{Path(results['data']).stem}: {results['model']} with {results['neuron']}"
    curves, confusion = folder / "curves.png", folder / "confusion.png"
    if not curves.exists():
        with optional_picture(curves, AGAIN):
            from evglif.plots import plot_curves

            plot_curves(folder / METRICS, curves, title)
    chosen = weights_that_count(results)
    if "test" in results[chosen] and not confusion.exists():
        test = results[chosen]["test"]
        title += f", {CHOSEN[chosen]}: {test['accuracy']:.1%} of {test['num_samples']} test samples right"
        with optional_picture(confusion, AGAIN):
            from evglif.plots import plot_confusion

            plot_confusion(test["confusion"], classes, confusion, title)


def report(folder: Path, results: dict[str, Any]) -> None:
    """Print what came out and the next command."""
    seconds = results["training_seconds"]
    print(f"{results['model']}: {results['num_train']} training samples, {seconds:.0f} s of training")
    for name, how in CHOSEN.items():
        if name in results and "test" in results[name]:
            test = results[name]["test"]
            learnt = test.get("num_learnt_from")
            what = f"NO TEST ACCURACY, {learnt} of these samples were learnt from" if learnt else "test accuracy"
            print(f"  {what}, {how} ({results[name]['epoch']}): {test['accuracy']:.2%} of {test['num_samples']}")
    if results.get("began_with", {}).get("knows_samples") is False:
        print("  WARNING: nobody knows what the weights that it began with had learnt from: call this no test accuracy")
    if "test_by_epoch" in results:
        last, best = results["test_by_epoch"].values()
        print(f"  test accuracy, mean of the last {last['epochs']} epochs: {last['accuracy']:.2%}")
        print(f"  test accuracy, best epoch chosen on the test split ({best['epoch']}): {best['accuracy']:.2%}")
    page = folder / REPORT
    told = f"; {page} shows all of it" if page.exists() else ""
    print(paragraph([f"  written to {folder}{told}", next_line(folder, results)]))


def next_line(folder: Path, results: dict[str, Any]) -> str:
    """What comes after a finished run."""
    checkpoint = folder / f"{weights_that_count(results)}.pt"
    own = "".join(f" --import {quote(name)}" for name in imported())
    return spoken(f"next: python -m deploy.export {quote(str(checkpoint))} --format onnx{own}")
