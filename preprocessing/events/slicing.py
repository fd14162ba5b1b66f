"""Where a stream of events is cut: into the T slices of a sample, or into windows, each its own sample."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SLICINGS = ("count", "time", "duration:DURATION", "events:NUMBER")
"""The ways to slice: two that share a sample out among its T slices, two with slices of one size for all."""

_UNIT_US = {"s": 1_000_000, "ms": 1_000, "us": 1, "µs": 1}


class Times(Protocol):
    """Times ``[N]`` in µs, not decreasing: an array, or what becomes one when it is asked for."""

    def __len__(self) -> int: ...
    def __array__(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Slicing:
    """A way to slice a sample.

    Attributes:
        kind: "count", "time", "duration" or "events".
        each: of "duration" the length of a slice in µs, of "events" its number of events.
    """

    kind: str
    each: int = 0

    @classmethod
    def parse(cls, text: str) -> Slicing:
        """Read ``"count"``, ``"time"``, ``"duration:50ms"`` or ``"events:2000"``.

        Raises:
            ValueError: naming the text and the choices.
        """
        kind, colon, each = text.partition(":")
        if kind in {"count", "time"} and not colon:
            return cls(kind)
        if kind == "duration" and each:
            return cls(kind, parse_duration(each))
        if kind == "events" and re.fullmatch(r"0*[1-9][0-9]{0,17}", each):
            return cls(kind, int(each))
        raise ValueError(
            f"unknown slicing {text!r}; choose count, time, duration:50ms or events:2000 (or other numbers)"
        )


def check_slicing(slicing: str, steps: int) -> None:
    """Make sure that ``slicing`` is known and ``steps`` positive.

    Raises:
        ValueError: naming the value and the choices.
    """
    Slicing.parse(slicing)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")


def slice_edges(t: Times, steps: int, slicing: str = "count") -> NDArray[np.int64]:
    """Cut a stream into T slices: slice j holds the events from ``edges[j]`` up to ``edges[j + 1]`` − 1.

    ``"count"``: N // T events each, and the remainder in the last slice (PLIF, Fang et al. 2021, eq. S1).
    With N < T all events are in the last slice and the others are empty.
    ``"time"``: equal durations (t[N-1] − t[0]) / T; an event on an edge belongs to the later slice.
    ``"duration:50ms"``: slice j holds t[0] + j·50 ms ≤ t < t[0] + (j + 1)·50 ms. ``"events:2000"``: slice j holds the
    events from 2000·j on. With these two, slices behind the end are empty, and events behind slice T − 1 unused.

    Args:
        t: times ``[N]`` in µs, not decreasing; only looked at where time decides.
        steps: the number of slices T.
        slicing: as above.

    Returns:
        Event indices ``[T + 1]``, from 0 on.

    Raises:
        ValueError: unknown ``slicing``, or ``steps`` < 1.
    """
    check_slicing(slicing, steps)
    cut, num_events = Slicing.parse(slicing), len(t)
    slices = range(steps + 1)
    if cut.kind == "events" or num_events == 0:
        edges = [min(j * cut.each, num_events) for j in slices]
    elif cut.kind == "count":
        edges = [j * (num_events // steps) for j in slices[:-1]] + [num_events]
    else:
        times = np.asarray(t)
        first, last = int(times[0]), int(times[-1])
        if cut.kind == "duration":
            starts = [min(first + j * cut.each, last + 1) for j in slices]
        else:
            starts = [first + -(-j * (last - first) // steps) for j in slices[:-1]] + [last + 1]
        edges = np.searchsorted(times, starts).tolist()
    return np.array(edges, np.int64)


def window_edges(t: Times, window_us: int, hop_us: int) -> list[tuple[int, int]]:
    """Event index ranges (start, stop) of the windows [k·hop, k·hop + window) µs after the first event.

    Only whole windows are given, k = 0, 1, …: a recording lasts to the end of its last event's microsecond.
    A window in which nothing happened is given with start = stop.

    Args:
        t: times ``[N]`` in µs, not decreasing.
        window_us: length of a window, µs.
        hop_us: from one window's start to the next one's, µs.

    Raises:
        ValueError: a length that isn't positive.
    """
    if window_us < 1 or hop_us < 1:
        raise ValueError(f"window and hop must be at least 1 µs, got {window_us} and {hop_us}")
    if len(t) == 0:
        return []
    times = np.asarray(t)
    recorded_us = int(times[-1] - times[0]) + 1
    starts = times[0] + np.arange(0, recorded_us - window_us + 1, hop_us, dtype=np.int64)
    first = np.searchsorted(times, starts)
    stop = np.searchsorted(times, starts + window_us)
    return list(zip(first.tolist(), stop.tolist(), strict=True))


def parse_duration(text: str) -> int:
    """Read a duration with its unit, ``"1.3s"``, ``"50ms"`` or ``"500us"``, as whole µs.

    Raises:
        ValueError: no number, no such unit, or not a positive whole number of µs.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(s|ms|us|µs)\s*", text, re.ASCII)
    if not match:
        raise ValueError(f"cannot read the duration {text!r}; write a number and s, ms or us, e.g. 1.3s or 50ms")
    duration = Fraction(match[1]) * _UNIT_US[match[2]]
    if duration < 1 or duration.denominator != 1:
        raise ValueError(f"a duration is a whole number of µs and at least 1, got {text!r}")
    return int(duration)
