"""A plan run as it reads, densely and in plain NumPy: slow, and what the engine must equal.

Sums of int8 weights are exact, so that spikes are the engine's, every one. Sums in fp32 are added in another order.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deploy.events.encode import encoded
from deploy.events.file import Model
from deploy.events.plan import COEFFICIENTS, INPUT, LOGITS, Join, Layer, Mean, Neuron, Operation, Pool, Term

Array = NDArray[np.float32]
Values = dict[str, Array]
"""``[T, C, H, W]`` in true units."""


def run(model: Model, frames: Array) -> tuple[Array, Values]:
    """Logits ``[K]`` of one sample ``[T, C, H, W]``, and all values of the plan, ``[T, C, H, W]``."""
    values: Values = {INPUT: encoded(model, frames)}
    for operation in model.plan.operations:
        values[operation.out] = _run(model, operation, values)
    return values[LOGITS][0, :, 0, 0], values


def _run(model: Model, operation: Operation, values: Values) -> Array:
    if isinstance(operation, Layer):
        return _layer(model, operation, values)
    if isinstance(operation, Mean):
        source = values[operation.source]
        mean: Array = source.sum(0, keepdims=True) / np.float32(len(source))
        return mean
    if isinstance(operation, Pool):
        return _pool(operation, values[operation.source])
    return _join(operation, values)


def _join(operation: Join, values: Values) -> Array:
    first, second = values[operation.first], values[operation.second]
    if operation.how == "add":
        return first + second
    return first * second if operation.how == "and" else (1 - first) * second


def _pool(operation: Pool, source: Array) -> Array:
    y, x = operation.size
    steps, channels, height, width = source.shape
    cut = source[:, :, : height // y * y, : width // x * x]
    windows = cut.reshape(steps, channels, height // y, y, width // x, x)
    pooled: Array = windows.max((3, 5)) if operation.how == "max" else windows.mean((3, 5), dtype=np.float32)
    return pooled


def _layer(model: Model, operation: Layer, values: Values) -> Array:
    steps = model.shapes[operation.out].steps
    current = model.tensors[operation.bias][None, :, None, None]
    for term in operation.terms:
        current = current + _term(model, term, values[term.source])
    current = np.broadcast_to(current, (steps, *current.shape[1:]))
    if operation.neuron is None:
        return current.clip(0) if operation.rectify else current
    return fire(model, operation.neuron, current)


def _term(model: Model, term: Term, source: Array) -> Array:
    weights = model.tensors[term.weights]
    if weights.ndim == 1:
        return weights[:, None, None] * source
    if term.sums == "float32":
        return convolved(source, weights, term).astype(np.float32)
    unit = model.shapes[term.source].unit or 1.0
    sums = convolved(np.rint(source / np.float32(unit)), weights, term)
    scale = model.tensors[term.scales] * np.float32(unit)
    return scale[:, None, None] * np.rint(sums).astype(np.int32).astype(np.float32)


def convolved(source: Array, weights: NDArray[np.generic], term: Term) -> NDArray[np.float64]:
    """Sums in float64, exact for whole numbers: ``[T, C, H', W']``."""
    padding = ((0, 0), (0, 0), *((each, each) for each in term.padding))
    padded = np.pad(source.astype(np.float64), padding)
    windows = sliding_window_view(padded, weights.shape[:2], (2, 3))[:, :, :: term.stride[0], :: term.stride[1]]
    sums: NDArray[np.float64] = np.einsum("tiyxab,abio->toyx", windows, weights.astype(np.float64), optimize=True)
    return sums


def fire(model: Model, neuron: Neuron, current: Array) -> Array:
    """Spikes of a current, from rest: operations in fp32 and in the order of ``evglif.recurrence.reference``."""
    tensors = (model.tensors[getattr(neuron, name)] for name in COEFFICIENTS)
    a, b, g, r, d, v = (each.reshape(*each.shape, 1, 1) for each in tensors)
    u, s = np.full(current.shape[1:], neuron.rest, np.float32), np.zeros(current.shape[1:], np.float32)
    spikes = []
    for step, x in enumerate(current):
        gain = g[step] if g.ndim == 4 else g
        u = a * u - b + gain * x - s * (r * u + d)
        s = (u > v if neuron.strict else u >= v).astype(np.float32)
        spikes.append(s)
    return np.stack(spikes)
