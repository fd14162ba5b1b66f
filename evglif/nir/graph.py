"""A NIR graph as a network of nodes and their weights.

Sum pools become average pools whose factor the next weights take, groups and dilations become weights of 0: then every
export of this package takes what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evglif.models.graph import INPUT, GraphNode
from evglif.nir.file import File, FileNode
from evglif.nir.neurons import NEURONS, Values, neuron_values
from preprocessing import limits
from preprocessing.plain import brief

Floats = NDArray[np.float64]
Shape = tuple[int, ...]

WEIGHTS = ("Conv2d", "Linear", "Affine")
POOLS = ("AvgPool2d", "SumPool2d")
KNOWN = ("Input", "Output", "Flatten", *WEIGHTS, *POOLS, *NEURONS)


@dataclass
class Graph:
    """What comes of a file.

    Attributes:
        input: shape of what comes in, (C, H, W) or (F,).
        nodes: each behind its sources.
        outputs: names of those whose outputs add up to the logits.
        output: shape of the logits.
        weights: name of a node → weight, and bias or nothing.
        neurons: name of a node → its values.
    """

    input: Shape
    nodes: list[GraphNode] = field(default_factory=list)
    outputs: tuple[str, ...] = ()
    output: Shape = ()
    weights: dict[str, tuple[Floats, Floats | None]] = field(default_factory=dict)
    neurons: dict[str, Values] = field(default_factory=dict)


def build_graph(file: File, dt: float, reset: str) -> Graph:
    """The network that a file describes.

    Args:
        file: what it holds.
        dt: time step, s.
        reset: of all neurons, ``"hard"`` as NIR has it or ``"soft"``.

    Raises:
        ValueError: for what no network here can be: kinds of nodes without a counterpart, loops, several inputs or
            outputs, shapes that do not fit; the node is named.
    """
    sources = _sources(file)
    build = _Build(file, dt, reset)
    for name in _ordered(sources):
        build.add(file.nodes[name], sources[name])
    return build.graph


def _sources(file: File) -> dict[str, list[str]]:
    for node in file.nodes.values():
        if node.kind not in KNOWN:
            raise ValueError(f"{node.name}: {node.kind} has no counterpart here; known are {', '.join(KNOWN)}")
    for kind in ("Input", "Output"):
        names = [node.name for node in file.nodes.values() if node.kind == kind]
        if len(names) != 1:
            raise ValueError(f"it has {len(names)} nodes of kind {kind}; expected one")
    sources: dict[str, list[str]] = {name: [] for name in file.nodes}
    for source, target in file.edges:
        sources[target].append(source)
    lonely = [name for name, before in sources.items() if not before and file.nodes[name].kind != "Input"]
    if lonely:
        raise ValueError(f"{lonely[0]} takes nothing; an edge to it is missing")
    return sources


def _ordered(sources: Mapping[str, list[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(sources).static_order())
    except CycleError as error:
        loop = " → ".join(reversed(error.args[1]))
        raise ValueError(f"it is recurrent, {loop}; networks here run forward only") from error


class _Build:
    """Adds node by node.

    What a node gives is its true output over ``factors[name]``, which the weights behind it make up for.
    """

    def __init__(self, file: File, dt: float, reset: str) -> None:
        self.dt, self.reset = dt, reset
        self.names: dict[str, str] = {}
        self.factors: dict[str, float] = {}
        self.shapes: dict[str, Shape] = {}
        self.taken = set(file.nodes) | {INPUT}
        given = next(node for node in file.nodes.values() if node.kind == "Input")
        self.graph = Graph(_input(given))
        self._known(given.name, INPUT, self.graph.input, 1.0)

    def add(self, node: FileNode, sources: list[str]) -> None:
        """Add a node behind its sources."""
        if node.kind == "Input":
            if sources:
                raise ValueError(f"{node.name} is the input, and {sources[0]} gives it something")
            return
        names = tuple(self.names[source] for source in sources)
        factors = {self.factors[source] for source in sources}
        if len(factors) > 1:
            raise ValueError(f"{node.name} adds up what was pooled by sums of different sizes; average them instead")
        shape, factor = self.shapes[sources[0]], factors.pop()
        wrong = [source for source in sources if self.shapes[source] != shape]
        if wrong:
            other = self.shapes[wrong[0]]
            raise ValueError(f"{node.name} adds up {sources[0]} {list(shape)} and {wrong[0]} {list(other)}")
        if node.kind == "Output":
            self._end(names, shape, factor)
            return
        made, left = self._made(node, names, shape, factor)
        self.graph.nodes.append(made)
        self._known(node.name, made.name, made.shape(shape), left)

    def _known(self, name: str, ours: str, shape: Shape, factor: float) -> None:
        self.names[name], self.shapes[name], self.factors[name] = ours, shape, factor

    def _name(self, node: FileNode) -> str:
        """Its own, unless it is called as the input is here."""
        name = node.name
        while name == INPUT or (name != node.name and name in self.taken):
            name += "_"
        return name

    def _made(self, node: FileNode, sources: tuple[str, ...], of: Shape, factor: float) -> tuple[GraphNode, float]:
        """The node, and by what its output is too small."""
        name = self._name(node)
        if node.kind == "Flatten":
            return GraphNode(name, "flatten", sources), factor
        if node.kind in POOLS:
            kernel = _kernel(node)
            return GraphNode(name, "pool", sources, kernel=kernel), factor * _sum_over(node, kernel)
        if node.kind in NEURONS:
            values = neuron_values(node, of, self.dt)
            self.graph.neurons[name] = Values(values.decay, values.leak, values.gain * factor, values.v_th, values.rest)
            return GraphNode(name, "neuron", sources, rest=values.rest, reset=self.reset), 1.0
        weight, options = _convolution(node, of) if node.kind == "Conv2d" else (_matrix(node, of), {})
        bias = node.array("bias").reshape(-1) if node.kind != "Linear" else np.zeros(len(weight))
        if len(bias) != len(weight):
            raise ValueError(f"{node.name}: bias holds {len(bias)} values, for {len(weight)} outputs")
        self.graph.weights[name] = weight * factor, bias if bias.any() else None
        kind = "conv" if node.kind == "Conv2d" else "linear"
        return GraphNode(name, kind, sources, len(weight), bias=bool(bias.any()), **options), 1.0

    def _end(self, names: tuple[str, ...], shape: Shape, factor: float) -> None:
        if factor != 1:
            raise ValueError("the output is pooled by a sum; average instead, or put weights behind it")
        if len(shape) == 3 and shape[1:] == (1, 1):
            name = "logits"
            while name in self.taken:
                name += "_"
            self.graph.nodes.append(GraphNode(name, "flatten", names))
            names, shape = (name,), shape[:1]
        if len(shape) != 1:
            raise ValueError(f"the output is {list(shape)}; expected one number a class")
        self.graph.outputs, self.graph.output = names, shape


def _input(node: FileNode) -> Shape:
    """(C, H, W) or (F,); some programs write the batch of their example before it."""
    sides = node.array("shape").reshape(-1)
    shape = tuple(int(side) for side in sides if abs(side) < 1 << 31)
    if len(shape) in (2, 4) and shape[0] == 1:
        shape = shape[1:]
    if len(shape) < sides.size - 1 or len(shape) not in (1, 3) or min(shape) < 1 or (sides % 1).any():
        raise ValueError(f"{node.name} takes {brief(sides.tolist())}; expected maps [C, H, W] or vectors [F]")
    return shape


def _kernel(node: FileNode) -> tuple[int, int]:
    kernel, stride, padding = (node.pair(name) for name in ("kernel_size", "stride", "padding"))
    if stride != kernel or padding != (0, 0):
        raise ValueError(
            f"{node.name}: a pool of {kernel} px with the stride {stride} and padding {padding}; pools here do not "
            "overlap and are not padded"
        )
    return kernel


def _sum_over(node: FileNode, kernel: tuple[int, int]) -> float:
    return float(prod(kernel)) if node.kind == "SumPool2d" else 1.0


def _matrix(node: FileNode, of: Shape) -> Floats:
    weight = node.array("weight")
    if weight.ndim != 2 or (weight.shape[1],) != of:
        raise ValueError(f"{node.name}: weight is {list(weight.shape)}, for {list(of)} inputs")
    return weight


def _convolution(node: FileNode, of: Shape) -> tuple[Floats, dict[str, Any]]:
    """A dense weight, ``[O, C, h, w]``, and the options of the node."""
    weight, (groups, _) = node.array("weight"), node.pair("groups")
    fits = weight.ndim == 4 and weight.size and len(of) == 3 and groups >= 1
    if not fits or weight.shape[1] * groups != of[0] or len(weight) % groups:
        raise ValueError(f"{node.name}: weight is {list(weight.shape)} in {groups} groups, for maps {list(of)}")
    stated = node.values.get("input_shape")
    if isinstance(stated, np.ndarray) and not np.array_equal(np.ravel(stated), of[1:]):
        raise ValueError(f"{node.name}: states maps {brief(np.ravel(stated).tolist())}, and gets {list(of)}")
    dilation = node.pair("dilation")
    if problem := limits.problem(weight.nbytes * groups * abs(prod(dilation)), weight.nbytes):
        raise ValueError(f"{node.name}: with its groups and dilation as weights of 0, weight {problem}")
    dense = _spread(_grouped(weight, groups), dilation, node)
    kernel = (dense.shape[2], dense.shape[3])
    return dense, {"kernel": kernel, "stride": node.pair("stride"), "padding": _padding(node, kernel)}


def _grouped(weight: Floats, groups: int) -> Floats:
    if groups == 1:
        return weight
    num_outputs, num_inputs = len(weight) // groups, weight.shape[1]
    dense = np.zeros((len(weight), num_inputs * groups, *weight.shape[2:]))
    for group in range(groups):
        rows = slice(group * num_outputs, (group + 1) * num_outputs)
        dense[rows, group * num_inputs : (group + 1) * num_inputs] = weight[rows]
    return dense


def _spread(weight: Floats, dilation: tuple[int, int], node: FileNode) -> Floats:
    if dilation == (1, 1):
        return weight
    if not all(1 <= each <= 64 for each in dilation):
        raise ValueError(f"{node.name}: dilation is {dilation}; expected numbers from 1 to 64")
    sides = [(side - 1) * step + 1 for side, step in zip(weight.shape[2:], dilation, strict=True)]
    dense = np.zeros((*weight.shape[:2], *sides))
    dense[:, :, :: dilation[0], :: dilation[1]] = weight
    return dense


def _padding(node: FileNode, kernel: tuple[int, int]) -> tuple[int, int]:
    """In px; of the words that NIR has for it, "same" keeps the size."""
    word = node.values.get("padding")
    if not isinstance(word, str):
        return node.pair("padding")
    if word == "valid":
        return 0, 0
    if word != "same" or kernel[0] % 2 == 0 or kernel[1] % 2 == 0 or node.pair("stride") != (1, 1):
        raise ValueError(
            f"{node.name}: the padding {word!r} of a kernel of {kernel} px; here same has odd ones and the stride 1"
        )
    return kernel[0] // 2, kernel[1] // 2
