"""The pixels of the simulated camera."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

_LINE = 16  # float32 values in a cache line


@njit(cache=True, nogil=True)
def watch(
    scene: NDArray[np.float32],
    places: NDArray[np.float64],
    num_rounds: int,
    step_us: int,
    refractory_us: int,
    thresholds: NDArray[np.float32],
    memory: NDArray[np.float32],
    keys: NDArray[np.int64],
) -> int:
    """Lead every pixel along the path over the scene; see ``simulate._watch_numpy``.

    Pixels are independent, so each goes through the whole recording before the next one starts: its state stays
    in registers, the light of a round is computed once, and a pixel that it never moves far enough is done.

    Args:
        scene: log light.
        places: of the sensor's corner in it, at every step of one round.
        num_rounds: how often the path is walked.
        step_us: duration of a step; the light is linear in between.
        refractory_us: how long a pixel is blind after an event.
        thresholds: OFF and ON ``[2, H, W]``.
        memory: what the pixels remember at the start, relative to the light there ``[H, W]``.
        keys: room for events ``t << 15 | y << 8 | x << 1 | p``, pixel by pixel; what doesn't fit is counted only.

    Returns:
        The number of events.
    """
    height, width = memory.shape
    # one cache line more than a row: at a power of two, all steps of a pixel would compete for few cache sets
    seen = np.empty((len(places), width + _LINE), np.float32)
    light = np.empty(len(places), np.float32)
    low, high = np.empty(width, np.float32), np.empty(width, np.float32)
    crossed = np.empty(width, np.uint32)
    count = 0
    for y in range(height):
        off, on = thresholds[0, y], thresholds[1, y]
        for k in range(len(places)):
            _look(scene, places[k], y, seen[k, :width])
        for x in range(width):
            start = seen[0, x] + memory[y, x]
            low[x], high[x], crossed[x] = start - off[x], start + on[x], 0
        for k in range(len(places)):
            _mark_crossed(seen[k], low, high, crossed)
        for x in range(width):
            if crossed[x]:
                for k in range(len(places)):
                    light[uint64(k)] = seen[uint64(k), uint64(x)]
                pixel, levels = (y << 8 | x << 1, off[x], on[x]), (low[x], high[x])
                count = _walk(light, num_rounds, step_us, refractory_us, pixel, levels, keys, count)
    return count


@njit(cache=True, nogil=True)
def _walk(
    light: NDArray[np.float32],
    num_rounds: int,
    step_us: int,
    refractory_us: int,
    pixel: tuple[int, np.float32, np.float32],
    levels: tuple[np.float32, np.float32],
    keys: NDArray[np.int64],
    count: int,
) -> int:
    """One pixel's events, from its ``light`` at every step of a round and the first OFF and ON ``levels``."""
    address, off, on = pixel
    low, high = levels
    refractory = refractory_us / step_us
    period = uint64(len(light) - 1)
    num_steps = period * uint64(num_rounds)
    k = j = uint64(0)  # the step, in the recording and in its round
    while k < num_steps:
        before, after = light[j], light[j + uint64(1)]
        if low < after < high:
            k += uint64(1)
            j += uint64(1)
            if j == period:
                j = uint64(0)
            continue
        brighter = after >= high
        level = high if brighter else low
        part = (level - before) / (after - before)
        if count < len(keys):
            keys[uint64(count)] = int((np.int64(k) + part) * step_us) << 15 | address | brighter
        count += 1
        if refractory > 0:
            end = part + refractory
            if end >= 1.0:
                skipped = np.int64(end)
                k += uint64(skipped)
                j += uint64(skipped)
                while j >= period:
                    j -= period
                end -= skipped
                before, after = light[j], light[j + uint64(1)]
            level = before + np.float32(end) * (after - before)
        low, high = level - off, level + on
    return count


@njit(cache=True, nogil=True)
def _look(scene: NDArray[np.float32], place: NDArray[np.float64], y: int, light: NDArray[np.float32]) -> None:
    """What row ``y`` of the sensor sees with its corner at ``place``: the scene, bilinear between its pixels."""
    top, left = int(place[0]), int(place[1])
    down, right = np.float32(place[0] - top), np.float32(place[1] - left)
    up, across = np.float32(1) - down, np.float32(1) - right
    width = len(light)
    upper, lower = scene[top + y, left : left + width + 1], scene[top + y + 1, left : left + width + 1]
    for x in range(width):
        light[x] = up * (across * upper[x] + right * upper[x + 1]) + down * (across * lower[x] + right * lower[x + 1])


@njit(cache=True, nogil=True)
def _mark_crossed(
    light: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32], crossed: NDArray[np.uint32]
) -> None:
    """Note the pixels of a row that have an event in this light. The loop compiles to vector instructions."""
    for x in range(len(low)):
        crossed[x] |= (light[x] >= high[x]) | (light[x] <= low[x])


@njit(cache=True, nogil=True)
def split_keys(
    keys: NDArray[np.int64],
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> None:
    """Take keys ``[N]`` apart into columns ``[N]``."""
    for i in range(len(keys)):
        key = keys[uint64(i)]
        t[uint64(i)], x[uint64(i)], y[uint64(i)] = key >> 15, key >> 1 & 127, key >> 8 & 127
        p[uint64(i)] = key & 1 == 1
