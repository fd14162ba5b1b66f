"""Networks that are stated node by node, as those that come from other programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.layers import Flatten, time_folded
from evglif.models.base import Network, NetworkSpec
from evglif.neurons import NeuronSpec, neuron_of_channels
from evglif.neurons.lif import RESETS
from preprocessing.plain import from_plain

INPUT = "input"
"""What nodes call the frames."""

KINDS = ("conv", "linear", "pool", "flatten", "neuron")
MOST_VALUES = 1 << 31
"""Of one node's output, for one sample and time step."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class GraphNode:
    """One node of a network; what several nodes give it is added up.

    Attributes:
        name: its own.
        kind: one of ``KINDS``; ``"pool"`` is the average.
        sources: names of the nodes before it, or ``INPUT``.
        features: of a conv, its channels; of a linear layer, its outputs.
        kernel: (height, width) of a conv or pool, px; a pool's stride is the same.
        stride, padding: of a conv.
        bias: whether a conv or linear layer has one.
        rest: of neurons: where the membrane begins and, with a hard reset, is reset to.
        reset: of neurons: ``"hard"`` or ``"soft"``.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str
    kind: str
    sources: tuple[str, ...]
    features: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    bias: bool = False
    rest: float = 0.0
    reset: str = "hard"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind is one of {', '.join(KINDS)}; got {self.kind!r}")
        if self.reset not in RESETS:
            raise ValueError(f"{self.name}: reset is one of {', '.join(RESETS)}; got {self.reset!r}")
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError(f"{self.name}: sources are different names, at least one; got {self.sources}")
        least = min(*self.kernel, *self.stride, *(side + 1 for side in self.padding))
        if least < 1 or (self.features < 1 and self.kind in ("conv", "linear")):
            raise ValueError(
                f"{self.name}: features, kernel and stride are at least 1, padding 0; got {self.features}, "
                f"{self.kernel}, {self.stride} and {self.padding}"
            )

    def shape(self, of: Shape) -> Shape:
        """Of the output, of one sample and time step, for that of the input.

        Raises:
            ValueError: the node takes no such input.
        """
        if self.kind == "neuron":
            return of
        if self.kind == "linear":
            if len(of) != 1:
                raise ValueError(f"{self.name}: a linear layer takes vectors, got {list(of)}; flatten them before")
            return (self.features,)
        if self.kind == "flatten":
            return (prod(of),)
        if len(of) != 3:
            raise ValueError(f"{self.name}: a {self.kind} takes maps (C, H, W), got {list(of)}")
        pool = self.kind == "pool"
        stride, padding = (self.kernel, (0, 0)) if pool else (self.stride, self.padding)
        sides = [
            (side + 2 * added - kernel) // step + 1
            for side, added, kernel, step in zip(of[1:], padding, self.kernel, stride, strict=True)
        ]
        if min(sides) < 1:
            raise ValueError(f"{self.name}: a kernel of {self.kernel} px leaves nothing of maps {list(of)}")
        return (of[0] if pool else self.features, *sides)

    @property
    def notation(self) -> str:
        """The node in the papers' notation; nothing for one that they leave out."""
        side = self.kernel[0]
        return {
            "conv": f"c{self.features}k{side}s{self.stride[0]}",
            "linear": f"FC{self.features}",
            "pool": f"APk{side}s{side}",
            "neuron": "LIF",
        }.get(self.kind, "")


@dataclass(frozen=True)
class GraphSpec(NetworkSpec):
    """Everything that defines a network of nodes.

    Attributes:
        neuron: ``"lif"`` for neurons with values of their own for every channel; another replaces them all.
        nodes: each behind all of its sources.
        outputs: names of the nodes whose outputs add up to the logits.
        flat: the first nodes take frames as vectors.

    Raises:
        ValueError: naming the node that does not fit.
    """

    name: str = "nir"
    neuron: NeuronSpec = field(default_factory=lambda: NeuronSpec("lif"))
    nodes: tuple[GraphNode, ...] = ()
    outputs: tuple[str, ...] = ()
    flat: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.nodes:
            raise ValueError(f"{self.name}: a network of nodes is loaded from a file: evglif.nir.load_nir(path)")
        nodes = tuple(from_plain(GraphNode, node) if isinstance(node, Mapping) else node for node in self.nodes)
        object.__setattr__(self, "nodes", nodes)
        taken = {source for node in nodes for source in node.sources} | set(self.outputs)
        lost = [node.name for node in nodes if node.name not in taken]
        if lost:
            raise ValueError(f"{self.name}: nothing takes what {lost[0]} gives, and it is not among the outputs")
        shape = _sum_of("the output", self.outputs, self.shapes())
        if shape != (self.num_classes,):
            raise ValueError(f"{self.name}: the output is {list(shape)}, for {self.num_classes} classes")

    def shapes(self) -> dict[str, Shape]:
        """Name → shape of the output of one sample and time step, ``INPUT`` among them.

        Raises:
            ValueError: where nodes do not fit together.
        """
        frame = (self.in_channels, self.size[1], self.size[0])
        shapes: dict[str, Shape] = {INPUT: (prod(frame),) if self.flat else frame}
        for node in self.nodes:
            if node.name in shapes:
                raise ValueError(f"two nodes are called {node.name!r}")
            shapes[node.name] = node.shape(_sum_of(node.name, node.sources, shapes))
            if prod(shapes[node.name]) > MOST_VALUES:
                raise ValueError(f"{node.name} gives {list(shapes[node.name])}, more than {MOST_VALUES:,} values")
        return shapes

    def source_shape(self, node: GraphNode) -> Shape:
        """Of what comes into a node."""
        return self.shapes()[node.sources[0]]

    @property
    def head(self) -> GraphNode | None:
        """The linear layer that gives the logits, if it does nothing else: the mean over time may be taken before."""
        last = next((node for node in self.nodes if (node.name,) == self.outputs), None)
        used = any(last and last.name in node.sources for node in self.nodes)
        return last if last and last.kind == "linear" and not used else None


def _sum_of(name: str, sources: tuple[str, ...], shapes: Mapping[str, Shape]) -> Shape:
    unknown = [source for source in sources if source not in shapes]
    if unknown or not sources:
        raise ValueError(f"{name} takes {unknown[0] if unknown else 'nothing'}, which is no node before it")
    found = {source: shapes[source] for source in sources}
    if len(set(found.values())) > 1:
        raise ValueError(f"{name} adds up different shapes: {', '.join(f'{n} {list(s)}' for n, s in found.items())}")
    return found[sources[0]]


class AveragePool(nn.Module):
    """The mean of each tile of a map: ``[N, C, H, W]`` → ``[N, C, H // h, W // w]``."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """The pooled maps."""
        return F.avg_pool2d(x, self.kernel)


class GraphLayers(nn.Module):
    """All nodes but the head: ``[T, B, C, H, W]`` → what is added up to the last of them, ``[T, B, F]``.

    Args:
        spec: what to build.

    Attributes:
        names: path of a module in here → name of its node.
        repeat: hand the neurons every time step so many times; of a still image there is only one.
    """

    def __init__(self, spec: GraphSpec) -> None:
        super().__init__()
        self.spec, head, shapes = spec, spec.head, spec.shapes()
        self._nodes = [node for node in spec.nodes if node is not head]
        self._outputs = head.sources if head else spec.outputs
        self._uses = Counter([source for node in self._nodes for source in node.sources] + [*self._outputs])
        self.repeat = spec.steps if spec.encoder == "direct" else 1
        self.names: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self.nodes = nn.ModuleDict()
        for node in self._nodes:
            key = self._keys[node.name] = self._key(node.name)
            self.names[f"nodes.{key}"] = node.name
            self.nodes[key] = _module(spec, node, shapes[node.sources[0]])

    def _key(self, name: str) -> str:
        key = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
        while hasattr(self.nodes, key) or key in self.nodes:
            key += "_"
        return key

    def forward(self, x: Tensor) -> Tensor:
        """Run every node once its sources have run."""
        values, left = {INPUT: x.flatten(2) if self.spec.flat else x}, self._uses.copy()
        for node in self._nodes:
            values[node.name] = self._run(node, self._taken(node.sources, values, left))
        return self._taken(self._outputs, values, left)

    def _taken(self, sources: tuple[str, ...], values: dict[str, Tensor], left: Counter[str]) -> Tensor:
        """The sum of some values; those that nothing else takes are given free."""
        total = values[sources[0]]
        for source in sources[1:]:
            total = total + values[source]
        for source in sources:
            left[source] -= 1
            if left[source] == 0:
                del values[source]
        return total

    def _run(self, node: GraphNode, x: Tensor) -> Tensor:
        module = self.nodes[self._keys[node.name]]
        if node.kind in ("conv", "pool"):
            return time_folded(module, x)
        if node.kind == "neuron" and self.repeat > 1 and len(x) == 1:
            x = x.repeat(self.repeat, *(1,) * (x.dim() - 1))
        y: Tensor = module(x)
        return y

    def module(self, name: str) -> nn.Module:
        """The module of a node."""
        return self.nodes[self._keys[name]]

    def notation(self) -> str:
        """The nodes in the papers' notation, in their order."""
        return "-".join(node.notation for node in self._nodes if node.notation)


class Rates(nn.Identity):
    """The head of a network whose last nodes give the logits: their mean over time."""

    def notation(self) -> str:
        """Nothing: it has no weights."""
        return ""


class GraphNet(Network):
    """A network of nodes.

    Args:
        spec: what to build.
    """

    spec: GraphSpec

    def __init__(self, spec: GraphSpec) -> None:
        super().__init__(spec)
        self.features = nn.Sequential(GraphLayers(spec))
        head = spec.head
        self.head = Rates() if head is None else _module(spec, head, spec.source_shape(head))

    def module(self, name: str) -> nn.Module:
        """The module of a node."""
        if self.spec.head and self.spec.head.name == name:
            return self.head
        layers: GraphLayers = self.features[0]  # type: ignore[assignment]
        return layers.module(name)

    def node_names(self) -> dict[str, str]:
        """Path of a module → name of its node."""
        layers: GraphLayers = self.features[0]  # type: ignore[assignment]
        names = {f"features.0.{path}": name for path, name in layers.names.items()}
        return names | ({"head": self.spec.head.name} if self.spec.head else {})


def _module(spec: GraphSpec, node: GraphNode, of: Shape) -> nn.Module:
    """What runs a node."""
    if node.kind == "conv":
        return nn.Conv2d(of[0], node.features, node.kernel, node.stride, node.padding, bias=node.bias)
    if node.kind == "linear":
        return nn.Linear(of[0], node.features, bias=node.bias)
    if node.kind == "pool":
        return AveragePool(node.kernel)
    if node.kind == "flatten":
        return Flatten()
    return neuron_of_channels(spec.neuron, of[0], spec.steps, node.rest, node.reset)
