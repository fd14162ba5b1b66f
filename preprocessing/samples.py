"""From one recording to its samples: the work that a build gives to its workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from preprocessing.datasets.base import Cut, LeftOut, Source
from preprocessing.events import Recording, RecordingError
from preprocessing.rasterize import Rasterizer
from preprocessing.readers.raw import RawRecording
from preprocessing.records import Records
from preprocessing.settings import FrameSettings
from preprocessing.slicing import window_edges


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
    num_unused: int = 0


@dataclass(frozen=True)
class RecordingSamples:
    """What came of a ``RecordingTask``.

    Attributes:
        sensor: of the camera.
        scale: of the frames.
        num_special: as in ``Recording``.
        num_backward: as in ``Recording``.
        num_filtered: events that the filters have dropped.
        samples: in order of time.
        left_out: parts without events.
    """

    sensor: tuple[int, int]
    scale: float
    num_special: int
    samples: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...]
    num_backward: int = 0
    num_filtered: int = 0


def make_samples(task: RecordingTask) -> RecordingSamples:
    """Read a recording, filter it and cut it where asked to, and rasterize each part.

    Raises:
        RecordingError: the recording can't be used, no event passes the filters, or it is shorter than the window.
    """
    recording, num_filtered = _opened(task)
    rasterizer = _rasterizer(recording.sensor, task.settings)
    samples: list[Sample] = []
    left_out: list[LeftOut] = []
    for name, label, part in _parts(_records(recording), task.source, task.cut):
        if len(part) == 0:
            left_out.append(LeftOut(name, "no events in this part"))
            continue
        frames, num_saturated, num_used = rasterizer.stored(part)
        num_unused = len(part) - num_used
        samples.append(Sample(frames, label, name, num_used, part[:num_used].duration_us, num_saturated, num_unused))
    return RecordingSamples(
        recording.sensor,
        rasterizer.scale,
        recording.num_special,
        tuple(samples),
        tuple(left_out),
        recording.num_backward,
        num_filtered,
    )


def _opened(task: RecordingTask) -> tuple[Recording | RawRecording, int]:
    """The recording of a task, and the number of events that the filters have dropped."""
    source, settings = task.source, task.settings
    if not settings.filters:
        return source.opened(task.sensor), 0
    recording = source.recording(task.sensor)
    events = settings.filtered(recording.events, recording.sensor)
    if not len(events):
        raise RecordingError(
            f"{source.name}: none of {len(recording.events)} events passes {', '.join(settings.filters)}"
        )
    return replace(recording, events=events), len(recording.events) - len(events)


def _records(recording: Recording | RawRecording) -> Records:
    events = recording.events
    return events if isinstance(events, Records) else Records.from_events(events, recording.sensor)


def _parts(events: Records, source: Source, cut: Cut | None) -> Iterator[tuple[str, int, Records]]:
    """Name, class and events of each sample in a recording."""
    for name, label, trial in _trials(events, source):
        if cut is None:
            yield name, label, trial
            continue
        windows = window_edges(trial.t, cut.window_us, cut.hop_us)
        if not windows:
            raise RecordingError(f"{name}: {trial.duration_us} µs long, shorter than the window of {cut.window_us} µs")
        for k, (start, stop) in enumerate(windows):
            yield f"{name}@{k * cut.hop_us}us", label, trial[start:stop]


def _trials(events: Records, source: Source) -> Iterator[tuple[str, int, Records]]:
    if not source.trials:
        yield source.name, source.label, events
        return
    times = np.asarray(events.t)
    for trial in source.trials:
        start, stop = np.searchsorted(times, (trial.start_us, trial.stop_us)).tolist()
        yield f"{source.name}@{trial.start_us}us", trial.label, events[start:stop]


@lru_cache(maxsize=4)  # its axes are made once per worker and camera
def _rasterizer(sensor: tuple[int, int], settings: FrameSettings) -> Rasterizer:
    return settings.rasterizer(sensor)
