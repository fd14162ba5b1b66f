"""The recurrence on the CPU as compiled loops: one pass over the input.

A step of the current is seen as N values in runs of W that lie next to each other. In a run, either all values belong
to one channel (a plane of H·W pixels), and its coefficients are numbers; or channels follow each other, as they do with
channels last and without pixels, and coefficients are rows of W. Run j takes column ``j % P`` of the coefficients
``[…, P]`` or ``[…, P, W]``. The same loops are compiled for both, and for float64 and half types beside float32.

Work goes in pieces of runs whose membranes stay in the processor's cache over all time steps. Operations come in the
order of the reference and are never fused, so that both agree spike for spike. Offsets are unsigned because signed
ones might count from the end.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from evglif.recurrence.halves import read, target, write
from preprocessing.compiled import keep_somewhere

keep_somewhere(__file__)
_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")


def at(coefficient: Any, i: Any) -> Any:
    """A coefficient of value i: the number that all share, or element i of a row."""
    raise NotImplementedError("runs in compiled loops only")


@overload(at, inline="always")
def _at(coefficient: Any, i: Any) -> Callable[..., Any]:  # noqa: ARG001
    def of_each(coefficient: Any, i: Any) -> Any:
        return coefficient[i]

    def of_all(coefficient: Any, i: Any) -> Any:  # noqa: ARG001
        return coefficient

    return of_each if isinstance(coefficient, types.Array) else of_all


def _borrow(_: Any, array: Any) -> Any:
    """The same array without a count of its owners, whose upkeep costs more than the arithmetic on a short row."""

    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        made.meminfo, made.parent = made.meminfo.type(None), made.parent.type(None)
        return made._getvalue()

    return array(array), build


borrowed: Any = intrinsic(_borrow)


def _take(_: Any, counter: Any) -> Any:
    """The number in an array of one, to which 1 is then added: never the same for two threads."""

    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        number = context.make_array(counter)(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", number, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), build


take: Any = intrinsic(_take)


@_compiled
def units(part: int, num_parts: int, num_values: int, run: int, num_pieces: int) -> tuple[int, int]:
    """First piece and last + 1 of a part, counted over all runs."""
    num_units = -(-num_values // run) * num_pieces
    return part * num_units // num_parts, (part + 1) * num_units // num_parts


@_compiled
def bounds(unit: int, num_pieces: int, run: int, num_values: int) -> tuple[int, int]:
    """First value and last + 1 of piece ``unit % num_pieces`` of a run, all of nearly the same length."""
    size = -(-run // num_pieces)
    start = unit // num_pieces * run
    lo = start + unit % num_pieces * size
    return lo, min(lo + size, start + run, num_values)


@_compiled
def spike(u: Any, v: Any, strict: bool) -> Any:
    """S of a membrane; one that is not a number gives neither a spike nor silence, but itself."""
    one, zero = type(u)(1), type(u)(0)
    fired = one if (u > v if strict else u >= v) else zero
    return u if np.isnan(u) else fired


@_compiled
def step(
    a: Any, b: Any, g: Any, r: Any, d: Any, v: Any, strict: bool, x: Any, u: Any, s: Any, u_next: Any, s_next: Any
) -> None:
    """One step of a piece: from membranes and spikes to the next ones."""
    for i in range(np.uint64(len(x))):
        update = at(a, i) * u[i] - at(b, i) + at(g, i) * x[i]
        update -= s[i] * (at(r, i) * u[i] + at(d, i))
        u_next[i] = update
        s_next[i] = spike(update, at(v, i), strict)


@_compiled
def copy(source: Any, out: Any) -> None:
    """Copy a row; NumPy's own assignment first looks whether the two overlap."""
    for i in range(np.uint64(len(source))):
        out[i] = source[i]


@_compiled
def begin(rest: Any, membranes: Any, fired: Any, lo: int, hi: int, u: Any, s: Any) -> None:
    """State of a piece before the first step: the one that is given, or rest."""
    if len(membranes):
        copy(membranes[lo:hi], u)
        copy(fired[lo:hi], s)
    else:
        u[:] = rest
        s[:] = 0


@_compiled
def _forward(
    part: int,
    num_parts: int,
    current: Any,
    coefficients: Any,
    gain: Any,
    start_membrane: Any,
    start_spikes: Any,
    rest: Any,
    strict: bool,
    run: int,
    num_pieces: int,
    scratch: Any,
    spikes: Any,
    membranes: Any,
) -> None:
    """Run the pieces of a part.

    Args:
        part: its number.
        num_parts: into which all pieces are cut.
        current: ``[T, N]``, C-contiguous; half types as bits, see ``halves``.
        coefficients: a, b, r, d, v, ``[5, P]`` or ``[5, P, W]``, in the dtype of the state; as the next three.
        gain: g, ``[T, P]`` or ``[T, P, W]``.
        start_membrane: U before the first step, ``[N]``, or ``[0]`` for ``rest`` everywhere.
        start_spikes: S before the first step, ``[N]``, or ``[0]`` for none.
        rest: U before the first step where there is no start.
        strict: fire at U > v, otherwise at U ≥ v.
        run: W.
        num_pieces: into which each run is cut.
        scratch: ``[5, …]``, as long as a piece.
        spikes: output ``[T, N]``, in the dtype of the current.
        membranes: output in the dtype of the state, of all steps ``[T, N]`` or of the last one ``[1, N]``.
    """
    num_steps, num_values = current.shape
    first_kept = num_steps - len(membranes)
    current, coefficients, gain, rows = borrowed(current), borrowed(coefficients), borrowed(gain), borrowed(scratch)
    start_membrane, start_spikes = borrowed(start_membrane), borrowed(start_spikes)
    spikes, membranes = borrowed(spikes), borrowed(membranes)
    first, last = units(part, num_parts, num_values, run, num_pieces)
    for unit in range(first, last):
        column = unit // num_pieces % coefficients.shape[1]
        a, b, r = coefficients[0, column], coefficients[1, column], coefficients[2, column]
        d, v = coefficients[3, column], coefficients[4, column]
        lo, hi = bounds(unit, num_pieces, run, num_values)
        n = max(hi - lo, 0)
        u, u_next, s, s_next, wide = rows[0, :n], rows[1, :n], rows[2, :n], rows[3, :n], rows[4, :n]
        begin(rest, start_membrane, start_spikes, lo, hi, u, s)
        for t in range(num_steps):
            now = target(spikes[t, lo:hi], s_next)
            step(a, b, gain[t, column], r, d, v, strict, read(current[t, lo:hi], wide), u, s, u_next, now)
            write(now, spikes[t, lo:hi])
            s, s_next, u, u_next = now, s, u_next, u
            if t >= first_kept:
                copy(u, membranes[t - first_kept, lo:hi])


@_compiled
def forward(next_part: Any, num_parts: int, *arguments: Any) -> None:
    """Run parts, one after another, as long as there is one that no other thread has taken.

    Args:
        next_part: its number, int64 ``[1]``, the same for all threads.
        num_parts: into which all pieces are cut.
        arguments: those of ``_forward`` from the current on.
    """
    part = take(next_part)
    while part < num_parts:
        _forward(part, num_parts, *arguments)
        part = take(next_part)
