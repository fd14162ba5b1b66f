"""From the operators that torch.export captures to ONNX nodes: a rule per operator that the networks use.

``torch.onnx.export`` knows every operator, and takes 20–50 s for these networks: it decomposes each one with an open
batch size first. These few rules take a fraction of a second, and the graph has no node that does nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch.fx import Node

from deploy.exporting import operators
from deploy.exporting.nodes import arguments, layer, shape_of
from deploy.exporting.onnx import neuron_nodes
from deploy.exporting.onnx.graph import GraphBuilder
from deploy.exporting.onnx.neuron_nodes import NeuronConstants

aten = torch.ops.aten
SPIKES = "spikes/"
"""How the names of the values begin that hold a layer's spikes."""

Recurrence = Callable[[GraphBuilder, NeuronConstants, str, Sequence[int], str], str]
"""What writes a layer of neurons: graph, its constants, the current ``[T, B, C, …]``, (T, C), the spikes' name → it."""


class Translation:
    """A captured graph on its way to ONNX.

    Args:
        graph: what is written to.
        constants: values of the captured graph's parameters, buffers and whatever follows from them, by node name.
        recurrence: what writes a layer of neurons.

    Attributes:
        values: node of the captured graph → value of the ONNX graph.
        spikes: recurrence of the captured graph → value that holds its spikes, of the shape of its current.
    """

    def __init__(self, graph: GraphBuilder, constants: dict[Node, torch.Tensor], recurrence: Recurrence) -> None:
        self.graph = graph
        self.constants = constants
        self.recurrence = recurrence
        self.values: dict[Node, Any] = {}
        self.spikes: dict[Node, str] = {}

    def run(self, node: Node) -> None:
        """Translate one node; what depends on constants alone is worked out here and now.

        Raises:
            ValueError: for an operator without a rule, with the layer that it comes from.
        """
        inputs = node.all_input_nodes
        if all(each in self.constants for each in inputs) and isinstance(node.meta.get("val"), torch.Tensor):
            given = torch.fx.map_arg(node.args, lambda each: self.constants[each])
            keywords = torch.fx.map_arg(node.kwargs, lambda each: self.constants[each])
            self.constants[node] = node.target(*given, **keywords)  # type: ignore[operator]
        elif node.target in RULES:
            self.values[node] = self.translated(node)
        elif isinstance(node.meta.get("val"), torch.Tensor):
            raise ValueError(
                f"{layer(node) or 'the network'} uses the operator {node.target}, for which the exporter has no rule; "
                "write one in deploy/exporting/onnx/aten.py, or export with --format pt2"
            )

    def translated(self, node: Node) -> Any:
        """What the rule of a node's operator makes of it."""
        return RULES[node.target](self, node)

    def value(self, argument: Node | float) -> str:
        """The ONNX value of an argument, which may be a number."""
        if not isinstance(argument, Node):
            return self.graph.constant(np.array(argument, np.float32))
        return self.graph.constant(self.array(argument)) if argument in self.constants else str(self.values[argument])

    def array(self, node: Node) -> NDArray[Any]:
        """A constant of the captured graph."""
        array: NDArray[Any] = self.constants[node].detach().numpy()
        return array


def _same(kind: str) -> Callable[[Translation, Node], str]:
    def rule(to: Translation, node: Node) -> str:
        return to.graph.add(kind, *(to.value(argument) for argument in arguments(node)))

    return rule


def _reshape(to: Translation, node: Node) -> str:
    return to.graph.reshape(to.value(arguments(node)[0]), shape_of(arguments(node)[0]), shape_of(node))


def _transpose(to: Translation, node: Node) -> str:
    source, first, second = arguments(node)
    order = list(range(len(shape_of(node))))
    order[first], order[second] = order[second], order[first]
    return to.graph.add("Transpose", to.value(source), perm=order)


def _conv(to: Translation, node: Node) -> str:
    source, weight, bias, stride, padding = arguments(node, None, None, None, [1, 1], [0, 0])
    inputs = [to.value(each) for each in (source, weight, bias) if each is not None]
    pads = [*padding, *padding]
    kernel = list(shape_of(weight)[2:])
    return to.graph.add("Conv", *inputs, strides=list(stride), pads=pads, kernel_shape=kernel)


def _batch_norm(to: Translation, node: Node) -> str:
    inputs = [to.value(each) for each in arguments(node)[:5]]
    return to.graph.add("BatchNormalization", *inputs, epsilon=arguments(node)[7])


def _pool(kind: str) -> Callable[[Translation, Node], str]:
    def rule(to: Translation, node: Node) -> str:
        source, kernel, stride, padding = arguments(node, None, None, [], [0, 0])[:4]
        options = {"kernel_shape": list(kernel), "strides": list(stride or kernel)}
        if any(padding):
            options["pads"] = [*padding, *padding]
        return to.graph.add(kind, to.value(source), name=None, **options)

    return rule


def _reduce(kind: str) -> Callable[[Translation, Node], str]:
    def rule(to: Translation, node: Node) -> str:
        source, dims, keep = arguments(node, None, None, False)
        return to.graph.add(kind, to.value(source), to.graph.integers(*dims), keepdims=int(keep))

    return rule


def _linear(to: Translation, node: Node) -> str:
    source, weight, bias = arguments(node, None, None, None)
    product = to.graph.add("MatMul", to.value(source), to.graph.constant(to.array(weight).T))
    return product if bias is None else to.graph.add("Add", product, to.value(bias))


def _repeat(to: Translation, node: Node) -> str:
    return to.graph.add("Tile", to.value(arguments(node)[0]), to.graph.integers(*arguments(node)[1]))


def _unsqueeze(to: Translation, node: Node) -> str:
    return to.graph.add("Unsqueeze", to.value(arguments(node)[0]), to.graph.integers(arguments(node)[1]))


def _select(to: Translation, node: Node) -> str:
    source, dim, index = arguments(node)
    return to.graph.add("Gather", to.value(source), to.graph.constant(np.array(index, np.int64)), axis=dim)


def _index_select(to: Translation, node: Node) -> str:
    source, dim, index = arguments(node)
    return to.graph.add("Gather", to.value(source), to.value(index), axis=dim)


def _clamp(to: Translation, node: Node) -> str:
    return to.graph.add("Clip", *(to.value(each) for each in arguments(node)))


def _reversed_sub(to: Translation, node: Node) -> str:
    return to.graph.add("Sub", to.value(arguments(node)[1]), to.value(arguments(node)[0]))


def _cast(to: Translation, node: Node) -> str:
    return to.graph.add("Cast", to.value(arguments(node)[0]), to=TensorProto.FLOAT)


def _recurrence(to: Translation, node: Node) -> str:
    current, *values = arguments(node)
    steps, channels = int(shape_of(current)[0]), int(shape_of(current)[2])
    name = f"{SPIKES}{layer(node)}"
    spikes = to.recurrence(to.graph, neuron_of(to, node, values), to.value(current), (steps, channels), name)
    to.spikes[node] = spikes
    return spikes


def _step(to: Translation, node: Node) -> tuple[str, str]:
    current, membrane, number, *coefficients, strict = arguments(node)
    neuron = neuron_of(to, node, [*coefficients, 0.0, strict])
    name = f"{SPIKES}{layer(node)}"
    made = neuron_nodes.step(to.graph, neuron, to.value(current), to.value(membrane), to.value(number), name)
    to.spikes[node] = made[0]
    return made


def _item(to: Translation, node: Node) -> str:
    return str(to.values[arguments(node)[0]][arguments(node)[1]])


def neuron_of(to: Translation, node: Node, values: Sequence[Any]) -> NeuronConstants:
    """The constants of a layer of neurons: its coefficients, rest and how it fires, as its operator has them."""
    *tensors, rest, strict = values
    decay, leak, gain, hard, soft, threshold = (to.array(each) for each in tensors)
    dims = len(shape_of(arguments(node)[0])) - 3
    return NeuronConstants(decay, leak, gain, hard, soft, threshold, rest, strict, dims)


RULES: dict[Any, Callable[[Translation, Node], Any]] = {
    aten.transpose.int: _transpose,
    aten.flatten.using_ints: _reshape,
    aten.view.default: _reshape,
    aten.reshape.default: _reshape,
    aten.unflatten.int: _reshape,
    aten.conv2d.default: _conv,
    aten.batch_norm.default: _batch_norm,
    aten.avg_pool2d.default: _pool("AveragePool"),
    aten.max_pool2d.default: _pool("MaxPool"),
    aten.mean.dim: _reduce("ReduceMean"),
    aten.sum.dim_IntList: _reduce("ReduceSum"),
    aten.matmul.default: _same("MatMul"),
    aten.linear.default: _linear,
    aten.repeat.default: _repeat,
    aten.unsqueeze.default: _unsqueeze,
    aten.select.int: _select,
    aten.index_select.default: _index_select,
    aten.clamp.default: _clamp,
    aten.add.Tensor: _same("Add"),
    aten.sub.Tensor: _same("Sub"),
    aten.mul.Tensor: _same("Mul"),
    aten.div.Tensor: _same("Div"),
    aten.rsub.Scalar: _reversed_sub,
    aten.relu.default: _same("Relu"),
    aten.round.default: _same("Round"),
    aten.eq.Tensor: _same("Equal"),
    aten.gt.Scalar: _same("Greater"),
    aten.__and__.Tensor: _same("And"),
    aten.bitwise_and.Tensor: _same("And"),
    aten.to.dtype: _cast,
    operators.recurrence._opoverload: _recurrence,
    operators.step._opoverload: _step,
    operator.getitem: _item,
}
"""Operator → what writes its nodes. Arguments that no network of the package uses have no place in the rules."""
