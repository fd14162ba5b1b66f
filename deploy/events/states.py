"""What the neurons of a network are in between two steps, in one piece of memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.file import Model
from deploy.events.packing import PackedLayer
from deploy.events.plan import Layer
from deploy.events.tables import OPERATION

State = NDArray[np.uint8]
"""Of one sample: layer by layer membranes, fp32 ``[H, W, C]``, and spikes, bits ``[H, W, words]``."""

_BOUND = ("before", "before_bits", "after", "after_bits", "gain", "num_gains")
_COLUMNS = np.array([(OPERATION.names or ()).index(name) for name in _BOUND])


class States:
    """Where everything lies in a state.

    Args:
        model: whose neurons they are.
        layers: its layers, packed.
    """

    def __init__(self, model: Model, layers: Mapping[str, PackedLayer]) -> None:
        rows = [at for at, each in enumerate(model.plan.operations) if isinstance(each, Layer) and each.neuron]
        self._rows = np.array(rows, np.int64)[:, None]
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
        gains = [(layer.gain.ctypes.data, 4 * layer.padded * (len(layer.gain) > 1)) for layer in self._layers]
        self._gains, self._gain_bytes = np.array(gains, np.int64).reshape(-1, 2).T
        self._bound = np.ones((len(self._layers), len(_BOUND)), np.int64)

    def at_rest(self) -> State:
        """Before the first step."""
        state: State = np.zeros(self._size, np.uint8)
        for layer, start, end in zip(self._layers, self._membranes, self._bits, strict=True):
            membranes = state[start:end].view(np.float32).reshape(-1, layer.padded)
            membranes[:] = layer.rest
        return state

    def bind(self, operations: NDArray[Any], step: int, before: State, after: State) -> None:
        """Make a program's operations run one step, from a state to the next."""
        of_before, of_after = before.ctypes.data, after.ctypes.data
        places = self._membranes + of_before, self._bits + of_before, self._membranes + of_after, self._bits + of_after
        for column, place in enumerate((*places, self._gains + step * self._gain_bytes)):
            self._bound[:, column] = place
        operations.view(np.int64).reshape(len(operations), -1)[self._rows, _COLUMNS] = self._bound
