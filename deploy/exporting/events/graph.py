"""A captured network as a plan.

The network is captured with its norms folded and one time step; its operators become operations on maps, and whatever
else stands in the graph is refused by name. A sum of convolutions becomes one current, so that what fires is known
where it is added up, and no current is ever kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import Node

from deploy.events.plan import COEFFICIENTS, INPUT, LOGITS, Join, Layer, Mean, Neuron, Operation, Plan, Pool, Term
from deploy.exporting import operators
from deploy.exporting.capture import capture, placeholders
from deploy.exporting.nodes import arguments, layer, shape_of
from deploy.exporting.prepare import freeze
from evglif.layers import ConvSpike
from evglif.models import GraphLayers, Network

aten = torch.ops.aten

Array = NDArray[np.float32]


def plan_of(network: Network) -> tuple[Plan, dict[str, NDArray[Any]], set[str]]:
    """The plan of a network with folded norms, its tensors, and which of its values are vectors.

    Raises:
        ValueError: for an operator that the plan has no place for; the layer is named.
    """
    spec, writer = network.spec, _Writer()
    mean, std = (writer.tensor(name, getattr(network, name)) if spec.mean else "" for name in ("mean", "std"))
    operations = writer.operations_of(OneStep(network), (spec.in_channels, *spec.size[::-1]))
    return Plan(spec.encoder, mean, std, operations), writer.tensors, writer.vectors


class OneStep(nn.Module):
    """A network behind its encoder, for one time step: ``[B, C, H, W]`` → logits ``[B, K]``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = freeze(network, as_operator=True)
        for module in self.network.modules():
            if isinstance(module, ConvSpike | GraphLayers):
                module.repeat = 1

    def forward(self, x: Tensor) -> Tensor:
        """Logits of one step; the mean over it marks where all steps become one."""
        logits: Tensor = self.network.head(self.network.features(x.unsqueeze(0)).mean(0))
        return logits


class _Sum:
    """A current that is not made yet: terms and a bias."""

    def __init__(self, terms: tuple[Term, ...], bias: Array) -> None:
        self.terms, self.bias = terms, bias


class _Negated:
    """1 − spikes."""

    def __init__(self, name: str) -> None:
        self.name = name


Found = str | _Sum | _Negated


class _Writer:
    """Turns captured nodes into operations; a node's value is a name, or a current that is still a sum."""

    def __init__(self) -> None:
        self.tensors: dict[str, NDArray[Any]] = {}
        self.operations: list[Operation] = []
        self.vectors: set[str] = set()
        self.found: dict[Node, Found] = {}
        self.maps: dict[str, tuple[int, ...]] = {}
        self.constants: dict[Node, Tensor] = {}

    def operations_of(self, network: OneStep, frame: tuple[int, int, int]) -> tuple[Operation, ...]:
        program = capture(network, (torch.zeros(2, *frame),), batched=(True,))
        self.constants, given = placeholders(program)
        self.found[given[0]], self.maps[INPUT] = INPUT, frame
        for node in program.graph.nodes:
            is_value = isinstance(node.meta.get("val"), Tensor)  # and no size
            if is_value and any(each in self.found for each in node.all_input_nodes):
                self._run(node)
        logits = program.graph.output_node().args[0][0]
        self.name(logits, LOGITS)
        return tuple(self.operations)

    def _run(self, node: Node) -> None:
        rule = RULES.get(node.target)
        if rule is None:
            raise ValueError(
                f"{_where(node)} uses the operator {node.target}, for which the format events has no layer; export to "
                "onnx"
            )
        self.found[node] = rule(self, node)
        if isinstance(self.found[node], _Sum) and len(node.users) > 1:
            self.name(node)  # else it would be made anew for each of its users

    def refuse(self, node: Node, reason: str) -> ValueError:
        return ValueError(f"{_where(node)}: {reason}, which the format events does not have; export to onnx")

    def tensor(self, name: str, value: Tensor | NDArray[Any] | None) -> str:
        """Keep a constant; its name in the file."""
        assert value is not None
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        self.tensors[name] = np.ascontiguousarray(array.reshape(-1) if name in ("mean", "std") else array, np.float32)
        return name

    def array(self, node: Node) -> Array:
        """A constant of the captured graph."""
        array: Array = self.constants[node].detach().numpy()
        return array

    def name(self, node: Node, name: str = "") -> str:
        """The name of a node's value, which is made now if it is still a sum."""
        found = self.found[node]
        if isinstance(found, _Negated):
            raise self.refuse(node, "spikes are negated and not joined")
        if isinstance(found, _Sum):
            self.found[node] = found = self.layer(node, found, name or node.name)
        if name and found != name:
            raise self.refuse(node, f"the logits are the value {found!r} itself")
        return found

    def sum(self, node: Node) -> _Sum:
        """A node's value as a current."""
        found = self.found[node]
        if isinstance(found, _Sum):
            return found
        ones = np.ones(_sample(node)[0], np.float32)
        return self.scaled(node, ones, np.zeros_like(ones))

    def scaled(self, node: Node, factors: Array, shift: Array) -> _Sum:
        """A node's channels, scaled and shifted."""
        weights = self.tensor(f"{node.name}.factors.{len(self.tensors)}", factors)
        return _Sum((Term(self.name(node), weights),), shift)

    def convolved(self, node: Node, source: Node, weights: Array, bias: Array | None, **how: Any) -> _Sum:
        """A convolution ``[C, C_in, k_y, k_x]`` of a node's value."""
        name = self.tensor(f"{_where(node)}.{node.name}.weight", weights.transpose(2, 3, 1, 0))
        return _Sum(
            (Term(self.name(source), name, **how),), np.zeros(len(weights), np.float32) if bias is None else bias
        )

    def layer(self, node: Node, current: _Sum, name: str, neuron: Neuron | None = None, rectify: bool = False) -> str:
        """Add the operation that makes a current, or spikes of it."""
        bias = self.tensor(f"{name}.bias", current.bias)
        self.add(node, Layer(name, current.terms, bias, neuron, rectify))
        return name

    def add(self, node: Node, operation: Operation) -> str:
        """Add an operation."""
        self.operations.append(operation)
        self.maps[operation.out] = _sample(node)
        if len(_sample(node)) == 1:
            self.vectors.add(operation.out)
        return operation.out


def _where(node: Node) -> str:
    return layer(node).removeprefix("network.") or "the network"


def _sample(node: Node) -> tuple[int, ...]:
    """Dimensions of one sample: what comes behind the batch."""
    shape = shape_of(node)
    batch = next(index for index, size in enumerate(shape) if isinstance(size, str))
    return tuple(int(size) for size in shape[batch + 1 :])


def _same(to: _Writer, node: Node) -> Found:
    return to.found[arguments(node)[0]]


def _reshape(to: _Writer, node: Node) -> Found:
    """Maps as vectors stay what they are; what follows knows by the name's map in which order their values lie."""
    source = arguments(node)[0]
    before, after = _sample(source), _sample(node)
    if before != after and len(before) == 3:
        return to.name(source)
    return to.found[source]


def _conv(to: _Writer, node: Node) -> Found:
    source, weight, bias, stride, padding, dilation, groups = arguments(
        node, None, None, None, [1, 1], [0, 0], [1, 1], 1
    )
    if groups != 1 or list(dilation) != [1, 1] or isinstance(padding, str):
        raise to.refuse(node, f"a convolution has {groups} groups, a dilation of {dilation}, a padding of {padding}")
    biases = None if bias is None else to.array(bias)
    how = {"stride": tuple(stride), "padding": tuple(padding)}
    return to.convolved(node, source, to.array(weight), biases, **how)


def _linear(to: _Writer, node: Node) -> Found:
    """A convolution as large as the map that its input was."""
    source, weight, bias = arguments(node, None, None, None)
    weights = to.array(weight)
    channels, *pixels = to.maps[to.name(source)]
    size = tuple(pixels) or (1, 1)
    weights = weights.reshape(len(weights), channels, *size)
    return to.convolved(node, source, weights, None if bias is None else to.array(bias))


def _batch_norm(to: _Writer, node: Node) -> Found:
    """A norm without a convolution before it, on an identity shortcut."""
    source = arguments(node)[0]
    weight, bias, mean, variance = (to.constants[each].double().numpy() for each in arguments(node)[1:5])
    factor = weight / np.sqrt(variance + arguments(node)[7])
    return to.scaled(source, factor.astype(np.float32), (bias - factor * mean).astype(np.float32))


def _add(to: _Writer, node: Node) -> Found:
    first, second = node.all_input_nodes if len(node.all_input_nodes) == 2 else arguments(node)[:2]
    if all(isinstance(to.found.get(each), str) for each in (first, second)):
        return to.add(node, Join(node.name, "add", to.name(first), to.name(second)))
    sums = [to.sum(each) for each in (first, second)]
    return _Sum(sums[0].terms + sums[1].terms, sums[0].bias + sums[1].bias)


def _mul(to: _Writer, node: Node) -> Found:
    first, second = arguments(node)[:2]
    if not isinstance(first, Node) or not isinstance(second, Node) or second not in to.found:
        raise to.refuse(node, "values are multiplied by a number")
    found = to.found[first]
    if isinstance(found, _Negated):
        return to.add(node, Join(node.name, "iand", found.name, to.name(second)))
    return to.add(node, Join(node.name, "and", to.name(first), to.name(second)))


def _reversed_sub(to: _Writer, node: Node) -> Found:
    source, number = arguments(node)[:2]
    if number != 1:
        raise to.refuse(node, f"a value is taken from {number}")
    return _Negated(to.name(source))


def _pool(how: str) -> Callable[[_Writer, Node], Found]:
    def rule(to: _Writer, node: Node) -> Found:
        source, kernel, *rest = arguments(node)
        if rest and list(rest[0] or kernel) != list(kernel):
            raise to.refuse(node, f"a pooling of {kernel} pixels has a stride of {rest[0]}")
        return to.add(node, Pool(node.name, how, to.name(source), (kernel[0], kernel[1])))

    return rule


def _mean(to: _Writer, node: Node) -> Found:
    """The mean over all time steps, over a map, or over the voters of a class."""
    source, dims = arguments(node)[:2]
    shape = shape_of(source)
    dims = sorted(each % len(shape) for each in dims)
    if dims == [0]:
        mean = to.add(node, Mean(node.name, to.name(source)))
        to.maps[mean] = to.maps[to.name(source)]  # a flattened map keeps the order of its values
        return mean
    if len(_sample(source)) == 3 and dims == [len(shape) - 2, len(shape) - 1]:
        size = _sample(source)[1], _sample(source)[2]
        return to.add(node, Pool(node.name, "mean", to.name(source), size))
    if len(_sample(source)) == 2 and dims == [len(shape) - 1]:
        classes, votes = _sample(source)
        weights = np.kron(np.eye(classes), np.full(votes, 1 / votes)).astype(np.float32)
        return to.convolved(node, source, weights[..., None, None], None)
    raise to.refuse(node, f"a mean over dimensions {dims} of {shape}")


def _relu(to: _Writer, node: Node) -> Found:
    return to.layer(node, to.sum(arguments(node)[0]), node.name, rectify=True)


def _recurrence(to: _Writer, node: Node) -> Found:
    current, *values, rest, strict = arguments(node)
    name = _where(node)
    coefficients = {
        each: to.tensor(f"{name}.{each}", to.constants[value]) for each, value in zip(COEFFICIENTS, values, strict=True)
    }
    neuron = Neuron(**coefficients, rest=float(rest), strict=bool(strict))
    return to.layer(node, to.sum(current), name, neuron)


RULES: dict[Any, Callable[[_Writer, Node], Found]] = {
    aten.unsqueeze.default: _same,
    aten.flatten.using_ints: _reshape,
    aten.view.default: _reshape,
    aten.reshape.default: _reshape,
    aten.conv2d.default: _conv,
    aten.linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten.add.Tensor: _add,
    aten.mul.Tensor: _mul,
    aten.rsub.Scalar: _reversed_sub,
    aten.avg_pool2d.default: _pool("mean"),
    aten.max_pool2d.default: _pool("max"),
    aten.mean.dim: _mean,
    aten.relu.default: _relu,
    operators.recurrence._opoverload: _recurrence,
}
"""Operator → what writes its operation; those that only move dimensions write none."""
