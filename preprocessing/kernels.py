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
    addresses: NDArray[np.uint64],
    edges: NDArray[np.int64],
    sensor: tuple[int, int],
    bins: NDArray[np.uint32],
    weights: NDArray[np.uint32],
    sums: NDArray[np.unsignedinteger],
) -> int:
    """Add each event's weights to the bins that its pixel feeds; see ``rasterize._accumulate_numpy``.

    ``addresses`` as ``events.address_words`` gives them.
    """
    width, height = uint64(sensor[0]), uint64(sensor[1])
    plane = uint64(sums.shape[1] // 2)
    for j in range(sums.shape[0]):
        for k in range(bins.shape[0]):
            slice_sums, pixel_bins, pixel_weights = sums[j], bins[k], weights[k]
            for i in range(uint64(edges[j]), uint64(edges[j + 1])):
                word = addresses[i]
                x, y = word >> uint64(24) & uint64(0xFFFF), word >> uint64(40) & uint64(0xFFFF)
                if x >= width or y >= height:
                    return i
                pixel = y * width + x
                channel = plane * uint64(word >> uint64(56) != 0)
                slice_sums[channel + pixel_bins[pixel]] += pixel_weights[pixel]
    return -1


@njit(cache=True, nogil=True)
def decode_dvs128(
    words: NDArray[np.uint32],
    first: int,
    epoch: int,
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> int:
    """Decode AEDAT-2.0 records, read as little-endian words ``[2N]``, into columns ``[N]``.

    Starts at record ``first``, adds ``epoch`` µs to all times, and stops where time runs backwards.

    Returns:
        The index of the record that is earlier than the one before it, N if there is none.
    """
    num_records = len(words) // 2
    latest = uint32(0)
    for i in range(uint64(first), uint64(num_records)):
        address, time = _swapped(words[uint64(2) * i]), _swapped(words[uint64(2) * i + uint64(1)])
        if time < latest:
            return i
        latest = time
        t[i] = epoch + np.int64(time)
        x[i] = uint32(127) - (address >> uint32(1) & uint32(127))
        y[i] = uint32(127) - (address >> uint32(8) & uint32(127))
        p[i] = address & uint32(1) == 0
    return num_records


@njit(cache=True, nogil=True, inline="always")
def _swapped(word: np.uint32) -> np.uint32:
    """The word with its four bytes in the other order; compiles to one instruction."""
    high = word << uint32(24) | (word & uint32(0xFF00)) << uint32(8)
    low = word >> uint32(8) & uint32(0xFF00) | word >> uint32(24)
    return uint32(high | low)
