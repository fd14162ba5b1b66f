"""Events as they lie in memory or in a file: records of one size, each read as one word.

Decoding a record to (t, x, y, p) only to look its pixel up in a table is work that the table can do: it is indexed
by the bits of the record itself. So frames are made from the bytes of a file in two passes without a temporary:
``Records.clean_span_us`` checks every record, ``kernels.raster.accumulate`` adds it to its bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from preprocessing.events.array import Events, address_words, as_events
from preprocessing.events.clock import following

Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]
"""Columns x, y and p."""


@dataclass(frozen=True)
class Field:
    """Some bits of a word, moved to where they are wanted: ``word >> shift & mask``."""

    shift: int
    mask: int


@dataclass(frozen=True)
class Clock:
    """Where a record keeps its time in µs: in the word, with its bytes in the other order if ``swapped``."""

    swapped: bool
    bits: Field


@dataclass(frozen=True)
class Layout:
    """Where records of one size keep what they tell.

    The eight bytes from a record's first one on are read as a little-endian word. Its address, which is an index
    into a table of all addresses, is put together from one or three fields, in any order of bits.

    Attributes:
        fields: of the address, each moved to its place in it.
        address_bits: all addresses are below 2 to this power.
        places: columns (x, y, p) of addresses ``[N]``; x and y may lie outside the sensor.
        unset: bits of a word that are zero in every event.
        x: column, and its limit.
        y: row, and its limit. Together they tell events outside the sensor where ``places`` and ``unset`` cannot.
        clock: None where times are known to be in order.
    """

    fields: tuple[Field, ...]
    address_bits: int
    places: Callable[[NDArray[np.int64]], Places]
    unset: int = 0
    x: tuple[Field, int] = (Field(0, 0), 1)
    y: tuple[Field, int] = (Field(0, 0), 1)
    clock: Clock | None = None


@dataclass(frozen=True)
class Records:
    """Events in records of one size.

    Attributes:
        words: ``[N]``, a view with a step of the record's size.
        layout: where a word keeps what it tells.
        known_times: times ``[N]`` in µs where the words don't hold them.
    """

    words: NDArray[np.uint64]
    layout: Layout
    known_times: NDArray[np.int64] | None = None

    @classmethod
    def from_bytes(cls, data: bytes, start: int, record_bytes: int, layout: Layout) -> Records:
        """The records of a file from byte ``start`` on; its length is a whole number of them."""
        num_records = (len(data) - start) // record_bytes
        beyond = start + (num_records - 1) * record_bytes + 8 - len(data)
        if beyond > 0:
            data += bytes(beyond)  # a word reaches beyond a shorter record
        return cls(np.ndarray(num_records, "<u8", data, start, (record_bytes,)), layout)

    @classmethod
    def from_events(cls, events: Events, sensor: tuple[int, int]) -> Records:
        """An event array of a camera as records; times are taken as they are."""
        events = as_events(events)
        return cls(address_words(events), event_layout(sensor), events["t"])

    def stretches(self, starts: Sequence[int]) -> list[Records]:
        """The parts that begin with the events ``starts``, and the first one before them."""
        if not starts:
            return [self]
        edges = [0, *starts, len(self)]
        return [self[start:stop] for start, stop in pairwise(edges)]

    @classmethod
    def joined(cls, stretches: Sequence[Records]) -> Records:
        """Stretches of one recording, with the times that ``array.joined`` gives them."""
        stretches = [stretch for stretch in stretches if len(stretch)] or [*stretches[:1]]
        if len(stretches) == 1:
            return stretches[0]
        t = np.concatenate([np.asarray(stretch.t) for stretch in stretches])
        starts = np.cumsum([len(stretch) for stretch in stretches])[:-1].tolist()
        words = np.concatenate([stretch.words for stretch in stretches])
        return cls(words, stretches[0].layout, following(t, starts))

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, part: slice | NDArray[np.integer]) -> Records:
        known = None if self.known_times is None else self.known_times[part]
        return Records(self.words[part], self.layout, known)

    @property
    def t(self) -> RecordTimes:
        """Times ``[N]`` in µs, made when they are asked for."""
        return RecordTimes(self)

    def columns(self) -> Places:
        """Columns x, y and p ``[N]``; x and y may lie outside the sensor."""
        address = np.zeros(len(self), np.uint64)
        for field in self.layout.fields:
            address |= self.words >> np.uint64(field.shift) & np.uint64(field.mask)
        return self.layout.places(address.astype(np.int64))

    @property
    def duration_us(self) -> int:
        """Time from the first to the last event, µs."""
        return int(np.ptp(np.asarray(self[:: len(self) - 1].t))) if len(self) > 1 else 0

    def clean_span_us(self) -> int | None:
        """Time from the first to the last record, µs, if all are events inside the sensor whose times don't decrease.

        If not, ``readers.decode_recording`` says what is wrong, or does what is needed: drops records that are no
        events, follows a clock that wraps, puts late events in order.
        """
        from preprocessing.kernels.raster import clean_span

        if not len(self):
            return None
        layout, clock = self.layout, self.layout.clock or Clock(False, Field(0, 0))
        x, y = ((field.shift, field.mask, limit) for field, limit in (layout.x, layout.y))
        time = (clock.bits.shift, clock.bits.mask)
        span_us = clean_span(self.words, clock.swapped, time, np.uint64(layout.unset), x, y)
        return None if span_us < 0 else int(span_us)


@dataclass(frozen=True)
class RecordTimes:
    """Times ``[N]`` of records, as ``slicing.Times``."""

    records: Records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, part: slice | NDArray[np.integer]) -> NDArray[np.int64]:
        return np.asarray(self.records[part].t)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.int64]:
        from preprocessing.kernels.raster import times

        known, clock = self.records.known_times, self.records.layout.clock
        if known is not None:
            return known
        assert clock is not None
        found: NDArray[np.int64] = times(self.records.words, clock.swapped, clock.bits.shift, clock.bits.mask)
        return found


@lru_cache(maxsize=16)
def event_layout(sensor: tuple[int, int]) -> Layout:
    """The layout of ``events.address_words``; an address is x, then y, then p, from the lowest bit."""
    x_bits, y_bits = ((side - 1).bit_length() for side in sensor)
    fields = (
        Field(24, (1 << x_bits) - 1),
        Field(40 - x_bits, (1 << y_bits) - 1 << x_bits),
        Field(56 - x_bits - y_bits, 1 << x_bits + y_bits),
    )
    x, y = (Field(24, 0xFFFF), sensor[0]), (Field(40, 0xFFFF), sensor[1])
    return Layout(fields, x_bits + y_bits + 1, partial(places, x_bits, y_bits), x=x, y=y)


def places(x_bits: int, y_bits: int, address: NDArray[np.int64]) -> Places:
    """Columns of addresses that hold x, y and p (1 = ON) from the lowest bit on."""
    y = address >> x_bits & (1 << y_bits) - 1
    return address & (1 << x_bits) - 1, y, address >> x_bits + y_bits != 0
