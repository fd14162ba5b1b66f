"""A spiking network as compiled loops over what is active in it.

A value of spikes, or of counts of spikes, is kept in planes of bits: plane p holds what counts 2^p.

    bits     uint64  [H, P, T, W, C/64]   bit c % 64 of word c // 64: channel c of a pixel, in plane P of step T
    numbers  float32 [H, T, W, C]         values that are no counts

Rows of pixels are worked on one after another. An input that is active adds its weights to the sums of all pixels of
the row that see it: of kernels three pixels wide, ``[k_y, C_in, 3, C]``, to three neighbours at once, of others,
``[k_y, k_x, C_in, 1, C]``, to one after another. Few steps and channels are done together, so that their sums stay in
the nearest caches, and membranes never leave them. Of counts, the highest plane comes first, and sums are doubled
before the next. Channels of outputs are padded to whole blocks.
"""

# mypy: disable-error-code="untyped-decorator, attr-defined"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from deploy.events.planes import joined, mean, pooled, pooled_numbers
from deploy.events.tables import CONV, JOIN, LAYER, MEAN
from deploy.events.vectors import FLOAT, GROUP, SHORT, add_active, add_products, add_scaled, at, fire
from preprocessing.compiled import keep_somewhere
from preprocessing.counting import look, take

keep_somewhere(__file__)
_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _words(address: int, count: int) -> Any:
    return carray(at(address), (count,), np.uint64)


@_compiled
def _floats(address: int, count: int) -> Any:
    return carray(at(address), (count,), np.float32)


@_compiled
def _clear(address: int, num_bytes: int) -> None:
    values = carray(at(address), (num_bytes // 4,), np.float32)
    for i in range(np.uint64(len(values))):
        values[i] = 0


@_compiled
def _double(kind: int, address: int, count: int) -> None:
    if kind == FLOAT:
        floats = carray(at(address), (count,), np.float32)
        for i in range(np.uint64(count)):
            floats[i] += floats[i]
    elif kind == SHORT:
        shorts = carray(at(address), (count,), np.int16)
        for i in range(np.uint64(count)):
            shorts[i] += shorts[i]
    else:
        longs = carray(at(address), (count,), np.int32)
        for i in range(np.uint64(count)):
            longs[i] += longs[i]


@_compiled
def _add_row(term: Any, source: Any, sums: int, pixel_bytes: int, weights: int, y: int, ky: int, plane: int, t: int,
             width: int) -> None:  # fmt: skip
    """Add one plane of one row of the source, or of all rows that the kernel sees together, to a row of sums."""
    words, channels, number = source.words, source.channels, term.variant
    line = source.steps * source.width * words
    below = source.planes * line
    row = _words(source.bits + 8 * ((y + ky) * below + plane * line + t * source.width * words), line)
    if term.taps > 1:
        num_rows = min(term.kernel_height, source.height - y) - ky if term.joined else 1
        for x in range(source.width):
            for w in range(words):
                word = row[x * words + w]
                for k in range(1, num_rows):
                    word |= row[k * below + x] << np.uint64(k * channels)
                if word:
                    add_active(number, sums + x * pixel_bytes, weights + w * 64 * term.row_bytes, word)
        return
    for x in range(width):
        left = x * term.stride_x - term.pad_x
        for kx in range(max(-left, 0), min(term.kernel_width, source.width - left)):
            for w in range(words):
                word = row[(left + kx) * words + w]
                if word:
                    behind = weights + (kx * channels + w * 64) * term.row_bytes
                    add_active(number, sums + x * pixel_bytes, behind, word)


@_compiled
def _add_numbers(term: Any, source: Any, sums: int, pixel_bytes: int, weights: int, y: int, t: int, width: int) -> None:
    """The same of a row of numbers."""
    channels, number = source.channels, term.variant
    row = source.numbers + 4 * (y * source.steps + t) * source.width * channels
    if term.taps > 1:
        for x in range(source.width):
            add_products(number, sums + x * pixel_bytes, weights, row + 4 * x * channels, channels)
        return
    for x in range(width):
        left = x * term.stride_x - term.pad_x
        lo, hi = max(-left, 0), min(term.kernel_width, source.width - left)
        behind = weights + lo * channels * term.row_bytes
        add_products(number, sums + x * pixel_bytes, behind, row + 4 * (left + lo) * channels, (hi - lo) * channels)


@_compiled
def _convolve(term: Any, source: Any, y: int, block: int, t0: int, t1: int, number: int, sums: int, width: int) -> int:
    """Sums ``[T, W, block]`` of a row of pixels, from step t0 to t1; the bytes of a step."""
    kernel_height, pixel_bytes = term.kernel_height, block * (2 if term.sum_kind == SHORT else 4)
    pixels = source.width + 2 if term.taps > 1 else width
    step_bytes, slab = pixels * pixel_bytes, term.row_bytes * source.channels
    if term.taps == 1:
        slab *= term.kernel_width
    weights = term.weights + number * kernel_height * slab
    top = y * term.stride_y - term.pad_y
    first, last = max(-top, 0), min(kernel_height, source.height - top)
    _clear(sums, (t1 - t0) * step_bytes)
    if not source.counted:
        for ky in range(first, last):
            for t in range(t0, t1):
                to = sums + (t - t0) * step_bytes
                _add_numbers(term, source, to, pixel_bytes, weights + ky * slab, top + ky, t, width)
        return step_bytes
    if term.joined:
        last = first + 1
    for plane in range(source.planes - 1, -1, -1):
        if plane < source.planes - 1:
            _double(term.sum_kind, sums, (t1 - t0) * pixels * block)
        for ky in range(first, last):
            for t in range(t0, t1):
                to = sums + (t - t0) * step_bytes
                _add_row(term, source, to, pixel_bytes, weights + ky * slab, top, ky, plane, t, width)
    return step_bytes


@_compiled
def _add_channels(term: Any, source: Any, y: int, t: int, first: int, block: int, current: int, base: int,
                  base_bytes: int) -> None:  # fmt: skip
    """Current = base + scale · value, of a row of pixels at one step and a block of channels."""
    scale = _floats(term.scale, first + block)
    for x in range(source.width):
        to, before = _floats(current + 4 * x * block, block), _floats(base + x * base_bytes, block)
        for c in range(block):
            value = np.float32(0)
            channel = first + c
            if channel < source.channels and source.counted:
                for p in range(source.planes):
                    line = ((y * source.planes + p) * source.steps + t) * source.width + x
                    word = _words(source.bits + 8 * (line * source.words + channel // 64), 1)[0]
                    value += np.float32(((word >> np.uint64(channel % 64)) & np.uint64(1)) << np.uint64(p))
            elif channel < source.channels:
                line = (y * source.steps + t) * source.width + x
                value = _floats(source.numbers + 4 * (line * source.channels + channel), 1)[0]
            to[c] = before[c] + scale[channel] * value


@_compiled
def _current(operation: Any, terms: Any, values: Any, y: int, number: int, t0: int, t1: int, current: int,
             sums: int) -> None:  # fmt: skip
    """The current ``[T, W, block]`` of a row of pixels, from step t0 to t1: the bias and all terms."""
    block, width = operation.block, values[operation.out].width
    first = number * block
    base, base_bytes = operation.bias + 4 * first, 0
    for i in range(operation.first_term, operation.first_term + operation.num_terms):
        term, source = terms[i], values[terms[i].source]
        # a source of one step is the same at all of them
        start, stop = (t0, t1) if source.steps > 1 else (0, 1)
        step_bytes, pixel_bytes, skipped = 0, 0, 0
        if term.kind == CONV:
            step_bytes = _convolve(term, source, y, block, start, stop, number, sums, width)
            sum_bytes = 2 if term.sum_kind == SHORT else 4
            pixel_bytes = block * sum_bytes
            skipped = (2 - term.pad_x) * pixel_bytes if term.taps > 1 else 0
        for t in range(t0, t1):
            seen = t - t0 if source.steps > 1 else 0
            row = current + 4 * (t - t0) * width * block
            if i > operation.first_term:
                base, base_bytes = row, 4 * block
            if term.kind != CONV:
                _add_channels(term, source, y, start + seen, first, block, row, base, base_bytes)
                continue
            of = sums + seen * step_bytes + skipped
            for x in range(width):
                for c in range(0, block, GROUP):
                    add_scaled(
                        term.sum_kind, row + 4 * (x * block + c), base + x * base_bytes + 4 * c,
                        term.scale + 4 * (first + c), of + x * pixel_bytes + c * sum_bytes,
                    )  # fmt: skip


@_compiled
def _fire(operation: Any, out: Any, y: int, number: int, t: int, current: int, membranes: int) -> None:
    """One step of a row of neurons, a block of channels of them; what fires goes to the bits of ``out``."""
    block, padded, width, words = operation.block, operation.padded, out.width, out.words
    first, stride = number * block, 4 * operation.padded
    gain = operation.gain + min(t, operation.num_gains - 1) * stride
    place, shift = first // 64, np.uint64(first % 64)
    bits = out.bits + 8 * ((y * out.steps + t) * width * words + place)
    before_bits, before, before_bytes = bits - 8 * width * words, membranes, 4 * block
    after, after_bytes = membranes, 4 * block
    if t == 0:
        before, before_bytes, before_bits = operation.rest + 4 * first, 0, 0
    if operation.after:
        before, before_bytes = operation.before + 4 * (y * width * padded + first), stride
        before_bits = operation.before_bits + 8 * (y * width * words + place)
        after, after_bytes = operation.after + 4 * (y * width * padded + first), stride
    for x in range(width):
        spikes, found, old = np.uint64(0), np.uint64(0), np.uint64(0)
        word = _words(bits + 8 * x * words, 1)
        if before_bits:
            spikes = _words(before_bits + 8 * x * words, 1)[0] >> shift
        if shift:
            old = word[0] & ((np.uint64(1) << shift) - np.uint64(1))
        for c in range(0, block, GROUP):
            i = 4 * c
            fired = fire(
                operation.coefficients + 4 * first + i, stride, gain + 4 * first + i, current + 4 * x * block + i,
                before + x * before_bytes + i, after + x * after_bytes + i, spikes >> np.uint64(c), operation.strict,
            )  # fmt: skip
            found |= fired << np.uint64(c)
        word[0] = old | (found << shift)
        if operation.after:
            _words(operation.after_bits + 8 * ((y * width + x) * words + place), 1)[0] = word[0]


@_compiled
def _write(operation: Any, out: Any, y: int, number: int, t: int, current: int) -> None:
    """One step of a row of numbers."""
    block, first = operation.block, number * operation.block
    num = min(block, out.channels - first)
    for x in range(out.width):
        given = _floats(current + 4 * x * block, block)
        made = _floats(out.numbers + 4 * (((y * out.steps + t) * out.width + x) * out.channels + first), num)
        for c in range(num):
            made[c] = max(given[c], np.float32(0)) if operation.rectify else given[c]


@_compiled
def _layer(operation: Any, terms: Any, values: Any, y: int, room: int) -> None:
    """One row of a layer, a block of channels after another, all steps."""
    out, block = values[operation.out], operation.block
    membranes = room
    current = membranes + 4 * out.width * block
    sums = current + 4 * operation.steps_at_once * out.width * block
    for number in range(operation.padded // block):
        for t0 in range(0, out.steps, operation.steps_at_once):
            t1 = min(t0 + operation.steps_at_once, out.steps)
            _current(operation, terms, values, y, number, t0, t1, current, sums)
            for t in range(t0, t1):
                row = current + 4 * (t - t0) * out.width * block
                if operation.fires:
                    _fire(operation, out, y, number, t, row, membranes)
                else:
                    _write(operation, out, y, number, t, row)


@_compiled
def run(operations: Any, terms: Any, values: Any, counters: Any, room_bytes: int) -> None:
    """All operations, one after another; threads that run this with the same counters share out the rows.

    A thread goes on when all rows are done, so that one that comes late holds up nobody.

    Args:
        operations, terms, values: of ``tables``.
        counters: rows that are taken and that are done, nought, int64 ``[2, operations, 1]``.
        room_bytes: memory that a thread needs of its own.
    """
    room = np.empty(room_bytes // 8 + 8, np.uint64)
    begin = (room.ctypes.data + 63) // 64 * 64
    for i in range(len(operations)):
        operation = operations[i]
        out = values[operation.out]
        first, second = values[operation.first], values[operation.second]
        y = take(counters[0, i])
        while y < out.height:
            if operation.kind == LAYER:
                _layer(operation, terms, values, y, begin)
            elif operation.kind == MEAN:
                mean(first, out, y)
            elif operation.kind == JOIN:
                joined(operation, first, second, out, y)
            elif first.counted:
                pooled(operation, first, out, y)
            else:
                pooled_numbers(operation, first, out, y)
            take(counters[1, i])
            y = take(counters[0, i])
        while look(counters[1, i]) < out.height:
            pass
    room[0] = 0  # numba lets go of an array after its last mention, whoever knows its address
