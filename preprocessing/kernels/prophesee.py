"""From the words of Prophesee's formats to events.

The loops over RAW words run twice: without room for events they count, with room for all of them they fill it. What
words say of those behind them, they take from ``state`` and leave there, -1 where nothing was said yet: so the words
may come in parts.
An event is written as its time and as ``events.address_words`` gives the rest: two stores instead of four.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64
from numpy.typing import NDArray

_LOW_BITS = 6  # of the time, in EVT 2 events
_HIGH_BITS = 28  # of the time, in a TIME_HIGH of EVT 2


@njit(cache=True, nogil=True)
def dat(words: NDArray[np.uint32], t: NDArray[np.int64], address: NDArray[np.uint64]) -> np.uint32:
    """Decode DAT records, words ``[2N]``, into ``[N]`` events; returns the address words OR-ed.

    A time that is more than 2³¹ µs below the one before it means that the clock, of 32 bits, has wrapped.
    """
    last, used = uint32(0), uint32(0)
    epoch = np.int64(0)
    for i in range(len(words) // 2):
        record = uint64(i)
        time, place = words[uint64(2) * record], words[uint64(2) * record + uint64(1)]
        if time < last and last - time > uint32(1 << 31):
            epoch += 1 << 32
        last = time
        used |= place
        x, y = place & uint32(0x3FFF), place >> uint32(14) & uint32(0x3FFF)
        put(t, address, record, epoch + np.int64(time), x, y, place >> uint32(28) & uint32(1))
    return used


@njit(cache=True, nogil=True)
def evt2(
    words: NDArray[np.uint32], state: NDArray[np.int64], t: NDArray[np.int64], address: NDArray[np.uint64]
) -> tuple[np.uint64, int]:
    """Decode EVT 2.0 words ``[N]``; returns the number of events and that of special words.

    ``state``: the high part of the time.
    """
    room, num_events, num_special = uint64(len(t)), uint64(0), 0
    high = state[0]
    for i in range(len(words)):
        word = words[uint64(i)]
        kind = word >> uint32(28)
        if kind <= 1 and high >= 0:
            if num_events < room:
                time = high << _LOW_BITS | np.int64(word >> uint32(22) & uint32(0x3F))
                x, y = word >> uint32(11) & uint32(0x7FF), word & uint32(0x7FF)
                put(t, address, num_events, time, x, y, kind)
            num_events += uint64(1)
        elif kind == 8:
            high = _advanced(high, np.int64(word & uint32(0xFFFFFFF)), _HIGH_BITS)
        else:
            num_special += 1
    state[0] = high
    return num_events, num_special


@njit(cache=True, nogil=True)
def evt21(
    words: NDArray[np.uint32], state: NDArray[np.int64], t: NDArray[np.int64], address: NDArray[np.uint64]
) -> tuple[np.uint64, int]:
    """Decode EVT 2.1 words ``[N, 2]``, low half first; returns the number of events and that of special words.

    ``state``: the high part of the time.
    """
    room, num_events, num_special = uint64(len(t)), uint64(0), 0
    high = state[0]
    for i in range(len(words)):
        valid, word = words[uint64(i), 0], words[uint64(i), 1]
        kind = word >> uint32(28)
        if kind <= 1 and high >= 0:
            time = high << _LOW_BITS | np.int64(word >> uint32(22) & uint32(0x3F))
            x, y = word >> uint32(11) & uint32(0x7FF), word & uint32(0x7FF)
            while valid:
                if valid & uint32(1):
                    if num_events < room:
                        put(t, address, num_events, time, x, y, kind)
                    num_events += uint64(1)
                valid >>= uint32(1)
                x += uint32(1)
        elif kind == 8:
            high = _advanced(high, np.int64(word & uint32(0xFFFFFFF)), _HIGH_BITS)
        else:
            num_special += 1
    state[0] = high
    return num_events, num_special


@njit(cache=True, nogil=True)
def evt3(  # noqa: PLR0912
    words: NDArray[np.uint16], state: NDArray[np.int64], t: NDArray[np.int64], address: NDArray[np.uint64]
) -> tuple[np.uint64, int]:
    """Decode EVT 3.0 words ``[N]``; returns the number of events and that of special words.

    ``state``: the high part of the time, the time, the row, and the column and polarity of vectors.
    """
    room, num_events, num_special = uint64(len(t)), uint64(0), 0
    high, time, row, base = state[0], state[1], state[2], state[3]
    polarity = uint32(state[4] & 1)
    for i in range(len(words)):
        word = uint32(words[uint64(i)])
        kind, value = word >> uint32(12), word & uint32(0xFFF)
        if kind == 2 and time >= 0 and row >= 0:  # ADDR_X
            if num_events < room:
                put(t, address, num_events, time, value & uint32(0x7FF), row, value >> uint32(11))
            num_events += uint64(1)
        elif kind <= 1:  # ADDR_Y; bit 11 marks a second camera, type 1 the measurements of light by an ATIS
            row = np.int64(value) if kind == 0 and value < 0x800 else np.int64(-1)
        elif kind == 6:  # TIME_LOW
            if high >= 0:
                time = high << 12 | np.int64(value)
        elif kind == 3:  # VECT_BASE_X
            base, polarity = np.int64(value & uint32(0x7FF)), value >> uint32(11)
        elif (kind == 4 or kind == 5) and base >= 0 and time >= 0 and row >= 0:  # VECT_12, VECT_8  # noqa: PLR1714
            width = 12 if kind == 4 else 8
            valid = value & uint32((1 << width) - 1)
            x = base
            while valid:
                if valid & uint32(1):
                    if num_events < room:
                        put(t, address, num_events, time, x, row, polarity)
                    num_events += uint64(1)
                valid >>= uint32(1)
                x += 1
            if base < 0x800:  # else it stays outside
                base += width
        elif kind == 8:  # TIME_HIGH
            now = _advanced(high, np.int64(value), 12)
            if now != high:
                high, time = now, now << 12  # its TIME_LOW follows
        else:
            num_special += 1
    state[0], state[1], state[2], state[3], state[4] = high, time, row, base, polarity
    return num_events, num_special


@njit(cache=True, nogil=True, inline="always")
def _advanced(high: np.int64, value: np.int64, bits: int) -> np.int64:
    """The high part of the time, -1 before its first word, after one that gives its lowest ``bits``.

    A value lower by half of what these hold, or more, means that they have wrapped, as OpenEB has it for EVT 3.0.
    After a smaller step back the time is earlier.
    """
    if high < 0:
        return value
    loops = high >> bits
    if (high & (1 << bits) - 1) - value >= 1 << (bits - 1):
        loops += 1
    return loops << bits | value


@njit(cache=True, nogil=True, inline="always")
def put(
    t: NDArray[np.int64],
    address: NDArray[np.uint64],
    at: np.uint64,
    time: np.integer,
    x: np.integer,
    y: np.integer,
    p: np.integer,
) -> None:
    """Write event ``at``. The lowest three bytes of its address word are the highest of its time."""
    t[at] = time
    place = uint64(x) << uint64(24) | uint64(y) << uint64(40) | uint64(p) << uint64(56)
    address[at] = place | uint64(time) >> uint64(40)
