"""Digits: the handwritten digits that ship inside scikit-learn, recorded by a simulated event camera.

They are written as AEDAT-2.0 files and from there on treated like any other recordings: what can be learned about
the whole line of programs without a download and without a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from preprocessing.datasets.base import Dataset, Listing, Source, option
from preprocessing.datasets.simulated.base import Shot, content_digest, simulate_missing
from preprocessing.datasets.simulated.camera import CameraSettings
from preprocessing.datasets.splits import held_out

CLASSES = tuple("0123456789")
TEST_FRACTION = 0.2

CAMERA = CameraSettings(
    theta_on=0.4,
    theta_off=0.4,
    theta_spread=0.03,
    refractory_us=0,
    noise_hz=0.1,
    gamma=1.0,
    dark=0.15,
    background=0.0,
    resizing="bilinear",
    picture_px=100,
    duration_us=1_300_000,
    step_us=2_000,
)
"""White strokes on black need a less sensitive camera: it keeps a recording of 30,000 events small and quick."""


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
        return {"seed": self.seed, "camera": asdict(CAMERA)}

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
        images = _digits()[0]
        indices = [int(source.path.stem.rpartition("_")[2]) for source in sources]
        shots = [
            Shot(source.name, images[index], index, content_digest(images[index]))
            for source, index in zip(sources, indices, strict=True)
        ]
        simulate_missing(self.root, shots, CAMERA, workers)


def _digits() -> tuple[NDArray[np.float32], list[int]]:
    """The images ``[1797, 8, 8]``, from 0 to 1, and their classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target.tolist()
