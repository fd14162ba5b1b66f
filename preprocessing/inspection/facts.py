"""What is known about a recording or a frame cache, as plain data: for a table, for a picture, for a program."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import Events, Recording, joined
from preprocessing.events.doubts import doubts
from preprocessing.events.filters import apply_filters, count_image
from preprocessing.events.records import Records
from preprocessing.events.slicing import slice_edges
from preprocessing.frames.resizing import RESIZE_AXES
from preprocessing.frames.settings import FrameSettings

if TYPE_CHECKING:
    from preprocessing.cache import FrameCache

PEAK_US = 10_000
"""The least time over which a peak rate is taken, µs."""


@dataclass(frozen=True)
class RecordingFacts:
    """A recording in numbers.

    Attributes:
        path: the file.
        format: name of the wire format.
        sensor: (width, height), px.
        sensor_from: as in ``Recording``.
        num_events: events of the sensor.
        duration_us: from the first to the last, µs; without the time that a jump of the clock skips.
        rate: events/s on average.
        peak_rate: events/s in the busiest of as many equal stretches of time as ``PEAK_US`` goes into it, at least
            one; so it is never less than the average.
        peak_us: length of such a stretch, µs.
        on_share: share of ON events, from 0 to 1.
        num_active: pixels with at least one event.
        hottest: (x, y) of the pixel with the most events, the first one from the top left.
        hottest_share: its share of all events.
        num_backward, num_special, num_dropped, warnings: as in ``Recording``.
        num_resets, num_forward: how often its clock was set back, and jumped forward.
        filtered: each filter and how many events are left behind it.
        frames: (steps T, width, height) of the frames.
        resize: how the sensor is brought to their size.
        num_unused: events left that lie behind the last slice.
        fed_share: share of those in the slices that are at a pixel that feeds a bin, from 0 to 1.
        warnings: what is doubtful about it.
    """

    path: str
    format: str
    sensor: tuple[int, int]
    sensor_from: str
    num_events: int
    duration_us: int
    rate: float
    peak_rate: float
    peak_us: float
    on_share: float
    num_active: int
    hottest: tuple[int, int]
    hottest_share: float
    num_backward: int
    num_special: int
    filtered: tuple[tuple[str, int], ...]
    frames: tuple[int, int, int]
    resize: str
    num_unused: int
    fed_share: float
    num_dropped: int
    num_resets: int
    num_forward: int
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as types that JSON has."""
        return {"kind": "recording", **asdict(self)}


def recording_facts(recording: Recording, settings: FrameSettings) -> tuple[RecordingFacts, Events]:
    """The facts of a recording as it was read, and the events that pass the filters, perhaps none.

    Raises:
        ValueError: a setting that isn't known or possible, as ``Rasterizer``.
    """
    settings.rasterizer(recording.sensor)
    stretches = recording.stretches()
    events, (width, _) = joined(stretches), recording.sensor
    counts = count_image(events, recording.sensor)
    hottest = int(counts.argmax())
    recorded_us = int(events["t"][-1] - events["t"][0]) + 1  # to the end of the last event's microsecond
    rate = len(events) / recorded_us * 1e6
    stretch_us = round(recorded_us / max(1, recorded_us // PEAK_US), 3)
    filtered = []
    for spec in settings.filters:
        stretches = [apply_filters([spec], stretch, recording.sensor) for stretch in stretches]
        filtered.append((spec, sum(map(len, stretches))))
    kept = joined(stretches)
    in_slices = kept[: int(slice_edges(kept["t"], settings.steps, settings.slicing)[-1])]
    facts = RecordingFacts(
        path=recording.source,
        format=recording.format,
        sensor=recording.sensor,
        sensor_from=recording.sensor_from,
        num_events=len(events),
        duration_us=recorded_us - 1,
        rate=rate,
        peak_rate=max(rate, _most_in(events["t"], stretch_us) / stretch_us * 1e6),
        peak_us=stretch_us,
        on_share=float(events["p"].mean()),
        num_active=int(np.count_nonzero(counts)),
        hottest=(hottest % width, hottest // width),
        hottest_share=int(counts.max()) / len(events),
        num_backward=recording.num_backward,
        num_special=recording.num_special,
        filtered=tuple(filtered),
        frames=(settings.steps, *settings.size),
        resize=settings.resize,
        num_unused=len(kept) - len(in_slices),
        fed_share=_num_fed(in_slices, recording.sensor, settings) / max(len(in_slices), 1),
        num_dropped=recording.num_dropped,
        num_resets=len(recording.resets),
        num_forward=len(recording.jumps),
        warnings=(*recording.warnings, *doubts(Records.from_events(events, recording.sensor), recording.sensor)),
    )
    return facts, kept


def _most_in(t: NDArray[np.int64], stretch_us: float) -> int:
    """The most events in one of the stretches that follow on each other from the first event."""
    stretch = (t - t[0]) // stretch_us
    starts = np.flatnonzero(np.diff(stretch, prepend=-1))  # not a histogram: a gap may be days long
    return int(np.diff(starts, append=len(t)).max())


def _num_fed(events: Events, sensor: tuple[int, int], settings: FrameSettings) -> int:
    """How many events are at a pixel that feeds a bin: resizing can leave most of them unused."""
    resize = RESIZE_AXES[settings.resize]
    x, y = (resize(*sides).weights.sum(axis=0) > 0 for sides in zip(sensor, settings.size, strict=True))
    return int(np.count_nonzero(x[events["x"]] & y[events["y"]]))


@dataclass(frozen=True)
class Spread:
    """How a number differs between samples: least, median and most, and a histogram of equal bins between."""

    least: int
    median: float
    most: int
    histogram: tuple[int, ...]

    @classmethod
    def of(cls, values: NDArray[np.int64]) -> Spread:
        """The spread of values ``[N]``, N > 0."""
        histogram, _ = np.histogram(values, bins=24)
        return cls(int(values.min()), float(np.median(values)), int(values.max()), tuple(histogram.tolist()))


@dataclass(frozen=True)
class CacheFacts:
    """A frame cache in numbers.

    Attributes:
        path: the file.
        samples: what they are, events or images.
        num_samples: in all splits.
        shape: of one sample, [T, C, H, W].
        scale: value = stored × scale.
        mean, std: of the values of training images, per channel; of events none.
        sensor: (width, height) of the camera, px.
        sensor_from: as in ``Recording``.
        sensor_of: the recording that it was taken from.
        config: all that decided the content.
        fingerprint: of the configuration.
        balance: class → split → samples.
        num_events: over the samples.
        duration_us: over the samples.
        num_short: samples with fewer events than time steps.
        counts: what happened to events and bins, by the names of ``cache.COUNTS``.
        left_out: (recording, reason) of all that the build left out.
        warnings: (recording, text) of what is doubtful about those that it used.
    """

    path: str
    samples: str
    num_samples: int
    shape: tuple[int, int, int, int]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sensor: tuple[int, int]
    sensor_from: str
    sensor_of: str
    config: dict[str, Any]
    fingerprint: str
    balance: dict[str, dict[str, int]]
    num_events: Spread
    duration_us: Spread
    num_short: int
    counts: dict[str, int]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """The same as types that JSON has."""
        return {"kind": "cache", **asdict(self)}


@dataclass(frozen=True)
class SampleFacts:
    """One sample of a cache in numbers.

    Attributes:
        path: the cache.
        index: of the sample.
        source, label, split, num_events, duration_us: as in the cache, ``label`` by name.
        channels: name of each channel → of events the sum of its bins, of images the mean of its values.
        most: the largest value of a bin.
    """

    path: str
    index: int
    source: str
    label: str
    split: str
    num_events: int
    duration_us: int
    channels: dict[str, float]
    most: float

    def as_json(self) -> dict[str, Any]:
        """The same as types that JSON has."""
        return {"kind": "sample", **asdict(self)}


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be read: why, and what its first bytes say that it is."""

    path: str
    error: str
    signature: str

    def as_json(self) -> dict[str, Any]:
        """The same as types that JSON has."""
        return {"kind": "unreadable", **asdict(self)}


Facts = RecordingFacts | CacheFacts | SampleFacts | Unreadable


def channel_names(cache: FrameCache) -> tuple[str, ...]:
    """What the channels of a cache's frames are."""
    if cache.kind == "events":
        return "OFF", "ON"
    return ("red", "green", "blue") if cache.channels == 3 else ("grey",)


def sample_facts(cache: FrameCache, index: int) -> SampleFacts:
    """The facts of one sample; IndexError if there is no such."""
    frames = cache[index]
    values = frames.sum((0, 2, 3), dtype=float) if cache.kind == "events" else frames.mean((0, 2, 3), dtype=float)
    return SampleFacts(
        path=str(cache.path),
        index=index,
        source=cache.source(index),
        label=cache.classes[cache.labels[index]],
        split=cache.splits[index],
        num_events=int(cache.num_events[index]),
        duration_us=int(cache.duration_us[index]),
        channels=dict(zip(channel_names(cache), values.tolist(), strict=True)),
        most=float(frames.max()),
    )


def cache_facts(cache: FrameCache) -> CacheFacts:
    """The facts of a frame cache; its frames are not read."""
    from preprocessing.cache import COUNTS
    from preprocessing.cache.balance import class_counts

    counts = class_counts(cache)
    return CacheFacts(
        path=str(cache.path),
        samples=cache.kind,
        num_samples=len(cache),
        shape=cache.shape,
        scale=cache.scale,
        mean=cache.mean,
        std=cache.std,
        sensor=cache.sensor,
        sensor_from=cache.sensor_from,
        sensor_of=cache.sensor_of,
        config=cache.config,
        fingerprint=cache.fingerprint,
        balance={
            name: {split: int(count[label]) for split, count in counts.items()}
            for label, name in enumerate(cache.classes)
        },
        num_events=Spread.of(cache.num_events),
        duration_us=Spread.of(cache.duration_us),
        num_short=int((cache.num_events < cache.steps).sum()),
        counts={name: getattr(cache, name) for name in COUNTS},
        left_out=cache.left_out,
        warnings=cache.warnings,
    )
