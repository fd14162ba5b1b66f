"""From one recording or picture to its samples: the work that a build gives to its workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from preprocessing.cache import StoredFrames
from preprocessing.cache.contents import Doubt, LeftOut, Outcome, Row
from preprocessing.datasets.base import Cut, Source
from preprocessing.events import Recording, RecordingError
from preprocessing.events.doubts import FEW_PIXELS, doubts
from preprocessing.events.records import Records
from preprocessing.events.slicing import window_edges
from preprocessing.frames.rasterize import Rasterizer
from preprocessing.frames.settings import FrameSettings
from preprocessing.readers.raw import RawRecording

_SECONDS_EACH = 5e-4
_SECONDS_PER_BYTE = 2e-9


@dataclass(frozen=True)
class Sample:
    """Frames ``[T, C, H, W]`` in units of their scale, and what is known of the events behind them, if any."""

    frames: StoredFrames
    label: int
    source: str
    num_events: int = 0
    duration_us: int = 0
    num_saturated: int = 0
    num_unused: int = 0


@dataclass(frozen=True)
class RecordingSamples:
    """What came of a ``Task``.

    Attributes:
        sensor: of the camera; of a picture the size of its frame.
        scale: of the frames.
        num_special: as in ``Recording``.
        num_backward: as in ``Recording``.
        num_filtered: events that the filters have dropped.
        samples: in order of time.
        left_out: parts without events.
        sums: of a picture, as in ``preprocessing.cache``.
        sensor_from: as in ``Recording``.
        warnings: what is doubtful about the recording.
    """

    sensor: tuple[int, int]
    scale: float
    num_special: int
    samples: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...]
    num_backward: int = 0
    num_filtered: int = 0
    sums: tuple[tuple[int, ...], ...] = ()
    sensor_from: str = "file"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task(ABC):
    """One recording or picture to turn into samples."""

    source: Source

    @property
    @abstractmethod
    def gives_one(self) -> bool:
        """Whether it gives one sample, if any."""

    @abstractmethod
    def seconds(self) -> float:
        """About how long one process takes, s."""

    @abstractmethod
    def samples(self) -> RecordingSamples:
        """Do it.

        Raises:
            RecordingError: it cannot be used.
        """


@dataclass(frozen=True)
class RecordingTask(Task):
    """One recording to turn into samples; ``sensor`` and ``cut`` as in ``Listing``."""

    settings: FrameSettings
    sensor: tuple[int, int] | None
    cut: Cut | None

    @property
    def gives_one(self) -> bool:
        """See ``Task.gives_one``."""
        return not (self.cut or self.source.trials)

    def seconds(self) -> float:
        """See ``Task.seconds``."""
        return _SECONDS_EACH + _SECONDS_PER_BYTE * self.source.num_bytes()

    def samples(self) -> RecordingSamples:
        """Read the recording, filter it and cut it where asked to, and rasterize each part.

        Raises:
            RecordingError: it can't be used, no event passes the filters, or it is shorter than the window.
        """
        return _recording_samples(self)


def make_samples(task: Task) -> RecordingSamples:
    """``task.samples()`` under a name that worker processes find."""
    return task.samples()


def _recording_samples(task: RecordingTask) -> RecordingSamples:
    recording, num_filtered = _opened(task)
    rasterizer = _rasterizer(recording.sensor, task.settings)
    samples: list[Sample] = []
    left_out: list[LeftOut] = []
    records = _records(recording)
    for name, label, part in _parts(records, task.source, task.cut):
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
        sensor_from=recording.sensor_from,
        warnings=(*recording.warnings, *(() if _are_lively(samples) else doubts(records, recording.sensor))),
    )


def _are_lively(samples: list[Sample]) -> bool:
    """Whether a look at the frames, which takes microseconds, shows both polarities, and more than a few pixels."""
    for sample in samples:
        for steps in sample.frames[:1], sample.frames:  # the first is mostly enough
            off, on = np.bitwise_or.reduce(steps, 0)
            num_off, num_on = np.count_nonzero(off), np.count_nonzero(on)
            if num_off and num_on and num_off + num_on > 2 * FEW_PIXELS:
                return True
    return False


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


def outcome_of(source: Source, result: RecordingSamples | Exception) -> tuple[Outcome, list[StoredFrames]]:
    """What came of a recording and the frames of its samples, from what ``make_samples`` returned or raised."""
    if isinstance(result, Exception):
        reason = str(result).removeprefix(f"{source.name}: ")
        return Outcome(source.name, left_out=(LeftOut(source.name, reason),)), []
    outcome = Outcome(
        source.name,
        tuple(Row(s.label, source.split, s.source, s.num_events, s.duration_us) for s in result.samples),
        result.left_out,
        result.sensor,
        result.scale,
        result.sums if source.split == "train" else (),
        num_saturated=sum(sample.num_saturated for sample in result.samples),
        num_special=result.num_special,
        num_backward=result.num_backward,
        num_filtered=result.num_filtered,
        num_unused=sum(sample.num_unused for sample in result.samples),
        sensor_from=result.sensor_from,
        warnings=tuple(Doubt(source.name, text) for text in result.warnings),
    )
    return outcome, [sample.frames for sample in result.samples]
