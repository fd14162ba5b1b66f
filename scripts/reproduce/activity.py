"""Accuracy, activity, latency and energy of a study's settings, with what is made of them for deployment.

Of every run: the test accuracy of its epoch of best validation; the share of active inputs of its layers that see
spikes, by the products behind them; the energy by the convention of ``python -m deploy.profile``; and the time of its
file of events against that of its ONNX file, both in this process and one after the other, the best of all turns, on
the same test samples. First both have to give the checkpoint's classes. Figures are means over a setting's seeds.

Example:
    .venv/bin/python -m scripts.reproduce.study --data data/nmnist4.h5 --settings lif lif-sparse --seeds 0 1 2
    .venv/bin/python -m scripts.reproduce.activity runs/study/lif runs/study/lif-sparse --data data/nmnist4.h5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.events.session import open_session
from deploy.exporting.formats import FORMATS
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import describe
from deploy.measuring.profiling import profile, sample_frames
from deploy.running.session import Floats, ModelSession
from evglif.checkpoint import Checkpoint, read_checkpoint
from evglif.studies.paired import spread
from evglif.studies.runs import FoundRun
from evglif.studies.tables import table
from evglif.threads import use_threads
from preprocessing.cache import FrameCache
from preprocessing.commands import command
from preprocessing.progress import progress
from scripts.bench.common import machine
from scripts.reproduce.study import chosen_runs

FORMS = ("events", "onnx")
BATCHES = (1, 8)
NUM_COUNTED, TIMED, AGREE = 400, 16, 0.98
TIMES = tuple(f"{form}, B={batch}" for batch in BATCHES for form in (*FORMS, "ratio"))
HEAD = ("setting", "seeds", "accuracy, %", "active, %", "µJ", "accumulates", *TIMES)


@dataclass(frozen=True)
class Figures:
    """What one run comes to.

    Attributes:
        accuracy: on the test split.
        active: share of active inputs where inputs are spikes or counts of them.
        microjoules: of a sample.
        accumulates: of a sample, n for n spikes.
        milliseconds: (form, batch) → of a sample, threads = 1.
    """

    accuracy: float
    active: float
    microjoules: float
    accumulates: float
    milliseconds: dict[tuple[str, int], float]


@command("no figures were kept")
def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    runs = {folder: _runs(folder, options.seeds) for folder in options.settings}
    shown = progress([run for each in runs.values() for run in each], sum(map(len, runs.values())), "measure", "runs")
    found = (figures(run, options.data, options.repeats) for run in shown)
    rows = [_row(folder.name, list(islice(found, len(each)))) for folder, each in runs.items()]
    print("\n".join(table(HEAD, rows)))
    print(f"ms a sample, one thread, best of {options.repeats} turns over {TIMED} samples; B: samples in a run")
    print(machine("torch", "onnxruntime", "numba"))
    return 0


def _runs(folder: Path, seeds: Sequence[int] | None) -> list[FoundRun]:
    found = [run for run in chosen_runs(folder) if seeds is None or run.recipe.seed in seeds]
    if len(found) < (len(seeds) if seeds else 1):
        raise ValueError(
            f"{folder} has {len(found)} runs of these seeds; python -m scripts.reproduce.study trains them"
        )
    return found


def figures(run: FoundRun, data: Path, repeats: int) -> Figures:
    """Count, export and time the weights of a run's best validation.

    Raises:
        ValueError: the run had no test split.
    """
    if run.test is None:
        raise ValueError(f"{run.folder} has no test accuracy; give runs on data with a test split")
    checkpoint = read_checkpoint(run.checkpoint)
    with FrameCache(data) as cache, use_threads(1):
        batches = list(sample_frames(cache, "test", NUM_COUNTED))
        cost = profile(checkpoint.model, batches)
        with torch.inference_mode():
            classes = torch.cat([checkpoint.model(each).argmax(1) for each in batches]).numpy()
    dense = sum(layer.macs for layer in cost.synapses if layer.input != "values")
    times = timed(checkpoint, torch.cat(batches).numpy(), classes, repeats)
    active = cost.accumulates / dense if dense else 0.0
    return Figures(run.test["accuracy"], active, cost.microjoules(), cost.n_accumulates, times)


def timed(
    checkpoint: Checkpoint, frames: Floats, classes: NDArray[np.int64], repeats: int
) -> dict[tuple[str, int], float]:
    """(form, batch) → ms a sample of the two exports, which take turns.

    Raises:
        ValueError: an export gives other classes than the checkpoint.
    """
    with tempfile.TemporaryDirectory() as folder:
        sessions = {form: _exported(checkpoint, form, Path(folder)) for form in FORMS}
        for form, session in sessions.items():
            agreeing = float((session.logits(frames).argmax(1) == classes).mean())
            if agreeing < AGREE:
                raise ValueError(f"the {form} file gives the checkpoint's class on {agreeing:.1%} of samples only")
        best: dict[tuple[str, int], float] = {}
        for _ in range(repeats):
            for batch in BATCHES:
                for form, session in sessions.items():
                    taken = _seconds(session, frames[:TIMED], batch)
                    best[form, batch] = min(taken, best.get((form, batch), taken))
    return {which: 1e3 * seconds / TIMED for which, seconds in best.items()}


def _exported(checkpoint: Checkpoint, form: str, folder: Path) -> ModelSession:
    path = folder / f"model{FORMATS[form].suffix}"
    built, _ = FORMATS[form].build(checkpoint, ExportOptions(form))
    built.save(path, describe(checkpoint))
    return open_session(path, 1)


def _seconds(session: ModelSession, frames: Floats, batch: int) -> float:
    start = perf_counter()
    for at in range(0, len(frames), batch):
        session.logits(frames[at : at + batch])
    return perf_counter() - start


def _row(name: str, found: Sequence[Figures]) -> tuple[str, ...]:
    cells = [name, str(len(found)), spread([each.accuracy for each in found]), spread([each.active for each in found])]
    cells += [f"{fmean(each.microjoules for each in found):.3f}", f"{fmean(each.accumulates for each in found):,.0f}"]
    for batch in BATCHES:
        events, onnx = (fmean(each.milliseconds[form, batch] for each in found) for form in FORMS)
        cells += [f"{events:.3f}", f"{onnx:.3f}", f"{events / onnx:.2f}"]
    return tuple(cells)


def _parser() -> argparse.ArgumentParser:
    description, _, example = (__doc__ or "").partition("Example:")
    parser = argparse.ArgumentParser(
        description=description, epilog=f"Example:{example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", type=Path, help="folders of settings, as scripts.reproduce.study leaves")
    parser.add_argument("--data", type=Path, required=True, help="data set that they were trained on")
    parser.add_argument("--seeds", type=int, nargs="+", help="only these; default: all that are there")
    parser.add_argument("--repeats", type=int, default=30, help="turns; default: 30")
    return parser


if __name__ == "__main__":
    sys.exit(main())
