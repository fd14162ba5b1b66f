"""Run a NIR graph in plain torch, to check an export: Euler, membranes begin at their reset value."""

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

DT = "dt"
"""Key of the time step, s, in a graph's metadata: NIR's equations are continuous, and leave it to the reader."""

RESET, SOFT = "reset", "soft"
"""Key and value in a graph's metadata where the reader takes the threshold away after a spike, as NIR does not."""


def open_nir(path: Path) -> Run:
    """Load a NIR file as a function of frames ``[B, T, C, H, W]`` that gives the mean output over T, ``[B, K]``."""
    graph = import_module("nir").read(path)
    text = graph.metadata[KEY]
    steps = ModelMetadata.from_json(text.decode() if isinstance(text, bytes) else text, str(path)).steps

    dt = float(graph.metadata[DT])

    def run(frames: Frames) -> Frames:
        return run_graph(graph, frames, steps, dt)[0]

    return run


def run_graph(graph: Any, frames: Frames, steps: int, dt: float) -> tuple[Frames, Spikes]:
    """Mean output ``[B, K]`` over the time steps, and the spikes of every LIF and IF node, ``[T, B, …]``.

    Args:
        graph: a ``nir.NIRGraph`` without loops.
        frames: ``[B, T, C, H, W]``; T = 1 where the same still image is shown at every step.
        steps: T.
        dt: time step, s.
    """
    sources = {name: [source for source, target in graph.edges if target == name] for name in graph.nodes}
    order = [name for name in TopologicalSorter(sources).static_order() if name != "input"]
    soft = graph.metadata.get(RESET) in (SOFT, SOFT.encode())
    potentials: dict[str, Tensor] = {}
    spikes: dict[str, list[Tensor]] = {}
    outputs = []
    for step in range(steps):
        values = {"input": torch.from_numpy(frames[:, min(step, frames.shape[1] - 1)])}
        for name in order:
            total = torch.stack([values[source] for source in sources[name]]).sum(0)
            values[name] = _run_node(graph.nodes[name], name, total, potentials, dt, soft)
        outputs.append(values["output"])
        for name in potentials:
            spikes.setdefault(name, []).append(values[name])
    return torch.stack(outputs).mean(0).numpy(), {name: torch.stack(each).numpy() for name, each in spikes.items()}


def _run_node(node: Any, name: str, x: Tensor, potentials: dict[str, Tensor], dt: float, soft: bool) -> Tensor:
    kind = type(node).__name__
    if kind in ("LIF", "IF"):
        before = potentials.get(name, _tensor(node.v_reset).expand_as(x))
        fired, potentials[name] = _fire(node, _membrane(node, before, x, dt), soft)
        return fired.to(x.dtype)
    if kind == "Conv2d":
        shape = (_pair(node.stride), _pair(node.padding), _pair(node.dilation), node.groups)
        return F.conv2d(x, _tensor(node.weight), _tensor(node.bias), *shape)
    if kind in ("AvgPool2d", "SumPool2d"):
        divisor = 1 if kind == "SumPool2d" else None
        return F.avg_pool2d(x, _pair(node.kernel_size), _pair(node.stride), divisor_override=divisor)
    if kind in ("Linear", "Affine"):
        return F.linear(x, _tensor(node.weight), _tensor(node.bias) if kind == "Affine" else None)
    return x.flatten(1) if kind == "Flatten" else x


def _membrane(node: Any, before: Tensor, current: Tensor, dt: float) -> Tensor:
    if type(node).__name__ == "IF":
        return before + _tensor(node.r * np.float32(dt)) * current
    leak, r, steps = _tensor(node.v_leak), _tensor(node.r), _tensor(node.tau / np.float32(dt))
    return before + ((leak - before) + r * current) / steps


def _fire(node: Any, membrane: Tensor, soft: bool) -> tuple[Tensor, Tensor]:
    threshold = _tensor(node.v_threshold)
    fired = membrane > threshold
    if soft:
        return fired, membrane - fired.to(membrane.dtype) * threshold
    return fired, torch.where(fired, _tensor(node.v_reset), membrane)


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values))


def _pair(value: Any) -> list[int]:
    return [int(each) for each in np.broadcast_to(np.asarray(value), 2)]
