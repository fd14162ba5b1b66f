"""Export to NIR, the interchange format of neuromorphic simulators and chips, for neurons that it can hold.

One time step of the network becomes a graph; the reader feeds it a frame a step and takes the mean of its output over
T. What a neuron becomes stands in ``deploy.exporting.nir.neurons``, what single readers need in ``….readers``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from deploy.exporting import operators
from deploy.exporting.capture import capture, placeholders
from deploy.exporting.nir.adapt import Edges, Nodes, sums_as_pools
from deploy.exporting.nir.neurons import neuron_node
from deploy.exporting.nir.readers import READERS
from deploy.exporting.nir.run import DT, RESET, SOFT, open_nir, run_graph
from deploy.exporting.nodes import arguments, layer, shape_of
from deploy.exporting.prepare import example_frames
from deploy.exporting.step import StepNetwork
from deploy.exporting.verify import Frames, Spikes
from deploy.running.metadata import KEY, ModelMetadata
from evglif.models import GraphNet, Network
from evglif.recurrence import Coefficients

__all__ = ["NIRModel", "open_nir"]

aten = torch.ops.aten
INPUT, OUTPUT = "input", "output"


def nir_package() -> Any:
    """The package nir, which is optional.

    Raises:
        ModuleNotFoundError: saying how to install it.
    """
    try:
        return import_module("nir")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("NIR files need the package nir: pip install 'evglif[nir]'") from error


class NIRModel:
    """A network as a NIR graph of one time step: norms folded, sums where edges meet.

    Args:
        network: with folded norms; stays as it is.
        dt: the time step that τ and r are meant for, s.
        reader: what is to read the graph; any, by NIR's equations, where it is empty.
        sum_pools: write sum pools for average ones.

    Raises:
        ModuleNotFoundError: without the package nir.
        ValueError: for a neuron or an operator that NIR does not have, or the reader; the layer is named.
    """

    def __init__(self, network: Network, dt: float, reader: str = "", sum_pools: bool = False) -> None:
        if network.spec.encoder not in ("frames", "direct") or network.mean is not None:
            raise ValueError(f"{network.spec.name}: NIR has no encoder {network.spec.encoder} and no normalisation")
        self._steps = network.spec.steps
        step = StepNetwork(network)
        membranes = [torch.full((2, *state.shape), state.rest) for state in step.states]
        frame = example_frames(network)[:, 0]
        program = capture(step, (frame, torch.tensor(0), membranes), batched=(True, False, True))
        constants, given = placeholders(program)
        self._names = network.node_names() if isinstance(network, GraphNet) else {}
        self._subtracts = bool(reader) and READERS[reader].subtracts
        writer = _Writer(constants, [state.rest for state in step.states], self._names, dt, self._subtracts)
        body = [node for node in program.graph.nodes if node.op == "call_function"]
        nodes, edges = writer.write(given[0], body, program.graph.output_node().args[0][0])
        if sum_pools:
            nodes, edges = sums_as_pools(nodes, edges, dt)
        if reader:
            nodes, edges = READERS[reader].adapt(nodes, edges, dt)
        how = {DT: dt, **({RESET: SOFT} if self._subtracts else {})}
        self.graph = writer.nir.NIRGraph(nodes, edges, metadata=how)
        self._dt = dt

    def save(self, path: Path, metadata: ModelMetadata) -> None:
        """Write the graph; the description is its metadata, and so is the time step."""
        self.graph.metadata[KEY] = metadata.to_json()
        written = BytesIO()  # HDF5 cannot end a file in order once a write to it has failed
        nir_package().write(written, self.graph)
        path.write_bytes(written.getbuffer())

    def observe(self, frames: Frames) -> Spikes:
        """Spikes of every layer, of the graph run by ``deploy.exporting.nir.run``."""
        spikes = run_graph(self.graph, frames, self._steps, self._dt)[1]
        layers = {name: path for path, name in self._names.items()}
        return {layers.get(name, name): fired for name, fired in spikes.items()}


class _Writer:
    """Turns captured nodes into NIR nodes; a value is the names of the nodes whose outputs add up to it.

    Args:
        constants: parameters and buffers of the captured graph.
        rests: of the layers of neurons, in their order.
        names: path of a layer → what its node is called, where that is not after the path.
        dt: time step, s.
        subtracts: the reader takes the threshold away after a spike.
    """

    def __init__(
        self,
        constants: dict[Node, torch.Tensor],
        rests: list[float],
        names: dict[str, str],
        dt: float,
        subtracts: bool,
    ) -> None:
        self.nir = nir_package()
        self.dt = dt
        self.constants = constants
        self.rests = iter(rests)
        self.names = names
        self.subtracts = subtracts
        self.nodes: Nodes = {}
        self.edges: Edges = []
        self.values: dict[Node, tuple[str, ...]] = {}

    def write(self, frame: Node, body: list[Node], logits: Node) -> tuple[Nodes, Edges]:
        self.values[frame] = (INPUT,)
        self.nodes[INPUT] = self.nir.Input({"input": np.array(_sample(frame))})
        for node in body:
            if any(each in self.values for each in node.all_input_nodes):
                self._run(node)
        self.nodes[OUTPUT] = self.nir.Output({"output": np.array(_sample(logits))})
        self.edges += [(source, OUTPUT) for source in self.values[logits]]
        return self.nodes, self.edges

    def _run(self, node: Node) -> None:
        if node.target not in RULES:
            where = layer(node).removeprefix("network.") or "the network"
            raise ValueError(f"{where} uses the operator {node.target}, for which NIR has no node; export to onnx")
        self.values[node] = RULES[node.target](self, node)

    def add(self, node: Node, source: Node, made: Any, name: str = "") -> tuple[str, ...]:
        """A NIR node behind the value of a captured one."""
        where = layer(node).removeprefix("network.")
        name = self.names.get(where, name or f"{where}.{node.name}")
        self.nodes[name] = made
        self.edges += [(each, name) for each in self.values[source]]
        return (name,)

    def array(self, node: Node) -> NDArray[Any]:
        """A constant of the captured graph."""
        array: NDArray[Any] = self.constants[node].detach().numpy()
        return array


def _sample(node: Node) -> tuple[int, ...]:
    """Dimensions of one sample: what comes behind the batch."""
    shape = shape_of(node)
    batch = next(index for index, size in enumerate(shape) if isinstance(size, str))
    return tuple(int(size) for size in shape[batch + 1 :])


def _same(to: _Writer, node: Node) -> tuple[str, ...]:
    return to.values[arguments(node)[0]]


def _reshape(to: _Writer, node: Node) -> tuple[str, ...]:
    source = arguments(node)[0]
    before, after = _sample(source), _sample(node)
    if len(before) == 3 and len(after) == 1:
        return to.add(node, source, _flatten(to, before))
    return to.values[source]


def _flatten(to: _Writer, shape: tuple[int, ...]) -> Any:
    """The last three dimensions, counted from behind: the same with a batch before them and without one."""
    return to.nir.Flatten({"input": np.array(shape)}, start_dim=-3, end_dim=-1)


def _conv(to: _Writer, node: Node) -> tuple[str, ...]:
    source, weight, bias, stride, padding = arguments(node, None, None, None, [1, 1], [0, 0])
    weights = to.array(weight)
    biases = np.zeros(len(weights), np.float32) if bias is None else to.array(bias)
    shape = _sample(source)[1:]
    options = (tuple(stride), tuple(padding), 1, 1, biases)
    return to.add(node, source, to.nir.Conv2d(shape, weights, *options))


def _batch_norm(to: _Writer, node: Node) -> tuple[str, ...]:
    """A norm on an identity shortcut: a 1×1 convolution whose matrix is diagonal."""
    source = arguments(node)[0]
    weight, bias, mean, variance = (to.constants[each].double().numpy() for each in arguments(node)[1:5])
    factor = weight / np.sqrt(variance + arguments(node)[7])
    weights = np.diag(factor).astype(np.float32)[..., None, None]
    shift = (bias - factor * mean).astype(np.float32)
    return to.add(node, source, to.nir.Conv2d(_sample(source)[1:], weights, (1, 1), (0, 0), 1, 1, shift))


def _pool(to: _Writer, node: Node) -> tuple[str, ...]:
    source, kernel = arguments(node)[:2]
    size = np.array(kernel)
    return to.add(node, source, to.nir.AvgPool2d(size, size, np.zeros(2, int)))


def _mean(to: _Writer, node: Node) -> tuple[str, ...]:
    """The mean over a map, or over the voters of a class."""
    source = arguments(node)[0]
    shape = _sample(source)
    if len(shape) == 3:
        size = np.array(shape[1:])
        pooled = to.add(node, source, to.nir.AvgPool2d(size, size, np.zeros(2, int)))
        name = f"{pooled[0]}.flatten"
        to.nodes[name] = _flatten(to, (shape[0], 1, 1))
        to.edges.append((pooled[0], name))
        return (name,)
    classes, votes = shape
    return to.add(node, source, to.nir.Linear(np.kron(np.eye(classes), np.ones(votes) / votes).astype(np.float32)))


def _linear(to: _Writer, node: Node) -> tuple[str, ...]:
    source, weight, bias = arguments(node, None, None, None)
    if bias is None:
        return to.add(node, source, to.nir.Linear(to.array(weight)))
    return to.add(node, source, to.nir.Affine(to.array(weight), to.array(bias)))


def _sum(to: _Writer, node: Node) -> tuple[str, ...]:
    first, second = (to.values[each] for each in node.all_input_nodes)
    return first + second


def _neuron(to: _Writer, node: Node) -> tuple[str, ...]:
    current, _membrane, _number, *coefficients, strict = arguments(node)
    where, shape = layer(node).removeprefix("network."), _sample(current)
    names = (field.name for field in fields(Coefficients))
    values = {name: to.constants[each].double().numpy() for name, each in zip(names, coefficients, strict=True)}
    made = neuron_node(to.nir, values, next(to.rests), bool(strict), to.dt, shape, where, to.subtracts)
    return to.add(node, current, made, where)


RULES: dict[Any, Callable[[_Writer, Node], tuple[str, ...]]] = {
    aten.transpose.int: _same,
    aten.unsqueeze.default: _same,
    aten.select.int: _same,
    aten.flatten.using_ints: _reshape,
    aten.view.default: _reshape,
    aten.conv2d.default: _conv,
    aten.batch_norm.default: _batch_norm,
    aten.avg_pool2d.default: _pool,
    aten.mean.dim: _mean,
    aten.linear.default: _linear,
    aten.add.Tensor: _sum,
    operators.step._opoverload: _neuron,
    operator.getitem: _same,
}
"""Operator → what writes its node; those that only move dimensions write none."""
