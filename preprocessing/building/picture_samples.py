"""From one static image to its sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocessing.building.samples import RecordingSamples, Sample, Task
from preprocessing.datasets.stills.base import PictureSource
from preprocessing.frames.pictures import PictureSettings, framed

SCALE = 1 / 255


@dataclass(frozen=True)
class PictureTask(Task):
    """One picture to turn into the frame ``[1, C, H, W]`` of a sample."""

    source: PictureSource
    settings: PictureSettings

    @property
    def gives_one(self) -> bool:
        """See ``Task.gives_one``."""
        return True

    def seconds(self) -> float:
        """See ``Task.seconds``."""
        return self.source.seconds()

    def samples(self) -> RecordingSamples:
        """See ``Task.samples``."""
        source = self.source
        frame = framed(source.picture(), self.settings)
        sample = Sample(frame[None], source.label, source.name)
        return RecordingSamples(self.settings.size, SCALE, 0, (sample,), (), sums=_sums(frame))


def _sums(frame: NDArray[np.uint8]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sum of the values of each channel, and of their squares, as exact whole numbers."""
    values = frame.reshape(len(frame), -1).astype(np.float64)  # whole numbers, which stay below 2**53
    return tuple(int(channel.sum()) for channel in values), tuple(int(channel @ channel) for channel in values)
