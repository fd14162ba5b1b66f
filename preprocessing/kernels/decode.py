"""From the words of a file to events."""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64
from numpy.typing import NDArray

_SWAPPED_NO_EVENT = np.uint32(0x00040080)  # bits 31 and 10 of a DAVIS's address, in a word read as little-endian


@njit(cache=True, nogil=True)
def dvs128(
    words: NDArray[np.uint32],
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> None:
    """Decode AEDAT-2.0 records, read as little-endian words ``[2N]``, into columns ``[N]``.

    A time that is more than 2³¹ µs below the one before it means that the clock, of 32 bits, has wrapped.
    """
    last = uint32(0)
    epoch = np.int64(0)
    for i in range(len(words) // 2):
        record = uint64(i)
        address = swapped(words[uint64(2) * record])
        time = swapped(words[uint64(2) * record + uint64(1)])
        epoch += wrapped(time, last)
        last = time
        t[record] = epoch + np.int64(time)
        x[record] = uint32(127) - (address >> uint32(1) & uint32(127))
        y[record] = uint32(127) - (address >> uint32(8) & uint32(127))
        p[record] = address & uint32(1) == 0


@njit(cache=True, nogil=True)
def count_davis(words: NDArray[np.uint32]) -> int:
    """How many of a DAVIS's records, words ``[2N]`` as for ``dvs128``, are polarity events."""
    count = 0
    for i in range(len(words) // 2):
        count += words[uint64(2) * uint64(i)] & _SWAPPED_NO_EVENT == 0
    return count


@njit(cache=True, nogil=True)
def davis(
    words: NDArray[np.uint32],
    sensor: tuple[int, int],
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> tuple[int, int]:
    """Decode the polarity events of a DAVIS's records, words ``[2N]`` as for ``dvs128``, into columns that hold them.

    Returns:
        The first record with an event outside the sensor, −1 if there is none; and the number of events inside.
    """
    width, height = uint32(sensor[0]), uint32(sensor[1])
    last = uint32(0)
    epoch = np.int64(0)
    event = uint64(0)
    first_outside = -1
    for i in range(len(words) // 2):
        record = uint64(i)
        if words[uint64(2) * record] & _SWAPPED_NO_EVENT:
            continue
        address = swapped(words[uint64(2) * record])
        time = swapped(words[uint64(2) * record + uint64(1)])
        column, row = address >> uint32(12) & uint32(0x3FF), address >> uint32(22) & uint32(0x1FF)
        if column >= width or row >= height:
            first_outside = i if first_outside < 0 else first_outside
            continue
        epoch += wrapped(time, last)
        last = time
        t[event] = epoch + np.int64(time)
        x[event], y[event] = width - uint32(1) - column, height - uint32(1) - row
        p[event] = address & uint32(1 << 11) != 0
        event += uint64(1)
    return first_outside, int(event)


@njit(cache=True, nogil=True)
def aedat4(
    words: NDArray[np.uint64],
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> None:
    """Decode the events of an AEDAT-4.0 packet, words ``[2N]``, into columns ``[N]``."""
    for i in range(len(words) // 2):
        event = uint64(i)
        place = words[uint64(2) * event + uint64(1)]
        t[event] = np.int64(words[uint64(2) * event])
        x[event], y[event] = place & uint64(0xFFFF), place >> uint64(16) & uint64(0xFFFF)
        p[event] = place & uint64(0xFF << 32) != 0


@njit(cache=True, nogil=True, inline="always")
def wrapped(time: np.uint32, last: np.uint32) -> np.int64:
    """What to add to the times from here on: 2³² where the clock, of 32 bits, has wrapped, else 0."""
    return np.int64(1 << 32) if time < last and last - time > uint32(1 << 31) else np.int64(0)


@njit(cache=True, nogil=True, inline="always")
def swapped(word: np.uint32) -> np.uint32:
    """The word with its four bytes in the other order; compiles to one instruction."""
    high = word << uint32(24) | (word & uint32(0xFF00)) << uint32(8)
    low = word >> uint32(8) & uint32(0xFF00) | word >> uint32(24)
    return uint32(high | low)
