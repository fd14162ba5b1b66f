"""Export to NIR, the interchange format of neuromorphic simulators and chips, for neurons that it can hold.

One time step of the network becomes a graph; the reader feeds it a frame a step and takes the mean of its output over
T. NIR's LIF, integrated by Euler with dt = 1, is

    U[t] = V[t-1] + ((v_leak − V[t-1]) + r·X[t]) / τ        spike at U > v_threshold, then V = v_reset

so a neuron fits where a spike's reset leaves the same membrane whatever it was before: r = a and g the same for all
steps. Then τ = 1/(1 − a), its r = g·τ, and what the leak and reset leave decides v_leak and v_reset.
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
from deploy.exporting.nir.run import open_nir, run_graph
from deploy.exporting.nodes import arguments, layer, shape_of
from deploy.exporting.prepare import example_frames
from deploy.exporting.step import StepNetwork
from deploy.exporting.verify import Frames, Spikes
from deploy.running.metadata import KEY, ModelMetadata
from evglif.models import Network
from evglif.recurrence import Coefficients

__all__ = ["NIRModel", "lif_parameters", "open_nir"]

aten = torch.ops.aten
INPUT, OUTPUT = "input", "output"
Values = dict[str, NDArray[np.float64]]


def nir_package() -> Any:
    """The package nir, which is optional.

    Raises:
        ModuleNotFoundError: saying how to install it.
    """
    try:
        return import_module("nir")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("NIR files need the package nir: pip install 'evglif[nir]'") from error


def lif_parameters(coefficients: Values, rest: float, strict: bool, where: str) -> Values:
    """τ, r, v_leak, v_threshold and v_reset of NIR's LIF for the coefficients of one layer, ``[C]``.

    Raises:
        ValueError: where there is no such LIF; the reason is given, and ``where`` named.
    """
    a, b, g, r, d, v = (coefficients[field.name] for field in fields(Coefficients))
    if g.ndim == 2 and (g != g[:1]).any():
        raise ValueError(
            f"{where}: the input gain g^t changes from step to step (β > 0), which NIR's LIF cannot; "
            "export to onnx, or train with --neuron lif, plif, or gates '001', '101'"
        )
    if not np.allclose(r, a, rtol=1e-6, atol=1e-7):
        raise ValueError(
            f"{where}: the reset leaves a share of the membrane (γ < 1, soft reset), which NIR's LIF sets to a fixed "
            "value; export to onnx, or train a neuron with hard reset"
        )
    if (a >= 1).any():
        raise ValueError(f"{where}: the membrane does not leak (decay 1), NIR's LIF has a finite τ; export to onnx")
    tau = 1 / (1 - a)
    # After a spike: U = g·X − b − d, which Euler makes of v_reset by a·v_reset + v_leak·(1 − a); at rest likewise.
    v_leak = -b * tau
    with np.errstate(divide="ignore", invalid="ignore"):
        v_reset = np.where(a > 0, -d / a, 0.0)
    if (d[a == 0] != 0).any():
        raise ValueError(f"{where}: a reset by a fixed amount needs a membrane that keeps some of itself (decay 0)")
    if not np.allclose(v_reset, rest):
        raise ValueError(f"{where}: the neuron rests at {rest:g} and is reset to {v_reset}; NIR begins at v_reset")
    # NIR fires above its threshold, the neuron at it: the next number below is the same for fp32 membranes.
    threshold = v if strict else np.nextafter(v.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    gain = g[0] if g.ndim == 2 else g
    return {"tau": tau, "r": gain * tau, "v_leak": v_leak, "v_threshold": threshold, "v_reset": v_reset}


class NIRModel:
    """A network as a NIR graph of one time step: norms folded, sums where edges meet.

    Args:
        network: with folded norms; stays as it is.

    Raises:
        ModuleNotFoundError: without the package nir.
        ValueError: for a neuron or an operator that NIR does not have; the layer is named.
    """

    def __init__(self, network: Network) -> None:
        if network.spec.encoder not in ("frames", "direct") or network.mean is not None:
            raise ValueError(f"{network.spec.name}: NIR has no encoder {network.spec.encoder} and no normalisation")
        self._steps = network.spec.steps
        step = StepNetwork(network)
        membranes = [torch.full((2, *state.shape), state.rest) for state in step.states]
        frame = example_frames(network)[:, 0]
        program = capture(step, (frame, torch.tensor(0), membranes), batched=(True, False, True))
        constants, given = placeholders(program)
        self._writer = _Writer(constants, [state.rest for state in step.states])
        body = [node for node in program.graph.nodes if node.op == "call_function"]
        self.graph = self._writer.graph(given[0], body, program.graph.output_node().args[0][0])

    def save(self, path: Path, metadata: ModelMetadata) -> None:
        """Write the graph; the description is its metadata."""
        self.graph.metadata = {KEY: metadata.to_json()}
        written = BytesIO()  # HDF5 cannot end a file in order once a write to it has failed
        nir_package().write(written, self.graph)
        path.write_bytes(written.getbuffer())

    def observe(self, frames: Frames) -> Spikes:
        """Spikes of every layer, of the graph run by ``deploy.exporting.nir.run``."""
        return run_graph(self.graph, frames, self._steps)[1]


class _Writer:
    """Turns captured nodes into NIR nodes; a value is the names of the nodes whose outputs add up to it."""

    def __init__(self, constants: dict[Node, torch.Tensor], rests: list[float]) -> None:
        self.nir = nir_package()
        self.constants = constants
        self.rests = iter(rests)
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.values: dict[Node, tuple[str, ...]] = {}

    def graph(self, frame: Node, body: list[Node], logits: Node) -> Any:
        self.values[frame] = (INPUT,)
        self.nodes[INPUT] = self.nir.Input({"input": np.array(_sample(frame))})
        for node in body:
            if any(each in self.values for each in node.all_input_nodes):
                self._run(node)
        self.nodes[OUTPUT] = self.nir.Output({"output": np.array(_sample(logits))})
        self.edges += [(source, OUTPUT) for source in self.values[logits]]
        return self.nir.NIRGraph(self.nodes, self.edges)

    def _run(self, node: Node) -> None:
        if node.target not in RULES:
            where = layer(node).removeprefix("network.") or "the network"
            raise ValueError(f"{where} uses the operator {node.target}, for which NIR has no node; export to onnx")
        self.values[node] = RULES[node.target](self, node)

    def add(self, node: Node, source: Node, made: Any, name: str = "") -> tuple[str, ...]:
        """A NIR node behind the value of a captured one."""
        name = name or f"{layer(node).removeprefix('network.')}.{node.name}"
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
        return to.add(node, source, to.nir.Flatten({"input": np.array(before)}, start_dim=0))
    return to.values[source]


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
        to.nodes[name] = to.nir.Flatten({"input": np.array((shape[0], 1, 1))}, start_dim=0)
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
    parameters = {
        name: np.broadcast_to(value.reshape(-1, *(1,) * (len(shape) - 1)), shape).astype(np.float32)
        for name, value in lif_parameters(values, next(to.rests), bool(strict), where).items()
    }
    return to.add(node, current, to.nir.LIF(**parameters), where)


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
