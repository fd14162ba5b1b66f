"""The recurrence on the CPU: the compiled backend against the reference loop, a ReLU and a copy, in one run.

The shapes are those of 7B-wideNet's three largest stages. First both backends must agree, spike for spike and in every
gradient. Then they take turns, and medians are printed with the ratios. All but the last column allocate their outputs,
as a network does; for large tensors the fresh pages cost more than the arithmetic.

Example:
    .venv/bin/python scripts/bench/recurrence.py --batch 4 --repeats 9
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from evglif import GLIF

STEPS = 16
STAGES = ((64, 48), (64, 24), (128, 12))


def main() -> None:
    options = parse_options()
    torch.manual_seed(0)
    print(f"{'':>18}  {'forward':^31}  {'forward + backward':^24}")
    columns = f"{'cpu ms':>7} {'ref/cpu':>7} {'cpu/ReLU':>8}"
    print(f"{'T×B×C×H×W':>18}  {columns} {'copy':>6}  {columns}")
    for channels, side in STAGES:
        print_row(*measure(torch.randn(STEPS, options.batch, channels, side, side), options.repeats))
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}, median of {options.repeats}"
    )


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
    return current, interleaved({**forwards, **copy}, repeats), interleaved(both, repeats)


def parse_options() -> argparse.Namespace:
    description, _, example = (__doc__ or "").partition("Example:")
    parser = argparse.ArgumentParser(
        description=description, epilog="Example:" + example, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=4, help="samples; default: 4")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each, of which the median counts; default: 9")
    return parser.parse_args()


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


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each job; they take turns, so that a busy machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = perf_counter()
            job()
            seconds[name].append(perf_counter() - start)
    return {name: 1e3 * median(each) for name, each in seconds.items()}


def print_row(current: Tensor, forwards: dict[str, float], both: dict[str, float]) -> None:
    def cells(times: dict[str, float]) -> str:
        cpu, reference, relu = times["cpu"], times["reference"], times["relu"]
        return f"{cpu:7.1f} {reference / cpu:7.2f} {cpu / relu:8.2f}"

    shape = "×".join(map(str, current.shape))
    print(f"{shape:>18}  {cells(forwards)} {forwards['copy']:6.1f}  {cells(both)}")


if __name__ == "__main__":
    main()
