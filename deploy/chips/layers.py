"""A network as the layers of a chip: weights, integrate-and-fire neurons, and sum pools on the way to the next.

Neurons count in thresholds: weights and biases are divided by V_th, and multiplied by the neuron's gain.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.exporting.nir.graph import NIRModel
from deploy.exporting.options import DT_S
from deploy.exporting.prepare import prepared
from evglif.models import GraphNet, Network
from evglif.neurons import IF, SpikingNeuron

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]

INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True)
class Source:
    """Where spikes come from.

    Attributes:
        layer: its name, or ``INPUT``.
        pool: side of the sum pool on the way, px.
    """

    layer: str
    pool: int = 1


@dataclass(frozen=True)
class Layer:
    """Weights and the neurons behind them; without neurons, what is left to the host.

    Attributes:
        name: of the neurons in the network, or of the weights where there are none.
        sources: whose spikes are added up.
        weight: ``[O, C, h, w]``; a linear layer is a convolution as large as the map.
        bias: ``[O]``, added at every time step.
        stride, padding: (y, x), px.
        input: (C, H, W) of what comes in, pooled.
        output: (O, H, W).
        reset: ``"subtract"`` or ``"zero"``; empty without neurons.
    """

    name: str
    sources: tuple[Source, ...]
    weight: Floats
    bias: Floats
    stride: tuple[int, int]
    padding: tuple[int, int]
    input: Shape
    output: Shape
    reset: str


def chip_layers(model: Network) -> list[Layer]:
    """The layers of a network, each behind its sources.

    Raises:
        ModuleNotFoundError: without the package nir.
        ValueError: for what no chip of this kind has: other neurons than IF, currents that are added up, max pools,
            still images; the layer is named, and what to change.
    """
    if model.spec.encoder != "frames":
        raise ValueError(f"{model.spec.name} takes still images, where a chip takes events: train it with frames")
    if any(getattr(module, "kind", "") == "max" for module in model.modules()):
        raise ValueError(
            f"{model.spec.name} pools by the maximum, where a chip pools by sums; train it with model.pooling: average"
        )
    paths = [path for path, module in model.named_modules() if isinstance(module, SpikingNeuron)]
    if not paths:
        raise ValueError(f"{model.spec.name} has no spiking neurons; train with --neuron if")
    plain = copy.deepcopy(model)
    for path in paths:  # the layout alone: what they are is known
        plain.set_submodule(path, IF(reset="hard"))
    names = model.node_names() if isinstance(model, GraphNet) else {}
    neurons: dict[str, SpikingNeuron] = {names.get(path, path): model.get_submodule(path) for path in paths}  # type: ignore[misc]
    resets = {name: _reset(name, neuron) for name, neuron in neurons.items()}
    graph = NIRModel(prepared(plain, fold=True), DT_S).graph
    return _Layout(graph, neurons, resets).layers()


def _reset(name: str, neuron: SpikingNeuron) -> str:
    six = [value.detach() for value in neuron.coefficients().values]
    decay, leak, gain, hard, soft, threshold = six
    if (decay != 1).any() or leak.any() or (gain.dim() == 2 and (gain != gain[:1]).any()) or neuron.rest != 0:
        raise ValueError(
            f"{name}: its membrane leaks, or its gain changes over time, where chips of this kind integrate and fire; "
            "train with --neuron if"
        )
    if torch.equal(hard, torch.zeros_like(hard)) and torch.allclose(soft, threshold):
        return "subtract"
    if torch.equal(hard, torch.ones_like(hard)) and not soft.any():
        return "zero"
    raise ValueError(f"{name}: its reset takes neither the threshold nor everything away; train with --neuron if")


@dataclass(frozen=True)
class _Spikes:
    """Sums of spikes, times one factor; ``map`` is their shape, of vectors that of the map that they were."""

    sources: tuple[Source, ...]
    factor: float
    map: Shape


class _Layout:
    def __init__(self, graph: Any, neurons: dict[str, SpikingNeuron], resets: dict[str, str]) -> None:
        self.graph, self.neurons, self.resets = graph, neurons, resets
        self.values: dict[str, _Spikes | Layer] = {}
        self.found: list[Layer] = []

    def layers(self) -> list[Layer]:
        sources = {name: [a for a, b in self.graph.edges if b == name] for name in self.graph.nodes}
        for name in TopologicalSorter(sources).static_order():
            node = self.graph.nodes[name]
            if name == INPUT:
                channels, height, width = (int(side) for side in node.input_type["input"])
                self.values[name] = _Spikes((Source(INPUT),), 1.0, (channels, height, width))
            else:
                self.values[name] = self._value(name, node, [self.values[source] for source in sources[name]])
        return self.found

    def _value(self, name: str, node: Any, given: list[_Spikes | Layer]) -> _Spikes | Layer:
        kind = type(node).__name__
        if kind == "IF":
            return self._neurons(name, given)
        if kind == "Output":
            self.found += [each for each in given if isinstance(each, Layer)]
            return given[0]
        if len(given) == 1 and isinstance(given[0], Layer) and kind in ("Linear", "Affine") and not given[0].reset:
            return self._joined(node, given[0])
        spikes = _added(name, given)
        if kind == "Flatten":
            return spikes
        if kind == "AvgPool2d":
            return _pooled(name, spikes, tuple(int(side) for side in node.kernel_size))
        return _weights(name, node, spikes)

    def _neurons(self, name: str, given: list[_Spikes | Layer]) -> _Spikes:
        if len(given) > 1 or not isinstance(given[0], Layer):
            raise ValueError(
                f"{name} adds up currents, where a core has one convolution before its neurons; take a network without "
                "shortcuts: cifarnet, or one of PLIF's"
            )
        neuron, layer = self.neurons[name], given[0]
        *_, gain, _, _, threshold = (value.detach().double().numpy() for value in neuron.coefficients().values)
        factor = np.broadcast_to((gain[0] if gain.ndim == 2 else gain) / threshold, layer.bias.shape)
        weight, bias = layer.weight * factor[:, None, None, None], layer.bias * factor
        fields = {**vars(layer), "name": name, "weight": weight, "bias": bias, "reset": self.resets[name]}
        self.found.append(Layer(**fields))
        return _Spikes((Source(name),), 1.0, layer.output)

    def _joined(self, node: Any, layer: Layer) -> Layer:
        """Two matrices in a row, without neurons between, as one."""
        weight = np.einsum("po,ochw->pchw", node.weight.astype(np.float64), layer.weight)
        bias = node.weight @ layer.bias + (node.bias if type(node).__name__ == "Affine" else 0.0)
        return Layer(**{**vars(layer), "weight": weight, "bias": bias, "output": (len(weight), 1, 1)})


def _added(name: str, given: list[_Spikes | Layer]) -> _Spikes:
    spikes = [each for each in given if isinstance(each, _Spikes)]
    if len(spikes) < len(given):
        raise ValueError(f"{name} takes currents, where only neurons do; put neurons between")
    factors = {each.factor for each in spikes}
    if len(factors) > 1:
        raise ValueError(f"{name} adds up spikes that were pooled and others, for which no core has two scales")
    return _Spikes(tuple(source for each in spikes for source in each.sources), factors.pop(), spikes[0].map)


def _pooled(name: str, spikes: _Spikes, kernel: tuple[int, ...]) -> _Spikes:
    if kernel[0] != kernel[1]:
        raise ValueError(f"{name}: pools {kernel[0]}×{kernel[1]} px, where a chip pools squares")
    channels, height, width = spikes.map
    sources = tuple(Source(source.layer, source.pool * kernel[0]) for source in spikes.sources)
    return _Spikes(sources, spikes.factor / kernel[0] ** 2, (channels, height // kernel[0], width // kernel[0]))


def _weights(name: str, node: Any, spikes: _Spikes) -> Layer:
    weight = node.weight.astype(np.float64) * spikes.factor
    stride, padding = (1, 1), (0, 0)
    if weight.ndim == 2:
        weight = weight.reshape(len(weight), *spikes.map)
    else:
        stride, padding = _pair(node.stride), _pair(node.padding)
    sides = [
        (side + 2 * more - kernel) // step + 1
        for side, more, kernel, step in zip(spikes.map[1:], padding, weight.shape[2:], stride, strict=True)
    ]
    bias = getattr(node, "bias", None)
    biases = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    output = (len(weight), sides[0], sides[1])
    return Layer(name, spikes.sources, weight, biases, stride, padding, spikes.map, output, "")


def _pair(value: Any) -> tuple[int, int]:
    first, second = (int(side) for side in np.broadcast_to(value, 2))
    return first, second
