"""Unpacks chunks of ECF, Prophesee's compression of events in HDF5; see ``readers.ecf`` for the layout."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_CUT = -1  # where a column would end that the chunk doesn't hold whole
_HEADER_BYTES, _TIME_BYTES = 4, 8


@njit(cache=True, nogil=True)
def unpack(
    data: NDArray[np.uint8],
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.uint8],
) -> bool:
    """Fill columns ``[N]`` with the events of a chunk that announces N; whether it holds them all."""
    if len(data) < _HEADER_BYTES + _TIME_BYTES:
        return False
    form = data[0] & 3
    at = _times(data, _HEADER_BYTES, t)
    if at >= 0 and form >= 2:
        return _packed_addresses(data, at, x, y, p)
    if at >= 0:
        at = _rows(data, at, y)
    if at >= 0 and form == 1:
        return _packed_columns(data, at, x, p)
    if at >= 0:
        at = _columns(data, at, x)
    return at >= 0 and _polarities(data, at, p)


@njit(cache=True, nogil=True)
def _two_bytes(data: NDArray[np.uint8], at: int) -> np.int64:
    return np.int64(data[at]) | np.int64(data[at + 1]) << 8


@njit(cache=True, nogil=True)
def _times(data: NDArray[np.uint8], at: int, t: NDArray[np.int64]) -> int:
    """Runs of equal times, each as the step from the one before; where they end."""
    time = np.int64(0)
    for k in range(_TIME_BYTES):
        time |= np.int64(data[at + k]) << (8 * k)
    at += _TIME_BYTES
    i, long_step, long_bits = np.int64(0), np.int64(0), 0
    while i < len(t):
        if at >= len(data):
            return _CUT
        step, run = np.int64(data[at] >> 4), np.int64(data[at] & 15)
        at += 1
        if step == 15:
            long_step |= run << min(long_bits, 60)
            long_bits += 4
            continue
        time += long_step + step
        long_step, long_bits = np.int64(0), 0
        if run == 15:
            if at + 2 > len(data):
                return _CUT
            run = _two_bytes(data, at)
            at += 2
        if i + run > len(t):
            return _CUT
        t[i : i + run] = time
        i += run
    return at


@njit(cache=True, nogil=True)
def _rows(data: NDArray[np.uint8], at: int, y: NDArray[np.uint16]) -> int:
    """Runs of equal rows; where they end."""
    i = np.int64(0)
    while i < len(y):
        if at + 2 > len(data):
            return _CUT
        word = _two_bytes(data, at)
        at += 2
        run = word & 31
        if run == 31:
            if at + 2 > len(data):
                return _CUT
            run = _two_bytes(data, at)
            at += 2
        if i + run > len(y):
            return _CUT
        y[i : i + run] = word >> 5
        i += run
    return at


@njit(cache=True, nogil=True)
def _columns(data: NDArray[np.uint8], at: int, x: NDArray[np.uint16]) -> int:
    """A column, and which of the next five follow; where they end."""
    i = 0
    while i < len(x):
        if at + 2 > len(data):
            return _CUT
        word = _two_bytes(data, at)
        at += 2
        x[i] = word >> 5
        i += 1
        for k in range(1, 6):
            if word >> (5 - k) & 1 and i < len(x):
                x[i] = (word >> 5) + k
                i += 1
    return at


@njit(cache=True, nogil=True)
def _polarities(data: NDArray[np.uint8], at: int, p: NDArray[np.uint8]) -> bool:
    """Runs of equal polarities."""
    i = np.int64(0)
    while i < len(p):
        if at >= len(data):
            return False
        polarity, run = data[at] >> 7, np.int64(data[at] & 127)
        at += 1
        if run == 127:
            if at + 2 > len(data):
                return False
            run = _two_bytes(data, at)
            at += 2
        if i + run > len(p):
            return False
        p[i : i + run] = polarity
        i += run
    return True


@njit(cache=True, nogil=True)
def _packed_columns(data: NDArray[np.uint8], at: int, x: NDArray[np.uint16], p: NDArray[np.uint8]) -> bool:
    """Twelve bits each, x above p: four in three words of 16 bits."""
    if at + (len(x) + 3) // 4 * 6 > len(data):
        return False
    for i in range(len(x)):
        group = at + i // 4 * 6
        first, second, third = _two_bytes(data, group), _two_bytes(data, group + 2), _two_bytes(data, group + 4)
        if i % 4 == 0:
            value = first >> 4
        elif i % 4 == 1:
            value = first & 0xF | second >> 8 << 4
        elif i % 4 == 2:
            value = second & 0xFF | third >> 12 << 8
        else:
            value = third & 0xFFF
        x[i], p[i] = value >> 1, value & 1
    return True


@njit(cache=True, nogil=True)
def _packed_addresses(
    data: NDArray[np.uint8], at: int, x: NDArray[np.uint16], y: NDArray[np.uint16], p: NDArray[np.uint8]
) -> bool:
    """24 bits each, y from bit 12, x from bit 1, p: four in three words of 32 bits."""
    if at + (len(x) + 3) // 4 * 12 > len(data):
        return False
    for i in range(len(x)):
        group = at + i // 4 * 12
        first, second, third = (
            _two_bytes(data, group) | _two_bytes(data, group + 2) << 16,
            _two_bytes(data, group + 4) | _two_bytes(data, group + 6) << 16,
            _two_bytes(data, group + 8) | _two_bytes(data, group + 10) << 16,
        )
        if i % 4 == 0:
            value = first >> 8
        elif i % 4 == 1:
            value = first & 0xFF | second >> 16 << 8
        elif i % 4 == 2:
            value = second & 0xFFFF | third >> 24 << 16
        else:
            value = third & 0xFFFFFF
        y[i], x[i], p[i] = value >> 12 & 0x7FF, value >> 1 & 0x7FF, value & 1
    return True
