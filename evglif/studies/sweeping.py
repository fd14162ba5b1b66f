"""A sweep: its settings tried, one chosen by validation, a table and files of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from shlex import quote

from evglif.evaluation.report import write_csv
from evglif.recipe import read_recipe, to_yaml
from evglif.studies.paired import mean_and_deviation, spread
from evglif.studies.space import Dimension, draws, grid, parse_dimension, said
from evglif.studies.suggest import Suggestions
from evglif.studies.tables import counted, table
from evglif.studies.trials import Outcome, Trial, check_trials, chosen, outcome_of, run_trial, run_trials
from evglif.tensor_files import replace_file
from evglif.training.machine import Machine
from preprocessing.calling import spoken
from preprocessing.drawing import optional_picture
from preprocessing.files import exclusive
from preprocessing.own_code import imported
from preprocessing.terminal import paragraph, shown
from preprocessing.workers import num_cores

MOST_ROWS = 30
BEST = "best.yaml"


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """The work of ``python -m evglif.sweep``, with the words that it was given."""
    dimensions = [parse_dimension(text) for text in options.set]
    _check(options, dimensions)
    machine = Machine(accelerator=options.accelerator, threads=options.threads, pages=options.pages, log="csv")
    if options.optuna:
        with exclusive(options.out / ".sweep", f"sweeping in {options.out}"):
            outcomes = _suggested(options, dimensions, machine)
    else:
        settings = draws(dimensions, options.random, options.search_seed) if options.random else grid(dimensions)
        trials = [_trial(options, each) for each in settings]
        check_trials(trials, options.data)
        outcomes = _tried(options, given, trials, machine)
    if options.worker:
        return 0
    return _conclude(options, dimensions, outcomes)


def _check(options: argparse.Namespace, dimensions: Sequence[Dimension]) -> None:
    """Find out before the first run that something cannot be used, and fill in what follows from the rest."""
    if not dimensions and len(options.seeds) < 2:
        raise ValueError("there is nothing to try: give --set NAME=VALUE,VALUE, or several --seeds")
    names = [each.name for each in dimensions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"--set {twice} stands there twice; give all its values in one")
    if len(set(options.seeds)) < len(options.seeds) or min(options.seeds) < 0:
        raise ValueError(f"--seeds {' '.join(map(str, options.seeds))}: expected different ones from 0")
    if options.jobs < 1 or (options.optuna is not None and options.optuna < 1):
        raise ValueError(f"--jobs {options.jobs}, --optuna {options.optuna}: expected 1 at least")
    if options.optuna and options.jobs > 1:
        raise ValueError("--optuna suggests one setting after the other: leave --jobs out, or give --random N")
    options.base = read_recipe(options.recipe)
    options.out = options.out or Path("sweeps") / f"{Path(options.recipe).stem}-{options.data.stem}"


def _trial(options: argparse.Namespace, settings: dict[str, object]) -> Trial:
    return Trial.of(options.base, settings, options.seeds, options.out)


def _tried(
    options: argparse.Namespace, given: Sequence[str], trials: Sequence[Trial], machine: Machine
) -> list[Outcome]:
    if options.jobs > 1:
        _work_together(options, given)
    else:
        if not options.worker:
            told = f"{counted(len(trials), 'setting')}, {counted(len(options.seeds), 'run')} of each"
            _say(spoken(f"{told}; how far they are: python -m evglif.runs {options.out}"))
        run_trials(trials, options.data, machine, _say)
    return [outcome_of(trial) for trial in trials]


def _work_together(options: argparse.Namespace, given: Sequence[str]) -> None:
    """Have so many processes work through the trials, each leaving to the others what they are at.

    Raises:
        ValueError: one of them failed; it said why.
    """
    threads = [] if options.threads else ["--threads", str(max(1, num_cores() // options.jobs))]
    line = [sys.executable, "-m", "evglif.sweep", *given, *threads, "--jobs", "1", "--worker"]
    workers = [subprocess.Popen(line) for _ in range(options.jobs)]
    try:
        statuses = [worker.wait() for worker in workers]
    except BaseException:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        raise
    if any(statuses):
        raise ValueError("a process of this sweep failed, see above; what is finished is kept")


def _suggested(options: argparse.Namespace, dimensions: Sequence[Dimension], machine: Machine) -> list[Outcome]:
    suggestions = Suggestions(dimensions, options.optuna, options.search_seed, options.out)
    for asked, settings in suggestions:
        trial = _trial(options, settings)
        check_trials([trial], options.data)
        outcome = run_trial(trial, options.data, machine, partial(_say_of_suggested, asked.number + 1))
        if not outcome.diverged and len(outcome.validation) < len(trial.folders):
            raise ValueError(f"{trial.folders[0]}: another process trains there; wait until it ends")
        suggestions.tell(asked, outcome.score)
    return [outcome_of(_trial(options, settings)) for settings in suggestions.tried()]


def _say(text: str) -> None:
    print(shown(text), flush=True)


def _say_of_suggested(suggestion: int, _: int, text: str) -> None:
    _say(f"[{suggestion}] {text}")


def _conclude(options: argparse.Namespace, dimensions: Sequence[Dimension], outcomes: Sequence[Outcome]) -> int:
    best = chosen(outcomes)
    missing = sum(len(each.validation) < len(each.trial.folders) for each in outcomes)
    print(f"\n{outcome_table(outcomes, _swept(dimensions))}")
    if missing:
        print(f"{missing} of {len(outcomes)} settings are not finished: left out, diverged, or at work elsewhere")
    if best is None:
        return 1
    print()
    print(paragraph([f"chosen by validation: {said(best.trial.settings) or 'the recipe as it is'}", _test_of(best)]))
    _write(options.out, dimensions, outcomes, best)
    files = f"sweep.csv, sweep.png and {BEST}" if dimensions else f"sweep.csv and {BEST}"
    print(paragraph([f"written to {options.out}: {files}", _next(options)]))
    return 0


def _swept(dimensions: Sequence[Dimension]) -> list[str]:
    """Names of what has more than one value."""
    return [each.name for each in dimensions if len(each.values) != 1]


def _next(options: argparse.Namespace) -> str:
    own = "".join(f" --import {quote(name)}" for name in imported())
    return spoken(f"next: python -m evglif.compare {options.out} --out {options.out}{own}")


def _test_of(best: Outcome) -> str:
    if not best.test:
        return "the data have no test split"
    of_several = f" (mean ± standard deviation of {len(best.test)} runs)" if len(best.test) > 1 else ", of one run"
    return f"its test accuracy: {spread(best.test)} %{of_several}"


def outcome_table(outcomes: Sequence[Outcome], names: Sequence[str]) -> str:
    """The best settings by validation, one a line."""
    ranked = sorted(outcomes, key=lambda each: -each.score)
    rows = [
        (*(said({"": each.trial.settings[name]})[1:] for name in names), _runs(each), spread(each.validation))
        for each in ranked[:MOST_ROWS]
    ]
    lines = table((*names, "runs", "validation, %"), rows)
    if len(ranked) > MOST_ROWS:
        lines.append(f"… and {len(ranked) - MOST_ROWS} more in sweep.csv")
    return paragraph(lines)


def _runs(outcome: Outcome) -> str:
    if outcome.diverged:
        return "diverged"
    done, wanted = len(outcome.validation), len(outcome.trial.folders)
    return str(done) if done == wanted else f"{done} of {wanted}"


def _write(folder: Path, dimensions: Sequence[Dimension], outcomes: Sequence[Outcome], best: Outcome) -> None:
    """Write ``sweep.csv``, a row a setting, ``best.yaml``, a recipe, and ``sweep.png``."""
    names = [each.name for each in dimensions]
    rows = [
        (
            *(str(each.trial.settings[name]) for name in names),
            len(each.validation),
            *mean_and_deviation(each.validation),
        )
        for each in outcomes
    ]
    write_csv(folder / "sweep.csv", (*names, "runs", "validation_accuracy", "standard_deviation"), rows)
    replace_file(folder / BEST, to_yaml(best.trial.recipes[0]).encode())
    finished = [each for each in outcomes if each.score >= 0]
    if names:
        with optional_picture(folder / "sweep.png", "all figures are written; the same command draws it"):
            from evglif.plots.settings import plot_sweep

            pairs = [({name: each.trial.settings[name] for name in names}, each.score) for each in finished]
            plot_sweep(pairs, finished.index(best), folder / "sweep.png", f"{folder.name}: chosen by validation")
