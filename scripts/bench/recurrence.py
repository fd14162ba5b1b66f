"""The recurrence on the CPU: the compiled backend against the reference loop, a ReLU and a copy, in one run.

The shapes are those of 7B-wideNet's three largest stages. First both backends must agree, spike for spike and in every
gradient. Then they take turns, and medians are printed with the ratios. All but the last column allocate their outputs,
as a network does; for large tensors the fresh pages cost more than the arithmetic.

Example:
    .venv/bin/python scripts/bench/recurrence.py --batch 4 --repeats 9
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from common import in_turns, machine, parser, timed
from torch import Tensor

from evglif import GLIF

STEPS = 16
STAGES = ((64, 48), (64, 24), (128, 12))


def main() -> None:
    parsing = parser(__doc__, repeats=9)
    parsing.add_argument("--batch", type=int, default=4, help="samples; default: 4")
    options = parsing.parse_args()
    torch.manual_seed(0)
    print(f"{'':>18}  {'forward':^31}  {'forward + backward':^24}")
    columns = f"{'cpu ms':>7} {'ref/cpu':>7} {'cpu/ReLU':>8}"
    print(f"{'T×B×C×H×W':>18}  {columns} {'copy':>6}  {columns}")
    for channels, side in STAGES:
        print_row(*measure(torch.randn(STEPS, options.batch, channels, side, side), options.repeats))
    print(f"{machine('torch')}, {torch.get_num_threads()} threads, median of {options.repeats}")


def measure(current: Tensor, repeats: int) -> tuple[Tensor, dict[str, float], dict[str, float]]:
    """Milliseconds of forward, and of forward and backward, by layer."""
    neurons = {name: GLIF(current.shape[2], STEPS, init="cifar", backend=name) for name in ("cpu", "reference")}
    neurons["reference"].load_state_dict(neurons["cpu"].state_dict())
    check_agreement(neurons, current)
    layers = {**neurons, "relu": torch.nn.ReLU()}
    target = torch.empty_like(current)
    forwards = {name: partial(forward, layer, current) for name, layer in layers.items()}
    both = {name: partial(forward_backward, layer, current) for name, layer in layers.items()}
    copy = {"copy": lambda: target.copy_(current)}
    return current, milliseconds({**forwards, **copy}, repeats), milliseconds(both, repeats)


def milliseconds(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    medians = in_turns({name: partial(timed, job) for name, job in jobs.items()}, repeats)
    return {name: 1e3 * seconds for name, seconds in medians.items()}


def forward(layer: torch.nn.Module, current: Tensor) -> Tensor:
    with torch.no_grad():
        spikes: Tensor = layer(current)
    return spikes


def forward_backward(layer: torch.nn.Module, current: Tensor) -> list[Tensor]:
    leaf = current.detach().requires_grad_()
    spikes = layer(leaf)
    return list(torch.autograd.grad(spikes, [leaf, *layer.parameters()], current))


def check_agreement(neurons: dict[str, GLIF], current: Tensor) -> None:
    assert torch.equal(forward(neurons["cpu"], current), forward(neurons["reference"], current))
    pairs = zip(*(forward_backward(neurons[name], current) for name in ("cpu", "reference")), strict=True)
    for ours, theirs in pairs:
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm(), (ours, theirs)


def print_row(current: Tensor, forwards: dict[str, float], both: dict[str, float]) -> None:
    def cells(times: dict[str, float]) -> str:
        cpu, reference, relu = times["cpu"], times["reference"], times["relu"]
        return f"{cpu:7.1f} {reference / cpu:7.2f} {cpu / relu:8.2f}"

    shape = "×".join(map(str, current.shape))
    print(f"{shape:>18}  {cells(forwards)} {forwards['copy']:6.1f}  {cells(both)}")


if __name__ == "__main__":
    main()
