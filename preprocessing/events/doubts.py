"""What no camera gives: signs that a file holds something else than a scene seen by a sensor.

Nothing here is an error: a lamp that blinks lights a handful of pixels, too. It is said, and a person looks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from preprocessing.events.records import Records

LEAST_EVENTS = 1000
"""Fewer events say nothing."""

FEW_PIXELS = 300
"""So many pixels are few on any sensor, and ``FEW_SHARE`` of all on a small one."""

FEW_SHARE = 0.02
NARROW_SHARE = 0.05
"""So many rows or columns are a line, not a scene."""

_EVENTS_EACH = 10
_GLANCE = 512  # events that are looked at first; the others only where these raise a doubt


def doubts(records: Records, sensor: tuple[int, int]) -> tuple[str, ...]:
    """What makes the events of a (width, height) sensor hard to believe, a sentence each; most give none."""
    if len(records) < LEAST_EVENTS:
        return ()
    glance = records[:: -(-len(records) // _GLANCE)]
    if not any(_signs(glance, sensor, 0)):
        return ()
    return tuple(f"this looks like no camera's recording: {sign}" for sign in _signs(records, sensor, _EVENTS_EACH))


def _signs(records: Records, sensor: tuple[int, int], events_each: int) -> Iterator[str]:
    """What is odd about the events; a few pixels only with so many events each."""
    (width, height), num_events = sensor, f"{len(records):,} events"
    x, y, p = records.columns()
    if p.all() or not p.any():
        yield f"all of its {num_events} are {'ON' if p[0] else 'OFF'}"
    num_active, num_rows, num_columns = map(_num_different, (y * width + x, y, x))
    few = num_active <= min(FEW_PIXELS, FEW_SHARE * width * height)
    if few and len(records) >= events_each * num_active:
        yield f"its {num_events} are at {num_active:,} of {width * height:,} pixels"
    elif num_rows <= NARROW_SHARE * height:
        yield f"its {num_events} are in {num_rows:,} of {height:,} rows"
    elif num_columns <= NARROW_SHARE * width:
        yield f"its {num_events} are in {num_columns:,} of {width:,} columns"


def _num_different(values: NDArray[np.int64]) -> int:
    ordered = np.sort(values)
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
