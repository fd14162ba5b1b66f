"""The recurrence on the CPU as compiled loops: one pass over the input forward, one backward.

A sample is seen as M = C·H·W values that lie next to each other, ``[T, B, M]``; value i belongs to channel
``i // inner % C``, where ``inner`` is H·W, or 1 with channels last. Work goes in tiles of values whose membranes stay
in the processor's cache over all time steps. Operations come in the order of the reference and are never fused, so
that both agree spike for spike.

Scratch memory is a few rows of one tile in one flat array, named by their offsets: that way the compiler can tell
that they do not overlap, and works on many values at a time. Offsets are unsigned because signed ones might count
from the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

TILE = 512
"""Values per tile; the scratch of 16 steps fits in a second-level cache, and reads are long enough to be foreseen."""

SURROGATES = ("rectangular", "arctan", "sigmoid", "fast-sigmoid", "triangle")

# Rows of a tile that hold for all steps: a, b, r, d, v, then what the backward pass carries.
A, B, R, D, V = (np.uint64(row * TILE) for row in range(5))
DELTA, PHI = np.uint64(5 * TILE), np.uint64(6 * TILE)
SUM_A, SUM_B, SUM_R, SUM_D, SUM_V = (np.uint64(row * TILE) for row in range(7, 12))
NUM_ROWS = 12

# Rows of one step's record: membrane, gain, gradient of the gain. Loops see a pair of records, the step before and,
# from NOW on, the step itself. Spikes lie apart, because loops that write a record read them.
U, G, SUM_G = (np.uint64(row * TILE) for row in range(3))
RECORD = NOW = np.uint64(3 * TILE)

_compiled = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _channels(first: int, inner: int, channels: int, out: Any) -> None:
    """Channel of every value of a tile that begins at value ``first``."""
    channel = first // inner % channels
    left = inner - first % inner
    for i in range(len(out)):
        out[i] = channel
        left -= 1
        if left == 0:
            left = inner
            channel = channel + 1 if channel + 1 < channels else 0


@_compiled
def _is_one_channel(channel: Any) -> bool:
    n = len(channel)
    return bool(channel[0] == channel[n - 1] and (n == 1 or channel[0] == channel[1]))


@_compiled
def _load_tile(coefficients: Any, gain: Any, channel: Any, rows: Any, records: Any) -> None:
    """Spread coefficients ``[5, C]`` and gain ``[T, C]`` over the values of a tile."""
    n = np.uint64(len(channel))
    for k in range(5):
        row = np.uint64(k * TILE)
        _spread(coefficients[k], channel, rows[row : row + n])
    for t in range(len(gain)):
        row = np.uint64(t + 1) * RECORD + G
        _spread(gain[t], channel, records[row : row + n])


@_compiled
def _spread(of_channel: Any, channel: Any, out: Any) -> None:
    if _is_one_channel(channel):
        out[:] = of_channel[channel[0]]
    else:
        for i in range(len(out)):
            out[i] = of_channel[channel[i]]


@_compiled
def _step(rows: Any, pair: Any, current: Any, spikes_before: Any, spikes: Any, strict: bool) -> None:
    """One step of a tile: from the first record of ``pair`` to the membrane of the second, and to its spikes.

    A membrane that is not a number gives neither a spike nor silence, but itself.
    """
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for i in range(np.uint64(len(current))):
        u = pair[U + i]
        update = rows[A + i] * u - rows[B + i] + pair[NOW + G + i] * current[i]
        u = update - spikes_before[i] * (rows[R + i] * u + rows[D + i])
        v = rows[V + i]
        fired = one if (u > v if strict else u >= v) else zero
        pair[NOW + U + i] = u
        spikes[i] = u if np.isnan(u) else fired


@_compiled
def _copy(source: Any, out: Any) -> None:
    for i in range(np.uint64(len(out))):
        out[i] = source[i]


@_compiled
def forward(
    current: Any,
    coefficients: Any,
    gain: Any,
    start_membrane: Any,
    start_spikes: Any,
    strict: bool,
    inner: int,
    tiles: tuple[int, int],
    samples: tuple[int, int],
    spikes: Any,
    membranes: Any,
) -> None:
    """Run some tiles of some samples.

    Args:
        current: ``[T, B, M]``, C-contiguous; as all that follow, in the dtype of the state.
        coefficients: a, b, r, d, v, ``[5, C]``.
        gain: g, ``[T, C]``.
        start_membrane: U before the first step, ``[B, M]``.
        start_spikes: S before the first step, ``[B, M]``.
        strict: fire at U > v, otherwise at U ≥ v.
        inner: see the module.
        tiles: first and last + 1.
        samples: first and last + 1.
        spikes: output ``[T, B, M]``.
        membranes: output, of all steps ``[T, B, M]`` or of the last one ``[1, B, M]``.
    """
    num_steps, _, num_values = current.shape
    first_kept = num_steps - len(membranes)
    rows = np.empty(NUM_ROWS * TILE, current.dtype)
    records = np.empty((num_steps + 1) * RECORD, current.dtype)
    channel = np.empty(TILE, np.int64)
    for tile in range(tiles[0], tiles[1]):
        lo, hi = tile * TILE, min((tile + 1) * TILE, num_values)
        n = np.uint64(hi - lo)
        _channels(lo, inner, coefficients.shape[1], channel[:n])
        _load_tile(coefficients, gain, channel[:n], rows, records)
        for b in range(samples[0], samples[1]):
            _copy(start_membrane[b, lo:hi], records[U : U + n])
            before = start_spikes[b, lo:hi]
            for t in range(num_steps):
                pair = records[np.uint64(t) * RECORD : np.uint64(t + 2) * RECORD]
                now = spikes[t, b, lo:hi]
                _step(rows, pair, current[t, b, lo:hi], before, now, strict)
                before = now
                if t >= first_kept:
                    _copy(pair[NOW + U : NOW + U + n], membranes[t - first_kept, b, lo:hi])


@_compiled
def _derivative(rows: Any, pair: Any, n: Any, surrogate: int, width: Any) -> None:
    """The surrogate's derivative at U − v for a tile, into the row PHI; numbers as in ``SURROGATES``."""
    kind = rows.dtype.type
    one, zero, half, scale = kind(1), kind(0), kind(0.5), kind(1) / width
    if surrogate == 0:
        for i in range(n):
            rows[PHI + i] = scale if abs((pair[NOW + U + i] - rows[V + i]) * scale) < half else zero
    elif surrogate == 1:
        pi = kind(np.pi)
        for i in range(n):
            x = pi * ((pair[NOW + U + i] - rows[V + i]) * scale)
            rows[PHI + i] = scale / (one + x * x)
    elif surrogate == 2:
        four = kind(4)
        for i in range(n):
            x = one / (one + np.exp(-four * ((pair[NOW + U + i] - rows[V + i]) * scale)))
            rows[PHI + i] = scale * four * x * (one - x)
    elif surrogate == 3:
        two = kind(2)
        for i in range(n):
            x = one + two * abs((pair[NOW + U + i] - rows[V + i]) * scale)
            rows[PHI + i] = scale / (x * x)
    else:
        for i in range(n):
            x = one - abs((pair[NOW + U + i] - rows[V + i]) * scale)
            rows[PHI + i] = scale * x if x > zero else zero


@_compiled
def _delta(rows: Any, pair: Any, fired: Any, grad_spikes: Any, detach_reset: bool) -> None:
    """δ[t] in the row DELTA, which holds δ[t+1] before; see ``backward``."""
    zero = rows.dtype.type(0)
    for i in range(np.uint64(len(grad_spikes))):
        delta = rows[DELTA + i]
        reset = delta * (rows[R + i] * pair[NOW + U + i] + rows[D + i])
        through = (grad_spikes[i] - (zero if detach_reset else reset)) * rows[PHI + i]
        rows[DELTA + i] = delta * (rows[A + i] - rows[R + i] * fired[i]) + through
        rows[SUM_V + i] -= through


@_compiled
def _input_gradients(rows: Any, pair: Any, current: Any, grad_current: Any) -> None:
    """From δ[t]: the gradient of the current, and what step t adds to that of its gain."""
    for i in range(np.uint64(len(current))):
        delta = rows[DELTA + i]
        grad_current[i] = pair[NOW + G + i] * delta
        pair[NOW + SUM_G + i] += delta * current[i]


@_compiled
def _coefficient_gradients(rows: Any, pair: Any, fired_before: Any) -> None:
    """From δ[t]: what step t adds to the gradients of a, b, r and d."""
    for i in range(np.uint64(len(fired_before))):
        delta, u, s = rows[DELTA + i], pair[U + i], fired_before[i]
        rows[SUM_A + i] += delta * u
        rows[SUM_B + i] -= delta
        rows[SUM_R + i] -= delta * (s * u)
        rows[SUM_D + i] -= delta * s


@_compiled
def _start(rows: Any, start: tuple[Any, Any], detach_reset: bool, grad_membrane: Any, grad_fired: Any) -> None:
    """Gradients of the membrane and the spikes before the first step, from δ of that step."""
    zero = rows.dtype.type(0)
    membrane, fired = start
    for i in range(np.uint64(len(grad_membrane))):
        delta = rows[DELTA + i]
        grad_membrane[i] = delta * (rows[A + i] - rows[R + i] * fired[i])
        grad_fired[i] = zero if detach_reset else -delta * (rows[R + i] * membrane[i] + rows[D + i])


@_compiled
def _add(source: Any, out: Any) -> None:
    for i in range(np.uint64(len(out))):
        out[i] += source[i]


@_compiled
def _add_up(values: Any, channel: Any, out: Any) -> None:
    """Add the values of a tile to the sums of their channels; the values are used up."""
    n = len(values)
    if not _is_one_channel(channel[:n]):
        for i in range(n):
            out[channel[i]] += values[i]
        return
    while n > 1:  # halving adds many values at a time, and rounds less than adding one after the other
        half = n // 2
        for i in range(half):
            values[i] += values[n - half + i]
        n -= half
    out[channel[0]] += values[0]


@_compiled
def backward(
    grad_spikes: Any,
    grad_membranes: Any,
    current: Any,
    coefficients: Any,
    gain: Any,
    start_membrane: Any,
    start_spikes: Any,
    strict: bool,
    detach_reset: bool,
    surrogate: int,
    width: Any,
    inner: int,
    tiles: tuple[int, int],
    samples: tuple[int, int],
    grad_current: Any,
    grad_membrane: Any,
    grad_fired: Any,
    grad_coefficients: Any,
    grad_gain: Any,
) -> None:
    """Gradients of some tiles of some samples; membranes are computed again from the current, not stored.

        G[t] = ∂/∂S[t] − δ[t+1]·(r·U[t] + d)                      the second term unless detached
        δ[t] = ∂/∂U[t] + G[t]·φ(U[t] − v) + δ[t+1]·(a − r·S[t])    and ∂/∂X[t] = g[t]·δ[t]

    Args:
        grad_spikes: ``[T, B, M]``.
        grad_membranes: of all steps ``[T, B, M]``, of the last ``[1, B, M]``, or of none ``[0, B, M]``.
        current, coefficients, gain, start_membrane, start_spikes, strict: as ``forward``.
        detach_reset: leave out the gradient through the spike in the reset.
        surrogate: index into ``SURROGATES``.
        width: of the surrogate, in the dtype of the state.
        inner, tiles, samples: as ``forward``.
        grad_current: output ``[T, B, M]``.
        grad_membrane: output, of the start's membrane ``[B, M]``.
        grad_fired: output, of the start's spikes ``[B, M]``.
        grad_coefficients: sums to add to, ``[5, C]`` float64.
        grad_gain: sums to add to, ``[T, C]`` float64.
    """
    num_steps, _, num_values = current.shape
    first_kept = num_steps - len(grad_membranes)
    rows = np.empty(NUM_ROWS * TILE, current.dtype)
    records = np.empty((num_steps + 1) * RECORD, current.dtype)
    fired = np.empty((num_steps + 1, TILE), current.dtype)
    channel = np.empty(TILE, np.int64)
    for tile in range(tiles[0], tiles[1]):
        lo, hi = tile * TILE, min((tile + 1) * TILE, num_values)
        n = np.uint64(hi - lo)
        _channels(lo, inner, coefficients.shape[1], channel[:n])
        rows[SUM_A:] = 0
        records[:] = 0
        _load_tile(coefficients, gain, channel[:n], rows, records)
        for b in range(samples[0], samples[1]):
            _copy(start_membrane[b, lo:hi], records[U : U + n])
            _copy(start_spikes[b, lo:hi], fired[0, :n])
            for t in range(num_steps):
                pair = records[np.uint64(t) * RECORD : np.uint64(t + 2) * RECORD]
                _step(rows, pair, current[t, b, lo:hi], fired[t, :n], fired[t + 1, :n], strict)
            rows[DELTA:PHI] = 0
            for t in range(num_steps - 1, -1, -1):
                pair = records[np.uint64(t) * RECORD : np.uint64(t + 2) * RECORD]
                _derivative(rows, pair, n, surrogate, width)
                _delta(rows, pair, fired[t + 1, :n], grad_spikes[t, b, lo:hi], detach_reset)
                if t >= first_kept:
                    _add(grad_membranes[t - first_kept, b, lo:hi], rows[DELTA : DELTA + n])
                _input_gradients(rows, pair, current[t, b, lo:hi], grad_current[t, b, lo:hi])
                _coefficient_gradients(rows, pair, fired[t, :n])
            start = records[U : U + n], fired[0, :n]
            _start(rows, start, detach_reset, grad_membrane[b, lo:hi], grad_fired[b, lo:hi])
        for k in range(5):
            row = SUM_A + np.uint64(k * TILE)
            _add_up(rows[row : row + n], channel, grad_coefficients[k])
        for t in range(num_steps):
            row = np.uint64(t + 1) * RECORD + SUM_G
            _add_up(records[row : row + n], channel, grad_gain[t])
