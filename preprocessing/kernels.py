"""The compiled loops over events; the only module here that needs numba, imported where a loop is run.

Compiled once per machine and kept beside the module (or in ``NUMBA_CACHE_DIR``). They release the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def accumulate(
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
    edges: NDArray[np.int64],
    width: int,
    height: int,
    bins: NDArray[np.uint32],
    weights: NDArray[np.uint32],
    sums: NDArray[np.uint32],
) -> int:
    """Add each event's weights to the bins that its pixel feeds; see ``rasterize._accumulate_numpy``."""
    plane = sums.shape[1] // 2
    for j in range(sums.shape[0]):
        for i in range(edges[j], edges[j + 1]):
            if x[i] >= width or y[i] >= height:
                return i
            pixel = y[i] * width + x[i]
            for k in range(bins.shape[1]):
                sums[j, plane * p[i] + bins[pixel, k]] += weights[pixel, k]
    return -1
