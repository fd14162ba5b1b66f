"""Weights and coefficients of a layer as the compiled loops take them: in blocks of channels, padded."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.file import Model
from deploy.events.plan import COEFFICIENTS, Layer, Term
from deploy.events.tables import CONV, SCALE, TERM
from deploy.events.vectors import BLOCKS, FLOAT, LANES, LONG, SHORT, TAPS, variant, widest_block

Floats = NDArray[np.float32]
_KINDS = {"float32": FLOAT, "int16": SHORT, "int32": LONG}
_WORD = 64


class PackedLayer:
    """A layer, ready for the compiled loops.

    Args:
        model: that it is of.
        layer: of its plan.
        lanes: width of a vector.

    Attributes:
        padded: channels, in whole blocks.
        block: channels that are done together.
        bias: fp32 ``[C]``, padded as all that follow.
        coefficients: a, b, r, d, v, ``[5, C]``.
        gain: g, ``[T, C]`` or ``[1, C]``.
        rest: membranes before the first step, ``[C]``.
        strict: fire at U > v, otherwise at U ≥ v.
        fires: whether it has neurons.
        terms: records of ``tables.TERM``, but for their sources.
        additions: of one output of one step, if all channels were active.
    """

    def __init__(self, model: Model, layer: Layer, lanes: int) -> None:
        channels, tensors = model.shapes[layer.out].channels, model.tensors
        self.padded = padded_channels(channels)
        self.bias = self._pad(tensors[layer.bias])
        self.strict, self.fires = 0, layer.neuron is not None
        self.coefficients, self.gain = np.zeros((5, self.padded), np.float32), np.zeros((1, self.padded), np.float32)
        self.rest = np.zeros(self.padded, np.float32)
        if layer.neuron:
            values = [self._pad(self._whole(tensors[getattr(layer.neuron, name)], channels)) for name in COEFFICIENTS]
            a, b, g, r, d, v = values
            v[..., channels:] = np.inf  # padded channels never fire
            self.coefficients, self.gain = np.stack([a, b, r, d, v]), np.ascontiguousarray(np.atleast_2d(g))
            self.rest[:], self.strict = layer.neuron.rest, int(layer.neuron.strict)
        self.block = min(self._widest(term, model, lanes) for term in layer.terms)
        packed = [self._packed(term, model, lanes) for term in layer.terms]
        self._kept = [arrays for arrays, _ in packed]  # the records name their addresses
        self.terms = np.concatenate([record for _, record in packed])
        self.additions = sum(tensors[term.weights].size for term in layer.terms) / channels

    def _pad(self, values: NDArray[Any]) -> Floats:
        return np.concatenate(
            [values, np.zeros((*values.shape[:-1], self.padded - values.shape[-1]), np.float32)], -1, dtype=np.float32
        )

    @staticmethod
    def _whole(values: NDArray[Any], channels: int) -> NDArray[Any]:
        return np.broadcast_to(values, (*values.shape[:-1], channels))

    def _widest(self, term: Term, model: Model, lanes: int) -> int:
        """The widest block that a term can be done in."""
        weights = model.tensors[term.weights]
        most = max(BLOCKS) if weights.ndim == 1 else widest_block(_KINDS[term.sums], lanes, _taps(term, weights))
        return max(block for block in BLOCKS if self.padded % block == 0 and block <= most)

    def _packed(self, term: Term, model: Model, lanes: int) -> tuple[tuple[NDArray[Any], Floats], NDArray[Any]]:
        """Weights in blocks and the scale of their sums, and the term's record."""
        weights, unit = model.tensors[term.weights], np.float32(model.shapes[term.source].unit or 1)
        record = np.zeros(1, TERM)
        if weights.ndim == 1:
            scale = self._pad(weights * unit)
            record["kind"], record["scale"] = SCALE, scale.ctypes.data
            return (weights, scale), record
        kind, taps = _KINDS[term.sums], _taps(term, weights)
        factors = np.ones(weights.shape[3], np.float32) if kind == FLOAT else model.tensors[term.scales]
        scale, blocks = self._pad(factors * unit), self._blocks(weights, taps)
        height, width, channels, _ = weights.shape
        values = {
            "kind": CONV, "variant": variant(kind, self.block, lanes, taps), "sum_kind": kind, "taps": taps,
            "weights": blocks.ctypes.data, "scale": scale.ctypes.data,
            "row_bytes": taps * self.block * blocks.itemsize, "kernel_height": height, "kernel_width": width,
            "stride_y": term.stride[0], "stride_x": term.stride[1], "pad_y": term.padding[0],
            "pad_x": term.padding[1], "joined": taps > 1 and channels * height <= _WORD,
        }  # fmt: skip
        for name, value in values.items():
            record[name] = value
        return (blocks, scale), record

    def _blocks(self, weights: NDArray[Any], taps: int) -> NDArray[Any]:
        """``[k_y, k_x, C_in, C]`` → ``[C / block, k_y, C_in, 3, block]``, last neighbour first, or with k_x before."""
        height, width, channels, features = weights.shape
        whole = np.zeros((height, width, channels, self.padded), weights.dtype)
        whole[..., :features] = weights
        parts = whole.reshape(height, width, channels, -1, self.block)
        if taps > 1:
            return np.ascontiguousarray(parts[:, ::-1].transpose(3, 0, 2, 1, 4))
        return np.ascontiguousarray(parts.transpose(3, 0, 1, 2, 4))


def _taps(term: Term, weights: NDArray[Any]) -> int:
    """Pixels that an input is added to at once."""
    return max(TAPS) if weights.shape[1] == max(TAPS) and term.stride[1] == 1 else 1


def padded_channels(channels: int) -> int:
    """Channels in whole blocks."""
    block = 64 if channels > 32 and -channels % 64 < 16 else 32 if channels > 16 and -channels % 32 < 16 else 16
    return -(-channels // block) * block


def packed(model: Model, lanes: int | None) -> dict[str, PackedLayer]:
    """All layers of a plan, by what they make.

    Raises:
        ValueError: for a width that is not compiled.
    """
    lanes = lanes or widest()
    if lanes not in LANES:
        raise ValueError(f"vectors hold {', '.join(map(str, LANES))} numbers, got {lanes}")
    return {each.out: PackedLayer(model, each, lanes) for each in model.plan.operations if isinstance(each, Layer)}


@cache
def widest() -> int:
    """Numbers of 32 bits in the widest vector of this processor."""
    from llvmlite import binding

    features: dict[str, bool] = dict(binding.get_host_cpu_features())
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
