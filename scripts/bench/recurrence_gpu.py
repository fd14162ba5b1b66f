"""The recurrence on a GPU: Triton's kernels against the reference loop, eager and compiled, and a copy, in one run.

The layer is GLIF with 7B-wideNet's largest stage. For each type, memory layout and number of steps, spikes must first
be equal to those of the reference and gradients close. Then all take turns, and medians are printed with the ratios.
"of copy" is the share of a plain copy's bandwidth that is reached, if the forward pass has to move two tensors of the
current's size and the backward pass three.

Example:
    .venv/bin/python scripts/bench/recurrence_gpu.py --out scripts/bench/results/recurrence_gpu.txt
    .venv/bin/python scripts/bench/recurrence_gpu.py --device cpu --backend cpu --batch 1 --steps 1 4 --repeats 1
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import torch
from common import in_turns, machine, parser, timed
from torch import Tensor, nn

from evglif import GLIF

CHANNELS, SIDE = 64, 48
STEPS = (1, 2, 4, 8, 16, 32, 64)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LAYOUTS = ("contiguous", "channels last")
MOST_COMPILED = 16
"""Steps up to which the loop is compiled: unrolled, it takes minutes beyond."""


def main() -> None:
    options = parse_options()
    torch.manual_seed(0)
    lines = [
        f"{'':>5} {'':>13} {'':>3}  {'forward':^22}  {'forward + backward':^51}",
        f"{'type':>5} {'layout':>13} {'T':>3}  {'ms':>7} {'of copy':>7} {'eager':>6}  "
        f"{'ms':>7} {'of copy':>7} {'eager':>6} {'compiled':>8} {'MB':>7} {'eager MB':>8}",
    ]
    print(*lines, sep="\n")
    for dtype, layout, steps in product(options.dtypes, LAYOUTS, options.steps):
        lines.append(measure(dtype, layout, steps, options))
        print(lines[-1], flush=True)
    lines.append(
        f"{device_name(options.device)}, batch {options.batch}; {machine('torch')}, median of {options.repeats}"
    )
    print(lines[-1])
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=9)
    made.add_argument("--batch", type=int, default=32, help="samples; default: 32")
    made.add_argument("--steps", type=int, nargs="+", default=STEPS, help="numbers of time steps")
    made.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=list(DTYPES), help="types of the current")
    made.add_argument("--device", default="cuda")
    made.add_argument("--backend", default="triton", help="backend to measure; default: triton")
    made.add_argument("--no-compile", action="store_true", help="leave out torch.compile of the loop")
    made.add_argument("--out", type=Path, help="file for the table")
    return made.parse_args()


def measure(dtype: str, layout: str, steps: int, options: argparse.Namespace) -> str:
    """A line of the table."""
    current = make_current(steps, options.batch, layout, options.device, DTYPES[dtype])
    layers = make_layers(steps, options)
    check_agreement(layers["ours"], layers["eager"], current)
    if not options.no_compile and steps <= MOST_COMPILED:
        layers["compiled"] = torch.compile(layers["eager"], fullgraph=True, dynamic=False)
    target = torch.empty_like(current)
    jobs: dict[str, Callable[[], object]] = {"copy": partial(target.copy_, current)}
    for name, layer in layers.items():
        jobs[f"{name} forward"] = partial(forward, layer, current)
        jobs[f"{name} both"] = partial(forward_backward, layer, current)
    clock = seconds_on_gpu if current.is_cuda else timed
    seconds = in_turns({name: partial(clock, job) for name, job in jobs.items()}, options.repeats)
    peaks = {name: peak_megabytes(jobs[f"{name} both"], current) for name in ("ours", "eager")}
    one, both, copy = seconds["ours forward"], seconds["ours both"], seconds["copy"]
    eager = [seconds[f"eager {part}"] / ours for part, ours in (("forward", one), ("both", both))]
    compiled = f"{seconds['compiled both'] / both:7.1f}×" if "compiled" in layers else f"{'-':>8}"
    return (
        f"{dtype:>5} {layout:>13} {steps:3}  {1e3 * one:7.3f} {copy / one:7.0%} {eager[0]:5.1f}×  "
        f"{1e3 * both:7.3f} {2.5 * copy / both:7.0%} {eager[1]:5.1f}× {compiled} "
        f"{peaks['ours']:7.0f} {peaks['eager']:8.0f}"
    )


def make_current(steps: int, batch: int, layout: str, device: str, dtype: torch.dtype) -> Tensor:
    if layout == "contiguous":
        return torch.randn(steps, batch, CHANNELS, SIDE, SIDE, device=device, dtype=dtype)
    return torch.randn(steps, batch, SIDE, SIDE, CHANNELS, device=device, dtype=dtype).movedim(-1, 2)


def make_layers(steps: int, options: argparse.Namespace) -> dict[str, nn.Module]:
    backends = {"ours": options.backend, "eager": "reference"}
    layers = {name: GLIF(CHANNELS, steps, init="cifar", backend=backend) for name, backend in backends.items()}
    layers["eager"].load_state_dict(layers["ours"].state_dict())
    return {name: layer.to(options.device) for name, layer in layers.items()}


def forward(layer: nn.Module, current: Tensor) -> Tensor:
    with torch.no_grad():
        spikes: Tensor = layer(current)
    return spikes


def forward_backward(layer: nn.Module, current: Tensor) -> list[Tensor]:
    leaf = current.detach().requires_grad_()
    inputs = [leaf, *layer.parameters()]  # of which a single step does not use those of the reset
    return list(torch.autograd.grad(layer(leaf), inputs, current, allow_unused=True, materialize_grads=True))


def check_agreement(ours: nn.Module, eager: nn.Module, current: Tensor) -> None:
    """Spikes must be equal; gradients may differ by their rounding, that of the current's type included."""
    assert torch.equal(forward(ours, current), forward(eager, current)), "spikes differ"
    bound = max(1e-4, torch.finfo(current.dtype).eps)
    pairs = zip(forward_backward(ours, current), forward_backward(eager, current), strict=True)
    for one, other in pairs:
        error, size = (one.double() - other.double()).norm(), other.double().norm()
        assert error <= bound * size, f"gradients of norm {size:.1e} differ by {error:.1e}"


def seconds_on_gpu(job: Callable[[], object]) -> float:
    """Seconds between two marks in the GPU's queue around a job."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    job()
    end.record()
    end.synchronize()
    milliseconds: float = start.elapsed_time(end)
    return milliseconds / 1e3


def peak_megabytes(job: Callable[[], object], current: Tensor) -> float:
    """Most GPU memory that a job takes beside what is there; nought on a processor."""
    if not current.is_cuda:
        return 0.0
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    job()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else device


if __name__ == "__main__":
    main()
