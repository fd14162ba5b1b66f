"""From one recording to its samples: the work that a build gives to its workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from preprocessing.datasets.base import Cut, LeftOut, Source
from preprocessing.events import Events, RecordingError
from preprocessing.rasterize import Rasterizer
from preprocessing.readers import decode_recording
from preprocessing.slicing import window_edges


@dataclass(frozen=True)
class FrameSettings:
    """What frames are made; see ``preprocessing.rasterize.Rasterizer``."""

    steps: int = 16
    size: tuple[int, int] = (48, 48)
    slicing: str = "count"
    resize: str = "bilinear"
    transpose: bool = False
    value: str = "count"
    filters: tuple[str, ...] = ()

    def rasterizer(self, sensor: tuple[int, int]) -> Rasterizer:
        """The rasterizer that makes these frames of this camera's events.

        Raises:
            ValueError: a setting that isn't known or possible; as ``Rasterizer``.
        """
        return Rasterizer(sensor, self.steps, self.size, self.slicing, self.resize, self.transpose)


@dataclass(frozen=True)
class RecordingTask:
    """One recording to turn into samples; ``sensor`` and ``cut`` as in ``Listing``."""

    source: Source
    settings: FrameSettings
    sensor: tuple[int, int] | None
    cut: Cut | None


@dataclass(frozen=True)
class Sample:
    """Frames ``[T, 2, H, W]`` in units of the rasterizer's scale, and what is known of the events behind them."""

    frames: NDArray[np.uint16]
    label: int
    source: str
    num_events: int
    duration_us: int
    num_saturated: int


@dataclass(frozen=True)
class RecordingSamples:
    """What came of a ``RecordingTask``: samples in order of time, and the windows without events."""

    sensor: tuple[int, int]
    scale: float
    num_special: int
    samples: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...]


def make_samples(task: RecordingTask) -> RecordingSamples:
    """Read a recording, cut it where asked to, and rasterize each part.

    Raises:
        RecordingError: the recording can't be used, or is shorter than the window.
    """
    source = task.source
    recording = decode_recording(source.read(), source.name, task.sensor)
    rasterizer = _rasterizer(recording.sensor, task.settings)
    samples: list[Sample] = []
    left_out: list[LeftOut] = []
    for name, label, events in _parts(recording.events, source, task.cut):
        if len(events) == 0:
            left_out.append(LeftOut(name, "no events in this part"))
            continue
        frames, num_saturated, _ = rasterizer.stored(events)
        duration_us = int(events["t"][-1] - events["t"][0])
        samples.append(Sample(frames, label, name, len(events), duration_us, num_saturated))
    return RecordingSamples(recording.sensor, rasterizer.scale, recording.num_special, tuple(samples), tuple(left_out))


def _parts(events: Events, source: Source, cut: Cut | None) -> Iterator[tuple[str, int, Events]]:
    """Name, class and events of each sample in a recording."""
    for name, label, trial in _trials(events, source):
        if cut is None:
            yield name, label, trial
            continue
        windows = window_edges(trial["t"], cut.window_us, cut.hop_us)
        if not windows:
            duration_us = int(trial["t"][-1] - trial["t"][0]) if len(trial) else 0
            raise RecordingError(f"{name}: {duration_us} µs long, shorter than the window of {cut.window_us} µs")
        for k, (start, stop) in enumerate(windows):
            yield f"{name}@{k * cut.hop_us}us", label, trial[start:stop]


def _trials(events: Events, source: Source) -> Iterator[tuple[str, int, Events]]:
    if not source.trials:
        yield source.name, source.label, events
        return
    for trial in source.trials:
        start, stop = np.searchsorted(events["t"], (trial.start_us, trial.stop_us))
        yield f"{source.name}@{trial.start_us}us", trial.label, events[start:stop]


@lru_cache(maxsize=4)  # its tables are made once per worker and camera
def _rasterizer(sensor: tuple[int, int], settings: FrameSettings) -> Rasterizer:
    return settings.rasterizer(sensor)
