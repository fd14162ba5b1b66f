"""What is wrong with an event array, found in one pass over it without a temporary."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def first_outside(addresses: NDArray[np.uint64], width: int, height: int) -> int:
    """The first event beyond a sensor, -1 if there is none; ``addresses`` as ``events.address_words`` gives them."""
    right, bottom, low_half = uint64(width), uint64(height), uint64(0xFFFF)
    for i in range(len(addresses)):
        word = addresses[uint64(i)]
        if (word >> uint64(24) & low_half) >= right or (word >> uint64(40) & low_half) >= bottom:
            return i
    return -1


@njit(cache=True, nogil=True)
def first_backward(t: NDArray[np.int64]) -> int:
    """The first time below the one before it, -1 if there is none."""
    for i in range(1, len(t)):
        if t[uint64(i)] < t[uint64(i) - uint64(1)]:
            return i
    return -1


IN_TIME, LATE, RESET = 0, 1, 2
"""What can be said of an event; see ``events.clock``."""


@njit(cache=True, nogil=True)
def follow(t: NDArray[np.int64], latest: int, disorder: int, reset: int, verdicts: NDArray[np.uint8]) -> None:
    """Follow a clock by the rule of ``events.clock``.

    Args:
        t: times of the next events ``[N]`` in the order in which they came, µs.
        latest: the latest time before them, of the stretch that they go on with.
        disorder: how far behind an event may lie, µs.
        reset: how far behind it says that the clock was set back, µs.
        verdicts: what each event is, ``[N]``, written.
    """
    now = np.int64(latest)
    for i in range(len(t)):
        time = t[uint64(i)]
        behind = now - time
        verdict = RESET if behind > reset else LATE if behind > disorder else IN_TIME
        verdicts[uint64(i)] = verdict
        now = time if verdict == RESET else max(now, time)
