"""Events kept as four columns, under the names and in the units that people give them: text, HDF5 and NumPy files.

A time is in the unit that its column or the caller says; else µs where times are integers and seconds where they are
not. Polarities are 0 and 1, or −1 and 1; 1 is ON.
Nobody but the writer knows which way the axes run: the origin is taken to be top left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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

SENSORS = ((34, 34), (128, 128), (240, 180), (304, 240), (346, 260), (640, 480), (1280, 720))
"""(width, height) of N-MNIST, the DVS128, DAVIS240, ATIS, DAVIS346, VGA and HD cameras, the smallest first."""

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
    events = np.empty(num_events, EVENT_DTYPE)
    bad = _Bad(source, num_events)
    polarities: set[int] = set()
    used, resolution_us = unit or "us", 0.0
    for block in blocks:
        part, t = events[bad.start : bad.start + len(block["t"])], block["t"]
        used = "s" if t.dtype.kind == "f" and not unit else used
        part["t"] = bad.checked(t, "t", partial(microseconds, unit=used))
        part["x"] = bad.checked(block["x"], "x", _place)
        part["y"] = bad.checked(block["y"], "y", _place)
        part["p"] = bad.checked(block["p"], "p", _polarity)
        polarities |= {value for value in (-1, 0) if (block["p"] == value).any()}
        resolution_us = max(resolution_us, _resolution_us(t, used))
        bad.start += len(part)
    if len(polarities) == 2:
        raise RecordingError(f"{source}: holds the polarities -1 and 0; expected 0 and 1, or -1 and 1")
    kept = bad.without(events, how)
    if used == "s" and not unit:
        check_seconds(kept, source)
    return Packed(kept, num_events - len(kept), used, resolution_us)


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
    kinds = "iuf" if field == "t" else "iub"
    if values.dtype.kind not in kinds:
        expected = "integers (µs) or floats (s)" if field == "t" else "integers"
        raise RecordingError(f"{source}: {field} is of {values.dtype}; expected {expected}")


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
            "they are µs, write them as integers or say --time-unit us"
        )
