"""The compiled loops over events. Only this module needs numba: it is imported where a loop is run.

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
            for i in range(edges[j], edges[j + 1]):
                word = addresses[uint64(i)]
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
    for i in range(first, num_records):
        record = uint64(i)
        address = _swapped(words[uint64(2) * record])
        time = _swapped(words[uint64(2) * record + uint64(1)])
        if time < latest:
            return i
        latest = time
        t[record] = epoch + np.int64(time)
        x[record] = uint32(127) - (address >> uint32(1) & uint32(127))
        y[record] = uint32(127) - (address >> uint32(8) & uint32(127))
        p[record] = address & uint32(1) == 0
    return num_records


@njit(cache=True, nogil=True, inline="always")
def _swapped(word: np.uint32) -> np.uint32:
    """The word with its four bytes in the other order; compiles to one instruction."""
    high = word << uint32(24) | (word & uint32(0xFF00)) << uint32(8)
    low = word >> uint32(8) & uint32(0xFF00) | word >> uint32(24)
    return uint32(high | low)


@njit(cache=True, nogil=True)
def watch(
    scene: NDArray[np.float32],
    places: NDArray[np.float64],
    step_us: int,
    thresholds: NDArray[np.float32],
    memory: NDArray[np.float32],
    keys: NDArray[np.int64],
) -> int:
    """Move the sensor over the scene and write an event's ``t << 15 | y << 8 | x << 1 | p`` into ``keys``.

    Args:
        scene: log light.
        places: of the sensor's corner in it, at every step.
        step_us: duration of a step.
        thresholds: OFF and ON ``[2, 128, 128]``.
        memory: what the pixels remember at the start, relative to the light there ``[128, 128]``.
        keys: room for events; what doesn't fit is counted only.

    Returns:
        The number of events.
    """
    off, on = thresholds
    before, now = np.empty_like(off), np.empty_like(off)
    _look(scene, places[0], now)
    low, high = now + memory - off, now + memory + on
    count = 0
    for k in range(1, len(places)):
        before, now = now, before
        _look(scene, places[k], now)
        for y in range(now.shape[0]):
            if not _any_crossed(now[y], low[y], high[y]):
                continue
            for x in range(now.shape[1]):
                while now[y, x] >= high[y, x] or now[y, x] <= low[y, x]:
                    brighter = now[y, x] >= high[y, x]
                    level = high[y, x] if brighter else low[y, x]
                    low[y, x], high[y, x] = level - off[y, x], level + on[y, x]
                    if count < len(keys):
                        part = (level - before[y, x]) / (now[y, x] - before[y, x])
                        keys[count] = int((k - 1 + part) * step_us) << 15 | y << 8 | x << 1 | brighter
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _look(scene: NDArray[np.float32], place: NDArray[np.float64], light: NDArray[np.float32]) -> None:
    """What the sensor sees with its corner at ``place``: the scene, bilinear between its pixels."""
    top, left = int(place[0]), int(place[1])
    down, right = np.float32(place[0] - top), np.float32(place[1] - left)
    up, across = np.float32(1) - down, np.float32(1) - right
    width = light.shape[1]
    for y in range(light.shape[0]):
        upper, lower = scene[top + y, left : left + width + 1], scene[top + y + 1, left : left + width + 1]
        for x in range(width):
            light[y, x] = up * (across * upper[x] + right * upper[x + 1]) + down * (
                across * lower[x] + right * lower[x + 1]
            )


@njit(cache=True, nogil=True)
def _any_crossed(light: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]) -> bool:
    """Whether a row has an event. Most have none, and this loop compiles to vector instructions."""
    crossed = False
    for x in range(len(light)):
        crossed |= (light[x] >= high[x]) | (light[x] <= low[x])
    return crossed
