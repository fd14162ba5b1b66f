"""The event array and the recording: the one form in which every reader hands events on.

An event is (t, x, y, p): a pixel at column ``x`` and row ``y`` saw the log-intensity rise (``p`` True, ON) or
fall (``p`` False, OFF) at time ``t``. The origin is the top left pixel, as seen by the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
"""One event: ``t`` in µs, ``x`` and ``y`` in px from the top left, ``p`` True for ON."""

Events = NDArray[np.void]
"""A one-dimensional array of ``EVENT_DTYPE``."""


class RecordingError(ValueError):
    """A recording that cannot be used; the message names the file and the byte or event at fault."""


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Attributes:
        events: array ``[N]`` of ``EVENT_DTYPE`` in the order of the file, times not decreasing.
        sensor: (width, height) of the camera, px.
        format: name of the wire format, e.g. ``"aedat2"``.
        source: where it came from: a path, or ``archive.zip/member``.
        num_special: records of the file that are no events of the sensor (sync inputs, clock ticks); dropped.
    """

    events: Events
    sensor: tuple[int, int]
    format: str
    source: str
    num_special: int = 0

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


def check_events(events: Events, sensor: tuple[int, int], source: str) -> None:
    """Make sure that a recording can be used: not empty, inside the sensor, times not decreasing.

    Raises:
        RecordingError: naming ``source``, the first event at fault and the value found there.
    """
    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events")
    width, height = sensor
    outside = (events["x"] >= width) | (events["y"] >= height)
    if outside.any():
        at = int(outside.argmax())
        x, y = int(events["x"][at]), int(events["y"][at])
        raise RecordingError(f"{source}: event {at} at ({x}, {y}) lies outside the {width}×{height} sensor")
    backwards = events["t"][1:] < events["t"][:-1]
    if backwards.any():
        at = int(backwards.argmax()) + 1
        before, after = int(events["t"][at - 1]), int(events["t"][at])
        raise RecordingError(f"{source}: time runs backwards at event {at}, from {before} µs to {after} µs")
