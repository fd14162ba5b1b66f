"""One recipe with several seeds: a run of each, and what they come to together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evglif.recipe import Recipe
from evglif.studies.paired import spread
from evglif.studies.runs import FoundRun, read_run
from evglif.training.session import train
from preprocessing.calling import spoken
from preprocessing.terminal import paragraph, shown


def train_seeds(recipe: Recipe, seeds: Sequence[int], out: Path, progress: bool = True, **rest: Any) -> list[FoundRun]:
    """Train a recipe once for every seed, in ``out/seed-N``; what is finished stays, what was stopped goes on.

    Args:
        recipe: what to do; its own seed is not used.
        seeds: different ones, from 0.
        out: folder of the runs.
        progress: print the progress of each, and mean and standard deviation at the end.
        rest: as of ``evglif.train.train``.

    Returns:
        The runs, one a seed.

    Raises:
        ValueError: for seeds that are negative or stand there twice; and as ``train``.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"--seeds {' '.join(map(str, seeds))}: expected different ones from 0")
    folders = [out / f"seed-{seed}" for seed in seeds]
    for number, (seed, folder) in enumerate(zip(seeds, folders, strict=True), 1):
        if progress:
            print(f"\nseed {seed}, {number} of {len(seeds)}", flush=True)
        train(replace(recipe, seed=seed), out=folder, progress=progress, **rest)
    runs = [read_run(folder) for folder in folders]
    if progress:
        print()
        print(paragraph([*summary(runs), spoken(f"next: python -m evglif.compare {shown(out)} OTHER")]))
    return runs


def summary(runs: Sequence[FoundRun]) -> list[str]:
    """Accuracies at the epoch of best validation, mean ± standard deviation over the seeds, one line each."""
    validation = [run.best["validation_accuracy"] for run in runs if run.best]
    test = [run.test["accuracy"] for run in runs if run.test]
    what = "epoch of best validation" if validation else "last epoch"
    named = {"validation": validation, "test": test}
    return [
        f"{name} accuracy, {what}: {spread(found)} % ({len(found)} seeds)" for name, found in named.items() if found
    ]
