"""Training steps of 7B-wideNet: GLIF against its eager loop, SpikingJelly's neurons and the ReLU twin, in one run.

All are the same network with the same convolutions and norms, and other neurons. A step is the forward pass, cross-
entropy, the backward pass and SGD. First our backend and the eager loop must give the same logits, bit for bit, and
SpikingJelly's LIFNode the spikes of our equation. Then all take turns, and medians are printed with their ratios to the
twin, which shows what the convolutions alone take.

SpikingJelly runs where it is installed: with python of its environment (see preprocess.py), or in this one.

Example:
    .venv/bin/python -m scripts.bench.training --batch 8 --repeats 3
    .venv/bin/python -m scripts.bench.training --width 8 --size 16 --steps 4        # in a minute
    .venv/bin/python -m scripts.bench.training --device cuda --precision bf16 --batch 32 --repeats 20
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif import build_model
from evglif.models import Network
from evglif.neurons import SpikingNeuron
from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser, timed
from scripts.bench.neuron_peers import DTYPES, INSTALL, check_lif, kept_bytes, put_in_place_of_relu, spikingjelly

TWIN = "ReLU twin"


Row = tuple[str, float, float, float, float]
"""A contender, ms, samples/s, times the twin, MB saved for the backward pass."""


@command("no figures were kept")
def main() -> None:
    options = parse_options()
    lines = [
        f"7B-wideNet, width {options.width}, T = {options.steps}, {options.size}×{options.size} px, batch "
        f"{options.batch}, {options.precision} on {options.device}: one training step",
        f"{'':<22}{'ms':>9}{'samples/s':>11}{'× the twin':>12}{'saved MB':>10}",
    ]
    for name, milliseconds, rate, ratio, saved in measure(options):
        lines.append(f"{name:<22}{milliseconds:>9.1f}{rate:>11.2f}{ratio:>12.2f}{saved:>10.0f}")
    lines.append(f"{machine('torch', 'numba')}, {torch.get_num_threads()} threads, median of {options.repeats}")
    if not spikingjelly(options.steps, options.device):
        lines.append(INSTALL)
    print(*lines, sep="\n")
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


def measure(options: argparse.Namespace) -> list[Row]:
    """Every contender, after a check that they agree."""
    networks = contenders(options)
    frames, labels = batch(options)
    check(networks, frames, options)
    steps = {name: TrainingStep(network, frames, labels, options) for name, network in networks.items()}
    seconds = in_turns({name: partial(timed, step) for name, step in steps.items()}, options.repeats)
    return [
        (name, 1e3 * taken, options.batch / taken, taken / seconds[TWIN], steps[name].saved_megabytes())
        for name, taken in seconds.items()
    ]


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=3)
    made.add_argument("--width", type=int, default=64, help="channels of the first stage; default: 64, the paper's")
    made.add_argument("--steps", type=int, default=16, help="T; default: 16")
    made.add_argument("--size", type=int, default=48, help="side of a frame, px; default: 48")
    made.add_argument("--batch", type=int, default=8, help="samples; default: 8")
    made.add_argument("--device", default="cpu", help="cpu or cuda; default: cpu")
    made.add_argument("--precision", choices=list(DTYPES), default="fp32", help="of autocast; default: fp32, none")
    made.add_argument("--out", type=Path, help="file for the table")
    return made.parse_args()


def contenders(options: argparse.Namespace) -> dict[str, Network]:
    """Networks by name, with the same weights."""
    torch.manual_seed(0)
    shape = {"steps": options.steps, "size": (options.size, options.size), "width": options.width}
    made = {
        "GLIF": build_model("7b-widenet", "glif", init="cifar", **shape),
        "GLIF, eager loop": build_model("7b-widenet", "glif", init="cifar", **shape),
        TWIN: build_model("7b-widenet", "relu", **shape),
    }
    for module in made["GLIF, eager loop"].modules():
        if isinstance(module, SpikingNeuron):
            module.backend = "reference"
    for peer in spikingjelly(options.steps, options.device):
        made[peer] = build_model("7b-widenet", "relu", **shape)
        put_in_place_of_relu(made[peer], peer, options.steps, options.device)
    weights = made["GLIF"].state_dict()
    for network in made.values():
        network.load_state_dict(weights, strict=False)
    return {name: network.to(options.device).train() for name, network in made.items()}


def batch(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = options.batch, options.steps, 2, options.size, options.size
    frames = torch.poisson(torch.full(shape, 0.5), generator)
    labels = torch.randint(0, 10, (options.batch,), generator=generator)
    return frames.to(options.device), labels.to(options.device)


def check(networks: dict[str, Network], frames: Tensor, options: argparse.Namespace) -> None:
    """The same network gives the same logits whatever runs its neurons."""
    with torch.no_grad():
        ours, eager = (networks[name].eval()(frames[:1]) for name in ("GLIF", "GLIF, eager loop"))
    for network in networks.values():
        network.train()
    assert torch.equal(ours, eager), f"logits differ by {(ours - eager).abs().max():.1e}"
    nodes = spikingjelly(options.steps, options.device)
    if nodes:
        current = torch.randn(options.steps, 2, 4, 8, 8, device=options.device)
        check_lif(nodes["SJ LIF"], current, "triton" if options.device == "cuda" else "cpu")


class TrainingStep:
    """A training step of a network, with its own optimiser."""

    def __init__(self, network: nn.Module, frames: Tensor, labels: Tensor, options: argparse.Namespace) -> None:
        self.network = network
        self.frames, self.labels = frames, labels
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        self.device, self.precision = options.device, DTYPES[options.precision]

    def __call__(self) -> None:
        self.loss().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def loss(self) -> Tensor:
        with torch.autocast(self.device, self.precision, enabled=self.precision != torch.float32):
            return F.cross_entropy(self.network(self.frames), self.labels)

    def saved_megabytes(self) -> float:
        """What the forward pass keeps for the backward pass, weights included."""
        return kept_bytes(self.loss) / 1e6


if __name__ == "__main__":
    sys.exit(main())
