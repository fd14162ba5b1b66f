"""Events kept as four columns, under the names and in the units that people give them: text, HDF5 and NumPy files.

Times are µs where they are whole numbers and seconds where they are not. Polarities are 0 and 1, or −1 and 1, which
may be stored as the largest number of an unsigned type; 1 is ON. Whole numbers may be stored as floats.
Nobody but the writer knows which way the axes run: the origin is taken to be top left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import EVENT_DTYPE, Events, RecordingError

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
    """The name of each of t, x, y and p among ``names``; None unless each is there just once."""
    found = [(field, name) for name in names if (field := field_of(name))]
    return dict(found) if sorted(field for field, _ in found) == sorted(FIELDS) else None


def pack(blocks: Iterable[Mapping[str, NDArray[Any]]], num_events: int, source: str) -> Events:
    """Put blocks of columns t, x, y and p together to ``num_events`` events.

    Raises:
        RecordingError: a column is not of numbers of its kind, or holds one that an event cannot.
    """
    events = np.empty(num_events, EVENT_DTYPE)
    polarities: set[int] = set()
    in_seconds = False
    start = 0
    for block in _whole_times(blocks):
        part = events[start : start + len(block["t"])]
        in_seconds |= block["t"].dtype.kind == "f"
        part["t"] = _checked(block["t"], start, source, "t", _microseconds)
        part["x"] = _checked(block["x"], start, source, "x", _place)
        part["y"] = _checked(block["y"], start, source, "y", _place)
        part["p"] = _checked(block["p"], start, source, "p", _polarity)
        polarities |= {0} if (block["p"] == 0).any() else set()
        polarities |= {-1} if _are_minus_one(block["p"]).any() else set()
        start += len(part)
    if len(polarities) == 2:
        raise RecordingError(f"{source}: holds the polarities -1 and 0; expected 0 and 1, or -1 and 1")
    if in_seconds:
        check_seconds(events, source)
    return events


def _checked(
    values: NDArray[Any],
    start: int,
    source: str,
    field: str,
    convert: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[np.bool_] | None]],
) -> NDArray[Any]:
    """What ``convert`` makes of a block of a column; its second result says where it cannot."""
    kinds = "iuf" if field == "t" else "iufb"
    if values.dtype.kind not in kinds:
        expected = "integers (µs) or floats (s)" if field == "t" else "whole numbers"
        raise RecordingError(f"{source}: {field} is of {values.dtype}; expected {expected}")
    converted, wrong = convert(values)
    if wrong is not None and wrong.any():
        at = int(wrong.argmax())
        raise RecordingError(f"{source}: event {start + at} has {field} = {values[at]}, which no event can have")
    return converted


@np.errstate(over="ignore", invalid="ignore")
def _microseconds(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    if values.dtype.kind == "f":
        rounded = np.rint(values.astype(np.float64) * 1e6)
        wrong = ~(np.abs(rounded) < 2.0**63)  # so that NaN is wrong, too
        return np.where(wrong, 0, rounded).astype(np.int64), wrong
    return values, values > 2**63 - 1 if values.dtype == np.uint64 else None


def _whole_times(blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The blocks; times that are stored as floats, but are whole numbers throughout the first block, as integers.

    Programs that know floats alone write µs so; seconds that are all whole are of no camera.
    """
    are_whole = None
    for block in blocks:
        t = block["t"]
        if are_whole is None and len(t):
            are_whole = t.dtype.kind == "f" and _are_whole(t)
        rounded = are_whole and t.dtype.kind == "f" and bool((np.abs(t) < 2.0**63).all())
        yield {**block, "t": np.rint(t).astype(np.int64)} if rounded else block


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


def order_of(table: NDArray[Any], source: str) -> str:
    """The only one of ``ORDERS`` that the columns of a table ``[N, 4]`` can have.

    Times do not decrease, but for one in a hundred; polarities are 0 and 1, or −1 and 1; places are whole numbers.

    Raises:
        RecordingError: none fits, or more than one.
    """
    in_kind = table.dtype.kind in "iuf"
    rises = {i for i in range(4) if in_kind and np.count_nonzero(table[1:, i] < table[:-1, i]) <= len(table) // 100}
    wrong = {"p": _polarity, "x": _place, "y": _place}
    fits = {name: {i for i in range(4) if in_kind and _none_wrong(wrong[name], table[:, i])} for name in wrong}
    fits["t"] = rises
    fitting = [order for order in ORDERS if all(i in fits[name] for i, name in enumerate(order))]
    if len(fitting) != 1:
        which = "more than one order" if fitting else "no order"
        raise RecordingError(
            f"{source}: {which} of columns fits ({', '.join(fitting or ORDERS)}): times do not decrease, polarities "
            "are 0 and 1, or -1 and 1; name the columns, e.g. np.savez(FILE, t=t, x=x, y=y, p=p), t in µs"
        )
    return fitting[0]


def _none_wrong(
    convert: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[np.bool_] | None]], values: NDArray[Any]
) -> bool:
    wrong = convert(values)[1]
    return wrong is None or not wrong.any()


def check_seconds(events: Events, source: str) -> None:
    """Refuse times that were taken for seconds and cannot have been, since they span more than a day.

    Raises:
        RecordingError: they do.
    """
    if len(events) and int(events["t"][-1]) - int(events["t"][0]) > MAX_SECONDS * 1_000_000:
        first, last = int(events["t"][0]) / 1e6, int(events["t"][-1]) / 1e6
        raise RecordingError(
            f"{source}: times that are no integers are taken for seconds, and these run from {first} s to {last} s; if "
            "they are µs, write them as integers"
        )
