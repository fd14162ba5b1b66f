"""The 5-byte layout of the ATIS: N-MNIST and N-Caltech101 (.bin), and DVS128 Gesture clips (.bs2).

One event is five bytes without any header: x, y, then 1 bit polarity (1 = ON) and 23 bits of time in µs, the
high bits first. y = 240 is no event but a tick of the clock: what follows it is 2¹³ µs later than it says.

Source: G. Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades",
Frontiers in Neuroscience 9, 2015, and the authors' reader ``eventvision.py``.
"""

from __future__ import annotations

import numpy as np

from preprocessing.events import (
    AS_IS,
    Events,
    Reading,
    Recording,
    RecordingError,
    check_events,
    make_events,
    make_recording,
)
from preprocessing.readers.sensors import attributed

SUFFIXES: tuple[str, ...] = (".bin", ".bs2")
EVENT_BYTES = 5
SENSORS = ((34, 34), (128, 128), (240, 180), (304, 240))
"""(width, height) of N-MNIST, the DVS128, N-Caltech101 and the ATIS."""

TICK_Y = 240
"""The row of a clock tick."""

_TICK_US = 1 << 13


def recognises(data: bytes) -> bool:  # noqa: ARG001
    """False: the layout has no signature."""
    return False


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode 5-byte events; without ``sensor`` it is the smallest of ``SENSORS`` that holds all of them.

    Raises:
        RecordingError: no events, a cut event, an event outside the sensor, or time running backwards.
    """
    cut = len(data) % EVENT_BYTES
    if cut:
        at = len(data) - cut
        raise RecordingError(f"{source}: cut in the middle of an event: {cut} of {EVENT_BYTES} bytes at byte {at}")
    raw = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES)
    x, y, high, middle, low = raw.T
    time = (high & 0x7F).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    tick = y == TICK_Y
    num_ticks = int(tick.sum())
    events = make_events(time, x, y, high >> 7)
    if num_ticks:
        events["t"] += np.cumsum(tick) * _TICK_US
        events = events[~tick]
    recording = make_recording(events, sensor or _smallest_sensor(events), "atis", source, num_ticks, how)
    return attributed(recording, None, sensor)


def encode(events: Events) -> bytes:
    """Write events ``[N]`` in the 5-byte layout.

    Raises:
        ValueError: an event beyond x = 255 or y = 239, or times that decrease or leave [0, 2²³) µs.
    """
    check_events(events, (256, TICK_Y), "cannot write 5-byte events")
    if events["t"][0] < 0 or events["t"][-1] >= 1 << 23:
        first, last = int(events["t"][0]), int(events["t"][-1])
        raise ValueError(f"5-byte events hold times in [0, 2**23) µs, got {first} to {last}; shift or cut them")
    raw = np.empty((len(events), EVENT_BYTES), np.uint8)
    raw[:, 0], raw[:, 1] = events["x"], events["y"]
    raw[:, 2] = events["p"].astype(np.int64) << 7 | events["t"] >> 16
    raw[:, 3], raw[:, 4] = events["t"] >> 8 & 0xFF, events["t"] & 0xFF
    return raw.tobytes()


def _smallest_sensor(events: Events) -> tuple[int, int]:
    """The first of ``SENSORS`` that holds all events, else the largest (for the check to name the event)."""
    right, bottom = events["x"].max(initial=0), events["y"].max(initial=0)
    return next((s for s in SENSORS if right < s[0] and bottom < s[1]), SENSORS[-1])
