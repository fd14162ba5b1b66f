"""The layers of a spiking network as compiled loops over its events.

A value of spikes, or of counts of spikes, is kept in planes of bits: plane p holds what counts 2^p. Rows of pixels are
worked on one after another, and inside a row all time steps of a pixel together, so that its sums and membranes stay
in registers and the nearest cache. Dimensions:

    bits     uint64  [H, P, T, W, C/64]   bit c % 64 of word c // 64: channel c of a pixel, in plane P of step T
    events   uint32  [H, L, T, …]         x·C + c of all that have fired, pixel by pixel, from the front
    ends     int32   [H, L, T, W + 1]     where the events of pixel x begin, and those of x + 1
    numbers  float32 [H, T, W, C]         values that are no counts

The events that a kernel of k pixels sees in one row of the input lie one after another, so that one loop adds their
rows of weights ``[k, C_in, C_out]``. Small counts are in one list (L = 1), each so many times over. Large ones have a
list a plane (L = P), of which the highest comes first, and sums are doubled before the next. Channels of outputs are
padded to whole blocks.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from deploy.events.vectors import FLOAT, GROUP, SHORT, add_products, add_rows, fire, lowest
from preprocessing.compiled import keep_somewhere
from preprocessing.counting import take

keep_somewhere(__file__)
_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")

CONV, SCALE = 0, 1
ADD, AND, IAND = 0, 1, 2
KIND, VARIANT, NUMBER_KIND, BLOCK, NUM_BLOCKS, WEIGHTS, ROW_BYTES = range(7)
COUNTED, EVENTS, ENDS, NUMBERS, LISTS, LIST_SIZE, STEPS, HEIGHT, WIDTH, CHANNELS = range(7, 17)
KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X, PAD_Y, PAD_X, NUM_FIELDS = range(17, 24)
"""Fields of a term, int64: what it does with its source, and where that and its weights lie in memory."""


def _end_of(_: Any, address: Any, position: Any) -> Any:
    """The int32 at a position behind an address."""

    def build(_context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(32).as_pointer())
        return builder.sext(builder.load(builder.gep(pointer, [arguments[1]])), ir.IntType(64))

    return types.int64(types.int64, types.int64), build


end_of: Any = intrinsic(_end_of)


def _number_at(_: Any, address: Any, position: Any) -> Any:
    """The float32 at a position behind an address."""

    def build(_context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.FloatType().as_pointer())
        return builder.load(builder.gep(pointer, [arguments[1]]))

    return types.float32(types.int64, types.int64), build


number_at: Any = intrinsic(_number_at)


@_compiled
def _begin(kind: int, sums: Any, shorts: Any, longs: Any, size: int) -> int:
    """Sums of nought, and their address."""
    num = np.uint64(size)  # loops, because an assignment to a slice costs more than what it does
    if kind == FLOAT:
        for i in range(num):
            sums[i] = 0
        return int(sums.ctypes.data)
    if kind == SHORT:
        for i in range(num):
            shorts[i] = 0
        return int(shorts.ctypes.data)
    for i in range(num):
        longs[i] = 0
    return int(longs.ctypes.data)


@_compiled
def _double(kind: int, sums: Any, shorts: Any, longs: Any, size: int) -> None:
    for i in range(np.uint64(size)):
        if kind == FLOAT:
            sums[i] += sums[i]
        elif kind == SHORT:
            shorts[i] += shorts[i]
        else:
            longs[i] += longs[i]


@_compiled
def _spread(of: Any, scale: Any, current: Any, steps: int, block: int, first: int) -> None:
    """Current += scale · sums, of all steps; sums of one step are those of every step."""
    size, begin = np.uint64(block), np.uint64(first)
    for t in range(np.uint64(len(current))):
        start = t * size if steps > 1 else np.uint64(0)
        for c in range(size):
            current[t, begin + c] += scale[begin + c] * np.float32(of[start + c])


@_compiled
def _convolve(f: Any, y: int, x: int, scale: Any, current: Any, sums: Any, shorts: Any, longs: Any) -> None:
    """Add what one convolution gives a pixel to its current ``[T, C]``."""
    kind, number, block, counted = f[NUMBER_KIND], f[VARIANT], f[BLOCK], f[COUNTED]
    lists, steps, height, width, channels = f[LISTS], f[STEPS], f[HEIGHT], f[WIDTH], f[CHANNELS]
    kernel_height, row_bytes, all_events, all_ends = f[KERNEL_HEIGHT], f[ROW_BYTES], f[EVENTS], f[ENDS]
    sum_bytes = block * (2 if kind == SHORT else 4)
    top, left = y * f[STRIDE_Y] - f[PAD_Y], x * f[STRIDE_X] - f[PAD_X]
    lo, hi = max(left, 0), min(left + f[KERNEL_WIDTH], width)
    slab = f[KERNEL_WIDTH] * channels * row_bytes
    for b in range(f[NUM_BLOCKS]):
        address = _begin(kind, sums, shorts, longs, steps * block)
        for each in range(lists - 1, -1, -1):
            if each < lists - 1:
                _double(kind, sums, shorts, longs, steps * block)
            for ky in range(max(-top, 0), min(kernel_height, height - top)):
                weights = f[WEIGHTS] + (b * kernel_height + ky) * slab
                for t in range(steps):
                    if counted:
                        line = ((top + ky) * lists + each) * steps + t
                        ends = all_ends + line * (width + 1) * 4
                        base, rows = weights - left * channels * row_bytes, all_events + line * f[LIST_SIZE] * 4
                        start, stop = end_of(ends, lo), end_of(ends, hi)
                        if start < stop:
                            add_rows(number, address + t * sum_bytes, base, rows, start, stop)
                    else:
                        line = ((top + ky) * steps + t) * width
                        base = weights + (lo - left) * channels * row_bytes
                        start, stop = (line + lo) * channels, (line + hi) * channels
                        add_products(number, address + t * sum_bytes, base, f[NUMBERS], start, stop)
        if kind == FLOAT:
            _spread(sums, scale, current, steps, block, b * block)
        elif kind == SHORT:
            _spread(shorts, scale, current, steps, block, b * block)
        else:
            _spread(longs, scale, current, steps, block, b * block)


@_compiled
def _add_scaled(f: Any, y: int, x: int, scale: Any, current: Any, sums: Any) -> None:
    """Add a value's own channels, each times a number of its own, to the current ``[T, C]`` of a pixel."""
    channels, steps = f[CHANNELS], f[STEPS]
    for t in range(len(current)):
        step = min(t, steps - 1)
        if f[COUNTED]:
            sums[:channels] = 0
            for each in range(f[LISTS]):
                line = (y * f[LISTS] + each) * steps + step
                ends, events = f[ENDS] + line * (f[WIDTH] + 1) * 4, f[EVENTS] + line * f[LIST_SIZE] * 4
                for i in range(end_of(ends, x), end_of(ends, x + 1)):
                    sums[end_of(events, i) - x * channels] += np.float32(1 << each)
        else:
            first = ((y * steps + step) * f[WIDTH] + x) * channels
            for c in range(channels):
                sums[c] = number_at(f[NUMBERS], first + c)
        for c in range(np.uint64(channels)):
            current[t, c] += scale[c] * sums[c]


@_compiled
def _fire_pixel(current: Any, coefficients: Any, gain: Any, strict: int, u: Any, s: Any, bits: Any, x: int) -> None:
    """Run the neurons of a pixel over its current ``[T, C]``; what fires goes to ``bits`` ``[T, W, words]``."""
    num_steps, channels = current.shape
    stride = 4 * channels
    at, of_gain, of_current = coefficients.ctypes.data, gain.ctypes.data, current.ctypes.data
    of_u, of_s = u.ctypes.data, s.ctypes.data
    for t in range(num_steps):
        of_row = of_gain + min(t, len(gain) - 1) * stride
        for w in range(bits.shape[2]):
            word = np.uint64(0)
            for c in range(w * 64, min(channels, (w + 1) * 64), GROUP):
                i = 4 * c
                found = fire(at + i, stride, of_row + i, of_current + t * stride + i, of_u + i, of_s + i, strict)
                word |= found << np.uint64(c % 64)
            bits[t, x, w] = word


@_compiled
def _list_row(bits: Any, channels: int, events: Any, ends: Any) -> None:
    """The events of a row: bits ``[P, T, W, words]`` → events and where those of a pixel end, see above."""
    num_planes, num_steps, width, num_words = bits.shape
    num_lists = len(events)
    for p in range(num_lists):
        for t in range(num_steps):
            n = np.uint64(0)
            ends[p, t, 0] = 0
            for x in range(width):
                for w in range(num_words):
                    first = np.uint64(x * channels + w * 64)
                    for plane in range(p, p + 1 if num_lists > 1 else num_planes):
                        times = np.uint64(1 if num_lists > 1 else 1 << plane)
                        left = bits[plane, t, x, w]
                        while left:
                            for _ in range(times):
                                events[p, t, n] = np.uint32(first + lowest(left))
                                n += np.uint64(1)
                            left &= left - np.uint64(1)
                ends[p, t, x + 1] = n


@_compiled
def layer(
    counter: Any,
    terms: Any,
    scales: Any,
    bias: Any,
    coefficients: Any,
    gain: Any,
    rest: Any,
    strict: int,
    rectify: int,
    channels: int,
    before: Any,
    after: Any,
    bits: Any,
    events: Any,
    ends: Any,
    numbers: Any,
) -> None:
    """Current of a layer, and what its neurons make of it, row by row.

    Args:
        counter: number of the next row, int64 ``[1]``, the same for all threads.
        terms: what adds up to the current, ``[N, NUM_FIELDS]``.
        scales: of the sums of each term, ``[N, C]``; C is padded here and below.
        bias: of the current, ``[C]``.
        coefficients: a, b, r, d, v, ``[5, C]``.
        gain: g, ``[T, C]`` or ``[1, C]``.
        rest: membrane before the first step.
        strict: fire at U > v, otherwise at U ≥ v.
        rectify: where there are no neurons, whether the output is max(0, current).
        channels: C of the output.
        before: U and S before the first step, ``[H, W, 2, C]``; H = 0 for rest.
        after: output, the same after the last step; H = 0 if not wanted.
        bits: output ``[H, 1, T, W, words]``; H = 0 for no neurons.
        events, ends: output, of these bits; H = 0 if not wanted.
        numbers: output ``[H, T, W, C]`` where there are no neurons; C as it is.
    """
    spiking = len(bits) > 0
    num_rows, width = (bits.shape[0], bits.shape[3]) if spiking else (numbers.shape[0], numbers.shape[2])
    num_steps, padded = bits.shape[2] if spiking else numbers.shape[1], len(bias)
    current = np.empty((num_steps, padded), np.float32)
    size = max(num_steps * 64, max(terms[:, CHANNELS]) if len(terms) else 0)
    sums, shorts, longs = np.empty(size, np.float32), np.empty(size, np.int16), np.empty(size, np.int32)
    u, s, kept = np.empty(padded, np.float32), np.empty(padded, np.float32), len(before) > 0
    y = take(counter)
    while y < num_rows:
        for x in range(width):
            for t in range(np.uint64(num_steps)):
                for c in range(np.uint64(padded)):
                    current[t, c] = bias[c]
            for i in range(len(terms)):
                if terms[i, KIND] == CONV:
                    _convolve(terms[i], y, x, scales[i], current, sums, shorts, longs)
                else:
                    _add_scaled(terms[i], y, x, scales[i], current, sums)
            if spiking:
                for c in range(np.uint64(padded)):
                    u[c] = before[y, x, 0, c] if kept else rest
                    s[c] = before[y, x, 1, c] if kept else np.float32(0)
                _fire_pixel(current, coefficients, gain, strict, u, s, bits[y, 0], x)
                if len(after):
                    for c in range(np.uint64(padded)):
                        after[y, x, 0, c], after[y, x, 1, c] = u[c], s[c]
            else:
                for t in range(num_steps):
                    for c in range(channels):
                        value = current[t, c]
                        numbers[y, t, x, c] = max(value, np.float32(0)) if rectify else value
        if len(events):
            _list_row(bits[y], channels, events[y], ends[y])
        y = take(counter)


@_compiled
def _add_bits(total: Any, plane: int, carry: Any) -> None:
    """Add one bit of worth 2^plane to a number of each channel, in planes ``[P]`` of one word."""
    while carry and plane < len(total):
        total[plane], carry = total[plane] ^ carry, total[plane] & carry
        plane += 1


@_compiled
def join(
    counter: Any, how: int, first: Any, shift: int, second: Any, second_shift: int, channels: int, bits: Any,
    events: Any, ends: Any,
) -> None:  # fmt: skip
    """Counts of two values joined: first + second, or second where first fires, or second where it does not.

    Args:
        counter: as in ``layer``, and so the last three.
        how: ``ADD``, ``AND`` or ``IAND``.
        first, second: bits ``[H, P, T, W, words]``; ``first`` has one plane unless it is added.
        shift, second_shift: by how many planes each is moved up; only for ``ADD``.
        channels: C.
    """
    num_rows, num_planes, num_steps, width, num_words = bits.shape
    total = np.empty(num_planes, np.uint64)
    y = take(counter)
    while y < num_rows:
        for t in range(num_steps):
            for x in range(width):
                for w in range(num_words):
                    total[:] = 0
                    mask = first[y, 0, t, x, w]
                    for p in range(second.shape[1]):
                        found = second[y, p, t, x, w]
                        if how == ADD:
                            total[p + second_shift] = found
                        else:
                            total[p] = found & (mask if how == AND else ~mask)
                    if how == ADD:
                        for p in range(first.shape[1]):
                            _add_bits(total, p + shift, first[y, p, t, x, w])
                    for p in range(num_planes):
                        bits[y, p, t, x, w] = total[p]
        if len(events):
            _list_row(bits[y], channels, events[y], ends[y])
        y = take(counter)


@_compiled
def pool(
    counter: Any, largest: int, source: Any, height: int, width: int, channels: int, bits: Any, events: Any, ends: Any
) -> None:
    """Counts of windows of pixels added up, or for spikes their largest; the rest as in ``join``."""
    num_rows, num_planes, num_steps, num_columns, num_words = bits.shape
    total = np.empty(num_planes, np.uint64)
    y = take(counter)
    while y < num_rows:
        for t in range(num_steps):
            for x in range(num_columns):
                for w in range(num_words):
                    total[:] = 0
                    for yy in range(y * height, (y + 1) * height):
                        for xx in range(x * width, (x + 1) * width):
                            for p in range(source.shape[1]):
                                if largest:
                                    total[p] |= source[yy, p, t, xx, w]
                                else:
                                    _add_bits(total, p, source[yy, p, t, xx, w])
                    for p in range(num_planes):
                        bits[y, p, t, x, w] = total[p]
        if len(events):
            _list_row(bits[y], channels, events[y], ends[y])
        y = take(counter)
