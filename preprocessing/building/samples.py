"""From one recording or picture to its samples: the work that a build gives to its workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from preprocessing.cache import StoredFrames
from preprocessing.cache.contents import Doubt, LeftOut, Outcome, Row
from preprocessing.datasets.base import Cut, Source
from preprocessing.events import AS_IS, Reading, Recording, RecordingError
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
        num_dropped, sensor_from: as in ``Recording``.
        num_resets, num_forward: how often the clock was set back, and jumped forward.
        sums: of a picture, as in ``preprocessing.cache``.
        warnings: what is doubtful about the recording.
    """

    sensor: tuple[int, int]
    scale: float
    num_special: int
    samples: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...]
    num_backward: int = 0
    num_filtered: int = 0
    num_dropped: int = 0
    num_resets: int = 0
    num_forward: int = 0
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
    """One recording to turn into samples; ``sensor`` and ``cut`` as in ``Listing``, ``how`` it is read."""

    settings: FrameSettings
    sensor: tuple[int, int] | None
    cut: Cut | None
    how: Reading = AS_IS

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
    recording, stretches = _opened(task)
    if task.source.trials and recording.resets:
        raise RecordingError(
            f"{task.source.name}: its clock was set back at event {recording.resets[0]}, so that the times of its "
            "labels can mean two places"
        )
    rasterizer = _rasterizer(recording.sensor, task.settings)
    samples: list[Sample] = []
    empty: list[tuple[int, str]] = []
    try:
        for number, (name, label, part) in enumerate(_parts(stretches, task.source, task.cut)):
            if len(part) == 0:
                empty.append((number, name))
                continue
            frames, num_saturated, num_used = rasterizer.stored(part)
            duration_us, num_unused = part[:num_used].duration_us, len(part) - num_used
            samples.append(Sample(frames, label, name, num_used, duration_us, num_saturated, num_unused))
    except RecordingError as error:
        raise RecordingError("; ".join([str(error), *recording.warnings])) from error
    return RecordingSamples(
        recording.sensor,
        rasterizer.scale,
        recording.num_special,
        tuple(samples),
        tuple(_left_out(empty, one_line=task.cut is not None)),
        recording.num_backward,
        len(recording.events) - sum(map(len, stretches)),
        recording.num_dropped,
        len(recording.resets),
        len(recording.jumps),
        sensor_from=recording.sensor_from,
        warnings=(*recording.warnings, *_doubts(samples, stretches, recording.sensor)),
    )


def _doubts(samples: list[Sample], stretches: Sequence[Records], sensor: tuple[int, int]) -> tuple[str, ...]:
    """What makes a recording hard to believe; its events are looked at only where its frames raise a doubt."""
    return () if _are_lively(samples) else doubts(Records.joined(stretches), sensor)


def _are_lively(samples: list[Sample]) -> bool:
    """Whether a look at the frames, which takes microseconds, shows both polarities, and more than a few pixels."""
    for sample in samples:
        for steps in sample.frames[:1], sample.frames:  # the first is mostly enough
            off, on = np.bitwise_or.reduce(steps, 0)
            num_off, num_on = np.count_nonzero(off), np.count_nonzero(on)
            if num_off and num_on and num_off + num_on > 2 * FEW_PIXELS:
                return True
    return False


def _left_out(empty: Sequence[tuple[int, str]], one_line: bool) -> Iterator[LeftOut]:
    """What is left out where parts, of these numbers and names, have no events; ``one_line`` for those in a row."""
    rows: list[list[str]] = []
    last = -2
    for number, name in empty:
        if one_line and number == last + 1:
            rows[-1].append(name)
        else:
            rows.append([name])
        last = number
    for first, *others in rows:
        more = f" and in the {len(others):,} behind it" if others else ""
        yield LeftOut(first, f"no events in this part{more}")


def _opened(task: RecordingTask) -> tuple[Recording | RawRecording, list[Records]]:
    """The recording of a task, and what passes the filters of each stretch between places where its clock was set."""
    source, settings = task.source, task.settings
    if not settings.filters:
        opened = source.opened(task.sensor, task.how)
        return opened, _stretches(opened)
    recording = source.recording(task.sensor, task.how)
    stretches = settings.filtered(recording.stretches(), recording.sensor)
    if not any(map(len, stretches)):
        raise RecordingError(
            f"{source.name}: none of {len(recording.events)} events passes {', '.join(settings.filters)}"
        )
    return recording, [Records.from_events(stretch, recording.sensor) for stretch in stretches if len(stretch)]


def _stretches(recording: Recording | RawRecording) -> list[Records]:
    events = recording.events
    records = events if isinstance(events, Records) else Records.from_events(events, recording.sensor)
    return records.stretches(recording.starts)


def _parts(stretches: Sequence[Records], source: Source, cut: Cut | None) -> Iterator[tuple[str, int, Records]]:
    """Name, class and events of each sample in a recording; windows begin anew with each stretch."""
    if source.trials:
        yield from _trials(stretches, source, cut)
    elif cut is None:
        yield source.name, source.label, Records.joined(stretches)
    else:
        yield from _windows(source.name, source.label, stretches, cut)


def _windows(name: str, label: int, stretches: Sequence[Records], cut: Cut) -> Iterator[tuple[str, int, Records]]:
    found = [(stretch, window_edges(stretch.t, cut.window_us, cut.hop_us)) for stretch in stretches]
    if not any(windows for _, windows in found):
        longest = max((stretch.duration_us for stretch in stretches), default=0)
        raise RecordingError(f"{name}: {longest} µs long, shorter than the window of {cut.window_us} µs")
    first = int(stretches[0].t[:1][0])
    for stretch, windows in found:
        begins = int(stretch.t[:1][0]) - first
        for k, (start, stop) in enumerate(windows):
            yield f"{name}@{begins + k * cut.hop_us}us", label, stretch[start:stop]


def _trials(stretches: Sequence[Records], source: Source, cut: Cut | None) -> Iterator[tuple[str, int, Records]]:
    times = [np.asarray(stretch.t) for stretch in stretches]
    for trial in source.trials:
        name = f"{source.name}@{trial.start_us}us"
        edges = [np.searchsorted(t, (trial.start_us, trial.stop_us)).tolist() for t in times]
        inside = [stretch[start:stop] for stretch, (start, stop) in zip(stretches, edges, strict=True)]
        if cut is None:
            yield name, trial.label, Records.joined(inside)
        else:
            yield from _windows(name, trial.label, [part for part in inside if len(part)], cut)


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
        num_dropped=result.num_dropped,
        num_resets=result.num_resets,
        num_forward=result.num_forward,
        num_unused=sum(sample.num_unused for sample in result.samples),
        sensor_from=result.sensor_from,
        warnings=tuple(Doubt(source.name, text) for text in result.warnings),
    )
    return outcome, [sample.frames for sample in result.samples]
