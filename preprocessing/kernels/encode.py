"""From events to the words or the text of a file.

Every loop takes a block of events and what the block before left behind (``state``, changed in place), fills a buffer
that has room for the most that such a block can take, and returns how much of it is used.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint8, uint64
from numpy.typing import NDArray

_VECTOR = 12  # pixels that one VECT_12 tells of
_WORTH = 3  # events from which on VECT_BASE_X and VECT_12 are fewer words than so many ADDR_X
_ZERO, _MINUS, _COMMA, _END = 48, 45, 44, 10

LONGEST_LINE = 36
"""Bytes of a line of text at most: a time of 20 signs, two places of 5, a polarity, three commas and the end."""


@njit(cache=True, nogil=True)
def evt2(
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
    state: NDArray[np.int64],
    words: NDArray[np.uint32],
) -> int:
    """EVT 2.0 words of events ``[N]``, at most 2 N; ``state`` is the high part of the time, -1 at the beginning."""
    n, high = uint64(0), state[0]
    for i in range(len(t)):
        at = uint64(i)
        if t[at] >> 6 != high:
            high = t[at] >> 6
            words[n] = 8 << 28 | high
            n += uint64(1)
        words[n] = uint64(p[at]) << 28 | uint64(t[at] & 0x3F) << 22 | uint64(x[at]) << 11 | uint64(y[at])
        n += uint64(1)
    state[0] = high
    return int(n)


@njit(cache=True, nogil=True)
def evt3(
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
    state: NDArray[np.int64],
    words: NDArray[np.uint16],
) -> int:
    """EVT 3.0 words of events ``[N]``, at most 3 N and the ticks of the clock between them.

    ``state`` is the high part of the time, the time, and the row that were last said; -1 at the beginning.
    """
    n, i, num_events = uint64(0), uint64(0), uint64(len(t))
    high, now, row = state[0], state[1], state[2]
    while i < num_events:
        time = t[i]
        if time != now:
            n, high = _time(time, high, words, n)
            now = time
        if np.int64(y[i]) != row:
            row = np.int64(y[i])
            words[n] = row
            n += uint64(1)
        num, valid = _vector(t, x, y, p, i)
        if num >= _WORTH:
            words[n] = 3 << 12 | uint64(p[i]) << 11 | uint64(x[i])
            words[n + uint64(1)] = 4 << 12 | valid
            n, i = n + uint64(2), i + uint64(num)
        else:
            words[n] = 2 << 12 | uint64(p[i]) << 11 | uint64(x[i])
            n, i = n + uint64(1), i + uint64(1)
    state[0], state[1], state[2] = high, now, row
    return int(n)


@njit(cache=True, nogil=True, inline="always")
def _time(time: np.int64, high: np.int64, words: NDArray[np.uint16], n: np.uint64) -> tuple[np.uint64, np.int64]:
    """Write a time: all ticks of its high part since the last one, then its low part."""
    tick = time >> 12 if high < 0 else high + 1
    while tick <= time >> 12:
        words[n] = 8 << 12 | (tick & 0xFFF)
        n += uint64(1)
        tick += 1
    words[n] = 6 << 12 | (time & 0xFFF)
    return n + uint64(1), time >> 12


@njit(cache=True, nogil=True, inline="always")
def _vector(
    t: NDArray[np.int64], x: NDArray[np.uint16], y: NDArray[np.uint16], p: NDArray[np.bool_], first: np.uint64
) -> tuple[int, np.int64]:
    """How many events from ``first`` on one vector holds in their order, and its bits."""
    num, valid = 1, np.int64(1)
    at = first + uint64(1)
    while at < uint64(len(t)) and t[at] == t[first] and y[at] == y[first] and p[at] == p[first]:
        offset = np.int64(x[at]) - np.int64(x[first])
        if x[at] <= x[at - uint64(1)] or offset >= _VECTOR:
            break
        valid |= np.int64(1) << offset
        num += 1
        at += uint64(1)
    return num, valid


@njit(cache=True, nogil=True)
def csv(
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
    text: NDArray[np.uint8],
) -> int:
    """Lines ``t,x,y,p`` of events ``[N]``, at most ``LONGEST_LINE`` bytes each."""
    n = uint64(0)
    for i in range(len(t)):
        at = uint64(i)
        if t[at] < 0:
            text[n] = _MINUS
            n += uint64(1)
        n = _digits(uint64(abs(t[at])), text, n, _COMMA)
        n = _digits(uint64(x[at]), text, n, _COMMA)
        n = _digits(uint64(y[at]), text, n, _COMMA)
        text[n], text[n + uint64(1)] = _ZERO + uint8(p[at]), _END
        n += uint64(2)
    return int(n)


@njit(cache=True, nogil=True, inline="always")
def _digits(value: np.uint64, text: NDArray[np.uint8], n: np.uint64, behind: int) -> np.uint64:
    """Write a number and the sign behind it; where that ends."""
    num, rest = uint64(1), value // uint64(10)
    while rest > uint64(0):
        num, rest = num + uint64(1), rest // uint64(10)
    end = n + num
    text[end] = behind
    for place in range(num):
        text[end - uint64(1) - uint64(place)] = _ZERO + uint8(value % uint64(10))
        value //= uint64(10)
    return end + uint64(1)
