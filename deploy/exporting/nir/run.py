"""Run a NIR graph in plain torch, to check an export: Euler with dt = 1, membranes begin at their reset value."""

from __future__ import annotations

from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from deploy.exporting.verify import Frames, Run, Spikes
from deploy.running.metadata import KEY, ModelMetadata


def open_nir(path: Path) -> Run:
    """Load a NIR file as a function of frames ``[B, T, C, H, W]`` that gives the mean output over T, ``[B, K]``."""
    graph = import_module("nir").read(path)
    text = graph.metadata[KEY]
    steps = ModelMetadata.from_json(text.decode() if isinstance(text, bytes) else text, str(path)).steps

    def run(frames: Frames) -> Frames:
        return run_graph(graph, frames, steps)[0]

    return run


def run_graph(graph: Any, frames: Frames, steps: int) -> tuple[Frames, Spikes]:
    """Mean output ``[B, K]`` over the time steps, and the spikes of every LIF node, ``[T, B, …]``.

    Args:
        graph: a ``nir.NIRGraph`` without loops.
        frames: ``[B, T, C, H, W]``; T = 1 where the same still image is shown at every step.
        steps: T.
    """
    sources = {name: [source for source, target in graph.edges if target == name] for name in graph.nodes}
    order = [name for name in TopologicalSorter(sources).static_order() if name != "input"]
    potentials: dict[str, Tensor] = {}
    spikes: dict[str, list[Tensor]] = {}
    outputs = []
    for step in range(steps):
        values = {"input": torch.from_numpy(frames[:, min(step, frames.shape[1] - 1)])}
        for name in order:
            total = torch.stack([values[source] for source in sources[name]]).sum(0)
            values[name] = _run_node(graph.nodes[name], name, total, potentials)
        outputs.append(values["output"])
        for name in potentials:
            spikes.setdefault(name, []).append(values[name])
    return torch.stack(outputs).mean(0).numpy(), {name: torch.stack(each).numpy() for name, each in spikes.items()}


def _run_node(node: Any, name: str, x: Tensor, potentials: dict[str, Tensor]) -> Tensor:
    kind = type(node).__name__
    if kind == "LIF":
        return _lif(node, name, x, potentials)
    if kind == "Conv2d":
        weight, shift = torch.from_numpy(np.array(node.weight)), torch.from_numpy(np.array(node.bias))
        return F.conv2d(x, weight, shift, _pair(node.stride), _pair(node.padding), _pair(node.dilation), node.groups)
    if kind == "AvgPool2d":
        return F.avg_pool2d(x, _pair(node.kernel_size), _pair(node.stride))
    if kind in ("Linear", "Affine"):
        bias = torch.from_numpy(np.array(node.bias)) if kind == "Affine" else None
        return F.linear(x, torch.from_numpy(np.array(node.weight)), bias)
    return x.flatten(1) if kind == "Flatten" else x


def _lif(node: Any, name: str, current: Tensor, potentials: dict[str, Tensor]) -> Tensor:
    names = ("tau", "r", "v_leak", "v_threshold", "v_reset")
    tau, r, leak, threshold, reset = (torch.from_numpy(np.array(getattr(node, each))) for each in names)
    before = potentials.get(name, reset.expand_as(current))
    potential = before + ((leak - before) + r * current) / tau
    fired = potential > threshold
    potentials[name] = torch.where(fired, reset, potential)
    return fired.to(current.dtype)


def _pair(value: Any) -> list[int]:
    return [int(each) for each in np.broadcast_to(np.asarray(value), 2)]
