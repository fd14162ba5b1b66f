"""The pixels of the simulated camera."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
