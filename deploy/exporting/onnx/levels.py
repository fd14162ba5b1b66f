"""Which values of a graph are spikes or follow from spikes, and on what grid they lie.

Spikes are 0 or 1. Sums of them are integers, means of four are multiples of ¼. On such a grid eight bits hold a value
without any loss, so that an int8 network errs in its weights and currents alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper

from deploy.exporting.onnx.aten import SPIKES

SAME = ("Reshape", "Concat", "Identity", "Unsqueeze", "Squeeze", "MaxPool", "Tile", "Transpose")
MOST = 255


@dataclass(frozen=True)
class Levels:
    """Values that are whole multiples of a step.

    Attributes:
        step: a power of ¼, so that sums and means are exact.
        most: no value is above it, none is below 0.
    """

    step: float
    most: float

    @property
    def fits(self) -> bool:
        """Whether eight bits hold every value."""
        return self.most / self.step <= MOST


def find_levels(nodes: Sequence[onnx.NodeProto]) -> dict[str, Levels]:
    """Levels of every value that has them, by name; nodes stand in the order in which they run."""
    levels: dict[str, Levels] = {}
    for node in nodes:
        found = _levels(node, [levels.get(name) for name in node.input])
        if found:
            levels[node.output[0]] = found
    return levels


def _levels(node: onnx.NodeProto, inputs: list[Levels | None]) -> Levels | None:
    if node.output[0].startswith(SPIKES):
        return Levels(1.0, 1.0)
    first, second = ([*inputs, None, None])[:2]
    if first is None or node.op_type in SAME:
        return first
    if node.op_type == "AveragePool":
        kernel = next(helper.get_attribute_value(each) for each in node.attribute if each.name == "kernel_shape")
        return Levels(first.step / prod(kernel), first.most)
    if second is None:
        return None
    joined = {
        "Add": Levels(min(first.step, second.step), first.most + second.most),
        "Mul": Levels(first.step * second.step, first.most * second.most),
    }
    return joined.get(node.op_type)
