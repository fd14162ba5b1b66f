"""The event array and the recording: the one form in which every reader hands events on.

An event is (t, x, y, p): a pixel at column ``x`` and row ``y`` saw the log-intensity rise (``p`` True, ON) or
fall (``p`` False, OFF) at time ``t``. The origin is the top left pixel, as seen by the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
"""One event: ``t`` in µs, ``x`` and ``y`` in px from the top left, ``p`` True for ON."""

Events = NDArray[np.void]
"""A one-dimensional array of ``EVENT_DTYPE``."""


MAX_DISORDER_US = 10_000
"""How far behind an earlier event a time may lie to be put in order, µs; beyond, the recording is damaged."""


class RecordingError(ValueError):
    """A recording that cannot be used; the message names the file and the byte or event at fault."""


class SensorError(RecordingError):
    """A recording that does not go with the sensor it is said to be of."""


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
        warnings: what is doubtful about it, for people.
    """

    events: Events
    sensor: tuple[int, int]
    format: str
    source: str
    num_special: int = 0
    num_backward: int = 0
    sensor_from: SensorFrom = "file"
    warnings: tuple[str, ...] = ()

    @property
    def duration_us(self) -> int:
        """Time from the first to the last event, µs."""
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
    at = _first_backward(events, sensor, source)
    if at >= 0:
        raise RecordingError(_backwards(source, at, events["t"][at - 1], events["t"][at]))


def lies_outside(events: Events, at: int, sensor: tuple[int, int]) -> str:
    """What is wrong with the event at index ``at`` of ``[N]``, which is beyond the (width, height) sensor, in words."""
    x, y = int(events["x"][at]), int(events["y"][at])
    return f"event {at} at ({x}, {y}) lies outside the {sensor[0]}×{sensor[1]} sensor"


def _first_backward(events: Events, sensor: tuple[int, int], source: str) -> int:
    """The first event earlier than the one before it, -1 if there is none; all must lie inside the sensor.

    Raises:
        RecordingError: no events, or as a ``SensorError`` one outside.
    """
    from preprocessing.kernels.check import first_backward, first_outside

    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events")
    outside = first_outside(address_words(events), *sensor)
    if outside >= 0:
        raise SensorError(f"{source}: {lies_outside(events, outside, sensor)}")
    return int(first_backward(events["t"]))


def make_recording(
    events: Events, sensor: tuple[int, int], format: str, source: str, num_special: int = 0
) -> Recording:
    """Check the events that a reader has decoded and put them in order; every reader ends with it.

    Cameras and drivers that merge several streams write times a little out of order: events up to
    ``MAX_DISORDER_US`` late are moved to their place, equal times keep the order of the file, and the places
    are counted as ``num_backward``.

    Raises:
        RecordingError: no events, one outside ``sensor``, or one that is later than that behind an earlier one.
    """
    if _first_backward(events, sensor, source) < 0:
        return Recording(events, sensor, format, source, num_special)
    t = events["t"]
    latest = np.maximum.accumulate(t)
    backward = np.flatnonzero(t[1:] < t[:-1]) + 1
    too_late = latest[backward] - t[backward] > MAX_DISORDER_US
    if too_late.any():
        at = int(backward[too_late.argmax()])
        raise RecordingError(_backwards(source, at, latest[at], t[at]))
    return Recording(events[np.argsort(t, kind="stable")], sensor, format, source, num_special, len(backward))


def _backwards(source: str, at: int, before: np.int64, after: np.int64) -> str:
    return f"{source}: time runs backwards at event {at}, from {int(before)} µs to {int(after)} µs"
