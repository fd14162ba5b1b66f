"""The recurrence as ONNX nodes: a copy per time step, a Scan, or one step with explicit membranes.

Operations come in the order of the reference, so that both agree spike for spike. Terms whose coefficient is nought or
one for all channels are left out, which changes no value. S·x is a product of floats as in the reference: onnxruntime's
Where takes three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from deploy.exporting.onnx.graph import GraphBuilder

Values = NDArray[np.float32]


@dataclass(frozen=True)
class NeuronConstants:
    """The coefficients of a layer as constants of a graph.

    Attributes:
        decay, leak, gain, hard_reset, soft_reset, threshold: as in ``Coefficients``.
        rest: membrane before the first step.
        strict: fire at U > v, otherwise at U ≥ v.
        dims: dimensions of a sample behind its channels, 2 for maps and 0 for vectors.
    """

    decay: Values
    leak: Values
    gain: Values
    hard_reset: Values
    soft_reset: Values
    threshold: Values
    rest: float
    strict: bool
    dims: int

    def per_channel(self, values: Values) -> Values:
        """``[C]`` or ``[T, C]`` as ``[C, 1, 1]`` or ``[T, 1, C, 1, 1]``, to go with ``[T, B, C, H, W]``."""
        if values.ndim == 2:
            return values.reshape(len(values), 1, -1, *(1,) * self.dims)
        return values if values.size == 1 else values.reshape(-1, *(1,) * self.dims)


class StepNodes(Protocol):
    """What writes the steps of a layer whose current is one tensor."""

    def scaled(self, current: str) -> str:
        """What a current of all steps adds to the membranes."""

    def first(self, scaled: str) -> str:
        """The membrane of the first step."""

    def following(self, membrane: str, spikes: str, scaled: str) -> str:
        """The membrane of a step, of those and the spikes of the one before."""

    def spikes(self, membrane: str, name: str | None = None) -> str:
        """0 and 1 in fp32."""


class NeuronNodes:
    """Writes the steps of one layer of neurons into a graph.

    Args:
        graph: where nodes and constants go.
        neuron: the layer.
    """

    def __init__(self, graph: GraphBuilder, neuron: NeuronConstants) -> None:
        self.graph = graph
        self.neuron = neuron

    def scaled(self, current: str, step: str | None = None) -> str:
        """g[t]·X[t] of all time steps, or of one whose number is the value ``step``."""
        gain = self.neuron.gain
        if (gain == 1).all():
            return current
        if gain.ndim == 1 or step is None:
            return self.graph.add("Mul", current, self._constant(gain))
        rows = self.neuron.per_channel(gain)[:, 0]
        return self.graph.add("Mul", current, self.graph.add("Gather", self.graph.constant(rows), step, axis=0))

    def first(self, scaled: str) -> str:
        """U of the first step, which starts at rest: a·rest − b + g·X."""
        neuron = self.neuron
        start = neuron.decay * np.float32(neuron.rest) - neuron.leak
        return self.graph.add("Add", self._constant(start), scaled) if start.any() else scaled

    def following(self, membrane: str, spikes: str, scaled: str) -> str:
        """U[t] = a·U − b + g·X − S·(r·U + d), in the reference's order of operations."""
        update = self._product(membrane, self.neuron.decay)
        if self.neuron.leak.any():
            update = self.graph.add("Sub", update, self._constant(self.neuron.leak))
        update = self.graph.add("Add", update, scaled)
        return self.graph.add("Sub", update, self.graph.add("Mul", spikes, self._reset(membrane)))

    def spikes(self, membrane: str, name: str | None = None) -> str:
        """0 and 1 in fp32."""
        kind = "Greater" if self.neuron.strict else "GreaterOrEqual"
        fired = self.graph.add(kind, membrane, self._constant(self.neuron.threshold))
        return self.graph.add("Cast", fired, name=name, to=TensorProto.FLOAT)

    def _reset(self, membrane: str) -> str:
        hard, soft = self.neuron.hard_reset, self.neuron.soft_reset
        if not hard.any():
            return self._constant(soft)
        product = self._product(membrane, hard)
        return self.graph.add("Add", product, self._constant(soft)) if soft.any() else product

    def _product(self, membrane: str, factor: Values) -> str:
        return membrane if (factor == 1).all() else self.graph.add("Mul", membrane, self._constant(factor))

    def _constant(self, values: Values) -> str:
        return self.graph.constant(self.neuron.per_channel(values))


def unrolled(graph: GraphBuilder, neuron: NeuronConstants, current: str, steps: int, name: str) -> str:
    """Spikes ``[T, B, C, …]`` of a current of that shape: the nodes of a step, T times."""
    return in_turn(graph, NeuronNodes(graph, neuron), current, steps, name)


def in_turn(graph: GraphBuilder, nodes: StepNodes, current: str, steps: int, name: str) -> str:
    """The same with whatever nodes a step is made of."""
    scaled = nodes.scaled(current)
    if steps == 1:
        return nodes.spikes(nodes.first(scaled), name)
    names = [graph.name("current") for _ in range(steps)]
    now, *later = graph.add_many("Split", [scaled], names, axis=0, num_outputs=steps)
    membrane = nodes.first(now)
    spikes = [nodes.spikes(membrane)]
    for now in later:
        membrane = nodes.following(membrane, spikes[-1], now)
        spikes.append(nodes.spikes(membrane))
    return graph.add("Concat", *spikes, name=name, axis=0)


def scanned(graph: GraphBuilder, neuron: NeuronConstants, current: str, name: str) -> str:
    """The same as one Scan node; before the first step, membranes rest and have not fired."""
    nodes = NeuronNodes(graph, neuron)
    scaled = nodes.scaled(current)
    now = graph.add("Gather", scaled, graph.constant(np.array(0, np.int64)), axis=0)
    shape = graph.add("Shape", now)
    at_rest, silent = (_filled(graph, shape, value) for value in (neuron.rest, 0.0))
    *_, spikes = graph.add_many(
        "Scan",
        [at_rest, silent, scaled],
        [graph.name("last_membrane"), graph.name("last_spikes"), name],
        num_scan_inputs=1,
        body=_scan_body(graph, neuron),
    )
    return spikes


def step(
    graph: GraphBuilder, neuron: NeuronConstants, current: str, membrane: str, number: str, name: str
) -> tuple[str, str]:
    """One time step: spikes of a current ``[1, B, C, …]``, and the next membrane ``[B, C, …]``."""
    nodes = NeuronNodes(graph, neuron)
    now = graph.add("Squeeze", current, graph.integers(0))
    following = nodes.following(membrane, nodes.spikes(membrane), nodes.scaled(now, number))
    return graph.add("Unsqueeze", nodes.spikes(following), graph.integers(0), name=name), following


def _filled(graph: GraphBuilder, shape: str, value: float) -> str:
    tensor = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
    return graph.add("ConstantOfShape", shape, value=tensor)


def _scan_body(graph: GraphBuilder, neuron: NeuronConstants) -> object:
    """The body of the Scan, with constants of its own and names that occur nowhere else."""
    body = GraphBuilder(graph.counter)
    names = [graph.name(kind) for kind in ("membrane", "spikes", "scaled")]
    nodes = NeuronNodes(body, neuron)
    following = nodes.following(*names)
    spikes = nodes.spikes(following)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    outputs = [following, spikes, body.add("Identity", spikes)]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return body.graph(f"{names[-1]}_body", inputs, made)
