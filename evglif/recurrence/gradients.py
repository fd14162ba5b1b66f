"""The way back through the recurrence on the CPU, as compiled loops over the same pieces as in ``kernels``.

    G[t] = ∂/∂S[t] − δ[t+1]·(r·U[t] + d)                      the second term unless detached
    δ[t] = ∂/∂U[t] + G[t]·φ(U[t] − v) + δ[t+1]·(a − r·S[t])    and ∂/∂X[t] = g[t]·δ[t]

Membranes of a piece are computed again from the current and stay in the processor's cache.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from evglif.recurrence.halves import read, target, write
from evglif.recurrence.kernels import at, begin, borrowed, bounds, spike, step, take, units

SURROGATES = ("rectangular", "arctan", "sigmoid", "fast-sigmoid", "triangle")

_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")
# Sums may be reordered, as many values are added at a time only so; nothing else may.
_reordered: Any = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz"})


@_compiled
def _derivative(surrogate: int, width: Any, u: Any, v: Any, phi: Any) -> None:
    """The surrogate's derivative at U − v into ``phi``; numbers as in ``SURROGATES``."""
    kind = phi.dtype.type
    one, zero, half, scale = kind(1), kind(0), kind(0.5), kind(1) / width
    if surrogate == 0:
        for i in range(np.uint64(len(u))):
            phi[i] = scale if abs((u[i] - at(v, i)) * scale) < half else zero
    elif surrogate == 1:
        pi = kind(np.pi)
        for i in range(np.uint64(len(u))):
            x = pi * ((u[i] - at(v, i)) * scale)
            phi[i] = scale / (one + x * x)
    elif surrogate == 2:
        four = kind(4)
        for i in range(np.uint64(len(u))):
            x = one / (one + np.exp(-four * ((u[i] - at(v, i)) * scale)))
            phi[i] = scale * four * x * (one - x)
    elif surrogate == 3:
        two = kind(2)
        for i in range(np.uint64(len(u))):
            x = one + two * abs((u[i] - at(v, i)) * scale)
            phi[i] = scale / (x * x)
    else:
        for i in range(np.uint64(len(u))):
            x = one - abs((u[i] - at(v, i)) * scale)
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
    x: Any,
    u: Any,
    held: Any,
    grad: Any,
    more: Any,
    phi: Any,
    delta: Any,
    out: Any,
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """From δ[t+1] to δ[t], in place; what it adds to the sums of a, b, r and d through S[t], and to those of v and g.

    ``held`` is U[t] as the next step has it: nought at the last step, which has no next: there 0·∞ would be no number.
    ``more`` is ∂/∂U[t], the gradient of membranes that the caller has used, and ``out`` the current's gradient.
    """
    a, _, r, d, v = neuron
    of_a = of_b = of_r = of_d = of_v = of_g = delta.dtype.type(0)
    for i in range(np.uint64(len(u))):
        after, s = delta[i], spike(held[i], v, strict)
        through, now = _delta(a, r, d, held[i], s, after, grad[i], phi[i], detached)
        now += more[i]
        delta[i] = now
        out[i] = g * now
        of_a += after * held[i]
        of_b -= after
        of_r -= after * s * held[i]
        of_d -= after * s
        of_v -= through
        of_g += now * x[i]
    return of_a, of_b, of_r, of_d, of_v, of_g


@_compiled
def _back_channels(
    neuron: Any,
    g: Any,
    strict: bool,
    detached: bool,
    x: Any,
    u: Any,
    held: Any,
    grad: Any,
    more: Any,
    phi: Any,
    delta: Any,
    out: Any,
    sums: Any,
    of_g: Any,
) -> None:
    """As ``_back_one_channel``, where each value has its own channel and sums: of a, b, r, d and v, and those of g."""
    a, _, r, d, v = neuron
    of_a, of_b, of_r, of_d, of_v = sums[0], sums[1], sums[2], sums[3], sums[4]
    for i in range(np.uint64(len(u))):
        after, s = delta[i], spike(held[i], v[i], strict)
        through, now = _delta(a[i], r[i], d[i], held[i], s, after, grad[i], phi[i], detached)
        now += more[i]
        delta[i] = now
        out[i] = g[i] * now
        of_a[i] += after * held[i]
        of_b[i] -= after
        of_r[i] -= after * s * held[i]
        of_d[i] -= after * s
        of_v[i] -= through
        of_g[i] += now * x[i]


@_reordered
def _start_one_channel(u: Any, s: Any, delta: Any) -> tuple[Any, Any, Any, Any]:
    """What δ of the first step adds to the sums of a, b, r and d."""
    of_a = of_b = of_r = of_d = delta.dtype.type(0)
    for i in range(np.uint64(len(u))):
        of_a += delta[i] * u[i]
        of_b -= delta[i]
        of_r -= delta[i] * s[i] * u[i]
        of_d -= delta[i] * s[i]
    return of_a, of_b, of_r, of_d


@_compiled
def _add(row: Any, sums: Any) -> None:
    for i in range(np.uint64(len(row))):
        sums[i] += row[i]


@_compiled
def _start_channels(u: Any, s: Any, delta: Any, sums: Any) -> None:
    for i in range(np.uint64(len(u))):
        sums[0, i] += delta[i] * u[i]
        sums[1, i] -= delta[i]
        sums[2, i] -= delta[i] * s[i] * u[i]
        sums[3, i] -= delta[i] * s[i]


@_compiled
def _start(
    a: Any, r: Any, d: Any, detached: bool, u: Any, s: Any, delta: Any, of_membrane: Any, of_spikes: Any
) -> None:
    """Gradients of the membrane and the spikes before the first step, from δ of that step."""
    zero = delta.dtype.type(0)
    for i in range(np.uint64(len(of_membrane))):
        of_membrane[i] = delta[i] * (at(a, i) - at(r, i) * s[i])
        of_spikes[i] = zero if detached else -delta[i] * (at(r, i) * u[i] + at(d, i))


@_compiled
def _backward(
    part: int,
    num_parts: int,
    grad_spikes: Any,
    grad_membranes: Any,
    current: Any,
    coefficients: Any,
    gain: Any,
    start_membrane: Any,
    start_spikes: Any,
    rest: Any,
    strict: bool,
    run: int,
    num_pieces: int,
    detached: bool,
    surrogate: int,
    width: Any,
    scratch: Any,
    grad_current: Any,
    grad_membrane: Any,
    grad_fired: Any,
    sums: Any,
    gain_sums: Any,
) -> None:
    """Gradients of the pieces of a part.

    Args:
        part, num_parts: as in ``kernels``.
        grad_spikes: ``[T, N]``, in the dtype of the current.
        grad_membranes: of all steps ``[T, N]``, of the last ``[1, N]``, or of none ``[0, N]``.
        current, coefficients, gain, start_membrane, start_spikes, rest, strict, run, num_pieces: likewise.
        detached: leave out the gradient through the spike in the reset.
        surrogate: index into ``SURROGATES``.
        width: of the surrogate, in the dtype of the state.
        scratch: ``[T + 14, …]``, as long as a piece.
        grad_current: output ``[T, N]``, in the dtype of the current.
        grad_membrane: output, of the start's membrane ``[N]``, or ``[0]`` where it is not wanted; as the next.
        grad_fired: output, of the start's spikes.
        sums: gradients of the coefficients to add to, float64, ``[num_parts, …]`` shaped as they are.
        gain_sums: those of the gain.
    """
    num_steps, num_values = current.shape
    first_kept = num_steps - len(grad_membranes)
    current, coefficients, gain, scratch = borrowed(current), borrowed(coefficients), borrowed(gain), borrowed(scratch)
    start_membrane, start_spikes = borrowed(start_membrane), borrowed(start_spikes)
    grad_spikes, grad_membranes, grad_current = borrowed(grad_spikes), borrowed(grad_membranes), borrowed(grad_current)
    grad_membrane, grad_fired = borrowed(grad_membrane), borrowed(grad_fired)
    into, gain_into = borrowed(sums)[part], borrowed(gain_sums)[part]
    rows, row_sums, records = scratch[:8], scratch[8:13], scratch[13:]
    rows[7] = 0
    first, last = units(part, num_parts, num_values, run, num_pieces)
    for unit in range(first, last):
        column = unit // num_pieces % coefficients.shape[1]
        a, b, r = coefficients[0, column], coefficients[1, column], coefficients[2, column]
        d, v = coefficients[3, column], coefficients[4, column]
        lo, hi = bounds(unit, num_pieces, run, num_values)
        n = max(hi - lo, 0)
        s, s_next, delta, phi = rows[0, :n], rows[1, :n], rows[2, :n], rows[3, :n]
        wide, wide_grad, out, none = rows[4, :n], rows[5, :n], rows[6, :n], rows[7, :n]
        begin(rest, start_membrane, start_spikes, lo, hi, records[0, :n], s)
        for t in range(num_steps):
            x = read(current[t, lo:hi], wide)
            step(a, b, gain[t, column], r, d, v, strict, x, records[t, :n], s, records[t + 1, :n], s_next)
            s, s_next = s_next, s
        delta[:] = 0
        if sums.ndim == 4:
            row_sums[:] = 0
        for t in range(num_steps - 1, -1, -1):
            u = records[t + 1, :n]
            held = u if t + 1 < num_steps else none
            _derivative(surrogate, width, u, v, phi)
            x, grad = read(current[t, lo:hi], wide), read(grad_spikes[t, lo:hi], wide_grad)
            more = grad_membranes[t - first_kept, lo:hi] if t >= first_kept else none
            now = target(grad_current[t, lo:hi], out)
            neuron, g = (a, b, r, d, v), gain[t, column]
            if sums.ndim == 4:
                both = row_sums, gain_into[t, column]
                _back_channels(neuron, g, strict, detached, x, u, held, grad, more, phi, delta, now, *both)
            else:
                totals = _back_one_channel(neuron, g, strict, detached, x, u, held, grad, more, phi, delta, now)
                for k in range(5):
                    into[k, column] += totals[k]
                gain_into[t, column] += totals[5]
            write(now, grad_current[t, lo:hi])
        u = records[0, :n]
        begin(rest, start_membrane, start_spikes, lo, hi, u, s)
        if sums.ndim == 4:
            _start_channels(u, s, delta, row_sums)
            for k in range(5):
                _add(row_sums[k, :n], into[k, column])
        else:
            totals_of_start = _start_one_channel(u, s, delta)
            for k in range(4):
                into[k, column] += totals_of_start[k]
        if len(grad_membrane):
            _start(a, r, d, detached, u, s, delta, grad_membrane[lo:hi], grad_fired[lo:hi])


@_compiled
def backward(next_part: Any, num_parts: int, *arguments: Any) -> None:
    """Take parts as ``kernels.forward`` does; ``arguments`` are those of ``_backward`` from the spikes' gradient on."""
    part = take(next_part)
    while part < num_parts:
        _backward(part, num_parts, *arguments)
        part = take(next_part)
