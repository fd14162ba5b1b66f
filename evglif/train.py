"""Train a network on a cache: ``python -m evglif.train --recipe NAME --data FILE.h5``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any
from zlib import crc32

from evglif.data import FrameDataset, data_spec
from evglif.evaluation.figures import Evaluation
from evglif.models import NetworkSpec, spec_to_dict
from evglif.neurons.spec import NEURONS
from evglif.provenance import Seen
from evglif.recipe import Recipe, model_spec, read_recipe, recipe_names, recipe_path, to_yaml
from evglif.threads import choose_threads, use_threads
from evglif.training.fit import Sets, fit
from evglif.training.graphs import recorder_for
from evglif.training.learner import Learner
from evglif.training.machine import ACCELERATORS, LOGS, Machine, disconnect, launched, processes
from evglif.training.outcome import outcome, plot_run, report
from evglif.training.run import BOARD, REPORT, Run, State, flat
from evglif.training.watch import Watch
from evglif.validation import Parts, split_training
from preprocessing.cache import FrameCache
from preprocessing.commands import command
from preprocessing.drawing import optional_picture
from preprocessing.terminal import as_text, shown, tell


def train(
    recipe: Recipe,
    data: str | Path,
    out: str | Path,
    overwrite: bool = False,
    progress: bool = True,
    machine: Machine | None = None,
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

    Returns:
        What stands in ``results.json``; ``["best"]`` and ``["last"]`` hold the figures of those weights. Empty on all
        processes but the first.

    Raises:
        ValueError: for a cache that has no training samples or does not fit the recipe.
        FileExistsError: where ``out`` holds another run and ``overwrite`` is not set; what differs is named.
        FloatingPointError: where the loss becomes infinite or NaN.
        BusyError: where another training works in ``out``.
        OSError: where there is no room for the run's files.
    """
    machine = machine or Machine()
    with FrameCache(data) as cache, ExitStack() as held:
        parts = split_training(cache, recipe.loader.validation, recipe.seed)
        sets = samples_by_stage(cache, parts, recipe.track_test)
        spec = model_spec(recipe, cache)
        seen = partial(Seen.of, cache, parts.training, parts.validation)
        run = Run(Path(out), data_spec(cache), identity(recipe, spec, sets, machine), seen)
        held.enter_context(run.alone())
        former = None if overwrite else run.former()
        finished = run.results() if former is not None else None
        if finished is not None:
            plot_run(run.folder, finished, cache.classes)
            write_page(run.folder, cache)
            if progress:
                told = f"finished after {recipe.epochs} epochs; pass --overwrite to begin anew"
                print(f"{shown(out)} holds this run, {told}")
            return finished
        fabric = launched(machine, recipe.precision)
        board = _board(run.folder) if machine.tensorboard else None
        watch = Watch(recipe.epochs, progress and fabric.is_global_zero, board)
        try:
            if fabric.is_global_zero:
                _begin(run, former, recipe, spec, progress)
                if progress:
                    print(parts, flush=True)
            say = print if progress and fabric.is_global_zero else _silent
            recorder = recorder_for(machine.graphs, recipe, machine.device, fabric.world_size, say)
            learner = Learner(recipe, spec, cache.scale, fabric, recorder, say)
            if machine.device == "cpu" and fabric.world_size == 1:
                before = None if former is None else former.threads
                threads = choose_threads(learner.model, recipe.loader.batch_size, machine.threads, before)
                if progress:
                    print(threads, flush=True)
                learner.threads = threads.number
            held.enter_context(use_threads(learner.threads or machine.threads))
            history = fit(learner, sets, run, former, watch, machine.data_on_device)
        finally:
            watch.close()
            disconnect()
        if not fabric.is_global_zero:
            return {}
        results, evaluation = outcome(recipe, run, history, cache, machine.device)
        results["validation"] = parts.facts()
        run.finish(results)
        plot_run(run.folder, results, cache.classes)
        write_page(run.folder, cache, evaluation)
    if progress:
        report(run.folder, results)
    return results


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


def _path(text: str) -> Path:
    """A path as it was typed; by its own type, the parser reads it as YAML, which takes no name that is no text."""
    return Path(text)


def parse_arguments(arguments: list[str] | None = None) -> tuple[Recipe, dict[str, Any]]:
    """The command line: recipe and the other arguments of ``train``.

    ``--print-config`` prints the recipe and ends the program.

    Raises:
        ValueError: for values out of range, and where the data or the folder of the run are not given.
    """
    from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

    class RecipeFile(ActionConfigFile):
        """A config file of a recipe, and of nothing else; it may also be named like one of the package."""

        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
            path = recipe_path(values)
            read_recipe(values)  # a file that says where to write, or what to overwrite, is no recipe
            super().__call__(parser, namespace, str(path), option_string)  # type: ignore[no-untyped-call]

    parser = ArgumentParser(
        prog="python -m evglif.train",
        description="Train a network on a cache and evaluate it on the test split. Values of the recipe can be "
        "overridden one by one. A run that was stopped goes on when the same command is given again. "
        "Example: python -m evglif.train --recipe digits --data data/digits.h5 "
        "--out runs/digits --optim.lr 0.05 --neuron plif",
        print_config=None,
    )
    parser.add_argument("--recipe", action=RecipeFile, help=f"one of {', '.join(recipe_names())}, or a YAML file")
    parser.add_argument("--data", type=_path, help="cache written by python -m preprocessing.build")
    parser.add_argument("--out", type=_path, help="folder of the run, e.g. runs/digits")
    parser.add_argument("--neuron", type=str, help=f"in the place of the recipe's: {', '.join(NEURONS)}")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where --out holds a run")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no printed results")
    parser.add_argument("--print-config", action="store_true", help="print the recipe with all its values, and end")
    parser.add_argument("--accelerator", default="auto", help=f"one of {', '.join(ACCELERATORS)}; default: auto")
    parser.add_argument("--devices", type=int, help="processes on this node, one a GPU; default: 1")
    parser.add_argument("--num-nodes", type=int, help="nodes; default: 1, or what torchrun or Slurm started")
    parser.add_argument("--threads", type=int, help="of the processor; default: as many as the layers are worth")
    parser.add_argument("--data-on-device", action="store_true", help="keep all samples in the device's memory")
    parser.add_argument("--graphs", type=bool, help="steps recorded as CUDA graphs; default: where that is safe")
    parser.add_argument("--log", default="auto", help=f"one of {', '.join(LOGS)}; auto: TensorBoard where installed")
    parser.add_class_arguments(Recipe)
    chosen = parser.instantiate(parser.parse_args(arguments))
    recipe = Recipe(**{field.name: chosen[field.name] for field in fields(Recipe)})
    if chosen["neuron"]:
        recipe = replace(recipe, model={**recipe.model, "neuron": chosen["neuron"]})
    if chosen["print_config"]:
        print(to_yaml(recipe), end="")
        raise SystemExit
    missing = [f"--{name}" for name in ("data", "out") if chosen[name] is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be given; see python -m evglif.train --help")
    return recipe, {
        **{name: chosen[name] for name in ("data", "out", "overwrite")},
        "progress": not chosen["quiet"],
        "machine": Machine(**{field.name: chosen[field.name] for field in fields(Machine)}),
    }


@command("the same command goes on after the last whole epoch")
def main() -> int:
    """The command line; errors a user can mend end in one line."""
    recipe, rest = parse_arguments()
    train(recipe, **rest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
