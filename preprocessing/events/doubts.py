"""What no camera gives: signs that a file holds something else than a scene seen by a sensor.

Nothing here is an error: a lamp that blinks lights a handful of pixels, too. It is said, and a person looks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocessing.events.records import Records

LEAST_EVENTS = 1000
"""Fewer events say nothing."""

FEW_PIXELS = 300
"""So many pixels are few on any sensor, and ``FEW_SHARE`` of all on a small one."""

FEW_SHARE = 0.02
_EVENTS_EACH = 10
_GLANCE = 512  # events that are looked at first; the others only where these raise a doubt


def doubts(records: Records, sensor: tuple[int, int]) -> tuple[str, ...]:
    """What makes the events of a (width, height) sensor hard to believe, a sentence each; most give none."""
    if len(records) < LEAST_EVENTS:
        return ()
    glance = records[:: -(-len(records) // _GLANCE)]
    if not any(_found(glance, sensor)):
        return ()
    one_sided, num_active = _found(records, sensor)
    found = [f"all of its {len(records):,} events are {one_sided}"] if one_sided else []
    if num_active and len(records) >= _EVENTS_EACH * num_active:
        found.append(f"its {len(records):,} events are at {num_active:,} of {sensor[0] * sensor[1]:,} pixels")
    return tuple(f"this looks like no camera's recording: {text}" for text in found)


def _found(records: Records, sensor: tuple[int, int]) -> tuple[str, int]:
    """The polarity of all events, if they have one, and the number of their pixels, if it is small."""
    x, y, p = records.columns()
    one_sided = "ON" if p.all() else "" if p.any() else "OFF"
    num_active = _num_different(y * sensor[0] + x)
    few = num_active <= min(FEW_PIXELS, FEW_SHARE * sensor[0] * sensor[1])
    return one_sided, num_active if few else 0


def _num_different(values: NDArray[np.int64]) -> int:
    ordered = np.sort(values)
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
