"""Digits: the handwritten digits that ship inside scikit-learn, recorded by a simulated event camera.

They are written as AEDAT-2.0 files and from there on treated like any other recordings: what can be learned about
the whole line of programs without a download and without a camera.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache import package_version
from preprocessing.datasets.base import Dataset, Listing, Source, option
from preprocessing.datasets.splits import held_out
from preprocessing.files import exclusive, write_whole
from preprocessing.progress import progress
from preprocessing.simulate import CameraSettings, simulate_dvs
from preprocessing.workers import num_workers, run_tasks

CLASSES = tuple("0123456789")
TEST_FRACTION = 0.2

_SECONDS_EACH = 0.01


@dataclass(frozen=True)
class Digits(Dataset):
    """Digits: 1797 handwritten digits before a simulated 128×128 camera, 1.3 s each; needs no download."""

    name: ClassVar[str] = "digits"
    example: ClassVar[str] = "--limit 200"
    root: Path = field(
        default=Path("data/digits"),
        metadata=option("folder for the recordings; those that are missing are simulated", Path),
    )
    seed: int = field(default=0, metadata=option("draws the fifth of each class that is held out for testing", int))

    def options(self) -> dict[str, Any]:
        """See ``Dataset.options``."""
        return {"seed": self.seed, "camera": asdict(CameraSettings())}

    def listing(self) -> Listing:
        """See ``Dataset.listing``; recordings are listed before they are made."""
        names = [f"{label}/digit_{index:04d}.aedat" for index, label in enumerate(_digits()[1])]
        by_class = [[name for name in names if name.startswith(f"{digit}/")] for digit in CLASSES]
        test = frozenset().union(*(held_out(group, TEST_FRACTION, self.seed) for group in by_class))
        sources = tuple(
            Source(self.root / name, None, label, "test" if name in test else "train", name)
            for label, group in enumerate(by_class)
            for name in group
        )
        return Listing(CLASSES, sources, sensor=(128, 128))

    def prepare(self, sources: Sequence[Source], workers: int | None) -> None:
        """Simulate the recordings that are missing, or all if other settings made those that are there.

        Raises:
            BusyError: another process is doing so.
        """
        settings = CameraSettings()
        with exclusive(self.root / ".simulating", f"simulating recordings in {self.root}"):
            _discard_others(self.root, settings)
            images = _digits()[0]
            missing = [
                _Recorded(source.path, images[index], index, settings)
                for source in sources
                if not source.path.exists()
                for index in [int(source.path.stem.rpartition("_")[2])]
            ]
            done = run_tasks(_record, missing, num_workers(workers, _SECONDS_EACH * len(missing)))
            for _ in progress(done, len(missing), "simulating", "recordings"):
                pass


@dataclass(frozen=True)
class _Recorded:
    path: Path
    image: NDArray[np.float32]
    seed: int
    settings: CameraSettings


def _record(task: _Recorded) -> None:
    from preprocessing.readers.aedat2 import encode

    task.path.parent.mkdir(exist_ok=True)
    write_whole(task.path, encode(simulate_dvs(task.image, task.seed, task.settings)))


def _digits() -> tuple[NDArray[np.float32], list[int]]:
    """The images ``[1797, 8, 8]``, from 0 to 1, and their classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target.tolist()


def _discard_others(root: Path, settings: CameraSettings) -> None:
    """Remove what other settings made. The stamp comes last: with it there, every recording is of its settings."""
    stamp = root / "camera.json"
    text = json.dumps({"version": package_version(), **asdict(settings)}, indent=2) + "\n"
    for digit in CLASSES:
        for partial in root.glob(f"{digit}/.digit_*.partial"):
            partial.unlink()
    if stamp.exists() and stamp.read_text() == text:
        return
    for digit in CLASSES:
        for recording in root.glob(f"{digit}/digit_*.aedat"):
            recording.unlink()
    write_whole(stamp, text.encode())
