"""The compiled loops over events. Only this module and ``simulate`` need numba; import it where a loop is run.

Loops are compiled on first use, kept beside the module (or in ``NUMBA_CACHE_DIR``), and release the GIL. Indices
are unsigned: numba then leaves out what it does for negative ones, and the loops run twice as fast.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def accumulate(
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
    edges: NDArray[np.int64],
    sensor: tuple[int, int],
    bins: NDArray[np.uint32],
    weights: NDArray[np.uint32],
    sums: NDArray[np.unsignedinteger],
) -> int:
    """Add each event's weights to the bins that its pixel feeds; see ``rasterize._accumulate_numpy``."""
    width, height = uint64(sensor[0]), uint64(sensor[1])
    plane = uint64(sums.shape[1] // 2)
    for j in range(sums.shape[0]):
        for k in range(bins.shape[0]):
            slice_sums, pixel_bins, pixel_weights = sums[j], bins[k], weights[k]
            for i in range(uint64(edges[j]), uint64(edges[j + 1])):
                column, row = uint64(x[i]), uint64(y[i])
                if column >= width or row >= height:
                    return i
                pixel = row * width + column
                slice_sums[plane * uint64(p[i]) + pixel_bins[pixel]] += pixel_weights[pixel]
    return -1


@njit(cache=True, nogil=True)
def decode_dvs128(
    words: NDArray[np.uint32],
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> tuple[int, int]:
    """Decode the records of an AEDAT-2.0 file, read as little-endian words ``[2N]``, into columns ``[N]``.

    Stops at a record whose address has more than 16 bits or whose time runs backwards, except where the clock
    wraps at 2³². External events (bit 15) are left out.

    Returns:
        The number of events written, and the index of the record at fault, -1 if there is none.
    """
    num_events = uint64(0)
    latest, epoch = np.int64(0), np.int64(0)
    for i in range(uint64(len(words)) // uint64(2)):
        address = _swapped(words[uint64(2) * i])
        if address >> uint32(16):
            return num_events, i
        if address & uint32(0x8000):
            continue
        now = epoch + np.int64(_swapped(words[uint64(2) * i + uint64(1)]))
        if now < latest:
            if latest - now <= 1 << 31:
                return num_events, i
            epoch += 1 << 32
            now += 1 << 32
        latest = now
        t[num_events] = now
        x[num_events] = uint32(127) - (address >> uint32(1) & uint32(127))
        y[num_events] = uint32(127) - (address >> uint32(8) & uint32(127))
        p[num_events] = address & uint32(1) == 0
        num_events += uint64(1)
    return num_events, -1


@njit(cache=True, nogil=True, inline="always")
def _swapped(word: np.uint32) -> np.uint32:
    """The word with its four bytes in the other order; compiles to one instruction."""
    ends = word << uint32(24) | word >> uint32(24)
    return uint32(ends | (word & uint32(0xFF00)) << uint32(8) | word >> uint32(8) & uint32(0xFF00))  # type: ignore[no-any-return]
