"""The way back through the recurrence on the CPU, as compiled loops over the same pieces as in ``kernels``.

    G[t] = ∂/∂S[t] − δ[t+1]·(r·U[t] + d)                      the second term unless detached
    δ[t] = ∂/∂U[t] + G[t]·φ(U[t] − v) + δ[t+1]·(a − r·S[t])    and ∂/∂X[t] = g[t]·δ[t]

Membranes of a piece are computed again from the current and stay in the processor's cache.
"""

# mypy: disable-error-code="untyped-decorator, attr-defined"

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import carray, njit

from evglif.recurrence.entries import entry, record, values
from evglif.recurrence.halves import load, store
from evglif.recurrence.kernels import SHAPE, at, begin, bounds, clear, neuron_of, spike, step, units
from preprocessing.counting import take

_UNITS_TOGETHER = 16
"""Rows whose sums are added up in the dtype of the state, before they go to those in float64."""

SURROGATES = ("rectangular", "arctan", "sigmoid", "fast-sigmoid", "triangle")

BACKWARD = record(
    SHAPE + " detached surrogate of_start",
    "grad_spikes grad_membranes current coefficients gain start_membrane start_spikes scratch "
    "grad_current grad_membrane grad_fired sums gain_sums",
    fractions="rest width_of_surrogate",
)
"""What ``backward`` takes beside what is in ``kernels.FORWARD``; ``first_kept`` is that of ``grad_membranes``.

detached: leave out the gradient through the spike in the reset.
surrogate: index into ``SURROGATES``.
of_start: whether gradients of the start are wanted.
grad_spikes: ``[T, N]``, in the dtype of the current.
grad_membranes: of the steps that are kept, ``[…, N]``.
scratch: ``[threads, T + 10, length]``: membranes of all steps and of the start, zeros, and eight rows.
grad_current: output ``[T, N]``, in the dtype of the current.
grad_membrane, grad_fired: output, of the start's membrane and spikes, ``[N]``.
sums: gradients of the coefficients to add to, float64, ``[num_parts, …]`` shaped as they are.
gain_sums: those of the gain.
"""

_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")
# Sums may be reordered, as many values are added at a time only so; nothing else may.
_reordered: Any = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz"})


@_compiled
def _derivative(surrogate: int, width: Any, memory: Any, place: Any, v: Any, phi: Any, n: Any) -> None:
    """The surrogate's derivative at U − v into ``phi``; numbers as in ``SURROGATES``."""
    kind = phi.dtype.type
    one, zero, half, scale = kind(1), kind(0), kind(0.5), kind(1) / width
    if surrogate == 0:
        for i in range(n):
            phi[i] = scale if abs((memory[place + i] - at(v, i)) * scale) < half else zero
    elif surrogate == 1:
        pi = kind(np.pi)
        for i in range(n):
            x = pi * ((memory[place + i] - at(v, i)) * scale)
            phi[i] = scale / (one + x * x)
    elif surrogate == 2:
        four = kind(4)
        for i in range(n):
            x = one / (one + np.exp(-four * ((memory[place + i] - at(v, i)) * scale)))
            phi[i] = scale * four * x * (one - x)
    elif surrogate == 3:
        two = kind(2)
        for i in range(n):
            x = one + two * abs((memory[place + i] - at(v, i)) * scale)
            phi[i] = scale / (x * x)
    else:
        for i in range(n):
            x = one - abs((memory[place + i] - at(v, i)) * scale)
            phi[i] = scale * x if x > zero else zero


@_compiled
def _delta(
    a: Any, r: Any, d: Any, held: Any, s: Any, after: Any, grad: Any, phi: Any, detached: bool
) -> tuple[Any, Any]:
    """G·φ, and δ[t] without ∂/∂U[t], of one value from its δ[t+1] and the membrane that the next step resets."""
    reset = after * (r * held + d)
    through = (grad - (type(held)(0) if detached else reset)) * phi
    return through, after * (a - r * s) + through


@_reordered
def _back_one_channel(
    neuron: Any,
    g: Any,
    strict: bool,
    detached: bool,
    current: Any,
    now: Any,
    memory: Any,
    held: Any,
    grad: Any,
    more: Any,
    kept: Any,
    phi: Any,
    delta: Any,
    out: Any,
    n: Any,
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """From δ[t+1] to δ[t], in place; what it adds to the sums of a, b, r and d through S[t], and to those of v and g.

    Args:
        neuron: a, b, r, d, v.
        g: gain of the step.
        strict, detached: as in the records.
        current, grad, out: X, ∂/∂S and ∂/∂X, from place ``now`` on.
        memory: membranes; those that the next step resets from ``held`` on. At the last step, which has no next, these
            are nought: there 0·∞ would be no number.
        more: ∂/∂U, the gradient of membranes that the caller has used, from ``kept`` on.
        phi: the surrogate's derivatives.
        delta: δ.
        n: how many values.
    """
    a, _, r, d, v = neuron
    of_a = of_b = of_r = of_d = of_v = of_g = delta.dtype.type(0)
    for i in range(n):
        after, u = delta[i], memory[held + i]
        s = spike(u, v, strict)
        through, delta_now = _delta(a, r, d, u, s, after, load(grad, now + i), phi[i], detached)
        delta_now += more[kept + i]
        delta[i] = delta_now
        store(g * delta_now, out, now + i)
        of_a += after * u
        of_b -= after
        of_r -= after * s * u
        of_d -= after * s
        of_v -= through
        of_g += delta_now * load(current, now + i)
    return of_a, of_b, of_r, of_d, of_v, of_g


@_compiled
def _back_channels(
    neuron: Any,
    g: Any,
    strict: bool,
    detached: bool,
    current: Any,
    now: Any,
    memory: Any,
    held: Any,
    grad: Any,
    more: Any,
    kept: Any,
    phi: Any,
    delta: Any,
    out: Any,
    n: Any,
    sums: Any,
    of_g: Any,
) -> None:
    """As ``_back_one_channel``, where each value has its own channel and sums: of a, b, r, d and v, and those of g."""
    a, _, r, d, v = neuron
    of_a, of_b, of_r, of_d, of_v = sums[0], sums[1], sums[2], sums[3], sums[4]
    for i in range(n):
        after, u = delta[i], memory[held + i]
        s = spike(u, v[i], strict)
        through, delta_now = _delta(a[i], r[i], d[i], u, s, after, load(grad, now + i), phi[i], detached)
        delta_now += more[kept + i]
        delta[i] = delta_now
        store(g[i] * delta_now, out, now + i)
        of_a[i] += after * u
        of_b[i] -= after
        of_r[i] -= after * s * u
        of_d[i] -= after * s
        of_v[i] -= through
        of_g[i] += delta_now * load(current, now + i)


@_reordered
def _start_one_channel(memory: Any, place: Any, s: Any, delta: Any, n: Any) -> tuple[Any, Any, Any, Any]:
    """What δ of the first step adds to the sums of a, b, r and d."""
    of_a = of_b = of_r = of_d = delta.dtype.type(0)
    for i in range(n):
        u = memory[place + i]
        of_a += delta[i] * u
        of_b -= delta[i]
        of_r -= delta[i] * s[i] * u
        of_d -= delta[i] * s[i]
    return of_a, of_b, of_r, of_d


@_compiled
def _start_channels(memory: Any, place: Any, s: Any, delta: Any, n: Any, sums: Any) -> None:
    for i in range(n):
        u = memory[place + i]
        sums[0, i] += delta[i] * u
        sums[1, i] -= delta[i]
        sums[2, i] -= delta[i] * s[i] * u
        sums[3, i] -= delta[i] * s[i]


@_compiled
def _start(
    neuron: Any,
    detached: bool,
    memory: Any,
    held: Any,
    s: Any,
    delta: Any,
    of_membrane: Any,
    of_spikes: Any,
    place: Any,
    n: Any,
) -> None:
    """Gradients of the membrane and the spikes before the first step, from δ of that step."""
    a, _, r, d, _ = neuron
    zero = delta.dtype.type(0)
    for i in range(n):
        of_membrane[place + i] = delta[i] * (at(a, i) - at(r, i) * s[i])
        of_spikes[place + i] = zero if detached else -delta[i] * (at(r, i) * memory[held + i] + at(d, i))


@_compiled
def _add(row: Any, sums: Any, n: Any) -> None:
    for i in range(n):
        sums[i] += row[i]


@_compiled
def _backward(
    part: int,
    record: Any,
    grad_spikes: Any,
    grad_membranes: Any,
    current: Any,
    coefficients: Any,
    gain: Any,
    start_membrane: Any,
    start_spikes: Any,
    memory: Any,
    rows: Any,
    grad_current: Any,
    grad_membrane: Any,
    grad_fired: Any,
    sums: Any,
    gain_sums: Any,
) -> None:
    """Gradients of the pieces of a part; arrays as in ``BACKWARD``, the scratch in two."""
    run, num_pieces, num_values, num_steps = record.run, record.num_pieces, record.num_values, record.num_steps
    strict, detached, first_kept = record.strict != 0, record.detached != 0, record.first_kept
    width = memory.dtype.type(record.width_of_surrogate)
    length = np.uint64(record.length)
    fired, delta, phi, row_sums = rows[0], rows[1], rows[2], rows[3:]
    nought = np.uint64(num_steps + 1) * length  # a row of zeros after the membranes of all steps
    clear(memory, nought, length)
    into, gain_into = sums[part], gain_sums[part]
    first, last = units(part, record.num_parts, num_values, run, num_pieces)
    for unit in range(first, last):
        column = unit // num_pieces % record.columns
        neuron = neuron_of(coefficients, column)
        place, n = bounds(unit, num_pieces, run, num_values)
        begin(record, start_membrane, start_spikes, place, n, memory, np.uint64(0), fired)
        for t in range(num_steps):
            now, before = np.uint64(t * num_values) + place, np.uint64(t) * length
            step(neuron, gain[t, column], strict, current, now, memory, before, before + length, fired, None, n)
        clear(delta, np.uint64(0), n)
        if sums.ndim == 4 and (unit - first) % _UNITS_TOGETHER == 0:
            for k in range(5):
                clear(row_sums[k], np.uint64(0), length)
        for t in range(num_steps - 1, -1, -1):
            now, here = np.uint64(t * num_values) + place, np.uint64(t + 1) * length
            held = here if t + 1 < num_steps else nought
            more = grad_membranes if t >= first_kept else memory
            kept = np.uint64((t - first_kept) * num_values) + place if t >= first_kept else nought
            _derivative(record.surrogate, width, memory, here, neuron[4], phi, n)
            g, options = gain[t, column], (strict, detached)
            tensors = (current, now, memory, held, grad_spikes, more, kept, phi, delta, grad_current, n)
            if sums.ndim == 4:
                _back_channels(neuron, g, *options, *tensors, row_sums, gain_into[t, column])
            else:
                totals = _back_one_channel(neuron, g, *options, *tensors)
                for k in range(5):
                    into[k, column] += totals[k]
                gain_into[t, column] += totals[5]
        begin(record, start_membrane, start_spikes, place, n, memory, np.uint64(0), fired)
        if sums.ndim == 4:
            _start_channels(memory, np.uint64(0), fired, delta, n, row_sums)
            if (unit - first) % _UNITS_TOGETHER == _UNITS_TOGETHER - 1 or unit + 1 == last:
                for k in range(5):
                    _add(row_sums[k], into[k, column], np.uint64(run))
        else:
            totals_of_start = _start_one_channel(memory, np.uint64(0), fired, delta, n)
            for k in range(4):
                into[k, column] += totals_of_start[k]
        if record.of_start:
            _start(neuron, detached, memory, np.uint64(0), fired, delta, grad_membrane, grad_fired, place, n)


@_compiled
def _take_parts(
    counters: Any, record: Any, coefficients: Any, gain: Any, sums: Any, gain_sums: Any, kind: Any, state: Any
) -> None:
    """Run parts, one after another, as long as there is one that no other thread has taken."""
    num_rows, length = record.num_steps + 10, record.length
    own = values(record.scratch, (record.num_threads, num_rows * length), state)[take(counters[1:])]
    membranes = (record.num_steps + 2) * length
    memory, rows = own[:membranes], own[membranes:].reshape((8, length))
    size, start_size = record.num_steps * record.num_values, record.has_start * record.num_values
    of_start_size = record.of_start * record.num_values
    inputs = (
        values(record.grad_spikes, (size,), kind),
        values(record.grad_membranes, ((record.num_steps - record.first_kept) * record.num_values,), state),
        values(record.current, (size,), kind),
        coefficients,
        gain,
        values(record.start_membrane, (start_size,), state),
        values(record.start_spikes, (start_size,), state),
    )
    outputs = (
        values(record.grad_current, (size,), kind),
        values(record.grad_membrane, (of_start_size,), state),
        values(record.grad_fired, (of_start_size,), state),
        sums,
        gain_sums,
    )
    part = take(counters)
    while part < record.num_parts:
        _backward(part, record, *inputs, memory, rows, *outputs)
        part = take(counters)


@cache
def backward(kind: Any, state: Any, rows: bool) -> Any:
    """As ``kernels.forward``, for a ``BACKWARD``."""

    def with_numbers(block: Any) -> None:
        record = carray(block, 1, BACKWARD)[0]
        parts, steps, columns = record.num_parts, record.num_steps, record.columns
        coefficients = values(record.coefficients, (5, columns), state)
        gain = values(record.gain, (steps, columns), state)
        sums = values(record.sums, (parts, 5, columns), np.float64)
        gain_sums = values(record.gain_sums, (parts, steps, columns), np.float64)
        counters = carray(block, 2, np.int64)
        _take_parts(counters, record, coefficients, gain, sums, gain_sums, kind, state)

    def with_rows(block: Any) -> None:
        record = carray(block, 1, BACKWARD)[0]
        parts, steps, columns, width = record.num_parts, record.num_steps, record.columns, record.width
        coefficients = values(record.coefficients, (5, columns, width), state)
        gain = values(record.gain, (steps, columns, width), state)
        sums = values(record.sums, (parts, 5, columns, width), np.float64)
        gain_sums = values(record.gain_sums, (parts, steps, columns, width), np.float64)
        counters = carray(block, 2, np.int64)
        _take_parts(counters, record, coefficients, gain, sums, gain_sums, kind, state)

    return entry(with_rows if rows else with_numbers)
