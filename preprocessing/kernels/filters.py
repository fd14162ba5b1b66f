"""From events to those that pass a filter.

All loops take an event as its time and as ``events.address_words`` gives the rest, write each to the next free place
of the output, and move on only behind one that passes: a copy costs less than a branch that is often mispredicted.
They return how many passed, or −1 − i for an event i outside the sensor. Times count from the first event.
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
    kept_times: NDArray[np.int64],
    kept_addresses: NDArray[np.uint64],
) -> int:
    """See ``filters.Refractory``."""
    width, height = uint64(sensor[0]), uint64(sensor[1])
    ready = np.zeros(sensor[0] * sensor[1], np.uint64)  # when a pixel may fire again
    first = uint64(times[0]) if len(times) else uint64(0)
    num = 0
    for i in range(len(times)):
        time, word = times[uint64(i)], addresses[uint64(i)]
        x, y = word >> uint64(24) & uint64(0xFFFF), word >> uint64(40) & uint64(0xFFFF)
        if x >= width or y >= height:
            return -1 - i
        pixel = y * width + x
        now = uint64(time) - first
        passes = now >= ready[pixel]
        ready[pixel] = now + uint64(period) if passes else ready[pixel]
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
    kept_times: NDArray[np.int64],
    kept_addresses: NDArray[np.uint64],
) -> int:
    """See ``filters.Noise``. A frame of pixels around the sensor, which never fire, stands in for the border."""
    width, height = uint64(sensor[0]), uint64(sensor[1])
    row = width + uint64(2)
    until = np.zeros((sensor[0] + 2) * (sensor[1] + 2), np.uint64)  # how long a pixel supports its neighbours
    first = uint64(times[0]) if len(times) else uint64(0)
    num = 0
    for i in range(len(times)):
        time, word = times[uint64(i)], addresses[uint64(i)]
        x, y = word >> uint64(24) & uint64(0xFFFF), word >> uint64(40) & uint64(0xFFFF)
        if x >= width or y >= height:
            return -1 - i
        above = y * row + x
        beside = above + row
        below = beside + row
        latest = max(until[above], until[above + uint64(1)])
        latest = max(latest, until[above + uint64(2)])
        latest = max(latest, until[beside])
        latest = max(latest, until[beside + uint64(2)])
        latest = max(latest, until[below])
        latest = max(latest, until[below + uint64(1)])
        latest = max(latest, until[below + uint64(2)])
        now = uint64(time) - first
        until[beside + uint64(1)] = now + uint64(support)
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
