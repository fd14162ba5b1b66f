"""The recurrence in a gauge (``deploy.exporting.onnx.gauge``) as ONNX nodes, with fewer of them than the reference has.

Where all steps are one tensor, a step is five nodes: S from W, then (a' − r'·S)·W + X. Where every step is a tensor of
its own, its scales and shifts per channel are BatchNormalization and depthwise 1×1 Conv nodes: on processors with wide
vectors onnxruntime keeps maps in blocks of channels from one convolution to the next then, and adds X[t] as it works it
out. A step is four nodes, of which that leaves three passes over the map.

S is the HardSigmoid of K·(W − θ), with a K by which the least difference of two fp32 numbers at θ is at least one, so
that it is 0 or 1: one pass over the map in the place of Greater and Cast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from deploy.exporting.onnx.gauge import Gauged, Values, unit_gain, unit_threshold
from deploy.exporting.onnx.graph import GraphBuilder
from deploy.exporting.onnx.neuron_nodes import NeuronConstants, in_turn, unrolled

Current = Callable[[int, Values], str]
"""X[t] plus a shift ``[C]``, as a value ``[B, C, H, W]``."""


def in_one_tensor(graph: GraphBuilder, neuron: NeuronConstants, current: str, shape: Sequence[int], name: str) -> str:
    """Spikes ``[T, B, C, …]`` of a current of that shape, of which ``shape`` is (T, C)."""
    steps, channels = shape
    gauged = unit_threshold(neuron, steps, channels)
    if gauged is None:
        return unrolled(graph, neuron, current, steps, name)
    return in_turn(graph, _OneTensor(graph, gauged, neuron.dims), current, steps, name)


def by_steps(
    graph: GraphBuilder, neuron: NeuronConstants, current: Current, shape: Sequence[int], name: str
) -> tuple[str, ...]:
    """Spikes of every step, ``[B, C, H, W]`` each, of maps whose (T, C) is ``shape``."""
    steps, channels = shape
    nodes = _ByChannel(graph, unit_gain(neuron, steps, channels))
    membrane, spikes = "", list[str]()
    for step in range(steps):
        membrane = nodes.following(step, membrane, spikes[-1], current) if step else nodes.first(current)
        spikes.append(nodes.spikes(step, membrane, f"{name}/{step}"))
    return tuple(spikes)


class _OneTensor:
    """Nodes between values ``[1, B, C, …]``, with one number for all thresholds and one scale for all steps."""

    def __init__(self, graph: GraphBuilder, gauged: Gauged, dims: int) -> None:
        self.graph, self.gauged, self.dims = graph, gauged, dims

    def scaled(self, current: str) -> str:
        """x·X + k of all steps."""
        gain, shift = self.gauged.gain, self.gauged.shift
        if (gain != 1).any():
            current = self.graph.add("Mul", current, self._all(gain))
        return self.graph.add("Add", current, self._all(shift)) if shift.any() else current

    def first(self, scaled: str) -> str:
        """W[0], to which the shift of the first step adds what the membrane at rest is."""
        return scaled

    def following(self, membrane: str, spikes: str, scaled: str) -> str:
        """W[t] = (a' − r'·S)·W + X − S·d'."""
        graph, gauged = self.graph, self.gauged
        decay, hard, soft = gauged.decay[0], gauged.hard_reset[0], gauged.soft_reset[0]
        if hard.any():
            reset = graph.add("Sub", self._one(decay), graph.add("Mul", spikes, self._one(hard)))
            membrane = graph.add("Mul", membrane, reset)
        elif (decay != 1).any():
            membrane = graph.add("Mul", membrane, self._one(decay))
        following = graph.add("Add", membrane, scaled)
        return graph.add("Sub", following, spikes) if soft.any() else following

    def spikes(self, membrane: str, name: str | None = None) -> str:
        """0 and 1 in fp32."""
        steepness = 2.0**24 if self.gauged.threshold.any() else 2.0**100
        least = -steepness * float(self.gauged.threshold.flat[0]) + (0.0 if self.gauged.strict else 1.0)
        return self.graph.add("HardSigmoid", membrane, name=name, alpha=steepness, beta=least)

    def _all(self, values: Values) -> str:
        same = (values == values[0]).all()
        few = values[:1] if same else values
        few = few[:, :1] if (few == few[:, :1]).all() else few
        return self.graph.constant(few.reshape(len(few), 1, -1, *(1,) * self.dims).astype(np.float32))

    def _one(self, values: Values) -> str:
        few = values[:1] if (values == values[0]).all() else values
        return self.graph.constant(few.reshape(-1, *(1,) * self.dims).astype(np.float32))


class _ByChannel:
    """Nodes between maps ``[B, C, H, W]``, whose constants differ from channel to channel and from step to step."""

    def __init__(self, graph: GraphBuilder, gauged: Gauged) -> None:
        self.graph, self.gauged = graph, gauged

    def first(self, current: Current) -> str:
        """W[0]."""
        return self._current(0, current, self.gauged.shift[0])

    def following(self, step: int, membrane: str, spikes: str, current: Current) -> str:
        """W[t], as (a' − r'·S)·W + X where nothing is soft, else as (a'·W + k) + S·(−r'·W − d') + X."""
        graph, gauged = self.graph, self.gauged
        decay, hard, soft, shift = (
            values[step] for values in (gauged.decay, gauged.hard_reset, gauged.soft_reset, gauged.shift)
        )
        nought = np.zeros_like(decay)
        if not soft.any():
            kept = graph.add("Mul", membrane, self._affine(spikes, -hard, decay))
            return graph.add("Add", kept, self._current(step, current, shift))
        kept = self._affine(membrane, decay, shift)
        if hard.any():
            reset = graph.add("Mul", spikes, self._affine(membrane, -hard, -soft))
        else:
            reset = self._affine(spikes, -soft, nought)
        return graph.add("Add", graph.add("Add", kept, reset), self._current(step, current, nought))

    def spikes(self, step: int, membrane: str, name: str) -> str:
        """0 and 1 in fp32."""
        threshold = self.gauged.threshold[step].astype(np.float32)
        if not self.gauged.strict:
            threshold = np.nextafter(threshold, np.float32(-np.inf))
        finest = np.maximum(np.spacing(np.abs(threshold)), np.float32(2.0**-100)).astype(np.float64) / 2
        steepness = 2.0 ** np.ceil(-np.log2(finest))
        constants = steepness.reshape(-1, 1, 1, 1), -steepness * threshold
        inputs = [self.graph.constant(each.astype(np.float32)) for each in constants]
        above = self.graph.add("Conv", membrane, *inputs, group=len(threshold), kernel_shape=[1, 1])
        return self.graph.add("HardSigmoid", above, name=name, alpha=1.0, beta=0.0)

    def _current(self, step: int, current: Current, shift: Values) -> str:
        gain = self.gauged.gain[step]
        if (gain == 1).all():
            return current(step, shift)
        value = self.graph.add("Mul", current(step, np.zeros_like(shift)), self._constant(gain.reshape(-1, 1, 1)))
        return self.graph.add("Add", value, self._constant(shift.reshape(-1, 1, 1))) if shift.any() else value

    def _affine(self, value: str, factor: Values, summand: Values) -> str:
        constants = (factor, summand, np.zeros_like(factor), np.ones_like(factor))
        return self.graph.add("BatchNormalization", value, *map(self._constant, constants), epsilon=0.0)

    def _constant(self, values: Values) -> str:
        return self.graph.constant(values.astype(np.float32))
