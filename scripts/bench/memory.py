"""Peak memory of a training step of 7B-wideNet: plain, with blocks computed again, the ReLU twin and SpikingJelly.

SpikingJelly's nodes run in the same network, plain and under its memory optimiser, which computes the same blocks again
and keeps binary inputs of theirs as bits. Recomputation must give the gradients of the plain step, ours bit for bit.
Memory is that of tensors, the scratch of compiled loops left out.

Example:
    .venv/bin/python -m scripts.bench.memory --batch 1
"""

from __future__ import annotations

import sys
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn

from evglif import build_model
from evglif.layers import ConvSpike, SEWBlock
from evglif.models import Network
from preprocessing.commands import command
from scripts.bench.common import machine, parser
from scripts.bench.neuron_peers import peak_megabytes, put_in_place_of_relu, spikingjelly


@command("no figures were kept")
def main() -> None:
    made = parser(__doc__, repeats=1)
    made.add_argument("--batch", type=int, default=1, help="samples; default: 1")
    made.add_argument("--width", type=int, default=64, help="channels of the first stage; default: 64, the paper's")
    made.add_argument("--size", type=int, default=48, help="side of a frame, px; default: 48")
    options = made.parse_args()
    torch.manual_seed(0)
    shape = {"steps": 16, "size": (options.size, options.size), "width": options.width}
    networks = {
        "GLIF": build_model("7b-widenet", "glif", init="cifar", **shape),
        "GLIF, checkpoint": build_model("7b-widenet", "glif", init="cifar", **shape),
        "ReLU twin": build_model("7b-widenet", "relu", **shape),
    }
    networks["GLIF, checkpoint"].load_state_dict(networks["GLIF"].state_dict())
    networks["GLIF, checkpoint"].recompute = True
    frames = torch.poisson(torch.full((options.batch, 16, 2, options.size, options.size), 0.5))
    for peer in spikingjelly(16, "cpu"):
        for name in (peer, f"{peer}, memopt"):
            networks[name] = build_model("7b-widenet", "relu", **shape)
            put_in_place_of_relu(networks[name], peer, 16, "cpu")
            networks[name].load_state_dict(networks[peer if name != peer else "GLIF"].state_dict(), strict=False)
        optimised(networks[f"{peer}, memopt"], frames)
    gradients = {}
    print(f"7B-wideNet, width {options.width}, batch {options.batch}, {options.size}×{options.size} px, T = 16")
    for name, network in networks.items():
        start = perf_counter()
        peak = peak_megabytes(partial(step, network.train(), frames), frames)
        print(f"{name:<22}{peak:9.0f} MB{perf_counter() - start:9.1f} s")
        gradients[name] = [parameter.grad for parameter in network.parameters()]
    for plain in (name for name in networks if "," not in name and name != "ReLU twin"):
        check(gradients[plain], gradients[f"{plain}, {'checkpoint' if plain == 'GLIF' else 'memopt'}"], plain == "GLIF")
    print(machine("torch", "numba"))


def optimised(network: Network, frames: Tensor) -> None:
    """Let SpikingJelly's memory optimiser compute blocks again, as ``checkpoint: true`` does; more takes a GPU."""
    from spikingjelly.activation_based import memopt

    network.train()
    memopt.optimize_memory(network, (SEWBlock, ConvSpike), lambda model: model(frames), level=1)


def check(plain: list[Tensor | None], again: list[Tensor | None], bit_for_bit: bool) -> None:
    """Make sure that gradients are those of the plain step."""
    for one, other in zip(plain, again, strict=True):
        if one is None or other is None:
            assert one is other is None
        elif bit_for_bit:
            assert torch.equal(one, other), "gradients differ"
        else:
            torch.testing.assert_close(other, one)


def step(network: Network, frames: Tensor) -> None:
    labels = torch.zeros(len(frames), dtype=torch.long)
    nn.functional.cross_entropy(network(frames), labels).backward()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    sys.exit(main())
