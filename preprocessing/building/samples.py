"""From one recording or picture to its samples: the work that a build gives to its workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from preprocessing import limits
from preprocessing.cache import StoredFrames
from preprocessing.cache.contents import Doubt, LeftOut, Outcome, Row
from preprocessing.datasets.base import Cut, Source
from preprocessing.events import AS_IS, Reading, Recording, RecordingError
from preprocessing.events.array import LONGEST_SIDE
from preprocessing.events.doubts import FEW_PIXELS, doubts
from preprocessing.events.records import Records
from preprocessing.events.slicing import Windows, windows
from preprocessing.frames.rasterize import Rasterizer
from preprocessing.frames.settings import FrameSettings
from preprocessing.readers.raw import RawRecording
from preprocessing.terminal import as_text

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
    """``task.samples()`` under a name that worker processes find.

    Raises:
        RecordingError: whatever goes wrong with it: one recording never ends a build.
    """
    try:
        return task.samples()
    except RecordingError:
        raise
    except MemoryError as error:
        raise RecordingError(f"{task.source.name}: there is not enough memory for it ({error})") from error
    except Exception as error:
        raise RecordingError(
            f"{task.source.name}: evglif failed on it; it may be in order, and evglif not: please report it "
            f"({type(error).__name__}: {error})"
        ) from error


def _recording_samples(task: RecordingTask) -> RecordingSamples:
    recording, stretches = _opened(task)
    if task.source.trials and recording.resets:
        raise RecordingError(
            f"{task.source.name}: its clock was set back at event {recording.resets[0]}, so that the times of its "
            "labels can mean two places"
        )
    rasterizer = _rasterizer(recording.sensor, task.settings)
    samples: list[Sample] = []
    left_out: list[LeftOut] = []
    try:
        for part in _parts(stretches, task.source, task.cut, _most_samples(task)):
            if part.num_empty:
                more = f" and in the {part.num_empty - 1:,} behind it" if part.num_empty > 1 else ""
                left_out.append(LeftOut(part.name, f"no events in this part{more}"))
                continue
            frames, num_saturated, num_used = rasterizer.stored(part.events)
            duration_us, num_unused = part.events[:num_used].duration_us, len(part.events) - num_used
            samples.append(Sample(frames, part.label, part.name, num_used, duration_us, num_saturated, num_unused))
    except RecordingError as error:
        raise RecordingError("; ".join([str(error), *recording.warnings])) from error
    return RecordingSamples(
        recording.sensor,
        rasterizer.scale,
        recording.num_special,
        tuple(samples),
        tuple(left_out),
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


def _opened(task: RecordingTask) -> tuple[Recording | RawRecording, list[Records]]:
    """The recording of a task, and what passes the filters of each stretch between places where its clock was set."""
    source, settings = task.source, task.settings
    if not settings.filters:
        opened = source.opened(task.sensor, task.how)
        _check_sensor(opened, source)
        return opened, _stretches(opened)
    recording = source.recording(task.sensor, task.how)
    _check_sensor(recording, source)
    stretches = settings.filtered(recording.stretches(), recording.sensor)
    if not any(map(len, stretches)):
        raise RecordingError(
            f"{source.name}: none of {len(recording.events)} events passes {', '.join(settings.filters)}"
        )
    return recording, [Records.from_events(stretch, recording.sensor) for stretch in stretches if len(stretch)]


def _check_sensor(recording: Recording | RawRecording, source: Source) -> None:
    if max(recording.sensor) > LONGEST_SIDE:
        size = "{}×{}".format(*recording.sensor)
        raise RecordingError(f"{source.name}: is of a {size} sensor; frames are made of up to {LONGEST_SIDE} px a side")


def _stretches(recording: Recording | RawRecording) -> list[Records]:
    events = recording.events
    records = events if isinstance(events, Records) else Records.from_events(events, recording.sensor)
    return records.stretches(recording.starts)


class _Part(NamedTuple):
    """A part of a recording that is a sample; or a first one of ``num_empty`` in a row without events."""

    name: str
    label: int
    events: Records
    num_empty: int = 0


def _most_samples(task: RecordingTask) -> int:
    """How many samples a recording may give, by what their frames take."""
    settings = task.settings
    num_bytes = settings.steps * 2 * settings.size[0] * settings.size[1] * np.dtype(np.uint16).itemsize
    return max(1, limits.allowed_frames(task.source.num_bytes()) // num_bytes)


def _parts(stretches: Sequence[Records], source: Source, cut: Cut | None, most: int) -> Iterator[_Part]:
    """The samples in a recording, and where there are none; windows begin anew with each stretch.

    Raises:
        RecordingError: there are no whole windows, or more than ``most`` samples.
    """
    if source.trials:
        yield from _trials(stretches, source, cut, most)
    elif cut is None:
        yield _Part(source.name, source.label, Records.joined(stretches), int(not any(map(len, stretches))))
    else:
        yield from _windows(source.name, source.label, stretches, cut, most)


def _windows(name: str, label: int, stretches: Sequence[Records], cut: Cut, most: int) -> Iterator[_Part]:
    found = [(stretch, _found(name, stretch, cut, most)) for stretch in stretches]
    if not any(inside.num_all for _, inside in found):
        longest = max((stretch.duration_us for stretch in stretches), default=0)
        raise RecordingError(f"{name}: {longest} µs long, shorter than the window of {cut.window_us} µs")
    if sum(len(inside.number) for _, inside in found) > most:
        raise RecordingError(_too_many(name, cut, most))
    first = int(stretches[0].t[:1][0])
    for stretch, inside in found:
        begins = int(stretch.t[:1][0]) - first
        following = 0
        for k, start, stop in zip(*(column.tolist() for column in inside[:3]), strict=True):
            if k > following:
                yield _Part(f"{name}@{begins + following * cut.hop_us}us", label, stretch[:0], k - following)
            yield _Part(f"{name}@{begins + k * cut.hop_us}us", label, stretch[start:stop])
            following = k + 1
        if inside.num_all > following:
            yield _Part(f"{name}@{begins + following * cut.hop_us}us", label, stretch[:0], inside.num_all - following)


def _found(name: str, stretch: Records, cut: Cut, most: int) -> Windows:
    try:
        return windows(stretch.t, cut.window_us, cut.hop_us, most)
    except ValueError as error:
        raise RecordingError(_too_many(name, cut, most)) from error


def _too_many(name: str, cut: Cut, most: int) -> str:
    return (
        f"{name}: has more than {most:,} windows of {cut.window_us} µs, one each {cut.hop_us} µs, with events: their "
        f"frames would take too much memory; take a longer hop, or allow more: {limits.VARIABLE}=8GB"
    )


def _trials(stretches: Sequence[Records], source: Source, cut: Cut | None, most: int) -> Iterator[_Part]:
    times = [np.asarray(stretch.t) for stretch in stretches]
    if len(source.trials) > most:
        raise RecordingError(f"{source.name}: has {len(source.trials):,} trials; {most:,} can be kept in memory")
    for trial in source.trials:
        name = f"{source.name}@{trial.start_us}us"
        edges = [np.searchsorted(t, (trial.start_us, trial.stop_us)).tolist() for t in times]
        inside = [stretch[start:stop] for stretch, (start, stop) in zip(stretches, edges, strict=True)]
        if cut is None:
            yield _Part(name, trial.label, Records.joined(inside), int(not any(map(len, inside))))
        else:
            yield from _windows(name, trial.label, [part for part in inside if len(part)], cut, most)


@lru_cache(maxsize=4)  # its axes are made once per worker and camera
def _rasterizer(sensor: tuple[int, int], settings: FrameSettings) -> Rasterizer:
    return settings.rasterizer(sensor)


def outcome_of(source: Source, result: RecordingSamples | Exception) -> tuple[Outcome, list[StoredFrames]]:
    """What came of a recording and the frames of its samples, from what ``make_samples`` returned or raised."""
    if isinstance(result, Exception):
        reason = as_text(str(result)).removeprefix(f"{source.name}: ")
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
        warnings=tuple(Doubt(source.name, as_text(text)) for text in result.warnings),
    )
    return outcome, [sample.frames for sample in result.samples]
