"""What the neurons of a network are in between two steps, in one piece of memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.file import Model
from deploy.events.packing import PackedLayer

State = NDArray[np.uint8]
"""Of one sample: layer by layer membranes, fp32 ``[H, W, C]``, and spikes, bits ``[H, W, words]``."""


class States:
    """Where everything lies in a state.

    Args:
        model: whose neurons they are.
        layers: its layers, packed.
    """

    def __init__(self, model: Model, layers: Mapping[str, PackedLayer]) -> None:
        self._fires = np.array([getattr(each, "neuron", None) is not None for each in model.plan.operations])
        self._layers = [layer for layer in layers.values() if layer.fires]
        shapes = [model.shapes[name] for name, layer in layers.items() if layer.fires]
        pixels = [shape.height * shape.width for shape in shapes]
        sizes = [
            each
            for shape, num, layer in zip(shapes, pixels, self._layers, strict=True)
            for each in (4 * num * layer.padded, 8 * num * -(-shape.channels // 64))
        ]
        ends = np.cumsum([0, *sizes])
        self._membranes, self._bits, self._size = ends[:-1:2], ends[1::2], int(ends[-1])
        self._gains = np.array([layer.gain.ctypes.data for layer in self._layers], np.int64)
        self._gain_bytes = np.array([4 * layer.padded * (len(layer.gain) > 1) for layer in self._layers], np.int64)

    def at_rest(self) -> State:
        """Before the first step."""
        state: State = np.zeros(self._size, np.uint8)
        for layer, start, end in zip(self._layers, self._membranes, self._bits, strict=True):
            membranes = state[start:end].view(np.float32).reshape(-1, layer.padded)
            membranes[:] = layer.rest
        return state

    def bind(self, operations: NDArray[Any], step: int, before: State, after: State) -> None:
        """Make a program's operations run one step, from a state to the next."""
        layers = self._fires
        operations["gain"][layers] = self._gains + step * self._gain_bytes
        operations["num_gains"][layers] = 1
        for state, membranes, bits in ((before, "before", "before_bits"), (after, "after", "after_bits")):
            operations[membranes][layers] = state.ctypes.data + self._membranes
            operations[bits][layers] = state.ctypes.data + self._bits
