"""Training steps on a GPU: of the time they take, how much is the host's, against the ReLU twin and SpikingJelly.

The networks are 7B-wideNet and ResNet-18 (CIFAR, T = 4), all with the same convolutions and norms and other neurons. A
step is the forward pass, cross-entropy, the backward pass and fused SGD, done one operator at a time, as a CUDA graph,
or through torch.compile. First our backend and the eager loop must give the same logits, bit for bit. Then all take
turns, and medians go to a table: "ms" between two marks in the GPU's queue, "host ms" until the host has asked for all
of it, the most memory, and the ratio to the twin that is done in the same way.

With ``--device cpu`` a few run at toy size, to see that they work: nothing is recorded, the host does everything.

Example:
    .venv/bin/python -m scripts.bench.training_gpu --csv training_gpu.csv
    .venv/bin/python -m scripts.bench.training_gpu --device cpu --repeats 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from evglif import build_model
from evglif.models import Network
from evglif.neurons import SpikingNeuron
from evglif.neurons.relu import ReLU
from evglif.training.graphs import NUM_PLAIN
from preprocessing.commands import command
from scripts.bench.common import parser
from scripts.bench.neuron_peers import DTYPES, INSTALL, spikingjelly
from scripts.gpu.agreement import training_step
from scripts.gpu.tables import Table, exit_code, work_off

COLUMNS = ("network", "precision", "layout", "contender", "ms", "host ms", "times the twin", "samples/s", "peak MB")
TWIN, EAGER, GRAPH = "ReLU twin", "GLIF, eager loop", ", graph"
KINDS = {"GLIF": "glif", TWIN: "relu"}
NETWORKS: dict[str, dict[str, Any]] = {
    "7b-widenet": {"num_classes": 10, "in_channels": 2, "steps": 16, "size": (48, 48)},
    "resnet18": {"num_classes": 10, "in_channels": 3, "steps": 4, "size": (32, 32)},
}
OF_FRAMES = ("7b-widenet",)
TOY: dict[str, dict[str, Any]] = {
    "7b-widenet": {"width": 4, "steps": 2, "size": (16, 16)},
    "resnet18": {"stem_width": 4, "widths": (4,) * 4, "hidden": 4, "steps": 2, "size": (8, 8)},
}


@dataclass(frozen=True)
class Case:
    """Contenders that take turns."""

    network: str
    precision: str
    layout: str = "contiguous"
    peers: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        """For people."""
        said = [self.network, self.precision, self.layout]
        return ", ".join(said + [name for name in ("peers", "compiled") if getattr(self, name)])


CASES = (
    Case("7b-widenet", "bf16", "channels-last"),
    Case("resnet18", "bf16", "channels-last"),
    Case("7b-widenet", "fp32"),
    Case("7b-widenet", "bf16", peers=True),
    Case("resnet18", "fp32"),
    Case("7b-widenet", "fp32", peers=True),
    Case("7b-widenet", "bf16", "channels-last", compiled=True),
    Case("resnet18", "bf16", peers=True),
)
"""What matters most first."""


@command("the rows so far are kept where --csv was given")
def main() -> int:
    options = parse_options()
    table = Table(options.csv, COLUMNS)
    jobs: dict[str, Callable[[], None]] = {str(case): partial(measure, case, options, table) for case in CASES}
    if options.device == "cpu":
        jobs = {str(case): jobs[str(case)] for case in (CASES[0], CASES[-1])}
    failed = work_off(jobs, options.csv, options.seconds)
    if not spikingjelly(1, options.device):
        print(INSTALL)
    return exit_code(failed)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=20)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    made.add_argument("--batch", type=int, help="samples; default: 32, the paper's")
    made.add_argument("--seconds", type=float, default=1e9, help="after which nothing further is begun")
    made.add_argument("--csv", type=Path, default=Path("training_gpu.csv"), help="file for the table")
    options = made.parse_args()
    options.batch = options.batch or (32 if options.device == "cuda" else 2)
    return options


def measure(case: Case, options: argparse.Namespace, table: Table) -> None:
    """Rows for all contenders of a case."""
    frames, labels = batch(case, options)
    check(case, frames, options.device)
    steps: dict[str, Callable[[], object]] = {}
    peaks: dict[str, float] = {}
    for name, (network, recorded) in contenders(case, options.device).items():
        if case.compiled:
            network.compile(dynamic=False)
        step = training_step(network, DTYPES[case.precision], options.device, recorded)
        steps[name] = partial(step, frames, labels)
        peaks[name] = peak_megabytes(steps[name], options.device)
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for number in range(options.repeats + 1):
        for name, job in steps.items():
            taken = both_times(job, options.device)
            turns[name] += [taken] if number else []
    medians = {name: [median(each) for each in zip(*taken, strict=True)] for name, taken in turns.items()}
    for name, (whole, host) in medians.items():
        twin = medians[TWIN + (GRAPH if name.endswith(GRAPH) else "")][0]
        figures = f"{1e3 * whole:.2f}", f"{1e3 * host:.2f}", f"{whole / twin:.2f}", f"{options.batch / whole:.0f}"
        table.add(case.network, case.precision, case.layout, name + (", compiled" if case.compiled else ""), *figures,
                  f"{peaks[name]:.0f}")  # fmt: skip


def contenders(case: Case, device: str) -> dict[str, tuple[Network, bool]]:
    """Networks with the same weights, by name, and whether their steps are recorded."""
    ours, twin = (network(case, neuron, device) for neuron in ("glif", "relu"))
    twin.load_state_dict(ours.state_dict(), strict=False)
    if case.compiled:
        return {"GLIF": (ours, False), TWIN: (twin, False)}
    if not case.peers:
        found = {"GLIF": (ours, False), TWIN: (twin, False)}
        return found | {name + GRAPH: (network(case, kind, device), True) for name, kind in KINDS.items()}
    found = {"GLIF": (ours, False), TWIN: (twin, False), EAGER: (eager(network(case, "glif", device)), False)}
    for peer in spikingjelly(1, device):
        found[peer] = with_nodes_of(peer, network(case, "relu", device), device), False
    return found


def with_nodes_of(peer: str, network: Network, device: str) -> Network:
    """A network with a node of SpikingJelly's for every neuron."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ReLU):
                setattr(module, name, spikingjelly(network.spec.steps, device)[peer])
    return network


def network(case: Case, neuron: str, device: str) -> Network:
    torch.manual_seed(0)
    options = NETWORKS[case.network] | ({} if device == "cuda" else TOY[case.network])
    extra = {"init": "cifar"} if neuron == "glif" else {}
    made = build_model(case.network, neuron, **options, **extra).to(device).train()
    if case.layout == "channels-last":
        made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def eager(network: Network) -> Network:
    """A network whose neurons are a loop over time."""
    for module in network.modules():
        if isinstance(module, SpikingNeuron):
            module.backend = "reference"
    return network


def batch(case: Case, options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    shape = NETWORKS[case.network] | ({} if options.device == "cuda" else TOY[case.network])
    generator = torch.Generator().manual_seed(1)
    num_frames = shape["steps"] if case.network in OF_FRAMES else 1  # the others take an image
    sizes = options.batch, num_frames, shape["in_channels"], *shape["size"]
    frames = torch.poisson(torch.full(sizes, 0.5), generator)
    labels = torch.randint(0, shape["num_classes"], (options.batch,), generator=generator)
    return frames.to(options.device), labels.to(options.device)


def check(case: Case, frames: Tensor, device: str) -> None:
    """The same network gives the same logits whatever runs its neurons."""
    with torch.no_grad():
        ours, loop = network(case, "glif", device).eval(), eager(network(case, "glif", device)).eval()
        one, other = ours(frames[:1]), loop(frames[:1])
    assert torch.equal(one, other), f"logits differ by {(one - other).abs().max():.1e}"


def both_times(step: Callable[[], object], device: str) -> tuple[float, float]:
    """Seconds of a step, and until the host has asked for all of it."""
    if device != "cuda":
        start = perf_counter()
        step()
        return (perf_counter() - start,) * 2
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start = perf_counter()
    begin.record()
    step()
    end.record()
    host = perf_counter() - start
    end.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds / 1e3, host


def peak_megabytes(step: Callable[[], object], device: str) -> float:
    """Most memory after some steps, recording included; nought where nothing counts it."""
    before = torch.cuda.memory_allocated() if device == "cuda" else 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(NUM_PLAIN + 2):
        step()
    return (torch.cuda.max_memory_allocated() - before) / 1e6 if device == "cuda" else 0.0


if __name__ == "__main__":
    sys.exit(main())
