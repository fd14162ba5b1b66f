"""From events to those that pass a filter.

All loops take an event as its time and as ``events.address_words`` gives the rest, write each to the next free place
of the output, and move on only behind one that passes: a copy costs less than a branch that is often mispredicted.
They return how many passed, or −1 − i for an event i outside the sensor. What pixels remember, zero at first, is
given and changed, so that a stream may come in packets; their times count from its first event.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def refractory(
    times: NDArray[np.int64],
    addresses: NDArray[np.uint64],
    sensor: tuple[int, int],
    period: int,
    first: int,
    memory: NDArray[np.uint64],
    kept_times: NDArray[np.int64],
    kept_addresses: NDArray[np.uint64],
) -> int:
    """See ``filters.Refractory``; ``memory`` ``[width·height]`` is when a pixel may fire again."""
    width, height = uint64(sensor[0]), uint64(sensor[1])
    num = 0
    for i in range(len(times)):
        time, word = times[uint64(i)], addresses[uint64(i)]
        x, y = word >> uint64(24) & uint64(0xFFFF), word >> uint64(40) & uint64(0xFFFF)
        if x >= width or y >= height:
            return -1 - i
        pixel = y * width + x
        now = uint64(time) - uint64(first)
        passes = now >= memory[pixel]
        memory[pixel] = now + uint64(period) if passes else memory[pixel]
        kept_times[uint64(num)] = time
        kept_addresses[uint64(num)] = word
        num += passes
    return num


@njit(cache=True, nogil=True)
def supported(
    times: NDArray[np.int64],
    addresses: NDArray[np.uint64],
    sensor: tuple[int, int],
    support: int,
    first: int,
    memory: NDArray[np.uint64],
    kept_times: NDArray[np.int64],
    kept_addresses: NDArray[np.uint64],
) -> int:
    """See ``filters.Noise``; ``memory`` ``[(width + 2)·(height + 2)]`` is how long a pixel supports its neighbours.

    A frame of pixels around the sensor, which never fire, stands in for the border.
    """
    width, height = uint64(sensor[0]), uint64(sensor[1])
    row = width + uint64(2)
    num = 0
    for i in range(len(times)):
        time, word = times[uint64(i)], addresses[uint64(i)]
        x, y = word >> uint64(24) & uint64(0xFFFF), word >> uint64(40) & uint64(0xFFFF)
        if x >= width or y >= height:
            return -1 - i
        above = y * row + x
        beside = above + row
        below = beside + row
        latest = max(memory[above], memory[above + uint64(1)])
        latest = max(latest, memory[above + uint64(2)])
        latest = max(latest, memory[beside])
        latest = max(latest, memory[beside + uint64(2)])
        latest = max(latest, memory[below])
        latest = max(latest, memory[below + uint64(1)])
        latest = max(latest, memory[below + uint64(2)])
        now = uint64(time) - uint64(first)
        memory[beside + uint64(1)] = now + uint64(support)
        kept_times[uint64(num)] = time
        kept_addresses[uint64(num)] = word
        num += latest > now
    return num


@njit(cache=True, nogil=True)
def count(addresses: NDArray[np.uint64], sensor: tuple[int, int], counts: NDArray[np.int64]) -> int:
    """Add to ``counts`` ``[width·height]`` the events of each pixel, row by row; see ``filters.count_image``."""
    width, height = uint64(sensor[0]), uint64(sensor[1])
    for i in range(len(addresses)):
        word = addresses[uint64(i)]
        x, y = word >> uint64(24) & uint64(0xFFFF), word >> uint64(40) & uint64(0xFFFF)
        if x >= width or y >= height:
            return -1 - i
        counts[y * width + x] += 1
    return len(addresses)


@njit(cache=True, nogil=True)
def selected(
    times: NDArray[np.int64],
    addresses: NDArray[np.uint64],
    sensor: tuple[int, int],
    pixels: NDArray[np.bool_],
    kept_times: NDArray[np.int64],
    kept_addresses: NDArray[np.uint64],
) -> int:
    """Keep the events of the ``pixels`` ``[width·height]`` that are True; all events must lie on the sensor."""
    width = uint64(sensor[0])
    num = 0
    for i in range(len(times)):
        word = addresses[uint64(i)]
        pixel = (word >> uint64(40) & uint64(0xFFFF)) * width + (word >> uint64(24) & uint64(0xFFFF))
        kept_times[uint64(num)] = times[uint64(i)]
        kept_addresses[uint64(num)] = word
        num += pixels[pixel]
    return num
