"""Neurons in snnTorch's convention, one call a time step, against snnTorch's own Leaky, in one run.

First the GLIF with a Leaky's gates must fire as that Leaky does. Then all take turns, forward alone and with the way
back, and the least times are printed with their ratios to Leaky: on a busy machine medians tell of the others' work.

Example:
    .venv/bin/python -m scripts.bench.step_by_step --batch 64 --channels 128 --repeats 300
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import snntorch as snn
import torch
from torch import Tensor

from evglif.neurons import snntorch as ours
from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser, timed_warm


@command("no figures were kept")
def main() -> None:
    made = parser(__doc__, repeats=300)
    made.add_argument("--batch", type=int, default=64, help="samples; default: 64")
    made.add_argument("--channels", type=int, default=128, help="neurons of a sample; default: 128")
    made.add_argument("--steps", type=int, default=16, help="time steps; default: 16")
    options = made.parse_args()
    torch.manual_seed(0)
    current = torch.randn(options.steps, options.batch, options.channels)
    check(current)
    neurons = {
        "snnTorch Leaky": snn.Leaky(0.9),
        "GLIF": ours.GLIF(options.channels, options.steps),
        "PLIF": ours.PLIF(),
        "LIF": ours.LIF(),
    }
    print(f"{options.steps} steps of {options.batch}×{options.channels}: ms, × Leaky")
    for name, run in (("forward", forward), ("forward + backward", both)):
        jobs: dict[str, Callable[[], object]] = {
            kind: partial(run, neuron, current) for kind, neuron in neurons.items()
        }
        seconds = in_turns({kind: partial(timed_warm, job) for kind, job in jobs.items()}, options.repeats, min)
        for kind, taken in seconds.items():
            print(f"{name:>18}  {kind:<15}{1e3 * taken:8.2f}{taken / seconds['snnTorch Leaky']:7.2f}")
    print(f"{machine('torch', 'numba', 'snntorch')}, {torch.get_num_threads()} threads, least of {options.repeats}")


def check(current: Tensor) -> None:
    """A GLIF with the gates of a Leaky is one."""
    glif = ours.GLIF(current.shape[2], len(current))
    glif.neuron.set_values(alpha=1, beta=0, gamma=0, tau_exp=0.875, v_th=0.75, v_re=0.75)
    beta, threshold = (glif.neuron.values()[name][0].item() for name in ("tau_exp", "v_th"))
    leaky = snn.Leaky(beta, threshold, reset_mechanism="subtract")
    assert torch.equal(forward(glif, current), forward(leaky, current)), "spikes differ from Leaky's"


def forward(neuron: Any, current: Tensor) -> Tensor:
    membrane, spikes = neuron.reset_mem(), []
    for step in current.unbind(0):
        fired, membrane = neuron(step, membrane)
        spikes.append(fired)
    return torch.stack(spikes)


def both(neuron: Any, current: Tensor) -> None:
    forward(neuron, current.detach().requires_grad_()).sum().backward()  # type: ignore[no-untyped-call]
    neuron.zero_grad()


if __name__ == "__main__":
    sys.exit(main())
