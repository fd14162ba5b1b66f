"""Events kept as four columns, under the names and in the units that people give them: text, HDF5 and NumPy files.

A time is in the unit that its column or the caller says; else µs where times are whole numbers and seconds where they
are not. Polarities are 0 and 1, or −1 and 1, which may be stored as the largest number of an unsigned type; 1 is ON.
Whole numbers may be stored as floats.
Nobody but the writer knows which way the axes run: the origin is taken to be top left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing import apart, limits
from preprocessing.events import AS_IS, EVENT_DTYPE, Events, Reading, RecordingError
from preprocessing.readers.units import US, microseconds, name_and_unit

FIELDS: tuple[str, ...] = ("t", "x", "y", "p")
ALIASES: dict[str, tuple[str, ...]] = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "p": ("p", "ps", "pol", "polarity", "polarities"),
}
"""What a field of an event is called, in lower case."""

ORDERS = ("txyp", "xytp", "xypt")
"""Orders of the columns of a table whose columns have no names: the RPG's and v2e's, MVSEC's, jAER's in MATLAB."""

MAX_SECONDS = 100_000
"""Longest span, in s, of times that are taken for seconds; beyond, they were µs."""

_FIELD_OF = {alias: field for field, aliases in ALIASES.items() for alias in aliases}


def field_of(name: str) -> str | None:
    """Which of t, x, y and p a name means, None for others."""
    return _FIELD_OF.get(name.strip().lower())


def fields_in(names: Iterable[str]) -> dict[str, str] | None:
    """The name of each of t, x, y and p among ``names``, perhaps with a unit; None unless each is there once."""
    names = list(names)
    for found in (
        [(field, name) for name in names if (field := field_of(name))],
        [(field, name) for name in names if (field := field_of(name_and_unit(name)[0]))],
    ):
        if sorted(field for field, _ in found) == sorted(FIELDS):
            return dict(found)
    return None


class Packed(NamedTuple):
    """Columns as events.

    Attributes:
        events: ``[N]``.
        num_dropped: events that cannot be, and were dropped.
        unit: that the times were in.
        resolution_us: how far two times lie apart at least, for floats of 32 bits; else 0.
    """

    events: Events
    num_dropped: int
    unit: str
    resolution_us: float


def check_room(num_events: int, num_bytes: int, source: str, num_unpacked: int = 0) -> None:
    """Make sure that a file of so many bytes, which unpacks to so many, may hold so many events.

    Raises:
        RecordingError: it may not.
    """
    if problem := limits.problem(max(num_events * EVENT_DTYPE.itemsize, num_unpacked), num_bytes):
        raise RecordingError(f"{source}: {problem}")


def pack(
    blocks: Iterable[Mapping[str, NDArray[Any]]],
    num_events: int,
    source: str,
    unit: str | None = None,
    how: Reading = AS_IS,
) -> Packed:
    """Put blocks of columns t, x, y and p together to ``num_events`` events; times are in ``unit``, if anybody says it.

    Raises:
        RecordingError: a column is not of numbers of its kind, or holds more that an event cannot than ``how`` allows.
    """
    events: Events = apart.empty(num_events, EVENT_DTYPE)
    bad = _Bad(source, num_events)
    polarities: set[int] = set()
    used, resolution_us = unit, 0.0
    for block in blocks:
        part, t = events[bad.start : bad.start + len(block["t"])], block["t"]
        used = used or _likely_unit(t)
        part["t"] = bad.checked(t, "t", partial(microseconds, unit=used))
        part["x"] = bad.checked(block["x"], "x", _place)
        part["y"] = bad.checked(block["y"], "y", _place)
        part["p"] = bad.checked(block["p"], "p", _polarity)
        polarities |= {0} if (block["p"] == 0).any() else set()
        polarities |= {-1} if _are_minus_one(block["p"]).any() else set()
        resolution_us = max(resolution_us, _resolution_us(t, used))
        bad.start += len(part)
    if len(polarities) == 2:
        raise RecordingError(f"{source}: holds the polarities -1 and 0; expected 0 and 1, or -1 and 1")
    kept = bad.without(events, how)
    if used == "s" and not unit:
        check_seconds(kept, source)
    return Packed(kept, num_events - len(kept), used or "us", resolution_us)


def _likely_unit(t: NDArray[Any]) -> str:
    """The unit of the first times ``[N]`` of a file that doesn't say it: µs if they are whole numbers, else s.

    Programs that know floats alone write µs so; seconds that are all whole are of no camera.
    """
    return "us" if t.dtype.kind != "f" or _are_whole(t[np.isfinite(t)]) else "s"


def _resolution_us(t: NDArray[Any], unit: str) -> float:
    """Of floats of 32 bits or fewer: how far two of the size of the largest lie apart, µs; of others 0."""
    if t.dtype.kind != "f" or t.dtype.itemsize > 4 or not len(t):
        return 0.0
    largest = np.abs(t[np.isfinite(t)]).max(initial=t.dtype.type(0))
    return float(np.spacing(largest)) * US[unit]


class _Bad:
    """Which events of columns that come in blocks can be none.

    Attributes:
        start: index of the first event of the block.
    """

    def __init__(self, source: str, num_events: int) -> None:
        self.source, self.num_events = source, num_events
        self.start = 0
        self._places: list[NDArray[np.int64]] = []
        self._problem = ""

    def checked(
        self,
        values: NDArray[Any],
        field: str,
        convert: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[np.bool_] | None]],
    ) -> NDArray[Any]:
        """What ``convert`` makes of a block of a column; its second result says where it cannot."""
        _check_kind(values, field, self.source)
        converted, wrong = convert(values)
        if wrong is not None and wrong.any():
            places = np.flatnonzero(wrong)
            at = self.start + int(places[0])
            self._problem = self._problem or (
                f"{self.source}: event {at} has {field} = {values[places[0]]}, which no event can have"
            )
            self._places.append(self.start + places)
        return converted

    def without(self, events: Events, how: Reading) -> Events:
        """The others.

        Raises:
            RecordingError: there are more than ``how`` allows.
        """
        if not self._places:
            return events
        places = np.unique(np.concatenate(self._places))
        how.allow(len(places), self.num_events, self._problem)
        return np.delete(events, places)


def _check_kind(values: NDArray[Any], field: str, source: str) -> None:
    kinds = "iuf" if field == "t" else "iufb"
    if values.dtype.kind not in kinds:
        expected = "integers (µs) or floats (s)" if field == "t" else "whole numbers"
        raise RecordingError(f"{source}: {field} is of {values.dtype}; expected {expected}")


@np.errstate(invalid="ignore")
def _are_whole(values: NDArray[np.floating]) -> bool:
    """Whether all are whole numbers, and none is so large that its type has only such."""
    return bool((np.abs(values) < 2.0 ** np.finfo(values.dtype).nmant).all() and (values == np.rint(values)).all())


@np.errstate(invalid="ignore")
def _place(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    if values.dtype.kind == "f":
        wrong = ~((values >= 0) & (values <= 0xFFFF) & (values == np.rint(values)))  # so that NaN is wrong, too
        return np.where(wrong, 0, values).astype(np.int64), wrong
    fits = values.dtype.kind == "b" or values.dtype in (np.uint8, np.uint16)
    return values, None if fits else (values < 0) | (values > 0xFFFF)


def _polarity(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    if values.dtype.kind == "b":
        return values, None
    return values == 1, ~((values == 0) | (values == 1) | _are_minus_one(values))


def _are_minus_one(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where polarities are −1, which in an unsigned type is its largest number."""
    minus_one: NDArray[np.bool_] = values == (np.iinfo(values.dtype).max if values.dtype.kind == "u" else -1)
    return minus_one


def flat(column: NDArray[Any]) -> NDArray[Any]:
    """A column ``[N]``, ``[N, 1]`` or ``[1, N]`` as ``[N]``; others as they are."""
    return column.ravel() if is_column(column.shape) else column


def is_column(shape: tuple[int, ...]) -> bool:
    """Whether an array is one column: ``[N]``, ``[N, 1]`` or ``[1, N]``, or MATLAB's nothing, ``[0, 0]``."""
    return len(shape) == 1 or (len(shape) == 2 and (1 in shape or shape == (0, 0)))


def is_table(shape: tuple[int, ...]) -> bool:
    """Whether an array holds four numbers of each event: ``[N, 4]`` or ``[4, N]``."""
    return len(shape) == 2 and 4 in shape


def order_of(table: NDArray[Any], source: str, how: Reading = AS_IS) -> str:
    """The only one of ``ORDERS`` that the columns of a table ``[N, 4]`` can have.

    Times do not decrease, but for one in a hundred; polarities are 0 and 1, or −1 and 1; places are whole numbers. If
    no order fits, each column may have as many others as ``how`` lets be bad.

    Raises:
        RecordingError: none fits, or more than one.
    """
    in_kind = table.dtype.kind in "iuf"
    fitting = (_fitting(table, 0) or _fitting(table, how.most_bad(len(table)))) if in_kind else []
    if len(fitting) != 1:
        which = "more than one order" if fitting else "no order"
        raise RecordingError(
            f"{source}: {which} of columns fits ({', '.join(fitting or ORDERS)}): times do not decrease, polarities "
            "are 0 and 1, or -1 and 1; name the columns, e.g. np.savez(FILE, t=t, x=x, y=y, p=p), t in µs"
        )
    return fitting[0]


def _fitting(table: NDArray[Any], most: int) -> list[str]:
    """The orders in which no more than ``most`` places, and as many polarities, are none."""
    num_falls = [np.count_nonzero(table[1:, i] < table[:-1, i]) for i in range(4)]
    fits = {"t": {i for i in range(4) if num_falls[i] <= max(most, len(table) // 100)}}
    for name, convert in (("x", _place), ("y", _place), ("p", _polarity)):
        fits[name] = {i for i in range(4) if _num_wrong(convert, table[:, i]) <= most}
    return [order for order in ORDERS if all(i in fits[name] for i, name in enumerate(order))]


def _num_wrong(
    convert: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[np.bool_] | None]], values: NDArray[Any]
) -> int:
    wrong = convert(values)[1]
    return 0 if wrong is None else int(np.count_nonzero(wrong))


def check_seconds(events: Events, source: str) -> None:
    """Refuse times that were taken for seconds and cannot have been, since they span more than a day.

    Raises:
        RecordingError: they do.
    """
    if len(events) and int(events["t"][-1]) - int(events["t"][0]) > MAX_SECONDS * 1_000_000:
        first, last = int(events["t"][0]) / 1e6, int(events["t"][-1]) / 1e6
        raise RecordingError(
            f"{source}: times that are no integers are taken for seconds, and these run from {first} s to {last} s; if "
            "they are µs, write them as integers or say --time-unit us"
        )
