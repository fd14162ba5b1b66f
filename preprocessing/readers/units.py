"""Units of times in files that need not say theirs: where they say it, and what tells that one was taken for another.

A unit is told by the name of a column (``t_ns``, ``timestamp[us]``, ``time (ms)``), by an attribute, or by the caller.
Without any of them whole numbers are µs and others seconds.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import Recording

US = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}
"""µs in each unit."""

SHORTEST_US = 10_000
"""A recording that lasts less, µs, is one of a longer unit: ten times shorter than those of any labelled data set."""

LONG_US = 60_000_000
"""From this on, µs, a recording can be so slow that its unit is a shorter one."""

SLOWEST = 0.05
"""Events/s of a pixel, on average, below which a long recording is slower than the noise of a camera alone."""

FASTEST = 1000.0
"""Events/s of a pixel, on average, that the fastest cameras reach for moments: 1066 M/s on 1280×720."""

_SPELT = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "millis", "millisecond", "milliseconds"),
    "us": ("us", "µs", "μs", "usec", "micros", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nanos", "nanosecond", "nanoseconds"),
}
_UNIT_OF = {spelling: unit for unit, spellings in _SPELT.items() for spelling in spellings}
_IN_NAME = re.compile(r"(?P<name>[a-z]+)\s*(?:_(?P<tail>\w+)|[\[(]\s*(?P<unit>\w+)\s*[\])])")


def unit_named(text: str) -> str | None:
    """One of ``US`` by any of its names, None for others."""
    return _UNIT_OF.get(text.strip().lower())


def name_and_unit(name: str) -> tuple[str, str | None]:
    """A column's name without the unit that it ends in, and that unit."""
    match = _IN_NAME.fullmatch(name.strip().lower())
    unit = unit_named(match["tail"] or match["unit"]) if match else None
    return (match["name"], unit) if match and unit else (name, None)


@np.errstate(over="ignore", invalid="ignore")
def microseconds(values: NDArray[np.number], unit: str) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """Times ``[N]`` in µs, halves of ns to the later; and which of them cannot be, 0 there, None if all can."""
    us = US[unit]
    if values.dtype.kind == "f":
        exact = values.astype(np.float64)
        rounded = np.rint(exact / 1000 if unit == "ns" else exact * us)
        wrong = ~(np.abs(rounded) < 2.0**63)  # so that NaN is wrong, too
        return np.where(wrong, 0, rounded).astype(np.int64), wrong
    if unit == "ns":
        return (values // 1000 + (values % 1000 >= 500)).astype(np.int64), None
    most = (2**63 - 1) // int(us)
    wrong = (values > most) | (values < -most) if values.dtype.itemsize == 8 else np.zeros(len(values), np.bool_)
    return np.where(wrong, 0, values).astype(np.int64) * int(us), wrong


def with_doubts(recording: Recording, unit: str, assumed: bool, resolution_us: float = 0.0) -> Recording:
    """The recording, with a warning where its times look as if they were in another unit, or too coarse.

    Args:
        recording: as it was read.
        unit: that its times were read in.
        assumed: nobody said so.
        resolution_us: how far two times lie apart at least, for floats of 32 bits.
    """
    doubts = [*recording.warnings]
    if resolution_us >= 1000:
        doubts.append(
            f"times are floats of 32 bits, which lie {resolution_us / 1e6:g} s apart at that size; save them as floats "
            "of 64 bits, or as whole µs"
        )
    elif assumed and len(recording.events) > 1 and not recording.jumps:
        doubts += _of_unit(recording, unit)
    return replace(recording, warnings=tuple(doubts))


def _of_unit(recording: Recording, unit: str) -> list[str]:
    recorded_us = recording.duration_us + 1
    if _is_plausible(recording, recorded_us):
        return []
    rate = len(recording.events) / recorded_us * 1e6
    others = [other for other in US if other != unit and _is_plausible(recording, recorded_us * US[other] / US[unit])]
    advice = f"; if they are in {' or '.join(others)}, say so: --time-unit {others[-1]}" if others else ""
    return [
        f"times are taken for {unit}, so that it lasts {recording.duration_us / 1e6:g} s with {rate:.3g} events/s: no "
        f"camera does{advice or '; state their unit with --time-unit'}"
    ]


def _is_plausible(recording: Recording, recorded_us: float) -> bool:
    width, height = recording.sensor
    rate = len(recording.events) / recorded_us * 1e6 / (width * height)
    return recorded_us >= SHORTEST_US and rate <= FASTEST and (recorded_us < LONG_US or rate >= SLOWEST)
