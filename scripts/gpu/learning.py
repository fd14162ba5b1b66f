"""Part four of the GPU day: trainings whose figures are published, as long as there is time.

PLIF's network learns MNIST and Fashion-MNIST by its own recipe, and is stopped in the middle of it. The accuracy is
given by both protocols: of the epoch that is best on validation data, which were cut off from the training images, and
of the best epoch by the test images, which the paper's tables give. Meanwhile a simulated camera records the coloured
images on the processors, 10,000 recordings where they are all there, and GLIF's 7B-wideNet learns those: no figure is
published for them.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from evglif.evaluation.epochs import Row, best_row
from evglif.recipe import Recipe, read_recipe
from evglif.train import train
from evglif.training.machine import Machine
from preprocessing.build import build
from preprocessing.commands import command
from preprocessing.datasets.stills.mnist import MNIST, FashionMNIST
from scripts.bench.common import parser
from scripts.gpu.kit import PICTURES
from scripts.gpu.tables import Table, exit_code, work_off

COLUMNS = (
    "data", "network", "epochs", "seconds", "test % at best validation", "best test %", "last test %", "paper %"
)  # fmt: skip
SHARED_MEMORY = Path("/dev/shm")
ROOM_FOR_RECORDINGS = 30e9
"""Bytes: 10,000 recordings have 16 GB."""

LEFT_FOR_TESTS = 12
"""Processors that simulate while a network learns."""

PAPER = {"mnist": "99.72 best test, 99.63 by validation", "fashion-mnist": "94.38 best test, 93.85 by validation"}


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    model: Mapping[str, Any]
    recordings: Mapping[str, Any]
    steps: int
    side: int
    epochs: int | None
    batch_size: int | None


WHOLE = Size({}, {}, 16, 48, None, None)
TOY = Size({"width": 4, "hidden": 8, "steps": 2}, {"width": 4}, 2, 16, 1, 8)


@command("what is written so far is kept")
def main() -> int:
    options = parse_options()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have come without it
    if options.data is None:
        print("nothing to learn from: no --kit with images was given; see scripts/gpu_check --help")
        return 1
    table = Table(options.csv, COLUMNS)
    with scratch() as folder:
        recording = Recording(options, folder)
        day = Trainings(options, folder, table, recording)
        failed = work_off(day.jobs(), options.csv, options.seconds)
        recording.stop()
    return exit_code(failed)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=1)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    made.add_argument("--seconds", type=float, default=3600.0, help="for all trainings")
    made.add_argument("--data", type=Path, help="folder with mnist, fashion_mnist and pictures.zip")
    made.add_argument("--csv", type=Path, required=True, help="file for the table; runs go to runs/ beside it")
    return made.parse_args()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what is made on the way: in memory, where there is room."""
    roomy = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > ROOM_FOR_RECORDINGS
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if roomy else None, prefix="gpu-check-") as folder:
        yield Path(folder)


class Recording:
    """The simulated recordings, made in a process of their own while something else is done."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.cache = folder / "recordings.h5"
        size = WHOLE if options.device == "cuda" else TOY
        with zipfile.ZipFile(options.data / PICTURES) as pictures:
            pictures.extractall(folder / "pictures")
        paths = {"--images": folder / "pictures", "--root": folder / "recordings", "--out": self.cache}
        numbers = {"--steps": size.steps, "--size": size.side, "--workers": min(LEFT_FOR_TESTS, os.cpu_count() or 1)}
        command = [sys.executable, "-m", "preprocessing.build", "images"]
        command += [str(part) for pair in {**paths, **numbers}.items() for part in pair]
        self.job = subprocess.Popen(["nice", *command])

    def wait(self) -> Path:
        """The cache, once it is there."""
        if self.job.wait():
            raise RuntimeError("the recordings could not be made; see above")
        return self.cache

    def stop(self) -> None:
        """End it, done or not."""
        self.job.kill()
        self.job.wait()


class Trainings:
    """The trainings of the day and the time they have."""

    def __init__(self, options: argparse.Namespace, folder: Path, table: Table, recording: Recording) -> None:
        self.options, self.folder, self.table, self.recording = options, folder, table, recording
        self.end = monotonic() + options.seconds
        self.size = WHOLE if options.device == "cuda" else TOY

    def jobs(self) -> dict[str, Callable[[], None]]:
        """By name; each has its share of the time that is left when it begins."""
        return {
            "PLIF on MNIST": partial(self.stills, MNIST, "mnist", "mnist", 1 / 3),
            "PLIF on Fashion-MNIST": partial(self.stills, FashionMNIST, "fashion_mnist", "fashion-mnist", 1 / 2),
            "GLIF on simulated CIFAR10-DVS": self.recordings,
        }

    def stills(self, kind: Callable[..., Any], folder: str, recipe: str, share: float) -> None:
        seconds = (self.end - monotonic()) * share
        begun = monotonic()
        cache = build(kind(self.options.data / folder), self.folder / f"{recipe}.h5").path
        chosen = read_recipe(recipe)
        chosen = replace(chosen, model={**chosen.model, **self.size.model})
        self.learn(recipe, chosen, cache, seconds - (monotonic() - begun))

    def recordings(self) -> None:
        cache = self.recording.wait()
        recipe = read_recipe("cifar10dvs")
        recipe = replace(recipe, model={**recipe.model, **self.size.recordings})
        recipe = replace(recipe, precision="bf16", channels_last=self.options.device == "cuda")
        self.learn("simulated-cifar10-dvs", recipe, cache, self.end - monotonic())

    def learn(self, name: str, recipe: Recipe, cache: Path, seconds: float) -> None:
        """Train until the time is over, and put what was reached into the table."""
        recipe = replace(recipe, track_test=True)
        if self.size.epochs and self.size.batch_size:
            loader = replace(recipe.loader, batch_size=self.size.batch_size)
            recipe = replace(recipe, epochs=self.size.epochs, loader=loader, precision="fp32")
        out, begun = self.options.csv.parent / "runs" / name, monotonic()
        machine = Machine(self.options.device, data_on_device=True, log="csv")
        with stopped_after(seconds):
            train(recipe, cache, out, overwrite=True, machine=machine)
        history = read_history(out / "metrics.csv")
        network = f"{recipe.model['name']}, {recipe.model['neuron']}, {recipe.precision}"
        figures = [f"{100 * value:.2f}" for value in accuracies(history)] if history else ["no epoch was ended"] * 3
        taken = f"{monotonic() - begun:.0f}"
        self.table.add(name, network, len(history), taken, *figures, PAPER.get(name, "none published"))


@contextmanager
def stopped_after(seconds: float) -> Iterator[None]:
    """Ctrl-C after a time, which a training heeds after its batch; it ends the block and nothing else."""
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped after {seconds:.0f} s")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read_history(path: Path) -> list[Row]:
    """Figures of the epochs so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def accuracies(history: list[Row]) -> tuple[float, float, float]:
    """On the test images: of the epoch of best validation, of the best epoch, of the last one."""
    best = best_row(history) or history[-1]
    return best["test_accuracy"], max(row["test_accuracy"] for row in history), history[-1]["test_accuracy"]


if __name__ == "__main__":
    sys.exit(main())
