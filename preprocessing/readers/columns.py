"""Events kept as four columns, under the names and in the units that people give them: text, HDF5 and NumPy files.

Times are µs where they are integers and seconds where they are not. Polarities are 0 and 1, or −1 and 1; 1 is ON.
Nobody but the writer knows which way the axes run: the origin is taken to be top left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    for block in blocks:
        part = events[start : start + len(block["t"])]
        in_seconds |= block["t"].dtype.kind == "f"
        part["t"] = _checked(block["t"], start, source, "t", _microseconds)
        part["x"] = _checked(block["x"], start, source, "x", _place)
        part["y"] = _checked(block["y"], start, source, "y", _place)
        part["p"] = _checked(block["p"], start, source, "p", _polarity)
        polarities |= {value for value in (-1, 0) if (block["p"] == value).any()}
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
    kinds = "iuf" if field == "t" else "iub"
    if values.dtype.kind not in kinds:
        expected = "integers (µs) or floats (s)" if field == "t" else "integers"
        raise RecordingError(f"{source}: {field} is of {values.dtype}; expected {expected}")
    converted, wrong = convert(values)
    if wrong is not None and wrong.any():
        at = int(wrong.argmax())
        raise RecordingError(f"{source}: event {start + at} has {field} = {values[at]}, which no event can have")
    return converted


def _microseconds(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    if values.dtype.kind == "f":
        rounded = np.rint(values.astype(np.float64) * 1e6)
        wrong = ~(np.abs(rounded) < 2.0**63)  # so that NaN is wrong, too
        return np.where(wrong, 0, rounded).astype(np.int64), wrong
    return values, values > 2**63 - 1 if values.dtype == np.uint64 else None


def _place(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    fits = values.dtype.kind == "b" or values.dtype in (np.uint8, np.uint16)
    return values, None if fits else (values < 0) | (values > 0xFFFF)


def _polarity(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    return values == 1, None if values.dtype.kind == "b" else (values < -1) | (values > 1)


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
