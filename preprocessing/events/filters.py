"""Filters: which events of a recording are used, decided before it is cut into slices.

Each is written as one text, for a command line, a configuration or a deployed model's metadata, and all of them are
causal but ``hot``, so that they can run on a live stream as well:

    crop:100ms-1.3s     events from 100 ms up to, not including, 1.3 s after the first; either end may be left out
    refractory:1ms      of a pixel's events, those less than 1 ms after its last kept one are dropped
    noise:10ms          events are dropped unless one of the 8 neighbours had one less than 10 ms before
    hot:3               pixels with more than 3 times the events of almost any other are dropped
    gap:1s              a silence of more than 1 s lasts 1 s: what comes behind it moves up, and nothing is dropped

Times must not decrease, as in every ``Recording``. Among equal times the order of the array is the order in time.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from preprocessing.events.array import Events, address_words, as_events, lies_outside
from preprocessing.events.slicing import parse_duration

_LONGEST_US = 1 << 62
_USUAL = 0.99


class LiveFilter(Protocol):
    """A filter that remembers what it has seen."""

    def __call__(self, events: Events) -> Events:
        """Those of the next events ``[N]`` of a stream that pass ``[M]``."""

    def behind(self, past_us: int) -> int:
        """Where no event comes before ``past_us``, µs, the time before which none leaves the filter."""


class Filter(Protocol):
    """What a filter offers."""

    form: ClassVar[str]
    """How it is written, e.g. ``"refractory:TIME"``."""

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Make one of what stands behind the colon; ValueError if that cannot be."""

    def __call__(self, events: Events, sensor: tuple[int, int]) -> Events:
        """The events ``[N]`` of a (width, height) sensor that pass ``[M]``, in order; ``events`` stays as it is.

        Raises:
            ValueError: an event outside the sensor.
        """

    def live(self, sensor: tuple[int, int]) -> LiveFilter:
        """The same for a stream: takes its packets one by one and lets pass what it would of all at once.

        Raises:
            ValueError: a filter that needs the whole recording.
        """


@dataclass(frozen=True)
class Crop:
    """Events from ``start_us`` up to, not including, ``stop_us`` after the first (None: to the end); a view."""

    start_us: int
    stop_us: int | None
    form: ClassVar[str] = "crop:START-STOP"

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read ``START-STOP``, either of which may be left out."""
        start, dash, stop = argument.partition("-")
        if not dash or not (start.strip() or stop.strip()):
            raise ValueError(f"no two times in {argument!r}")
        crop = cls(_duration(start) if start.strip() else 0, _duration(stop) if stop.strip() else None)
        if crop.stop_us is not None and crop.stop_us <= crop.start_us:
            raise ValueError(f"nothing lies between {start} and {stop}")
        return crop

    def __call__(self, events: Events, sensor: tuple[int, int]) -> Events:
        """See ``Filter``; events outside the sensor are not looked for."""
        return self.live(sensor)(events)

    def live(self, sensor: tuple[int, int]) -> LiveFilter:  # noqa: ARG002
        """See ``Filter``."""
        return _Cropping(self)


@dataclass(frozen=True)
class Refractory:
    """A dead time per pixel: events less than ``period_us`` after its last kept one are dropped, ON and OFF alike.

    The first event of a pixel is kept, and one exactly ``period_us`` after the last kept one.
    """

    period_us: int
    form: ClassVar[str] = "refractory:TIME"

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read ``TIME``."""
        return cls(_duration(argument))

    def __call__(self, events: Events, sensor: tuple[int, int]) -> Events:
        """See ``Filter``."""
        return self.live(sensor)(events)

    def live(self, sensor: tuple[int, int]) -> LiveFilter:
        """See ``Filter``."""
        from preprocessing.kernels.filters import refractory

        return _Remembering(refractory, sensor, self.period_us, sensor[0] * sensor[1])


@dataclass(frozen=True)
class Noise:
    """The background-activity filter: an event passes if a neighbour had one less than ``support_us`` before.

    Neighbours are the 8 pixels around it, fewer at the border; the pixel itself is none, so that one that fires alone
    is dropped. Polarities don't matter, and events that were dropped support others as well.

    Source: T. Delbruck, "Frame-free dynamic digital vision", Intl. Symp. on Secure-Life Electronics, 2008; at
    exactly ``support_us`` dropped, as in jAER's ``BackgroundActivityFilter``.
    """

    support_us: int
    form: ClassVar[str] = "noise:TIME"

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read ``TIME``."""
        return cls(_duration(argument))

    def __call__(self, events: Events, sensor: tuple[int, int]) -> Events:
        """See ``Filter``."""
        return self.live(sensor)(events)

    def live(self, sensor: tuple[int, int]) -> LiveFilter:
        """See ``Filter``."""
        from preprocessing.kernels.filters import supported

        return _Remembering(supported, sensor, self.support_us, (sensor[0] + 2) * (sensor[1] + 2))


@dataclass(frozen=True)
class Hot:
    """Drops the hot pixels: those with more than ``factor`` times the events of almost any other.

    Measured against is the count that 99 % of the pixels with events do not exceed (nearest rank). A mean and
    standard deviation would be moved by the very pixels that are looked for, a median is far below the edges of a
    scene. With fewer than 100 active pixels that count is the highest one, and none is hot. It needs the whole
    recording, so on a live stream it cannot be had.
    """

    factor: float
    form: ClassVar[str] = "hot:FACTOR"

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read ``FACTOR``, a number from 1."""
        if not re.fullmatch(r"\s*\d+(\.\d*)?\s*", argument, re.ASCII) or float(argument) < 1:
            raise ValueError(f"the factor is a number from 1, got {argument!r}")
        return cls(float(argument))

    def __call__(self, events: Events, sensor: tuple[int, int]) -> Events:
        """See ``Filter``."""
        from preprocessing.kernels.filters import selected

        hot = self.pixels(count_image(events, sensor)).ravel()
        return _passing(selected, events, sensor, ~hot) if hot.any() else events

    def live(self, sensor: tuple[int, int]) -> LiveFilter:  # noqa: ARG002
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"the filter hot:{self.factor:g} looks for pixels that fire too often in a whole recording, which a live "
            "stream never is; train with the filters crop, refractory or noise"
        )

    def pixels(self, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pixels are hot, of the shape of ``counts``, their events."""
        active = np.sort(counts[counts > 0])
        if len(active) == 0:
            return np.zeros(counts.shape, np.bool_)
        usual = active[int(np.ceil(_USUAL * len(active))) - 1]
        hot: NDArray[np.bool_] = counts > self.factor * usual
        return hot


@dataclass(frozen=True)
class Gap:
    """Cuts long silences short: where no event came for more than ``longest_us``, those behind move up to that.

    For recordings with pauses, or a clock that jumped by less than ``clock`` can tell from one. No event is dropped,
    but the times behind a silence are no more those of the clock.
    """

    longest_us: int
    form: ClassVar[str] = "gap:TIME"

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read ``TIME``."""
        return cls(_duration(argument))

    def __call__(self, events: Events, sensor: tuple[int, int]) -> Events:
        """See ``Filter``; events outside the sensor are not looked for."""
        return self.live(sensor)(events)

    def live(self, sensor: tuple[int, int]) -> LiveFilter:  # noqa: ARG002
        """See ``Filter``."""
        return _Closing(self.longest_us)


_FILTERS: dict[str, type[Filter]] = {kind.form.partition(":")[0]: kind for kind in (Crop, Refractory, Noise, Hot, Gap)}

FILTERS = tuple(_FILTERS)

FORMS = tuple(kind.form for kind in _FILTERS.values())
"""How the filters are written, in the order of ``FILTERS``."""


def register_filter(kind: type[Filter]) -> type[Filter]:
    """Add a filter of one's own; its name is what stands before the colon in its ``form``. May decorate the class.

    A model that was trained with it takes recordings where it is registered, too.

    Raises:
        ValueError: one of this package has the name.
    """
    name = kind.form.partition(":")[0]
    if name in FILTERS:
        raise ValueError(f"the filter {name!r} is there already; choose another name than {', '.join(FILTERS)}")
    _FILTERS[name] = kind
    return kind


def parse_filter(text: str) -> Filter:
    """The filter that ``text`` describes, e.g. ``"noise:10ms"``.

    Raises:
        ValueError: naming the text, what is wrong with it and the forms that can be read.
    """
    name, _, argument = text.strip().partition(":")
    try:
        if name not in _FILTERS:
            raise ValueError(f"no filter is named {name!r}, and one of your own needs --import FILE.py")
        return _FILTERS[name].parse(argument)
    except ValueError as error:
        forms = ", ".join(kind.form for kind in _FILTERS.values())
        raise ValueError(f"cannot read the filter {text!r}: {error}; write {forms}") from error


def apply_filters(specs: Sequence[str], events: Events, sensor: tuple[int, int]) -> Events:
    """Pass events ``[N]`` of a (width, height) sensor through filters, one after the other; ``[M]``, perhaps 0, remain.

    Raises:
        ValueError: a text that is no filter, or an event outside the sensor.
    """
    events = as_events(events)
    for filter_ in [parse_filter(spec) for spec in specs]:
        events = filter_(events, sensor)
    return events


def count_image(events: Events, sensor: tuple[int, int]) -> NDArray[np.int64]:
    """How many events ``[N]`` each pixel of a (width, height) sensor has, ``[height, width]``.

    Raises:
        ValueError: an event outside the sensor.
    """
    from preprocessing.kernels.filters import count

    counts = np.zeros(sensor[0] * sensor[1], np.int64)
    _checked(count(address_words(events), sensor, counts), events, sensor)
    return counts.reshape(sensor[1], sensor[0])


def _duration(text: str) -> int:
    duration = parse_duration(text)
    if duration > _LONGEST_US:
        raise ValueError(f"{text} is longer than any recording")
    return duration


class _Cropping:
    """``Crop`` with the time of the stream's first event."""

    def __init__(self, crop: Crop) -> None:
        self.crop = crop
        self.first: int | None = None

    def __call__(self, events: Events) -> Events:
        """The events of the next packet that pass."""
        if len(events) == 0:
            return events
        t = events["t"]  # not searchsorted, which would copy the column
        self.first = int(t[0]) if self.first is None else self.first
        start_us, stop_us = self.crop.start_us, self.crop.stop_us
        start = bisect_left(t, self.first + start_us)
        stop = len(t) if stop_us is None else bisect_left(t, self.first + stop_us)
        return events[start:stop]

    def behind(self, past_us: int) -> int:
        """See ``LiveFilter``."""
        return past_us


class _Closing:
    """``Gap`` with the last event's time by the clock, and how far it was moved, µs."""

    def __init__(self, longest_us: int) -> None:
        self.longest_us = longest_us
        self.last: int | None = None
        self.moved_us = 0

    def __call__(self, events: Events) -> Events:
        """The events of the next packet, moved."""
        if len(events) == 0:
            return events
        t = events["t"]
        silences = np.diff(t, prepend=t[0] if self.last is None else self.last)
        moved_us = self.moved_us + np.cumsum(np.maximum(silences - self.longest_us, 0))
        self.last, self.moved_us = int(t[-1]), int(moved_us[-1])
        if not self.moved_us:
            return events
        moved = events.copy()
        moved["t"] -= moved_us
        return moved

    def behind(self, past_us: int) -> int:
        """See ``LiveFilter``; the next event is ``longest_us`` behind the last one at most."""
        return past_us if self.last is None else min(past_us, self.last + self.longest_us) - self.moved_us


class _Remembering:
    """A kernel of ``kernels.filters`` with what its pixels remember, from packet to packet of a stream."""

    def __init__(
        self, kernel: Callable[..., int], sensor: tuple[int, int], duration_us: int, num_remembered: int
    ) -> None:
        self.kernel = kernel
        self.sensor = sensor
        self.duration_us = duration_us
        self.memory = np.zeros(num_remembered, np.uint64)
        self.first: int | None = None

    def __call__(self, events: Events) -> Events:
        """The events of the next packet that pass."""
        if len(events) == 0:
            return events
        self.first = int(events["t"][0]) if self.first is None else self.first
        return _passing(self.kernel, events, self.sensor, self.duration_us, self.first, self.memory)

    def behind(self, past_us: int) -> int:
        """See ``LiveFilter``."""
        return past_us


def _passing(kernel: Callable[..., int], events: Events, sensor: tuple[int, int], *state: object) -> Events:
    """The events that ``kernel`` of ``kernels.filters`` lets pass, in an array of their own."""
    kept = np.empty(len(events), events.dtype)
    num = kernel(events["t"], address_words(events), sensor, *state, kept["t"], address_words(kept))
    return kept[: _checked(num, events, sensor)]


def _checked(num: int, events: Events, sensor: tuple[int, int]) -> int:
    """A kernel's result, unless it is −1 − i for an event i outside the sensor."""
    if num < 0:
        raise ValueError(lies_outside(events, -1 - num, sensor))
    return num
