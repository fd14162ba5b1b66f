"""Where a stream of events is cut: into the T slices of a sample, or into windows, each its own sample."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

SLICINGS = ("count", "time")

_UNIT_US = {"s": 1_000_000, "ms": 1_000, "us": 1, "µs": 1}


def check_slicing(slicing: str, steps: int) -> None:
    """Make sure that ``slicing`` is known and ``steps`` positive.

    Raises:
        ValueError: naming the value and the choices.
    """
    if slicing not in SLICINGS:
        raise ValueError(f"unknown slicing {slicing!r}; choose one of {', '.join(SLICINGS)}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")


def slice_edges(t: NDArray[np.int64], steps: int, slicing: str = "count") -> NDArray[np.int64]:
    """Cut a stream into T slices: slice j holds the events from ``edges[j]`` up to ``edges[j + 1]`` − 1.

    ``"count"``: N // T events each, and the remainder in the last slice (PLIF, Fang et al. 2021, eq. S1).
    With N < T all events are in the last slice and the others are empty.
    ``"time"``: equal durations (t[N-1] − t[0]) / T; an event on an edge belongs to the later slice.

    Args:
        t: times ``[N]`` in µs, not decreasing.
        steps: the number of slices T.
        slicing: ``"count"`` or ``"time"``.

    Returns:
        Event indices ``[T + 1]``, from 0 to N.

    Raises:
        ValueError: unknown ``slicing``, or ``steps`` < 1.
    """
    check_slicing(slicing, steps)
    j = np.arange(steps + 1, dtype=np.int64)
    if slicing == "count" or len(t) == 0:
        edges = j * (len(t) // steps)
    else:
        span = int(t[-1] - t[0])
        edges = np.searchsorted(t, t[0] + -(-j * span // steps)).astype(np.int64)
    edges[-1] = len(t)
    return edges


def window_edges(t: NDArray[np.int64], window_us: int, hop_us: int) -> list[tuple[int, int]]:
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
    recorded_us = int(t[-1] - t[0]) + 1
    starts = t[0] + np.arange(0, recorded_us - window_us + 1, hop_us, dtype=np.int64)
    first = np.searchsorted(t, starts)
    stop = np.searchsorted(t, starts + window_us)
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
