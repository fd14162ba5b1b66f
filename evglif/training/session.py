"""A training from its data to its results, in a folder that finds its place again."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any
from zlib import crc32

from evglif.data import FrameDataset, data_spec
from evglif.evaluation.figures import Evaluation
from evglif.models import Network, NetworkSpec, spec_to_dict
from evglif.provenance import Seen
from evglif.recipe import Recipe, model_spec, to_yaml
from evglif.threads import choose_threads, use_threads
from evglif.training.fit import Sets, fit
from evglif.training.graphs import recorder_for
from evglif.training.learner import Learner
from evglif.training.machine import Machine, launched, processes, together
from evglif.training.outcome import next_line, outcome, plot_run, report
from evglif.training.run import BOARD, REPORT, Run, State, flat
from evglif.training.start import Start
from evglif.training.watch import Watch
from evglif.validation import Parts, split_training
from preprocessing.cache import FrameCache
from preprocessing.drawing import optional_picture
from preprocessing.terminal import as_text, paragraph, shown, tell


def train(
    recipe: Recipe,
    data: str | Path,
    out: str | Path,
    overwrite: bool = False,
    progress: bool = True,
    machine: Machine | None = None,
    start: Start | None = None,
) -> dict[str, Any]:
    """Train a network, then evaluate it on the test split, which plays no part in any choice.

    Writes to ``out``: ``recipe.yaml``; after every epoch ``state.pt``, ``last.pt``, ``metrics.csv`` and, where it is
    the best by validation, ``best.pt``; at the end ``results.json``, and then pictures of the curves and of the
    confusion matrix, and ``report.html``, a page that shows all of it. A run that was stopped, in whatever way, goes
    on from its last epoch when it is called again; of one that is finished, pictures that are missing are drawn.

    Args:
        recipe: what to do.
        data: cache written by ``python -m preprocessing.build``.
        out: folder of the run.
        overwrite: begin anew where ``out`` holds a run.
        progress: show a progress bar, and print the results at the end.
        machine: where to do it; one process on a GPU if there is one, by default.
        start: weights to begin with, and layers that stay as they are; fresh weights by default.

    Returns:
        What stands in ``results.json``; ``["best"]`` and ``["last"]`` hold the figures of those weights. Empty on all
        processes but the first.

    Raises:
        ValueError: for a cache that has no training samples or does not fit the recipe.
        FileExistsError: where ``out`` holds another run and ``overwrite`` is not set; what differs is named.
        FloatingPointError: where the loss becomes infinite or NaN.
        BusyError: where another training works in ``out``.
        WorkerError: where one of several processes ended, or they cannot reach one another.
        OSError: where there is no room for the run's files.
    """
    machine = machine or Machine()
    with FrameCache(data) as cache, ExitStack() as held:
        parts = split_training(cache, recipe.loader.validation, recipe.seed)
        sets = samples_by_stage(cache, parts, recipe.track_test)
        spec = model_spec(recipe, cache)
        beginning = (start or Start()).read(cache.classes, spec)
        seen = beginning.seen(partial(Seen.of, cache, parts.training, parts.validation))
        decisive = {**identity(recipe, spec, sets, machine), **beginning.identity()}
        run = Run(Path(out), data_spec(cache), decisive, seen, beginning.origins)
        held.enter_context(run.alone())
        former = None if overwrite else run.former()
        finished = run.results() if former is not None else None
        if finished is not None:
            if machine.pages:
                _show(run.folder, finished, cache)
            if progress:
                told = f"finished after {recipe.epochs} epochs; pass --overwrite to begin anew"
                print(paragraph([f"{out} holds this run, {told}", next_line(run.folder, finished)]))
            return finished
        fabric = launched(machine, recipe.precision)
        board = _board(run.folder) if machine.tensorboard else None
        watch = Watch(recipe.epochs, progress and fabric.is_global_zero, board)
        with together(fabric), closing(watch):
            if fabric.is_global_zero:
                _begin(run, former, recipe, spec, progress)
                if progress:
                    print(parts, flush=True)
            say = print if progress and fabric.is_global_zero else _silent
            recorder = recorder_for(machine.graphs, recipe, machine.device, fabric.world_size, say)
            learner = Learner(recipe, spec, cache.scale, fabric, recorder, say, beginning.prepare)
            if former is None and beginning.origin is not None:
                say(paragraph(beginning.lines(cache, parts)))
            if machine.device == "cpu" and fabric.world_size == 1:
                before = None if former is None else former.threads
                threads = choose_threads(learner.model, recipe.loader.batch_size, machine.threads, before)
                if progress:
                    print(threads, flush=True)
                learner.threads = threads.number
            held.enter_context(use_threads(learner.threads or machine.threads))
            watch.introduce(facts(cache, sets, learner.model, learner.threads))
            history = fit(learner, sets, run, former, watch, machine.data_on_device)
        if not fabric.is_global_zero:
            return {}
        found, evaluation = outcome(recipe, run, history, cache, machine.device)
        results = {**found, "validation": parts.facts(), **beginning.facts()}
        run.finish(results)
        if machine.pages:
            _show(run.folder, results, cache, evaluation)
    if progress:
        report(run.folder, results)
    return results


def _show(folder: Path, results: dict[str, Any], cache: FrameCache, evaluation: Evaluation | None = None) -> None:
    plot_run(folder, results, cache.classes)
    write_page(folder, cache, evaluation)


def write_page(folder: Path, cache: FrameCache, evaluation: Evaluation | None = None) -> None:
    """Write ``report.html`` of a finished run, if it is not there; where that fails, it is a warning.

    Args:
        folder: of the run.
        cache: its data.
        evaluation: of its chosen weights on the test split; None for the figures that the run noted.
    """
    page = folder / REPORT
    if not page.exists():
        with optional_picture(page, f"python -m evglif.report {quote(str(folder))} writes it"):
            from evglif.reporting import read_run, write_report

            write_report(read_run(folder), page, cache, evaluation)


def facts(cache: FrameCache, sets: Sets, model: Network, threads: int | None) -> str:
    """One line of what is trained on what."""
    counts = {"training": len(sets["train"]), "validation": len(sets["validation"]), "test": len(cache.indices("test"))}
    samples = ", ".join(f"{number:,} {name}" for name, number in counts.items())
    num = sum(parameter.numel() for parameter in model.parameters())
    network = f"{model.spec.name} with {model.spec.neuron.name}, {num:,} parameters"
    used = f"; {threads} thread{'s' if threads > 1 else ''}" if threads else ""
    return f"{shown(cache.path)}: {samples} samples; {network}{used}"


def _board(folder: Path) -> Path | None:
    """Where TensorBoard's files go, if they can."""
    if as_text(str(folder)) == str(folder):
        return folder / BOARD
    tell(f"note: TensorBoard takes names in UTF-8 only; {folder} gets none of its files")
    return None


def _silent(_: str) -> None:
    pass


def _begin(run: Run, former: State | None, recipe: Recipe, spec: NetworkSpec, progress: bool) -> None:
    if former is None:
        run.begin(to_yaml(replace(recipe, model=spec_to_dict(spec))))
    elif progress:
        print(f"{shown(run.folder)}: going on after epoch {len(former.history)} of {recipe.epochs}", flush=True)


def identity(recipe: Recipe, spec: NetworkSpec, sets: Sets, machine: Machine) -> dict[str, Any]:
    """All that decides what a run learns, plain values by dotted names."""
    values = replace(recipe, model=spec_to_dict(spec)).to_dict()
    del values["loader"]["workers"], values["checkpoint"]  # neither changes a bit of what is learnt
    devices, num_nodes = processes(machine)
    counts = {f"num_{stage}": len(samples) for stage, samples in sets.items()}
    chosen = crc32(sets["validation"].indices.tobytes())
    others = {"data": sets["train"].cache.fingerprint, "processes": devices * num_nodes, "validation_samples": chosen}
    return flat({**values, **others, **counts})


def samples_by_stage(cache: FrameCache, parts: Parts, track_test: bool) -> dict[str, FrameDataset]:
    """Samples to train on, to choose by and, with ``track_test``, to report after every epoch.

    Raises:
        ValueError: where there is nothing to train on.
    """
    if not len(parts.training):
        raise ValueError(f"{cache.path} holds no training samples")
    stages = {"train": parts.training, "validation": parts.validation}
    if track_test:
        stages["test"] = cache.indices("test")
    return {stage: FrameDataset(cache, indices) for stage, indices in stages.items()}
