"""Weights and coefficients of a layer as the compiled loops take them: in blocks of channels, padded, in tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events import kernels
from deploy.events.file import Model
from deploy.events.plan import COEFFICIENTS, Layer, Term
from deploy.events.shapes import Shape
from deploy.events.values import Value
from deploy.events.vectors import BLOCKS, FLOAT, LANES, LONG, SHORT, variant

Floats = NDArray[np.float32]
_KINDS = {"float32": FLOAT, "int16": SHORT, "int32": LONG}
_USUAL_BLOCK = 32
"""Channels of fp32 weights that are summed together: three times 64 rows of them stay in a first-level cache."""


class PackedLayer:
    """A layer, ready for the compiled loops.

    Args:
        model: that it is of.
        layer: of its plan.
        lanes: width of a vector.

    Attributes:
        bias, coefficients, gain, rest, strict, scales: as of ``kernels.layer``.
        fires: whether it has neurons.
        additions: of one output of one step, if all channels were active.
    """

    def __init__(self, model: Model, layer: Layer, lanes: int) -> None:
        self._terms = layer.terms
        channels = model.shapes[layer.out].channels
        self._padded = padded_channels(channels)
        tensors = model.tensors
        self.bias = self._pad(tensors[layer.bias])
        self.rest, self.strict, self.fires = np.float32(0), 0, layer.neuron is not None
        self.coefficients, self.gain = np.zeros((5, self._padded), np.float32), np.zeros((1, self._padded), np.float32)
        if layer.neuron:
            values = [self._pad(self._whole(tensors[getattr(layer.neuron, name)], channels)) for name in COEFFICIENTS]
            a, b, g, r, d, v = values
            v[..., channels:] = np.inf  # padded channels never fire
            self.coefficients, self.gain = np.stack([a, b, r, d, v]), np.atleast_2d(g)
            self.rest, self.strict = np.float32(layer.neuron.rest), int(layer.neuron.strict)
        packed = [self._packed(term, model, lanes) for term in layer.terms]
        self._weights = [weights for weights, _, _ in packed]  # the table names their addresses
        self.scales = np.stack([scale for _, scale, _ in packed])
        self._fields = np.stack([fields for _, _, fields in packed])
        self.additions = sum(model.tensors[term.weights].size for term in layer.terms) / channels

    def at_rest(self, shape: Shape) -> Floats:
        """Membranes and spikes of the layer before the first step, ``[H, W, 2, C]``."""
        state = np.zeros((shape.height, shape.width, 2, self._padded), np.float32)
        state[:, :, 0] = self.rest
        return state

    def table(self, sources: Sequence[Value]) -> NDArray[np.int64]:
        """The terms with the addresses of their sources, which have to stay where they are."""
        table = self._fields.copy()
        for fields, source in zip(table, sources, strict=True):
            shape = source.shape
            fields[kernels.COUNTED : kernels.KERNEL_HEIGHT] = (
                shape.unit is not None,
                source.events.ctypes.data,
                source.ends.ctypes.data,
                source.numbers.ctypes.data,
                max(source.events.shape[1], 1),
                source.events.shape[3],
                source.steps,
                shape.height,
                shape.width,
                shape.channels,
            )
        return table

    def _pad(self, values: NDArray[Any]) -> Floats:
        return np.concatenate(
            [values, np.zeros((*values.shape[:-1], self._padded - values.shape[-1]), np.float32)], -1, dtype=np.float32
        )

    @staticmethod
    def _whole(values: NDArray[Any], channels: int) -> NDArray[Any]:
        return np.broadcast_to(values, (*values.shape[:-1], channels))

    def _packed(self, term: Term, model: Model, lanes: int) -> tuple[NDArray[Any], Floats, NDArray[np.int64]]:
        """Weights in blocks, the scale of their sums, and what does not depend on where the source lies."""
        weights, unit = model.tensors[term.weights], np.float32(model.shapes[term.source].unit or 1)
        fields = np.zeros(kernels.NUM_FIELDS, np.int64)
        if weights.ndim == 1:
            fields[kernels.KIND] = kernels.SCALE
            return weights, self._pad(weights * unit), fields
        kind = _KINDS[term.sums]
        block = self._block(kind, lanes)
        scale = np.full(weights.shape[3], unit, np.float32)
        if kind != FLOAT:
            scale = model.tensors[term.scales] * unit
        blocks = _blocks(weights, self._padded, block)
        height, width = weights.shape[:2]
        geometry = (height, width, *term.stride, *term.padding)
        fields[: kernels.COUNTED] = (
            kernels.CONV, variant(kind, block, lanes), kind, block, len(blocks), blocks.ctypes.data,
            block * blocks.itemsize,
        )  # fmt: skip
        fields[kernels.KERNEL_HEIGHT :] = geometry
        return blocks, self._pad(scale), fields

    def _block(self, kind: int, lanes: int) -> int:
        most = _USUAL_BLOCK * lanes // 8 if kind == FLOAT else max(BLOCKS)
        return max(block for block in BLOCKS if self._padded % block == 0 and (block <= max(most, BLOCKS[0])))


def _blocks(weights: NDArray[Any], padded: int, block: int) -> NDArray[Any]:
    """``[k_y, k_x, C_in, C]`` → ``[C / block, k_y, k_x, C_in, block]``."""
    height, width, channels, features = weights.shape
    whole = np.zeros((height, width, channels, padded), weights.dtype)
    whole[..., :features] = weights
    return np.ascontiguousarray(whole.reshape(height, width, channels, -1, block).transpose(3, 0, 1, 2, 4))


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
