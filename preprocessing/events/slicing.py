"""Where a stream of events is cut: into the T slices of a sample, or into windows, each its own sample."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from preprocessing import limits

SLICINGS = ("count", "time", "duration:DURATION", "events:NUMBER")
"""The ways to slice: two that share a sample out among its T slices, two with slices of one size for all."""

_LONGEST_US = 1 << 52  # between bins, so that shares of it stay below 2⁶³
_RANGE_BYTES = 120  # of a tuple of two numbers in a list

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
        """Read ``"count"``, ``"time"``, ``"duration:50ms"``, for which ``"50ms"`` will do, or ``"events:2000"``.

        Raises:
            ValueError: naming the text and the choices.
        """
        kind, colon, each = spelled_out(text).partition(":")
        if kind in {"count", "time"} and not colon:
            return cls(kind)
        if kind == "duration" and each:
            return cls(kind, parse_duration(each))
        if kind == "events" and re.fullmatch(r"0*[1-9][0-9]{0,17}", each):
            return cls(kind, int(each))
        raise ValueError(
            f"unknown slicing {text!r}; choose count, time, duration:50ms or 50ms, events:2000, or one of other numbers"
        )

    def __str__(self) -> str:
        """The text of it, equal ones alike: 50ms and 0.05s are 50000us."""
        unit = {"duration": "us", "events": ""}.get(self.kind)
        return self.kind if unit is None else f"{self.kind}:{self.each}{unit}"


def spelled_out(slicing: str) -> str:
    """The text of a slicing with its kind, ``"duration:50ms"`` for ``"50ms"``, as files hold it."""
    return f"duration:{slicing}" if re.match(r"\s*[\d.]", slicing, re.ASCII) and ":" not in slicing else slicing


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
    slices = np.arange(steps + 1, dtype=np.int64)
    if cut.kind == "events" or num_events == 0:
        return np.minimum(slices * min(cut.each, num_events), num_events)
    if cut.kind == "count":
        edges = slices * (num_events // steps)
        edges[-1] = num_events
        return edges
    times = np.asarray(t)
    first, last = int(times[0]), int(times[-1])
    if cut.kind == "duration":
        starts = np.minimum(slices * min(cut.each, last - first + 1), last - first + 1)
    else:
        each, rest = divmod(last - first, steps)
        starts = slices * each - (-slices * rest) // steps  # rounded up, in numbers that stay below 2**63
        starts[-1] = last - first + 1
    return np.searchsorted(times, first + starts).astype(np.int64)


class Positions(NamedTuple):
    """Where events lie between bins in time: at t* = ``rate`` · (t − ``first``) / ``spacing``, bin j at t* = j.

    Attributes:
        edges: event indices ``[T + 1]``; slice j holds those from bin j on, up to bin j + 1: j ≤ t* ≤ j + 1.
        first: µs.
        rate: at least 0.
        spacing: at least 1.
    """

    edges: NDArray[np.int64]
    first: int
    rate: int
    spacing: int


def positions(t: Times, steps: int, slicing: str) -> Positions:
    """Place a stream between T bins in time.

    ``"time"``: the first bin is at the first event and the last bin at the last one, t* = (T − 1) (t − t[0]) /
    (t[N-1] − t[0]). Where all events are at one time, or T = 1, they are at bin 0. ``"duration:50ms"``: bins are 50 ms
    apart, t* = (t − t[0]) / 50 ms, and events behind slice T − 1, t* ≥ T, are unused.

    Args:
        t: times ``[N]`` in µs, not decreasing.
        steps: the number of bins T.
        slicing: as above.

    Raises:
        ValueError: a slicing that isn't by time, ``steps`` < 1, or a span or duration beyond 2⁵² µs, 142 years.
    """
    check_in_time(slicing)
    times, cut = np.asarray(t), Slicing.parse(slicing)
    first, last = (int(times[0]), int(times[-1])) if len(times) else (0, 0)
    if cut.kind == "duration":
        found = Positions(slice_edges(times, steps, slicing), first, 1, cut.each)
    elif steps == 1 or first == last:
        found = Positions(np.array([0, *[len(times)] * steps]), first, 0, 1)
    else:
        if last - first > _LONGEST_US:
            raise ValueError(f"a voxel grid spans at most 2**52 µs, got events of {last - first} µs; mend their times")
        edges = np.append(slice_edges(times, steps - 1, slicing), len(times))
        found = Positions(edges, first, steps - 1, last - first)
    return found


def check_in_time(slicing: str) -> None:
    """Make sure that slices are cut by time, and not too long, so that events have places between them.

    Raises:
        ValueError: naming the slicing and the choices.
    """
    cut = Slicing.parse(slicing)
    if cut.kind not in {"time", "duration"}:
        raise ValueError(
            f"value voxel shares events between bins in time, which slicing {slicing!r} does not cut by; choose "
            "slicing time or duration:50ms"
        )
    if cut.each > _LONGEST_US:
        raise ValueError(f"bins of value voxel are at most 2**52 µs apart, got slicing {slicing!r}")


class Windows(NamedTuple):
    """Windows of a stream with events in them.

    Attributes:
        number: of each ``[M]``: number k begins k·hop µs after the first event; rising.
        start, stop: indices ``[M]`` of its events.
        num_all: how many windows there are, with those in which nothing happened.
    """

    number: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    num_all: int


def windows(t: Times, window_us: int, hop_us: int, most: int | None = None) -> Windows:
    """The windows [k·hop, k·hop + window) µs after the first event that hold any, k = 0, 1, …

    Only whole windows count: a recording lasts to the end of its last event's microsecond. Those without events take
    neither time nor memory.

    Args:
        t: times ``[N]`` in µs, not decreasing.
        window_us: length of a window, µs.
        hop_us: from one window's start to the next one's, µs.
        most: there may be so many with events.

    Raises:
        ValueError: a length that isn't positive, or more windows than ``most``.
    """
    times = np.asarray(t)
    num_all = _num_windows(times, window_us, hop_us)
    if num_all == 0:
        none = np.empty(0, np.int64)
        return Windows(none, none, none, 0)
    hop_us = min(hop_us, int(times[-1] - times[0]) + 1)  # a longer one has no second window, and may be no int64
    number = _numbers(times - times[0], window_us, hop_us, num_all, most)
    starts = times[0] + number * hop_us
    return Windows(number, np.searchsorted(times, starts), np.searchsorted(times, starts + window_us), num_all)


def _num_windows(times: NDArray[np.int64], window_us: int, hop_us: int) -> int:
    """How many whole windows times ``[N]`` have; raises as ``windows``."""
    if window_us < 1 or hop_us < 1:
        raise ValueError(f"window and hop must be at least 1 µs, got {window_us} and {hop_us}")
    recorded_us = int(times[-1]) - int(times[0]) + 1 if len(times) else 0
    return max((recorded_us - window_us) // hop_us + 1, 0)


def _numbers(
    since: NDArray[np.int64], window_us: int, hop_us: int, num_all: int, most: int | None
) -> NDArray[np.int64]:
    """The numbers of the windows that hold any event, of times ``[N]`` since the first; raises as ``windows``."""
    last = np.minimum(since // hop_us, num_all - 1)
    first = np.maximum(-((window_us - 1 - since) // hop_us), 0)  # the first one that ends behind an event
    first[1:] = np.maximum(first[1:], last[:-1] + 1)  # those before hold an earlier event, too
    each = np.maximum(last - first + 1, 0)
    total = int(each.astype(np.float64).sum()) if len(each) else 0
    if most is not None and total > most:
        raise ValueError(f"{total:,} windows of {window_us} µs, one each {hop_us} µs, hold events; at most {most:,}")
    begins = np.cumsum(each) - each
    return np.repeat(first - begins, each) + np.arange(int(each.sum()))


def window_edges(t: Times, window_us: int, hop_us: int) -> list[tuple[int, int]]:
    """Event index ranges (start, stop) of all windows, as of ``windows``; start = stop where nothing happened.

    Raises:
        ValueError: a length that isn't positive, or windows that would take too much memory.
    """
    num_all = _num_windows(np.asarray(t), window_us, hop_us)
    if problem := limits.frames_problem(num_all * _RANGE_BYTES):
        raise ValueError(f"{num_all:,} windows of {window_us} µs, one each {hop_us} µs: a list that {problem}")
    found = windows(t, window_us, hop_us)
    start, stop = (np.zeros(num_all, np.int64) for _ in range(2))
    start[found.number], stop[found.number] = found.start, found.stop
    empty = np.flatnonzero(start == stop)
    if len(empty):
        times = np.asarray(t)
        start[empty] = stop[empty] = np.searchsorted(times, times[0] + empty * hop_us)
    return list(zip(start.tolist(), stop.tolist(), strict=True))


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
