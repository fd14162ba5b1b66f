"""From events to sums per bin."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
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
            for i in range(edges[j], edges[j + 1]):
                word = addresses[uint64(i)]
                x, y = word >> uint64(24) & uint64(0xFFFF), word >> uint64(40) & uint64(0xFFFF)
                if x >= width or y >= height:
                    return i
                pixel = y * width + x
                channel = plane * uint64(word >> uint64(56) != 0)
                slice_sums[channel + pixel_bins[pixel]] += pixel_weights[pixel]
    return -1
