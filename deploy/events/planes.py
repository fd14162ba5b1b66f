"""Counts of spikes in planes of bits, joined, pooled and averaged a row at a time; numbers, where they are none."""

# mypy: disable-error-code="untyped-decorator, attr-defined"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from deploy.events.tables import ADD, AND
from deploy.events.vectors import at, lowest
from preprocessing.compiled import keep_somewhere

keep_somewhere(__file__)
_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _bits(value: Any) -> Any:
    """Words ``[H, P, T, W, words]``."""
    shape = value.height, value.planes, value.steps, value.width, value.words
    return carray(at(value.bits), shape, np.uint64)


@_compiled
def _lines(value: Any, y: int) -> Any:
    """A row of them, ``[P, T · W · words]``."""
    size = value.steps * value.width * value.words
    return carray(at(value.bits + 8 * y * value.planes * size), (value.planes, size), np.uint64)


@_compiled
def _numbers(value: Any) -> Any:
    """Numbers ``[H, T, W, C]``."""
    return carray(at(value.numbers), (value.height, value.steps, value.width, value.channels), np.float32)


@_compiled
def _add_bits(total: Any, plane: int, carry: Any) -> None:
    """Add one bit of worth 2^plane to a number of each channel, in planes ``[P]`` of one word."""
    while carry and plane < len(total):
        total[plane], carry = total[plane] ^ carry, total[plane] & carry
        plane += 1


@_compiled
def joined(operation: Any, first: Any, second: Any, out: Any, y: int) -> None:
    """A row of first + second, or of second where first fires, or of second where it does not."""
    how = operation.how
    if not out.counted:
        one, other, made = _numbers(first)[y], _numbers(second)[y], _numbers(out)[y]
        for t in range(out.steps):
            for x in range(out.width):
                for c in range(out.channels):
                    a, b = one[t, x, c], other[t, x, c]
                    made[t, x, c] = a + b if how == ADD else (a * b if how == AND else (1 - a) * b)
        return
    if how == ADD:
        _added(operation, first, second, out, y)
        return
    mask, others, bits = _lines(first, y)[0], _lines(second, y), _lines(out, y)
    for p in range(out.planes):
        for i in range(len(mask)):
            bits[p, i] = others[p, i] & (mask[i] if how == AND else ~mask[i])


@_compiled
def _added(operation: Any, first: Any, second: Any, out: Any, y: int) -> None:
    """A row of sums, plane after plane."""
    ones, others, bits = _lines(first, y), _lines(second, y), _lines(out, y)
    carried = np.zeros(bits.shape[1], np.uint64)
    for p in range(out.planes):
        to, one, other = bits[p], p - operation.shift, p - operation.second_shift
        if 0 <= one < first.planes and 0 <= other < second.planes:
            a, b = ones[one], others[other]
            for i in range(len(carried)):
                halves = a[i] ^ b[i]
                carry = carried[i]
                to[i], carried[i] = halves ^ carry, (a[i] & b[i]) | (halves & carry)
        elif 0 <= one < first.planes or 0 <= other < second.planes:
            a = ones[one] if 0 <= one < first.planes else others[other]
            for i in range(len(carried)):
                carry = carried[i]
                to[i], carried[i] = a[i] ^ carry, a[i] & carry
        else:
            for i in range(len(carried)):
                to[i], carried[i] = carried[i], np.uint64(0)


@_compiled
def pooled(operation: Any, source: Any, out: Any, y: int) -> None:
    """A row of counts of windows of pixels added up, or of the largest, for spikes."""
    given, bits = _bits(source), _bits(out)[y]
    total = np.empty(out.planes, np.uint64)
    for t in range(out.steps):
        for x in range(out.width):
            for w in range(out.words):
                total[:] = 0
                for yy in range(y * operation.height, (y + 1) * operation.height):
                    for xx in range(x * operation.width, (x + 1) * operation.width):
                        for p in range(source.planes):
                            if operation.how:
                                total[p] |= given[yy, p, t, xx, w]
                            else:
                                _add_bits(total, p, given[yy, p, t, xx, w])
                for p in range(out.planes):
                    bits[p, t, x, w] = total[p]


@_compiled
def pooled_numbers(operation: Any, source: Any, out: Any, y: int) -> None:
    """A row of means of windows of pixels, or of their largest numbers."""
    given, made = _numbers(source), _numbers(out)[y]
    size = np.float32(operation.height * operation.width)
    for t in range(out.steps):
        for x in range(out.width):
            for c in range(out.channels):
                total = -np.float32(np.inf) if operation.how else np.float32(0)
                for yy in range(y * operation.height, (y + 1) * operation.height):
                    for xx in range(x * operation.width, (x + 1) * operation.width):
                        value = given[yy, t, xx, c]
                        total = max(total, value) if operation.how else total + value
                made[t, x, c] = total if operation.how else total / size


@_compiled
def mean(source: Any, out: Any, y: int) -> None:
    """A row of means over time, in true units."""
    made, steps = _numbers(out)[y, 0], np.float32(source.steps)
    made[:] = 0
    if not source.counted:
        given = _numbers(source)[y]
        for t in range(source.steps):
            for x in range(out.width):
                for c in range(out.channels):
                    made[x, c] += given[t, x, c]
    else:
        bits = _bits(source)[y]
        for p in range(source.planes):
            for t in range(source.steps):
                for x in range(out.width):
                    for w in range(source.words):
                        left = bits[p, t, x, w]
                        while left:
                            made[x, w * 64 + np.int64(lowest(left))] += np.float32(1 << p)
                            left &= left - np.uint64(1)
    unit = source.unit if source.counted else np.float32(1)
    for x in range(out.width):
        for c in range(out.channels):
            made[x, c] = made[x, c] * unit / steps
