"""From lines of text to events."""

from __future__ import annotations

import numpy as np
from numba import njit, uint8, uint64
from numpy.typing import NDArray

NO_NUMBER, TOO_LARGE, BAD_PLACE, BAD_POLARITY, MORE, FRACTION = 1, 2, 3, 4, 5, 6
"""What can be wrong with a line."""

NOT_WANTED, MAY_HOLD_BLANKS = -1, -2
"""Columns that are passed over."""

_T, _P = 0, 3  # the first and the last of the fields t, x, y, p
_MAX_DIGITS = 18  # that many always fit
_MAX_MANTISSA = 10**18  # one digit more always fits
_MINUS, _PLUS, _POINT, _COMMA, _SEMICOLON, _END, _BLANK = 45, 43, 46, 44, 59, 10, 32
_LOWER = 32  # the bit that makes a letter small
_E = 101
_TRUE, _FALSE = np.frombuffer(b"true", np.uint8), np.frombuffer(b"false", np.uint8)
_UNSIGNED_MINUS_ONE = 255  # −1 in a byte without sign


@njit(cache=True, nogil=True)
def parse(
    data: NDArray[np.uint8],
    start: int,
    order: NDArray[np.int8],
    decimals: int,
    whole: bool,
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> tuple[np.uint64, int, np.uint64]:
    """Read lines of numbers, from byte ``start`` on, into columns that have room for all.

    Numbers are put together from their digits: no time goes through a float.

    Args:
        data: the file; its last byte is the end of a line, which stops every loop in time.
        start: of the first line.
        order: which of t, x, y, p (0 to 3) stands in which place of a line ``[M]``; ``NOT_WANTED`` for others, which
            end with a comma or semicolon where they are ``MAY_HOLD_BLANKS``.
        decimals: digits behind the point of a time to keep, i.e. its unit is 10^decimals µs; halves are rounded away
            from zero.
        whole: stop at a time that is no whole number.
        t, x, y, p: filled.

    Returns:
        The number of events, what is wrong with the next line (0: nothing, it is the end) and where that starts.
    """
    numbers = np.empty(4, np.int64)
    n, line = uint64(0), _behind_lines(data, uint64(start))
    lowest = np.int64(1)
    if len(order) == len(numbers):
        four = (order[0], order[1], order[2], order[3])
        n, line, lowest = _plain_lines(data, line, four, decimals, whole, t, x, y, p)
    while line < uint64(len(data)):
        at, problem = _numbers(data, line, order, decimals, whole, numbers)
        if problem:
            return n, problem, line
        time, column, row, sign = numbers
        if not (0 <= column <= 0xFFFF and 0 <= row <= 0xFFFF):
            return n, BAD_PLACE, line
        if sign == _UNSIGNED_MINUS_ONE:
            sign = np.int64(-1)
        if sign < -1 or sign > 1 or sign + lowest == -1:
            return n, BAD_POLARITY, line
        lowest = min(lowest, sign)
        t[n], x[n], y[n], p[n] = time, column, row, sign == 1
        n += uint64(1)
        line = _behind_lines(data, at)
    return n, 0, line


@njit(cache=True, nogil=True)
def _plain_lines(
    data: NDArray[np.uint8],
    line: np.uint64,
    order: tuple[int, int, int, int],
    decimals: int,
    whole: bool,
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> tuple[np.uint64, np.uint64, np.int64]:
    """What ``parse`` does, three times as fast, up to the first line that is not four integers and a point in a time.

    Returns:
        The number of events, where the next line starts, and the lowest polarity.
    """
    numbers = np.empty(4, np.int64)
    lowest = np.int64(1)
    n, size = uint64(0), uint64(len(data))
    while line < size:
        at = _four_integers(data, line, order, decimals, whole, numbers)
        time, column, row, sign = numbers
        places = 0 <= column <= 0xFFFF and 0 <= row <= 0xFFFF
        if at == line or not places or sign < -1 or sign > 1 or sign + lowest == -1:
            break
        lowest = min(lowest, sign)
        t[n], x[n], y[n], p[n] = time, column, row, sign == 1
        n += uint64(1)
        line = _behind_lines(data, at)
    return n, line, lowest


@njit(cache=True, nogil=True)
def _behind_lines(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Behind blanks and ends of lines."""
    while at < uint64(len(data)) and (_is_blank(data[at]) or data[at] == _END):
        at += uint64(1)
    return at


@njit(cache=True, nogil=True)
def _four_integers(
    data: NDArray[np.uint8],
    line: np.uint64,
    order: tuple[int, int, int, int],
    decimals: int,
    whole: bool,
    numbers: NDArray[np.int64],
) -> np.uint64:
    """Read a plain line's numbers into ``numbers``, in the order of ``FIELDS``; where they end, ``line`` of another."""
    end = line
    for place in range(4):
        at = _behind_separator(data, end) if place > 0 else line
        negative = data[at] == _MINUS
        first = at + uint64(negative)
        value, last = _digits(data, first)
        if last == first or (place > 0 and at == end) or last - first > uint64(_MAX_DIGITS - decimals):
            return line
        if order[place] == _T:
            if whole and data[last] == _POINT:
                return line
            value, last = _with_decimals(data, last, value, decimals)
        numbers[order[place]] = -np.int64(value) if negative else np.int64(value)
        end = last
    while _is_blank(data[end]):
        end += uint64(1)
    return end if data[end] == _END else line


@njit(cache=True, nogil=True)
def _numbers(
    data: NDArray[np.uint8],
    line: np.uint64,
    order: NDArray[np.int8],
    decimals: int,
    whole: bool,
    numbers: NDArray[np.int64],
) -> tuple[np.uint64, int]:
    """Read a line's numbers into ``numbers``, in the order of ``FIELDS``; where they end, and what is wrong."""
    end = line
    for place in range(len(order)):
        at = _behind_separator(data, end) if place > 0 else line
        if place > 0 and at == end:
            return line, NO_NUMBER
        field = order[place]
        if field < 0:
            end = _behind_cell(data, at, field == MAY_HOLD_BLANKS)
            continue
        value, end, problem = _number(data, at, field, decimals)
        if problem and (problem != FRACTION or whole or field != _T):
            return line, NO_NUMBER if problem == FRACTION and field != _T else problem
        numbers[field] = value
    while _is_blank(data[end]):
        end += uint64(1)
    return end, 0 if data[end] == _END else MORE


@njit(cache=True, nogil=True)
def _number(data: NDArray[np.uint8], at: np.uint64, field: int, decimals: int) -> tuple[np.int64, np.uint64, int]:
    """The number of a field that starts at a byte, where it ends, and what is wrong."""
    negative = data[at] == _MINUS
    first = at + uint64(negative)
    if uint8(data[first] - uint8(48)) >= 10:
        truth, end = _truth(data, at)
        return np.int64(truth), end, 0 if field == _P and end > at else NO_NUMBER
    value, end, problem = _scientific(data, first, decimals if field == _T else 0)
    return -np.int64(value) if negative else np.int64(value), end, problem


@njit(cache=True, nogil=True)
def _truth(data: NDArray[np.uint8], at: np.uint64) -> tuple[np.uint64, np.uint64]:
    """1 for True and 0 for False in any case, and where the word ends: where it started if it is neither."""
    behind = _behind_word(data, at, _TRUE)
    return np.uint64(behind > at), behind if behind > at else _behind_word(data, at, _FALSE)


@njit(cache=True, nogil=True)
def _behind_word(data: NDArray[np.uint8], at: np.uint64, word: NDArray[np.uint8]) -> np.uint64:
    """Behind a word in any case, or where it would start."""
    for i in range(len(word)):
        if data[at + uint64(i)] | _LOWER != word[i]:
            return at
    return at + uint64(len(word))


@njit(cache=True, nogil=True)
def _scientific(data: NDArray[np.uint8], at: np.uint64, decimals: int) -> tuple[np.uint64, np.uint64, int]:
    """A number as programs print floats, 1.25e+06, times 10^decimals and rounded; where it ends, and what is wrong.

    ``FRACTION`` says that it is rounded, by digits that count.
    """
    value, shift = uint64(0), decimals
    dropped, behind_point = False, False
    while uint8(data[at] - uint8(48)) < 10 or (data[at] == _POINT and not behind_point):
        digit = uint64(data[at]) - uint64(48)
        at += uint64(1)
        if data[at - uint64(1)] == _POINT:
            behind_point = True
        elif value < uint64(_MAX_MANTISSA):
            value = value * uint64(10) + digit
            shift -= behind_point
        else:
            dropped |= digit > uint64(0)
            shift += not behind_point
    if data[at] | _LOWER == _E:
        negative = data[at + uint64(1)] == _MINUS
        first = at + uint64(1) + uint64(negative or data[at + uint64(1)] == _PLUS)
        exponent, at = _digits(data, first)
        if at == first:
            return value, at, NO_NUMBER
        power = np.int64(min(exponent, uint64(1000))) if at - first < uint64(_MAX_DIGITS) else np.int64(1000)
        shift += int(-power if negative else power)
    value, inexact, too_large = _shifted(value, shift)
    return value, at, TOO_LARGE if too_large else FRACTION if inexact or dropped else 0


@njit(cache=True, nogil=True)
def _shifted(value: np.uint64, shift: int) -> tuple[np.uint64, bool, bool]:
    """``value`` · 10^shift, rounded with halves up; whether it is rounded, and whether it is too large."""
    if value == 0:
        return value, False, False
    while shift > 0:
        if value >= uint64(_MAX_MANTISSA):
            return value, False, True
        value *= uint64(10)
        shift -= 1
    if shift < -19:
        return uint64(0), True, False
    divisor = uint64(1)
    for _ in range(-shift):
        divisor *= uint64(10)
    rounded = (value + divisor // uint64(2)) // divisor
    return rounded, bool(value % divisor != 0), bool(rounded >= uint64(1) << uint64(63))


@njit(cache=True, nogil=True)
def _behind_cell(data: NDArray[np.uint8], at: np.uint64, to_comma: bool) -> np.uint64:
    """Behind something that is not wanted."""
    while data[at] != _END and data[at] != _COMMA and data[at] != _SEMICOLON and (to_comma or not _is_blank(data[at])):
        at += uint64(1)
    return at


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
