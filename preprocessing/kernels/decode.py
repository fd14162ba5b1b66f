"""From the words of a file to events."""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64
from numpy.typing import NDArray


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
        if time < last and last - time > uint32(1 << 31):
            epoch += 1 << 32
        last = time
        t[record] = epoch + np.int64(time)
        x[record] = uint32(127) - (address >> uint32(1) & uint32(127))
        y[record] = uint32(127) - (address >> uint32(8) & uint32(127))
        p[record] = address & uint32(1) == 0


@njit(cache=True, nogil=True, inline="always")
def swapped(word: np.uint32) -> np.uint32:
    """The word with its four bytes in the other order; compiles to one instruction."""
    high = word << uint32(24) | (word & uint32(0xFF00)) << uint32(8)
    low = word >> uint32(8) & uint32(0xFF00) | word >> uint32(24)
    return uint32(high | low)
