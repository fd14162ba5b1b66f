"""The values of a network in memory: planes of bits, or plain numbers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.file import Model
from deploy.events.plan import INPUT, Join, Layer, Operation
from deploy.events.shapes import Shape

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Value:
    """One value of one sample; arrays are as in ``kernels``, those that it does without hold nothing.

    Attributes:
        shape: what it is like.
        steps: T, or 1 where there is only one.
        bits: of counts.
        numbers: of what is no count.
    """

    shape: Shape
    steps: int
    bits: NDArray[np.uint64]
    numbers: Floats

    def counts(self) -> Floats:
        """Counts in whole numbers ``[T, C, H, W]``."""
        octets = self.bits.astype("<u8").view(np.uint8)
        planes = np.unpackbits(octets, axis=-1, count=self.shape.channels, bitorder="little")
        worth = (1 << np.arange(self.shape.planes)).astype(np.float32)
        counts: Floats = np.einsum("hptwc,p->tchw", planes, worth, dtype=np.float32)
        return counts


class Buffers:
    """Memory for all values of a plan; what nobody needs any more is used again for a later one.

    Args:
        model: whose plan it is.
        steps: T of a run.
        keep: use nothing again, to look at all values afterwards.

    Attributes:
        values: by name.
    """

    def __init__(self, model: Model, steps: int, keep: bool = False) -> None:
        self._steps = steps
        self._free: dict[tuple[Any, ...], list[NDArray[Any]]] = defaultdict(list)
        self.values: dict[str, Value] = {}
        last = {name: at for at, each in enumerate(model.plan.operations) for name in sources(each)}
        self.values[INPUT] = self._value(model.shapes[INPUT])
        for at, operation in enumerate(model.plan.operations):
            self.values[operation.out] = self._value(model.shapes[operation.out])
            done = [name for name in sources(operation) if last[name] == at and name != INPUT]
            for name in dict.fromkeys([] if keep else done):
                self._release(self.values[name])

    def _value(self, shape: Shape) -> Value:
        steps = min(shape.steps, self._steps)
        height, width, channels, planes = shape.height, shape.width, shape.channels, shape.planes
        bits, numbers = (0, 0, 0, 0, 0), (height, steps, width, channels)
        if shape.unit is not None:
            bits, numbers = (height, planes, steps, width, -(-channels // 64)), (0, 0, 0, 0)
        return Value(shape, steps, self._array(bits, np.uint64), self._array(numbers, np.float32))

    def _array(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        free = self._free[shape, dtype]
        return free.pop() if free else np.empty(shape, dtype)

    def _release(self, value: Value) -> None:
        for array in (value.bits, value.numbers):
            self._free[array.shape, array.dtype.type].append(array)


def sources(operation: Operation) -> list[str]:
    """The values that an operation is made of."""
    if isinstance(operation, Layer):
        return [term.source for term in operation.terms]
    return [operation.first, operation.second] if isinstance(operation, Join) else [operation.source]
