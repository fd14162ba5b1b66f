"""The shapes of all values of a plan, and whether it can be run at all: what is checked when a file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.plan import COEFFICIENTS, INPUT, LOGITS, Join, Layer, Mean, Operation, Plan, Pool, Term

Tensors = Mapping[str, NDArray[Any]]

ENCODERS = ("frames", "direct", "latency")
MOST_SHORT = np.iinfo(np.int16).max
MOST_LONG = np.iinfo(np.int32).max
MOST_PLANES = 24
"""Counts beyond have no exact value in fp32."""
MOST_VALUES = 1 << 31


@dataclass(frozen=True)
class Shape:
    """What a value is like.

    Attributes:
        height, width, channels: of a step.
        unit: of counts; None for any numbers.
        most: no count is above it.
        steps: T, or 1 where all steps are the same or one mean.
    """

    height: int
    width: int
    channels: int
    unit: float | None
    most: int
    steps: int

    @property
    def planes(self) -> int:
        """Bits of a count; 0 for any numbers."""
        return 0 if self.unit is None else self.most.bit_length()


def shapes(plan: Plan, tensors: Tensors, frame: tuple[int, int, int], steps: int) -> dict[str, Shape]:
    """The shape of every value, found by going through the plan; everything is checked on the way.

    Args:
        plan: of the network.
        tensors: that it names.
        frame: (C, H, W) of the input.
        steps: T.

    Raises:
        ValueError: naming the layer and what does not fit; a sum that could overflow is among it.
    """
    if plan.encoder not in ENCODERS:
        raise ValueError(f"the plan has an unknown encoder, {plan.encoder!r}; known are {', '.join(ENCODERS)}")
    for name in (plan.mean, plan.std):
        if name:
            _tensor(tensors, name, "the normalisation", frame[0])
    if bool(plan.mean) != bool(plan.std) or (plan.std and not (tensors[plan.std] > 0).all()):
        raise ValueError("the plan normalises its input by a mean and a positive std, or by neither")
    channels, height, width = frame
    known = {INPUT: Shape(height, width, channels, None, 0, 1 if plan.encoder == "direct" else steps)}
    for operation in plan.operations:
        if operation.out in known:
            raise ValueError(f"the plan makes {operation.out!r} twice")
        made = _made(operation, known, tensors, steps)
        if min(made.height, made.width, made.channels) < 1:
            raise ValueError(f"{operation.out!r} would have no pixels: {made}")
        if made.planes > MOST_PLANES:
            raise ValueError(f"{operation.out!r} counts up to {made.most}, more than {MOST_PLANES} bits hold")
        if prod((made.height, made.width, made.channels, made.steps, max(made.planes, 1))) > MOST_VALUES:
            raise ValueError(f"{operation.out!r} would hold more values than any memory: {made}")
        known[operation.out] = made
    if not plan.operations or plan.operations[-1].out != LOGITS:
        raise ValueError(f"the plan does not end in {LOGITS!r}")
    final = known[LOGITS]
    if (final.height, final.width, final.steps) != (1, 1, 1) or final.unit is not None:
        raise ValueError(f"the plan's {LOGITS} are no numbers of classes: {final}")
    return known


def _made(operation: Operation, known: Mapping[str, Shape], tensors: Tensors, steps: int) -> Shape:
    if isinstance(operation, Layer):
        return _layer(operation, known, tensors, steps)
    if isinstance(operation, Join):
        return _join(operation, known)
    source = _source(known, operation.source, operation.out)
    if isinstance(operation, Mean):
        return Shape(source.height, source.width, source.channels, None, 0, 1)
    return _pool(operation, source)


def _pool(operation: Pool, source: Shape) -> Shape:
    y, x = operation.size
    if operation.how not in ("mean", "max") or min(y, x) < 1 or y > source.height or x > source.width:
        raise ValueError(f"{operation.out!r} cannot pool {source} by {operation.how} of {operation.size} pixels")
    size = source.height // y, source.width // x, source.channels
    if source.unit is None or operation.how == "max":
        if source.unit is not None and source.most > 1:
            raise ValueError(f"{operation.out!r} takes the largest of counts; only spikes have one here")
        return Shape(*size, source.unit, source.most, source.steps)
    return Shape(*size, source.unit / (y * x), source.most * y * x, source.steps)


def _join(operation: Join, known: Mapping[str, Shape]) -> Shape:
    first, second = (_source(known, name, operation.out) for name in (operation.first, operation.second))
    sizes = {(each.height, each.width, each.channels, each.steps) for each in (first, second)}
    if operation.how not in ("add", "and", "iand") or len(sizes) > 1 or (first.unit is None) != (second.unit is None):
        raise ValueError(f"{operation.out!r} cannot join {first} and {second} by {operation.how!r}")
    if first.unit is None or second.unit is None:
        return second
    if operation.how != "add":
        if first.most != 1 or first.unit != 1:
            raise ValueError(f"{operation.out!r} joins counts by {operation.how!r}; the first should be spikes")
        return second
    unit = min(first.unit, second.unit)
    factors = [each.unit / unit for each in (first, second) if each.unit]
    if any(factor != 1 << max(int(factor).bit_length() - 1, 0) for factor in factors):
        raise ValueError(f"{operation.out!r} adds counts of {first.unit:g} and {second.unit:g}, no powers of two apart")
    most = sum(each.most * int(factor) for each, factor in zip((first, second), factors, strict=True))
    return Shape(second.height, second.width, second.channels, unit, most, second.steps)


def _layer(operation: Layer, known: Mapping[str, Shape], tensors: Tensors, steps: int) -> Shape:
    name = operation.out
    channels = len(_tensor(tensors, operation.bias, name))
    sizes = {_term_size(term, name, channels, known, tensors) for term in operation.terms}
    if len(sizes) != 1:
        raise ValueError(f"{name!r} adds up terms of other sizes: {sorted(sizes)}")
    height, width, *_ = sizes.pop()
    given = {_source(known, term.source, name).steps for term in operation.terms}
    if not given <= {1, steps}:
        raise ValueError(f"{name!r} adds up terms of {sorted(given)} steps, the file has {steps}")
    if operation.neuron is None:
        return Shape(height, width, channels, None, 0, max(given))
    if operation.rectify:
        raise ValueError(f"{name!r} has neurons and a ReLU")
    for coefficient in COEFFICIENTS:
        tensor = _tensor(tensors, getattr(operation.neuron, coefficient), f"{name}'s {coefficient}", None)
        rows = (steps,) if coefficient == "gain" and tensor.ndim == 2 else ()
        if tensor.shape not in ((*rows, 1), (*rows, channels)):
            raise ValueError(f"{name!r} has {channels} channels and {steps} steps, its {coefficient} {tensor.shape}")
    return Shape(height, width, channels, 1.0, 1, steps)


def _term_size(term: Term, name: str, channels: int, known: Mapping[str, Shape], tensors: Tensors) -> tuple[int, int]:
    source = _source(known, term.source, name)
    weights = _tensor(tensors, term.weights, name, None, floats=term.sums == "float32")
    if weights.ndim == 1:
        if weights.shape != (channels,) or source.channels != channels or term.sums != "float32" or term.scales:
            raise ValueError(f"{name!r} has {channels} channels, and scales {source.channels} by {weights.shape}")
        return source.height, source.width
    if weights.ndim != 4 or weights.shape[2:] != (source.channels, channels) or min(weights.shape) < 1:
        raise ValueError(
            f"{name!r} has {channels} channels and sees {source.channels}, its weights have the shape {weights.shape}"
        )
    if min(term.stride) < 1 or not all(
        0 <= each < size for each, size in zip(term.padding, weights.shape, strict=False)
    ):
        raise ValueError(f"{name!r} has a stride of {term.stride} and a padding of {term.padding} pixels")
    if term.sums != "float32":
        _check_sums(term, name, weights, source, tensors)
    elif term.scales:
        raise ValueError(f"{name!r} has scales for fp32 weights")
    sides = zip((source.height, source.width), term.padding, weights.shape[:2], term.stride, strict=True)
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side, padding, kernel, stride in sides)
    return height, width


def largest_sum(weights: NDArray[np.int8], most: int) -> int:
    """No sum of int8 weights ``[k_y, k_x, C_in, C]`` over counts up to ``most`` is further from nought."""
    return int(np.abs(weights.astype(np.int64)).sum((0, 1, 2)).max()) * most


def _check_sums(term: Term, name: str, weights: NDArray[Any], source: Shape, tensors: Tensors) -> None:
    if term.sums not in ("int16", "int32") or source.unit is None:
        raise ValueError(f"{name!r} has sums in {term.sums!r} over {source}; counts are added up in int16 or int32")
    if not (_tensor(tensors, term.scales, f"{name}'s scales", weights.shape[3]) > 0).all():
        raise ValueError(f"{name!r} has scales that are not above nought")
    largest, limit = largest_sum(weights, source.most), MOST_SHORT if term.sums == "int16" else MOST_LONG
    if largest > limit:
        raise ValueError(
            f"{name!r} adds up weights in {term.sums}, where a sum could reach {largest} and overflow; the file was "
            "made so by nobody: export the checkpoint anew"
        )


def _source(known: Mapping[str, Shape], name: str, where: str) -> Shape:
    if name not in known:
        raise ValueError(f"{where!r} is made of {name!r}, which the plan has not made before")
    return known[name]


def _tensor(tensors: Tensors, name: str, where: str, length: int | None = -1, floats: bool = True) -> NDArray[Any]:
    """A tensor by its name, finite and of its kind; a vector unless ``length`` is None, of so many values if not -1."""
    if name not in tensors:
        raise ValueError(f"{where!r} needs the tensor {name!r}, which the file does not hold")
    tensor = tensors[name]
    if tensor.dtype != (np.float32 if floats else np.int8):
        raise ValueError(f"{where!r} has {name!r} in {tensor.dtype}")
    if floats and not np.isfinite(tensor).all():
        raise ValueError(f"{where!r} has NaN or infinite values in {name!r}; export the checkpoint anew")
    if length is not None and (tensor.ndim != 1 or length not in (-1, len(tensor)) or not len(tensor)):
        raise ValueError(f"{where!r} has a tensor {name!r} of shape {tensor.shape}")
    return tensor
