"""What a network does to one time step, as a short list of operations on named values.

A value is a map ``[H, W, C]`` a step; a vector is a map of one pixel. It holds counts of spikes, whole multiples of a
unit, or any numbers. A current is a sum of terms, each a convolution of a value or a value whose channels are scaled;
what follows it are neurons, a ReLU, or nothing. Fully connected layers are convolutions as large as their input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

INPUT, LOGITS = "input", "logits"
COEFFICIENTS = ("decay", "leak", "gain", "hard_reset", "soft_reset", "threshold")


@dataclass(frozen=True)
class Term:
    """One summand of a current.

    Attributes:
        source: the value that it is made of.
        weights: tensor, fp32 or int8 ``[k_y, k_x, C_in, C]`` for a convolution, fp32 ``[C]`` for scaled channels.
        stride, padding: of a convolution, (y, x), px.
        scales: tensor of int8 weights, fp32 ``[C]``: weight = scale × integer; empty for fp32.
        sums: in what a convolution adds up: ``"float32"``, or ``"int16"`` or ``"int32"`` for int8 weights.
    """

    source: str
    weights: str
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    scales: str = ""
    sums: str = "float32"


@dataclass(frozen=True)
class Neuron:
    """A layer of neurons: tensors of its coefficients, ``[C]`` or ``[1]``, the gain also ``[T, C]`` or ``[T, 1]``.

    Attributes:
        decay, leak, gain, hard_reset, soft_reset, threshold: a, b, g, r, d, v of the recurrence.
        rest: membrane before the first step.
        strict: fire at U > v, otherwise at U ≥ v.
    """

    decay: str
    leak: str
    gain: str
    hard_reset: str
    soft_reset: str
    threshold: str
    rest: float
    strict: bool


@dataclass(frozen=True)
class Layer:
    """A current, and what is made of it.

    Attributes:
        out: name of the value.
        terms: of the current.
        bias: tensor, fp32 ``[C]``.
        neuron: that fires; None for the current itself.
        rectify: max(0, current), where there is no neuron.
    """

    out: str
    terms: tuple[Term, ...]
    bias: str
    neuron: Neuron | None = None
    rectify: bool = False


@dataclass(frozen=True)
class Join:
    """Two values in one: ``"add"``, ``"and"`` (first × second) or ``"iand"`` ((1 − first) × second)."""

    out: str
    how: str
    first: str
    second: str


@dataclass(frozen=True)
class Pool:
    """Mean or largest of windows of ``size`` (y, x) pixels; what is left over at the edges is left out."""

    out: str
    how: str
    source: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Mean:
    """Mean over all time steps; what follows has one step."""

    out: str
    source: str


Operation = Layer | Join | Pool | Mean
KINDS: dict[str, type[Any]] = {"layer": Layer, "join": Join, "pool": Pool, "mean": Mean}


@dataclass(frozen=True)
class Plan:
    """A network.

    Attributes:
        encoder: ``"frames"``, ``"direct"`` or ``"latency"``, as in ``evglif.layers.encoders``.
        mean, std: tensors that the input is normalised with, fp32 ``[C]``; empty for none.
        operations: in the order in which they run; the last one makes ``logits``.
    """

    encoder: str
    mean: str
    std: str
    operations: tuple[Operation, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        names = {kind: name for name, kind in KINDS.items()}
        operations = [{"kind": names[type(each)], **asdict(each)} for each in self.operations]
        return {"encoder": self.encoder, "mean": self.mean, "std": self.std, "operations": operations}

    @classmethod
    def from_dict(cls, values: Any) -> Plan:
        """From plain values; every field must be there, of its kind, and no other.

        Raises:
            ValueError: naming what is wrong.
        """
        values = _fields(values, "the plan", cls)
        operations = values["operations"]
        if not isinstance(operations, list):
            raise ValueError(f"the plan's operations are no list but {_short(operations)}")
        encoder, mean, std = (_text(values, name) for name in ("encoder", "mean", "std"))
        return cls(encoder, mean, std, tuple(map(_operation, operations)))


def _operation(values: Any) -> Operation:
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ValueError(f"an operation of the plan is damaged: {_short(values)}")
    kind = KINDS.get(values["kind"])
    if kind is None:
        raise ValueError(f"the plan has an unknown kind of layer, {values['kind']!r}; known are {', '.join(KINDS)}")
    name = f"{values['kind']} {values.get('out')!r}"
    values = _fields({key: value for key, value in values.items() if key != "kind"}, name, kind)
    texts = {key: _text(values, key) for key in values if key in ("out", "how", "first", "second", "source", "bias")}
    if kind is Pool:
        return Pool(**texts, size=_pair(values["size"], name))
    if kind is not Layer:
        made: Operation = kind(**texts)
        return made
    if not isinstance(values["terms"], list):
        raise ValueError(f"{name}: its terms are no list but {_short(values['terms'])}")
    terms = tuple(_term(each, name) for each in values["terms"])
    return Layer(**texts, terms=terms, neuron=_neuron(values["neuron"], name), rectify=_truth(values, "rectify"))


def _term(values: Any, name: str) -> Term:
    values = _fields(values, f"a term of {name}", Term)
    source, weights, scales, sums = (_text(values, key) for key in ("source", "weights", "scales", "sums"))
    return Term(source, weights, _pair(values["stride"], name), _pair(values["padding"], name), scales, sums)


def _neuron(values: Any, name: str) -> Neuron | None:
    if values is None:
        return None
    values = _fields(values, f"the neuron of {name}", Neuron)
    rest = values["rest"]
    if isinstance(rest, bool) or not isinstance(rest, int | float) or not np.isfinite(np.float32(rest)):
        raise ValueError(f"the neuron of {name} rests at {_short(rest)}, not at a number")
    return Neuron(**{key: _text(values, key) for key in COEFFICIENTS}, rest=rest, strict=_truth(values, "strict"))


def _fields(values: Any, name: str, kind: type[Any]) -> dict[str, Any]:
    expected = {field.name for field in fields(kind)}
    if not isinstance(values, dict) or set(values) != expected:
        raise ValueError(f"{name} should say {', '.join(sorted(expected))}, and says {_short(values)}")
    return values


def _text(values: Mapping[str, Any], key: str) -> str:
    if not isinstance(values[key], str):
        raise ValueError(f"the plan has {_short(values[key])} for {key!r}, which is a name")
    return str(values[key])


def _truth(values: Mapping[str, Any], key: str) -> bool:
    if not isinstance(values[key], bool):
        raise ValueError(f"the plan has {_short(values[key])} for {key!r}, which is true or false")
    return bool(values[key])


def _pair(values: Any, name: str) -> tuple[int, int]:
    whole = isinstance(values, list) and len(values) == 2 and all(type(each) is int for each in values)
    if not whole:
        raise ValueError(f"{name} has {_short(values)} for a size (y, x) in pixels")
    return values[0], values[1]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]} …"
