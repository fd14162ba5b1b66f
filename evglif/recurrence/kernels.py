"""The recurrence on the CPU as compiled loops: one pass over the input.

A step of the current is seen as N values in runs of W that lie next to each other. In a run, either all values belong
to one channel (a plane of H·W pixels), and its coefficients are numbers; or channels follow each other, as they do with
channels last and without pixels, and coefficients are rows of W. Run j takes column ``j % P`` of the coefficients
``[…, P]`` or ``[…, P, W]``. The same loops are compiled for both, and for float64 and half types beside float32.

Work goes in pieces of runs whose membranes stay in the processor's cache over all time steps. Operations come in the
order of the reference and are never fused, so that both agree spike for spike. Arrays are flat, and places in them
unsigned: on a row of a hundred values, slices and a sign that might count from the end cost more than the arithmetic.
"""

# mypy: disable-error-code="untyped-decorator, attr-defined"

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.extending import overload

from evglif.recurrence.entries import entry, record, values
from evglif.recurrence.halves import load, store
from preprocessing.compiled import keep_somewhere
from preprocessing.counting import take

keep_somewhere(__file__)
_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")

SHAPE = (
    "next_part next_thread num_threads num_parts num_steps num_values run num_pieces columns width length strict "
    "has_start first_kept"
)
"""Numbers in the record of both directions:

next_part, next_thread: their numbers, nought at first, which count up while threads take them.
num_threads: that may come.
num_parts: into which all pieces are cut.
num_steps, num_values, run, num_pieces: T, N, W, and the pieces into which a run is cut.
columns, width: P, and W where coefficients are rows, else 1.
length: of a piece, at most.
strict: fire at U > v, otherwise at U ≥ v.
has_start: whether there is a state before the first step; otherwise U is ``rest`` and no neuron has fired.
first_kept: first step whose membranes are kept.
"""

FORWARD = record(
    SHAPE, "current coefficients gain start_membrane start_spikes scratch spikes membranes", fractions="rest"
)
"""What ``forward`` takes, all of it C-contiguous and, unless it says so, in the dtype of the state:

current: ``[T, N]``, half types as bits, see ``halves``.
coefficients: a, b, r, d, v, ``[5, P]`` or ``[5, P, W]``.
gain: g, ``[T, P]`` or ``[T, P, W]``.
start_membrane, start_spikes: U and S before the first step, ``[N]``.
scratch: ``[threads, 3, length]``.
spikes: output ``[T, N]``, in the dtype of the current.
membranes: output of the steps that are kept ``[…, N]``.
"""


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


@_compiled
def units(part: int, num_parts: int, num_values: int, run: int, num_pieces: int) -> tuple[int, int]:
    """First piece and last + 1 of a part, counted over all runs."""
    num_units = -(-num_values // run) * num_pieces
    return part * num_units // num_parts, (part + 1) * num_units // num_parts


@_compiled
def bounds(unit: int, num_pieces: int, run: int, num_values: int) -> tuple[Any, Any]:
    """First value of piece ``unit % num_pieces`` of a run, all of nearly the same length, and how many there are."""
    size = -(-run // num_pieces)
    start = unit // num_pieces * run
    first = start + unit % num_pieces * size
    return np.uint64(first), np.uint64(max(0, min(first + size, start + run, num_values) - first))


@_compiled
def spike(u: Any, v: Any, strict: bool) -> Any:
    """S of a membrane; one that is not a number gives neither a spike nor silence, but itself."""
    one, zero = type(u)(1), type(u)(0)
    fired = one if (u > v if strict else u >= v) else zero
    return u if np.isnan(u) else fired


@_compiled
def step(
    neuron: Any,
    g: Any,
    strict: bool,
    current: Any,
    now: Any,
    memory: Any,
    before: Any,
    after: Any,
    fired: Any,
    spikes: Any,
    n: Any,
) -> None:
    """One step of a piece of n values.

    Args:
        neuron: a, b, r, d, v.
        g: gain of the step.
        strict: fire at U > v, otherwise at U ≥ v.
        current: X, from place ``now`` on.
        memory: membranes, those of the last step from ``before`` on, and room for the next from ``after`` on.
        fired: spikes from its beginning on, of the last step, which become those of this one.
        spikes: where else these go, from ``now`` on; None for nowhere.
        n: how many values.
    """
    a, b, r, d, v = neuron
    for i in range(n):
        u = memory[before + i]
        update = at(a, i) * u - at(b, i) + at(g, i) * load(current, now + i)
        update -= fired[i] * (at(r, i) * u + at(d, i))
        s = spike(update, at(v, i), strict)
        memory[after + i] = update
        fired[i] = s
        store(s, spikes, now + i)


@_compiled
def copy(source: Any, start: Any, out: Any, place: Any, n: Any) -> None:
    """Copy n values; NumPy's own assignment first looks whether the two overlap."""
    for i in range(n):
        out[place + i] = source[start + i]


@_compiled
def clear(out: Any, place: Any, n: Any) -> None:
    """Set n values to nought."""
    zero = out.dtype.type(0)
    for i in range(n):
        out[place + i] = zero


@_compiled
def begin(
    record: Any, start_membrane: Any, start_spikes: Any, first: Any, n: Any, memory: Any, place: Any, fired: Any
) -> None:
    """State of a piece before the first step: the one that is given, or rest."""
    if record.has_start:
        copy(start_membrane, first, memory, place, n)
        copy(start_spikes, first, fired, np.uint64(0), n)
    else:
        rest, zero = memory.dtype.type(record.rest), memory.dtype.type(0)
        for i in range(n):
            memory[place + i] = rest
            fired[i] = zero


@_compiled
def neuron_of(coefficients: Any, column: int) -> Any:
    """a, b, r, d, v of a column: numbers, or rows."""
    return (
        coefficients[0, column],
        coefficients[1, column],
        coefficients[2, column],
        coefficients[3, column],
        coefficients[4, column],
    )


@_compiled
def _forward(
    part: int,
    record: Any,
    current: Any,
    coefficients: Any,
    gain: Any,
    start_membrane: Any,
    start_spikes: Any,
    memory: Any,
    fired: Any,
    spikes: Any,
    membranes: Any,
) -> None:
    """Run the pieces of a part; arrays as in ``FORWARD``, the scratch in two."""
    run, num_pieces, num_values = record.run, record.num_pieces, record.num_values
    strict, first_kept = record.strict != 0, record.first_kept
    length = np.uint64(record.length)
    first, last = units(part, record.num_parts, num_values, run, num_pieces)
    for unit in range(first, last):
        column = unit // num_pieces % record.columns
        neuron = neuron_of(coefficients, column)
        place, n = bounds(unit, num_pieces, run, num_values)
        before, after = np.uint64(0), length
        begin(record, start_membrane, start_spikes, place, n, memory, before, fired)
        for t in range(record.num_steps):
            now = np.uint64(t * num_values) + place
            step(neuron, gain[t, column], strict, current, now, memory, before, after, fired, spikes, n)
            before, after = after, before
            if t >= first_kept:
                copy(memory, before, membranes, np.uint64((t - first_kept) * num_values) + place, n)


@_compiled
def _take_parts(counters: Any, record: Any, coefficients: Any, gain: Any, kind: Any, state: Any) -> None:
    """Run parts, one after another, as long as there is one that no other thread has taken."""
    own = values(record.scratch, (record.num_threads, 3 * record.length), state)[take(counters[1:])]
    size, start_size = record.num_steps * record.num_values, record.has_start * record.num_values
    kept = (record.num_steps - record.first_kept) * record.num_values
    current, spikes = values(record.current, (size,), kind), values(record.spikes, (size,), kind)
    start_membrane = values(record.start_membrane, (start_size,), state)
    start_spikes = values(record.start_spikes, (start_size,), state)
    membranes = values(record.membranes, (kept,), state)
    memory, fired = own[: 2 * record.length], own[2 * record.length :]
    start = start_membrane, start_spikes
    part = take(counters)
    while part < record.num_parts:
        _forward(part, record, current, coefficients, gain, *start, memory, fired, spikes, membranes)
        part = take(counters)


@cache
def forward(kind: Any, state: Any, rows: bool) -> Any:
    """The loops for currents of a type, membranes of another, and coefficients in numbers or rows, as a C function.

    Each thread that enters it runs parts until none is left. It takes the address of a ``FORWARD``.
    """

    def with_numbers(block: Any) -> None:
        record = carray(block, 1, FORWARD)[0]
        coefficients = values(record.coefficients, (5, record.columns), state)
        gain = values(record.gain, (record.num_steps, record.columns), state)
        _take_parts(carray(block, 2, np.int64), record, coefficients, gain, kind, state)

    def with_rows(block: Any) -> None:
        record = carray(block, 1, FORWARD)[0]
        coefficients = values(record.coefficients, (5, record.columns, record.width), state)
        gain = values(record.gain, (record.num_steps, record.columns, record.width), state)
        _take_parts(carray(block, 2, np.int64), record, coefficients, gain, kind, state)

    return entry(with_rows if rows else with_numbers)
