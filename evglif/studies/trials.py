"""The trials of a sweep: one setting each, trained once per seed in a folder of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from evglif.recipe import Recipe, model_spec
from evglif.results import RESULTS
from evglif.studies.paired import mean_and_deviation
from evglif.studies.runs import FoundRun, read_run
from evglif.studies.space import Settings, said, with_settings
from evglif.tensor_files import replace_file
from evglif.training.machine import Machine
from evglif.training.session import train
from preprocessing.cache import FrameCache
from preprocessing.files import BusyError

LONGEST_NAME = 120
FOLDER = "runs"
"""Of a sweep's folder, the one that holds its runs."""
DIVERGED = "diverged.txt"
"""Says in the folder of a run that its loss became infinite: it isn't tried again."""


@dataclass(frozen=True)
class Trial:
    """One setting.

    Attributes:
        settings: what is set, by dotted names.
        recipes: one a seed.
        folders: of the runs, one a seed.
    """

    settings: Settings
    recipes: tuple[Recipe, ...]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, base: Recipe, settings: Settings, seeds: Sequence[int], out: Path) -> Trial:
        """A setting of the base recipe; its runs lie in ``out``.

        Raises:
            ValueError: a value is out of range.
        """
        recipe = with_settings(base, settings)
        recipes = tuple(replace(recipe, seed=seed) for seed in seeds)
        return cls(settings, recipes, tuple(out / FOLDER / _name(settings, seed) for seed in seeds))

    def found(self) -> list[FoundRun]:
        """Its finished runs."""
        there = [read_run(folder) for folder in self.folders if (folder / RESULTS).is_file()]
        return [run for run in there if run.results is not None]


def _name(settings: Settings, seed: int) -> str:
    name = f"{said(settings)},seed={seed}".replace("/", "-")
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 12]}-{sha256(name.encode()).hexdigest()[:10]}"
    return name


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
        trial: which.
        validation: accuracy of the epoch of best validation, one a finished run.
        test: the same of those weights on the test split, where there is one.
        diverged: its loss became infinite with one of the seeds: nothing to choose.
    """

    trial: Trial
    validation: tuple[float, ...]
    test: tuple[float, ...]
    diverged: bool = False

    @property
    def score(self) -> float:
        """Mean validation accuracy; −∞ of what is not finished."""
        complete = len(self.validation) == len(self.trial.folders) and not self.diverged
        return mean_and_deviation(self.validation)[0] if complete else -math.inf


def outcome_of(trial: Trial) -> Outcome:
    """What stands in a trial's folders."""
    runs = trial.found()
    validation = tuple(run.best["validation_accuracy"] for run in runs if run.best)
    test = tuple(run.test["accuracy"] for run in runs if run.test)
    return Outcome(trial, validation, test, any((folder / DIVERGED).is_file() for folder in trial.folders))


def chosen(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The one of the highest mean validation accuracy, the first among equals; None where none is finished."""
    best = max(outcomes, key=lambda each: each.score, default=None)
    return None if best is None or best.score == -math.inf else best


def check_trials(trials: Sequence[Trial], data: Path) -> None:
    """Make sure that every trial can be trained before the first one is.

    Raises:
        ValueError: naming the setting that cannot, or data without a validation split to choose by.
    """
    with FrameCache(data) as cache:
        for trial in trials:
            recipe = trial.recipes[0]
            if not recipe.loader.validation and not len(cache.indices("validation")):
                raise ValueError(f"nothing to choose by: loader.validation is 0 and {data} has no validation split")
            try:
                model_spec(recipe, cache)
            except ValueError as error:
                raise ValueError(f"{said(trial.settings)}: {error}") from error


def run_trials(trials: Sequence[Trial], data: Path, machine: Machine, tell: Callable[[str], None]) -> None:
    """Train what is not yet trained, in their order; runs that another process is at are left to it."""
    total = sum(len(trial.folders) for trial in trials)
    before = 0
    for trial in trials:
        run_trial(trial, data, machine, partial(_numbered, tell, before, total))
        before += len(trial.folders)


def _numbered(tell: Callable[[str], None], before: int, total: int, number: int, text: str) -> None:
    tell(f"[{before + number}/{total}] {text}")


def run_trial(trial: Trial, data: Path, machine: Machine, tell: Callable[[int, str], None]) -> Outcome:
    """Train a trial's runs, as far as no other process is at them.

    Args:
        trial: which.
        data: cache.
        machine: where to do it.
        tell: called with the number of a run that ended here, from 1 in this trial, and with what it came to.
    """
    for number, (recipe, folder) in enumerate(zip(trial.recipes, trial.folders, strict=True), 1):
        name = f"{said(trial.settings) or 'as it is'}, seed {recipe.seed}"
        if (folder / DIVERGED).is_file():
            continue
        former = (folder / RESULTS).is_file()
        try:
            results = train(recipe, data, folder, progress=False, machine=machine)
        except BusyError:
            continue
        except FloatingPointError as error:
            tell(number, f"{name}: left out, {error}")
            replace_file(folder / DIVERGED, f"{error}\n".encode())
        else:
            if not former:
                tell(number, f"{name}: {_reached(results)}")
    return outcome_of(trial)


def _reached(results: dict[str, Any]) -> str:
    if "best" not in results:
        return "done"
    best = results["best"]
    seconds = results["training_seconds"]
    return f"validation {best['validation_accuracy']:.2%} in epoch {best['epoch']:.0f}, {seconds:.0f} s"
