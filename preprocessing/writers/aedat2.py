"""AEDAT-2.0 of a DVS128 or a DAVIS; addresses, clock and sources are in ``readers.aedat2``."""

from __future__ import annotations

from collections.abc import Iterator

from preprocessing.events import Events
from preprocessing.readers import aedat, aedat2
from preprocessing.writers import bounds
from preprocessing.writers.bounds import Sensor

NAME, TITLE, SUFFIXES = "aedat2", "AEDAT-2.0", (".aedat",)

_BLOCK = 1 << 18  # events


def check(events: Events, sensor: Sensor) -> None:
    """See ``Writer.check``: the sensor of a camera that it names, and 32 bits of time."""
    if sensor not in aedat2.CHIPS:
        known = ", ".join("{}×{}".format(*each) for each in aedat2.CHIPS)
        raise bounds.BoundsError(
            f"{TITLE} holds recordings of sensors that jAER names, {known}; this one has {sensor[0]}×{sensor[1]} px: "
            "choose another format (--format)"
        )
    bounds.check(events, sensor, TITLE, aedat.DAVIS640.sensor, (0, 1 << 32))


def encode(events: Events, sensor: Sensor) -> Iterator[bytes]:
    """See ``Writer.encode``."""
    yield aedat2.header(sensor)
    for start in range(0, len(events), _BLOCK):
        yield aedat2.records(events[start : start + _BLOCK], sensor)
