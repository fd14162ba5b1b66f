"""The event array and the recording: the one form in which every reader hands events on.

An event is (t, x, y, p): a pixel at column ``x`` and row ``y`` saw the log-intensity rise (``p`` True, ON) or
fall (``p`` False, OFF) at time ``t``. The origin is the top left pixel, as seen by the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preprocessing.events.clock import MAX_DISORDER_US, Followed, following, forward_jumps, set_clock_warnings
from preprocessing.events.reading import AS_IS, Reading, RecordingError, SensorError

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
"""One event: ``t`` in µs, ``x`` and ``y`` in px from the top left, ``p`` True for ON."""

Events = NDArray[np.void]
"""A one-dimensional array of ``EVENT_DTYPE``."""

LONGEST_SIDE = 4096
"""Of a sensor that frames are made of, px: three times that of any event camera."""

_LONGEST_US = 1 << 62  # differences of times that lie further apart would not fit


SensorFrom = Literal["file", "asked", "guess"]
"""Who says a recording's sensor: its file or format; the caller; nobody, so that it is guessed."""


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Attributes:
        events: array ``[N]`` of ``EVENT_DTYPE`` in the order of the file, times not decreasing.
        sensor: (width, height) of the camera, px.
        format: name of the wire format, e.g. ``"aedat2"``.
        source: where it came from: a path, or ``archive.zip/member``.
        num_special: records of the file that are no events of the sensor (sync inputs, clock ticks); dropped.
        num_backward: places where the file's times ran backwards, by ``MAX_DISORDER_US`` at most; put in order.
        sensor_from: who says the sensor.
        num_dropped: bad events that were dropped: outside the sensor, late, or damaged.
        resets: indices of the events with which the clock was set back; their times, and those behind, were moved to
            follow on the ones before.
        jumps: indices of the events with which the clock jumped forward, as in ``clock``; their times stand.
        warnings: what is doubtful about it, for people.
    """

    events: Events
    sensor: tuple[int, int]
    format: str
    source: str
    num_special: int = 0
    num_backward: int = 0
    num_dropped: int = 0
    resets: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()
    sensor_from: SensorFrom = "file"
    warnings: tuple[str, ...] = ()

    @property
    def starts(self) -> tuple[int, ...]:
        """Indices of the events with which the clock was set, so that a stretch of the recording begins; rising."""
        return tuple(sorted((*self.resets, *self.jumps)))

    def stretches(self) -> list[Events]:
        """The events of each stretch between places where the clock was set, views."""
        return np.split(self.events, list(self.starts)) if self.starts else [self.events]

    @property
    def doubts(self) -> tuple[str, ...]:
        """What to warn people of: ``warnings``, and how many events were dropped."""
        num_events = len(self.events) + self.num_dropped
        dropped = f"{self.num_dropped:,} of {num_events:,} events are bad and were dropped"
        return (*self.warnings, dropped) if self.num_dropped else self.warnings

    @property
    def duration_us(self) -> int:
        """Time from the first to the last event by the clock, µs."""
        return int(self.events["t"][-1] - self.events["t"][0]) if len(self.events) else 0


def make_events(
    t: NDArray[np.integer], x: NDArray[np.integer], y: NDArray[np.integer], p: NDArray[np.integer | np.bool_]
) -> Events:
    """Pack four columns ``[N]`` (t in µs, x, y in px, p) into one event array ``[N]``."""
    events = np.empty(len(t), EVENT_DTYPE)
    events["t"], events["x"], events["y"], events["p"] = t, x, y, p
    return events


def as_events(events: NDArray[np.void]) -> Events:
    """Any structured array ``[N]`` with fields t, x, y and p as ``EVENT_DTYPE``; copied only if it isn't yet.

    Raises:
        ValueError: a field is missing, or holds a value that ``EVENT_DTYPE`` cannot.
    """
    if events.dtype == EVENT_DTYPE:
        return events
    names = EVENT_DTYPE.names or ()
    if events.ndim != 1 or not set(names) <= set(events.dtype.names or ()):
        raise ValueError(f"events are a structured array [N] with t, x, y, p; got {events.dtype} {events.shape}")
    packed = make_events(*(events[name] for name in names))
    for name in names:
        if not np.array_equal(packed[name], events[name]):
            raise ValueError(f"events: {name} has values that {EVENT_DTYPE[name]} cannot hold ({events[name]})")
    return packed


def joined(stretches: Sequence[Events]) -> Events:
    """Stretches of a recording as one, each following on the one before, as if the clock had never been set."""
    starts = np.cumsum([len(stretch) for stretch in stretches if len(stretch)])[:-1].tolist()
    if not starts:
        return next((stretch for stretch in stretches if len(stretch)), stretches[0])
    events: Events = np.concatenate(stretches)
    events["t"] = following(events["t"], starts)
    return events


def address_words(events: Events) -> NDArray[np.uint64]:
    """The last eight bytes of each event as one number ``[N]``: x from bit 24, y from bit 40, p from bit 56.

    A view. A loop that takes an event's address in one load is twice as fast as one that reads three columns.
    """
    return events.getfield("<u8", EVENT_DTYPE.itemsize - 8)


def sensor_text(sensor: tuple[int, int], said_by: str, of: str = "") -> str:
    """A (width, height) sensor and who says it, as in ``Recording``, in words; ``of`` names the recording."""
    guessed = f"GUESSED from {of or 'its events'}: the smallest usual one that holds all; state it with --sensor WxH"
    who = {"file": f"as {of or 'the file'} says", "asked": "as asked for", "guess": guessed}
    return "{}×{}, {}".format(*sensor, who[said_by])


def check_events(events: Events, sensor: tuple[int, int], source: str) -> None:
    """Make sure that a recording can be used: not empty, inside the sensor, times not decreasing.

    Raises:
        RecordingError: naming ``source``, the first event at fault and the value found there.
    """
    from preprocessing.kernels.check import first_backward, first_outside

    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events")
    outside = first_outside(address_words(events), *sensor)
    if outside >= 0:
        raise SensorError(f"{source}: {lies_outside(events, outside, sensor)}")
    at = first_backward(events["t"])
    if at >= 0:
        before, after = int(events["t"][at - 1]), int(events["t"][at])
        raise RecordingError(f"{source}: time runs backwards at event {at}, from {before} µs to {after} µs")


def lies_outside(events: Events, at: int, sensor: tuple[int, int]) -> str:
    """What is wrong with the event at index ``at`` of ``[N]``, which is beyond the (width, height) sensor, in words."""
    x, y = int(events["x"][at]), int(events["y"][at])
    return f"event {at} at ({x}, {y}) lies outside the {sensor[0]}×{sensor[1]} sensor"


def make_recording(
    events: Events,
    sensor: tuple[int, int],
    format: str,
    source: str,
    num_special: int = 0,
    how: Reading = AS_IS,
    num_dropped: int = 0,
) -> Recording:
    """Check the events that a reader has decoded and put them in order; every reader ends with it.

    Events outside ``sensor``, and those that are late by the rule of ``clock``, are bad: they are dropped and counted,
    together with ``num_dropped`` that the reader has found, as long as they are no more than ``how`` lets be. Times
    that are a little out of order are put in order, and the places are counted as ``num_backward``.

    Raises:
        RecordingError: no events, or more bad ones; names the first.
    """
    from preprocessing.kernels.check import first_backward

    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events")
    num_read = len(events) + num_dropped
    events = _inside(events, sensor, source, num_dropped, how)
    num_backward, resets = 0, tuple[int, ...]()
    if first_backward(events["t"]) >= 0:
        order = _followed(events["t"], num_read, source, how)
        events, num_backward, resets = events[order.kept], order.num_backward, order.resets
        events["t"] = order.t
    jumps = tuple(forward_jumps(events["t"]).tolist())
    warnings = set_clock_warnings(events["t"], resets, jumps)
    counted = num_special, num_backward, num_read - len(events)
    return Recording(events, sensor, format, source, *counted, resets, jumps, warnings=warnings)


def _followed(t: NDArray[np.int64], num_read: int, source: str, how: Reading) -> Followed:
    """The order of times ``[N]``, of ``num_read`` with those that were dropped before; raises as ``make_recording``."""
    latest = np.maximum.accumulate(t)
    too_long = int(t.max()) - int(t.min()) >= _LONGEST_US
    late = t < latest if too_long else latest - t > MAX_DISORDER_US
    at, num_dropped = int(late.argmax()), num_read - len(t)
    problem = f"{source}: time runs backwards at event {at}, from {int(latest[at])} µs to {int(t[at])} µs"
    if too_long:
        raise RecordingError(problem)
    order = Followed.of(t, how.most_bad(num_read) - num_dropped)
    if num_read - len(order.kept) > how.most_bad(num_read):
        how.allow(num_dropped + int(np.count_nonzero(late)), num_read, problem)
    return order


def _inside(events: Events, sensor: tuple[int, int], source: str, num_dropped: int, how: Reading) -> Events:
    """The events that lie inside the sensor; raises as ``make_recording``."""
    from preprocessing.kernels.check import first_outside

    outside = first_outside(address_words(events), *sensor)
    if outside < 0:
        return events
    inside = (events["x"] < sensor[0]) & (events["y"] < sensor[1])
    num_bad = num_dropped + len(events) - int(np.count_nonzero(inside))
    said = f"{source}: {lies_outside(events, outside, sensor)}"
    how.allow(num_bad, len(events) + num_dropped, said, SensorError)
    return events[inside]
