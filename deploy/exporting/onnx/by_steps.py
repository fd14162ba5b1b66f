"""A captured graph to ONNX nodes with a tensor for every time step, rather than one for all steps.

Nothing is then split and joined between convolutions, what a step has made is still in the processor's cache when it is
read, and what neurons add to a current becomes part of each step's bias. What has no rule here takes all steps as one
tensor again, by the rules of ``deploy.exporting.onnx.aten``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from deploy.exporting import operators
from deploy.exporting.nodes import arguments, layer, shape_of
from deploy.exporting.onnx import regrouped_nodes
from deploy.exporting.onnx.aten import RULES, SPIKES, Translation, aten, neuron_of
from deploy.exporting.onnx.gauge import Values
from deploy.exporting.onnx.graph import GraphBuilder, Shape

MAPS = 2
"""Dimensions of a sample behind its channels."""


@dataclass(frozen=True)
class Steps:
    """The value of a node step by step.

    Attributes:
        values: ``[B, …]`` each.
        shifted: of a convolution that nothing but one layer of neurons reads: step t plus a shift ``[C]``.
    """

    values: tuple[str, ...]
    shifted: Callable[[int, Values], str] | None = None


class ByStepsTranslation(Translation):
    """A captured graph on its way to ONNX, time step by time step.

    Args:
        graph: what is written to.
        constants: as in ``Translation``.
        batch: what shapes call the batch size.
    """

    def __init__(self, graph: GraphBuilder, constants: dict[Node, torch.Tensor], batch: str) -> None:
        super().__init__(graph, constants, regrouped_nodes.in_one_tensor)
        self.batch = batch
        self.at = 0
        self.within_step = False

    def translated(self, node: Node) -> Any:
        """By steps where there is a rule and its inputs have steps, else of one tensor."""
        if node.target in BY_STEPS:
            made = BY_STEPS[node.target](self, node)
            if made is not None:
                return made
        return super().translated(node)

    def value(self, argument: Node | float) -> str:
        """The value at the present step inside of ``every_step``, else the one tensor of all steps."""
        found = self.values.get(argument) if isinstance(argument, Node) else None
        if not isinstance(found, Steps):
            return super().value(argument)
        if self.within_step:
            return found.values[self.at if len(found.values) > 1 else 0]
        assert isinstance(argument, Node)
        self.values[argument] = self.joined(found.values, shape_of(argument))
        return str(self.values[argument])

    def joined(self, values: tuple[str, ...], shape: Shape) -> str:
        """All steps as one tensor of that shape."""
        of_step = self.of_step(shape)
        assert of_step is not None
        folded = (f"{len(values)}*{self.batch}", *of_step[1][1:])
        return self.graph.reshape(self.graph.add("Concat", *values, axis=0), folded, shape)

    def split(self, node: Node) -> Steps | None:
        """A node's steps, whatever its value is like; None where its shape has none."""
        found = self.values[node]
        if isinstance(found, Steps):
            return found
        of_step = self.of_step(shape_of(node))
        if of_step is None or of_step[0] == 1:
            return None
        steps, shape = of_step
        folded = self.graph.reshape(found, shape_of(node), (f"{steps}*{self.batch}", *shape[1:]))
        names = [self.graph.name("current") for _ in range(steps)]
        return Steps(tuple(self.graph.add_many("Split", [folded], names, axis=0, num_outputs=steps)))

    def of_step(self, shape: Shape) -> tuple[int, Shape] | None:
        """Of ``[T, B, …]`` and ``[T·B, …]``: T and ``[B, …]``; None for other shapes."""
        first, *others = shape
        if isinstance(first, int):
            return (first, tuple(others)) if others and others[0] == self.batch else None
        factor = re.fullmatch(rf"(?:(\d+)\*)?{re.escape(self.batch)}", first)
        return (int(factor[1] or 1), (self.batch, *others)) if factor else None

    def every_step(self, node: Node, rule: Callable[[Translation, Node], str]) -> Steps | None:
        """A rule of one tensor for each step; None where an input's steps are not known."""
        lengths, shape = set(), shape_of(node)
        for each in node.all_input_nodes:
            if isinstance(self.values.get(each), Steps):
                lengths.add(len(self.values[each].values))
            elif each not in self.constants:
                return None
        of_step = self.of_step(shape)
        if not lengths or of_step is None or lengths - {1, of_step[0]}:
            return None
        self.within_step = True
        made = []
        for self.at in range(max(lengths)):
            made.append(rule(self, node))
        self.within_step = False
        return Steps(tuple(made))


Rule = Callable[[ByStepsTranslation, Node], Any]


def _mapped(target: Any) -> Rule:
    return lambda to, node: to.every_step(node, RULES[target])


def _elementwise(target: Any) -> Rule:
    """Constants must be those of a sample, not of steps."""

    def rule(to: ByStepsTranslation, node: Node) -> Steps | None:
        rank = len(shape_of(node))
        constants = [shape_of(each) for each in node.all_input_nodes if each in to.constants]
        others = [shape_of(each) for each in node.all_input_nodes if each not in to.constants]
        if any(len(each) > rank - 2 for each in constants) or any(len(each) != rank for each in others):
            return None
        return to.every_step(node, RULES[target])

    return rule


def _frames(to: ByStepsTranslation, node: Node) -> Steps | None:
    """Frames ``[B, T, …]`` by their steps."""
    source, *dims = arguments(node)
    shape = shape_of(source)
    if sorted(dims) != [0, 1] or shape[0] != to.batch or not isinstance(shape[1], int) or source in to.constants:
        return None
    if isinstance(to.values[source], Steps):
        return None
    numbers = [to.graph.constant(np.array(step, np.int64)) for step in range(shape[1])]
    return Steps(tuple(to.graph.add("Gather", to.values[source], number, axis=1) for number in numbers))


def _reshape(to: ByStepsTranslation, node: Node) -> Steps | None:
    """Of every step by itself; time that is folded into the batch, and unfolded, leaves nothing behind."""
    source = arguments(node)[0]
    found = to.values.get(source)
    before, after = to.of_step(shape_of(source)), to.of_step(shape_of(node))
    if not isinstance(found, Steps) or before is None or after is None or before[0] != after[0]:
        return None
    if before[1] == after[1]:
        return found if len(source.users) == 1 else Steps(found.values)
    return Steps(tuple(to.graph.reshape(each, before[1], after[1]) for each in found.values))


def _conv(to: ByStepsTranslation, node: Node) -> Steps | None:
    made = to.every_step(node, RULES[node.target])
    if made is None:
        return None
    _, weight, bias, *_ = arguments(node, None, None, None)
    before = to.array(bias).astype(np.float64) if bias is not None else np.zeros(int(shape_of(weight)[0]))

    def shifted(step: int, shift: Values) -> str:
        """The convolution again, with another bias; the one without the shift is left out of the file, unread."""
        if not shift.any():
            return made.values[step if len(made.values) > 1 else 0]
        written = next(each for each in to.graph.nodes if each.output[0] == made.values[step % len(made.values)])
        inputs = [*written.input[:2], to.graph.constant((before + shift).astype(np.float32))]
        again = to.graph.add("Conv", *inputs)
        to.graph.nodes[-1].attribute.extend(written.attribute)
        return again

    return Steps(made.values, shifted if len(node.users) == 1 else None)


def _repeat(to: ByStepsTranslation, node: Node) -> Steps | None:
    source, sizes = arguments(node)
    found = to.values.get(source)
    if not isinstance(found, Steps) or len(found.values) != 1 or any(size != 1 for size in sizes[1:]):
        return None
    return Steps(found.values * sizes[0])


def _mean(to: ByStepsTranslation, node: Node) -> Steps | str | None:
    source, dims, keep = arguments(node, None, None, False)
    found = to.values.get(source)
    if isinstance(found, Steps) and list(dims) == [0] and not keep and to.of_step(shape_of(source)):
        return to.graph.add("Mean", *found.values) if isinstance(shape_of(source)[0], int) else None
    return to.every_step(node, RULES[node.target]) if all(dim < 0 for dim in dims) else None


def _recurrence(to: ByStepsTranslation, node: Node) -> Steps | None:
    current, *values = arguments(node)
    neuron = neuron_of(to, node, values)
    steps, channels = int(shape_of(current)[0]), int(shape_of(current)[2])
    found = to.split(current) if neuron.dims == MAPS and steps > 1 else None
    if found is None:
        return None
    name = f"{SPIKES}{layer(node)}"
    spikes = regrouped_nodes.by_steps(to.graph, neuron, _shifted(to.graph, found), (steps, channels), name)
    rows = [to.graph.add("Unsqueeze", each, to.graph.integers(0)) for each in spikes]
    to.spikes[node] = to.graph.add("Concat", *rows, name=name, axis=0)
    return Steps(spikes)


def _shifted(graph: GraphBuilder, found: Steps) -> Callable[[int, Values], str]:
    if found.shifted is not None:
        return found.shifted

    def shifted(step: int, shift: Values) -> str:
        value = found.values[step if len(found.values) > 1 else 0]
        summand = shift.reshape(-1, 1, 1).astype(np.float32)
        return graph.add("Add", value, graph.constant(summand)) if shift.any() else value

    return shifted


BY_STEPS: dict[Any, Rule] = {
    aten.transpose.int: _frames,
    aten.flatten.using_ints: _reshape,
    aten.view.default: _reshape,
    aten.reshape.default: _reshape,
    aten.conv2d.default: _conv,
    **{each: _mapped(each) for each in (aten.batch_norm.default, aten.avg_pool2d.default, aten.max_pool2d.default)},
    **{each: _mapped(each) for each in (aten.relu.default, aten.linear.default)},
    **{each: _elementwise(each) for each in (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.rsub.Scalar)},
    aten.repeat.default: _repeat,
    aten.mean.dim: _mean,
    operators.recurrence._opoverload: _recurrence,
}
"""Operator → what writes the nodes of every step; None from it where its inputs are not such that it can."""
