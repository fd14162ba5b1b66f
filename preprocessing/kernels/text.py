"""From lines of text to events."""

from __future__ import annotations

import numpy as np
from numba import njit, uint8, uint64
from numpy.typing import NDArray

NO_NUMBER, TOO_LARGE, BAD_PLACE, BAD_POLARITY, MORE = 1, 2, 3, 4, 5
"""What can be wrong with a line."""

_T = 0  # the first of the fields t, x, y, p
_MAX_DIGITS = 18  # that many always fit
_MINUS, _POINT, _COMMA, _SEMICOLON, _END, _BLANK = 45, 46, 44, 59, 10, 32


@njit(cache=True, nogil=True)
def parse(
    data: NDArray[np.uint8],
    start: int,
    order: tuple[int, int, int, int],
    decimals: int,
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> tuple[np.uint64, int, np.uint64]:
    """Read lines of four numbers, from byte ``start`` on, into columns that have room for all.

    Numbers are put together from their digits: no time goes through a float.

    Args:
        data: the file; its last byte is the end of a line, which stops every loop in time.
        start: of the first line.
        order: which of t, x, y, p (0 to 3) stands in which place of a line.
        decimals: digits behind the point of a time to keep, i.e. its unit is 10^decimals µs; halves are rounded away
            from zero.
        t, x, y, p: filled.

    Returns:
        The number of events, what is wrong with the next line (0: nothing, it is the end) and where that starts.
    """
    size = uint64(len(data))
    numbers = np.empty(4, np.int64)
    lowest = np.int64(1)
    n, line = uint64(0), _behind_lines(data, uint64(start))
    while line < size:
        at, problem = _four_numbers(data, line, order, decimals, numbers)
        if problem:
            return n, problem, line
        time, column, row, sign = numbers
        if not (0 <= column <= 0xFFFF and 0 <= row <= 0xFFFF):
            return n, BAD_PLACE, line
        if sign < -1 or sign > 1 or sign + lowest == -1:
            return n, BAD_POLARITY, line
        lowest = min(lowest, sign)
        t[n], x[n], y[n], p[n] = time, column, row, sign == 1
        n += uint64(1)
        line = _behind_lines(data, at)
    return n, 0, line


@njit(cache=True, nogil=True)
def _behind_lines(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Behind blanks and ends of lines."""
    while at < uint64(len(data)) and (_is_blank(data[at]) or data[at] == _END):
        at += uint64(1)
    return at


@njit(cache=True, nogil=True)
def _four_numbers(
    data: NDArray[np.uint8],
    line: np.uint64,
    order: tuple[int, int, int, int],
    decimals: int,
    numbers: NDArray[np.int64],
) -> tuple[np.uint64, int]:
    """Read a line's numbers into ``numbers``, in the order of ``FIELDS``; where they end, and what is wrong."""
    end = line
    for place in range(4):
        at = _behind_separator(data, end) if place > 0 else line
        negative = data[at] == _MINUS
        first = at + uint64(negative)
        value, last = _digits(data, first)
        if last == first or (place > 0 and at == end):
            return line, NO_NUMBER
        if last - first > uint64(_MAX_DIGITS - decimals):
            return line, TOO_LARGE
        if order[place] == _T:
            value, last = _with_decimals(data, last, value, decimals)
        numbers[order[place]] = -np.int64(value) if negative else np.int64(value)
        end = last
    while _is_blank(data[end]):
        end += uint64(1)
    return end, 0 if data[end] == _END else MORE


@njit(cache=True, nogil=True)
def _digits(data: NDArray[np.uint8], at: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The number that the digits from a byte on make, and where they end."""
    value = uint64(0)
    digit = uint8(data[at] - uint8(48))
    while digit < 10:
        value = value * uint64(10) + uint64(digit)
        at += uint64(1)
        digit = uint8(data[at] - uint8(48))
    return value, at


@njit(cache=True, nogil=True)
def _with_decimals(
    data: NDArray[np.uint8], at: np.uint64, value: np.uint64, decimals: int
) -> tuple[np.uint64, np.uint64]:
    """``value`` · 10^decimals with the digits behind a point at ``at``, rounded, and where they end."""
    left = decimals
    if data[at] == _POINT:
        at += uint64(1)
        digit = uint8(data[at] - uint8(48))
        while digit < 10 and left > 0:
            value = value * uint64(10) + uint64(digit)
            left -= 1
            at += uint64(1)
            digit = uint8(data[at] - uint8(48))
        value += uint64(5 <= digit < 10)
        while digit < 10:
            at += uint64(1)
            digit = uint8(data[at] - uint8(48))
    for _ in range(left):
        value *= uint64(10)
    return value, at


@njit(cache=True, nogil=True)
def _behind_separator(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Behind blanks with at most one comma or semicolon among them."""
    while _is_blank(data[at]):
        at += uint64(1)
    if data[at] == _COMMA or data[at] == _SEMICOLON:
        at += uint64(1)
        while _is_blank(data[at]):
            at += uint64(1)
    return at


@njit(cache=True, nogil=True)
def _is_blank(byte: np.uint8) -> bool:
    """Whether a byte is a blank, a tab or a carriage return."""
    return bool(byte == _BLANK or byte == 9 or byte == 13)  # noqa: PLR1714 (a set is slower)
