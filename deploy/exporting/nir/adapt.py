"""Changes of a NIR graph that leave its answers as they are, for readers that do not take all of NIR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from graphlib import TopologicalSorter
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Nodes = dict[str, Any]
Edges = list[tuple[str, str]]
Change = Callable[[Nodes, Edges, float], tuple[Nodes, Edges]]
"""Makes other nodes and edges of those given, which stay as they are, and of the time step, s."""
Floats = NDArray[np.float64]


def pools_as_convolutions(nodes: Nodes, edges: Edges, _dt: float) -> tuple[Nodes, Edges]:
    """Average pools as convolutions that give each channel its own mean, for readers without average pools."""
    nir = import_module("nir")
    changed = dict(nodes)
    for name, node in nodes.items():
        if isinstance(node, nir.AvgPool2d):
            size = np.asarray(node.kernel_size)
            weights = np.full((_num_channels(name, nodes, edges), *size), 1 / size.prod())
            changed[name] = _by_channel(nir, weights, np.zeros(len(weights)), tuple(int(each) for each in node.stride))
    return changed, edges


def sums_as_pools(nodes: Nodes, edges: Edges, _dt: float) -> tuple[Nodes, Edges]:
    """Average pools as sum pools, for readers and chips that know no others; 1/area goes into what takes their sums.

    That is the next weights or the next neuron's r, or a node between where a sum is added to something else.

    Raises:
        ValueError: where sums of vectors are added to something else; the node is named.
    """
    nir = import_module("nir")
    changed, wired, factors = dict(nodes), list(edges), {"input": 1.0}
    sources = {name: [source for source, target in edges if target == name] for name in nodes}
    for name in TopologicalSorter(sources).static_order():
        if name == "input":
            continue
        node = nodes[name]
        if len({factors[source] for source in sources[name]}) > 1 or isinstance(node, nir.Output):
            for source in (each for each in sources[name] if factors[each] != 1):
                wired = _averaged(nir, changed, wired, (source, name), factors[source], nodes, edges)
            factor = 1.0
        else:
            factor = factors[sources[name][0]]
        factors[name] = 1.0
        if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
            averages = isinstance(node, nir.AvgPool2d)
            changed[name] = nir.SumPool2d(node.kernel_size, node.stride, node.padding)
            factors[name] = factor / float(np.prod(node.kernel_size)) if averages else factor
        elif isinstance(node, nir.Flatten):
            factors[name] = factor
        elif factor != 1 and not isinstance(node, nir.Output):
            changed[name] = _scaled(nir, node, factor)
    return changed, wired


def _averaged(
    nir: Any, changed: Nodes, wired: Edges, edge: tuple[str, str], factor: float, nodes: Nodes, edges: Edges
) -> Edges:
    """A node in the middle of an edge that multiplies maps by a factor."""
    source, target = edge
    if isinstance(nodes[source], nir.Flatten):
        raise ValueError(f"{target} adds up sums of pools as vectors, for which no sum pool can stand")
    between = f"{source}.mean"
    channels = _num_channels(source, nodes, edges)
    changed[between] = _by_channel(nir, np.full((channels, 1, 1), factor), np.zeros(channels))
    return [each for each in wired if each not in (edge, (source, between))] + [(source, between), (between, target)]


def _scaled(nir: Any, node: Any, factor: float) -> Any:
    """Weights or neurons whose input is multiplied by a factor."""
    if isinstance(node, nir.LIF | nir.IF):
        values = {field.name: getattr(node, field.name) for field in fields(node) if field.init}
        exact = {name: each * factor if name == "gain" else each for name, each in node.metadata.items()}
        return type(node)(**{**values, "r": (node.r * factor).astype(np.float32), "metadata": exact})
    weight = (node.weight * factor).astype(np.float32)
    if isinstance(node, nir.Conv2d):
        return nir.Conv2d(node.input_shape, weight, node.stride, node.padding, node.dilation, node.groups, node.bias)
    return nir.Affine(weight, node.bias) if isinstance(node, nir.Affine) else nir.Linear(weight)


def biased(nodes: Nodes, edges: Edges, _dt: float) -> tuple[Nodes, Edges]:
    """Matrices with a bias of 0, for readers that know no others."""
    nir = import_module("nir")
    zeros = {
        name: np.zeros(len(node.weight), np.float32) for name, node in nodes.items() if isinstance(node, nir.Linear)
    }
    return {**nodes, **{name: nir.Affine(nodes[name].weight, bias) for name, bias in zeros.items()}}, edges


def normalised(unit_resistance: bool) -> Change:
    """Membranes that rest, leak and are reset at 0 and fire above 1, where they don't yet.

        W = (U − v_reset)/(v_threshold − v_reset)        X' = (r·X + v_leak − v_reset)/(r'·(v_threshold − v_reset))

    What the current X becomes is part of the weights before the neuron, or of a node between where others need those.
    So neurons that differ from channel to channel, or leak towards some other value, fit readers that know one
    threshold and none of the rest.

    Args:
        unit_resistance: r' = 1 of an LIF; otherwise τ/dt, which adds X' to the membrane as it is. That of an IF is
            1/dt, always.
    """

    def change(nodes: Nodes, edges: Edges, dt: float) -> tuple[Nodes, Edges]:
        nir = import_module("nir")
        changed, wired = dict(nodes), edges
        for name, node in nodes.items():
            if isinstance(node, nir.LIF | nir.IF):
                neuron, factor, shift = _normal(nir, name, node, unit_resistance, dt)
                if not (_alike(neuron, node) and _near(factor, 1.0) and not shift.any()):
                    changed[name] = neuron
                    wired = _feed(nir, changed, wired, name, factor, shift)
        return changed, wired

    return change


def above_threshold(nodes: Nodes, edges: Edges, _dt: float) -> tuple[Nodes, Edges]:
    """Thresholds as the next number above, for readers that fire at a threshold, where NIR fires above it.

    Membranes reach one exactly where a neuron is fed by spikes, as at the shortcuts of MS-ResNet.
    """
    nir = import_module("nir")
    changed = dict(nodes)
    for name, node in nodes.items():
        if isinstance(node, nir.LIF | nir.IF):
            values = {field.name: getattr(node, field.name) for field in fields(node) if field.init}
            raised = np.nextafter(node.v_threshold, np.float32(np.inf))
            changed[name] = type(node)(**{**values, "v_threshold": raised})
    return changed, edges


def depth_first(nodes: Nodes, edges: Edges, _dt: float) -> tuple[Nodes, Edges]:
    """Edges in an order in which a walk that goes to the end of each branch meets a sum when its terms are there.

    Raises:
        ValueError: where there is none, as with convolutions on shortcuts; the node is named.
    """
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max((depth(target) for source, target in edges if source == name), default=0)
        return depths[name]

    ordered = sorted(edges, key=lambda edge: -depth(edge[1]))
    met: list[str] = []
    pending = ["input"]
    while pending:
        name = pending.pop()
        if name in met:
            continue
        missing = [source for source, target in ordered if target == name and source not in met]
        if missing:
            raise ValueError(
                f"{name} adds up two branches, and the reader would run it before {missing[0]}, without an error: "
                "choose another reader, or a network without shortcuts (cifarnet, or one of PLIF's)"
            )
        met.append(name)
        pending += [target for source, target in reversed(ordered) if source == name]
    return nodes, ordered


def _normal(nir: Any, name: str, node: Any, unit_resistance: bool, dt: float) -> tuple[Any, Floats, Floats]:
    """The normalised neuron, and what its current is multiplied by and then increased by, both by channel."""
    leaky = isinstance(node, nir.LIF)
    values = {each: _by_channels(name, node, each) for each in ("r", "v_threshold", "v_reset")}
    span = values["v_threshold"] - values["v_reset"]
    wanted = np.full_like(span, 1 / dt)
    leak = np.zeros_like(span)
    if leaky:
        tau = _by_channels(name, node, "tau")
        wanted = np.ones_like(span) if unit_resistance else tau / dt
        leak = _by_channels(name, node, "v_leak") - values["v_reset"]
    one, nought = np.ones_like(node.r), np.zeros_like(node.r)
    r = np.broadcast_to(wanted.reshape(-1, *(1,) * (node.r.ndim - 1)), node.r.shape).astype(np.float32)
    more = {"tau": node.tau, "v_leak": nought} if leaky else {}
    neuron = type(node)(r=r, v_threshold=one, v_reset=nought, **more)
    return neuron, values["r"] / (wanted * span), leak / (wanted * span)


def _alike(one: Any, other: Any) -> bool:
    return all(_near(getattr(one, name), getattr(other, name)) for name in ("r", "v_threshold", "v_reset"))


def _near(values: Any, others: Any) -> bool:
    return np.allclose(values, others, rtol=1e-6, atol=0)  # as near as float32 is


def _by_channels(name: str, node: Any, parameter: str) -> Floats:
    values = np.asarray(getattr(node, parameter), np.float64).reshape(len(node.r), -1)
    if (values != values[:, :1]).any():
        raise ValueError(f"{name}: {parameter} differs within a channel, which no weight before it can stand for")
    return values[:, 0]


def _feed(nir: Any, nodes: Nodes, edges: Edges, name: str, factor: Floats, shift: Floats) -> Edges:
    """Multiply and shift the current of a neuron: in the one node of weights before it, or in one between."""
    sources = [source for source, target in edges if target == name]
    if len(sources) == 1 and _is_weight(nir, nodes[sources[0]]) and sum(each == sources[0] for each, _ in edges) == 1:
        nodes[sources[0]] = _applied(nir, nodes[sources[0]], factor, shift)
        return edges
    between = f"{name}.current"
    maps = factor if nodes[name].r.ndim == 1 else factor.reshape(-1, 1, 1)
    nodes[between] = _by_channel(nir, maps, shift)
    return [(source, between if target == name else target) for source, target in edges] + [(between, name)]


def _is_weight(nir: Any, node: Any) -> bool:
    return isinstance(node, nir.Conv2d | nir.Linear | nir.Affine)


def _applied(nir: Any, node: Any, factor: Floats, shift: Floats) -> Any:
    weight = (node.weight * factor.reshape(-1, *(1,) * (node.weight.ndim - 1))).astype(np.float32)
    bias = 0.0 if isinstance(node, nir.Linear) else node.bias
    bias = (bias * factor + shift).astype(np.float32)
    if isinstance(node, nir.Conv2d):
        return nir.Conv2d(node.input_shape, weight, node.stride, node.padding, node.dilation, node.groups, bias)
    return nir.Affine(weight, bias) if bias.any() or isinstance(node, nir.Affine) else nir.Linear(weight)


def _by_channel(nir: Any, weights: Floats, shift: Floats, stride: tuple[int, ...] = (1, 1)) -> Any:
    """What gives every channel of vectors or maps weights of its own, ``[C]`` or ``[C, k, k]``.

    Matrices are mostly nought: NIR's check of shapes knows no groups of channels.
    """
    if weights.ndim == 1:
        return nir.Affine(np.diag(weights).astype(np.float32), shift.astype(np.float32))
    full = np.einsum("cd,chw->cdhw", np.eye(len(weights)), weights).astype(np.float32)
    return nir.Conv2d(None, full, stride, (0, 0), 1, 1, shift.astype(np.float32))


def _num_channels(name: str, nodes: Nodes, edges: Edges) -> int:
    """Channels of what comes into a node, as the first node before it says that does."""
    nir = import_module("nir")
    source = next(source for source, target in edges if target == name)
    node = nodes[source]
    if isinstance(node, nir.Conv2d):
        return len(node.weight)
    if isinstance(node, nir.LIF | nir.IF | nir.Input):
        return int(node.output_type["output"][0])
    return _num_channels(source, nodes, edges)
