"""The recurrence on a GPU: Triton's kernels against the reference loop, its peers and a copy, in one run.

The layer is GLIF with 7B-wideNet's largest stage. For each type, memory layout and number of steps, spikes must first
be equal to those of the reference and gradients close. Then all take turns, and medians go to a table with a row per
contender, what matters most first; with ``--seconds`` until they are over. "of copy" is the share of a plain copy's
bandwidth that is reached, if the forward pass has to move two tensors of the current's size and the backward pass
three. SpikingJelly's LIF (on its own Triton kernels) has fewer terms than GLIF; it and GatedLIFNode take part where
they are installed.

Example:
    .venv/bin/python -m scripts.bench.recurrence_gpu --csv recurrence_gpu.csv
    .venv/bin/python -m scripts.bench.recurrence_gpu --device cpu --backend cpu --side 4 --batch 1 --repeats 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser, timed
from scripts.bench.neuron_peers import (
    DTYPES,
    INSTALL,
    LAYOUTS,
    check_agreement,
    compiled,
    forward,
    forward_backward,
    glif,
    make_current,
    peak_megabytes,
    spikingjelly,
)
from scripts.gpu.tables import Table, exit_code, work_off

CHANNELS = 64
STEPS = (1, 2, 4, 8, 16, 32, 64)
MOST_COMPILED = 16
"""Steps up to which the loop is compiled: unrolled, it takes minutes beyond."""

FIRST = (("bf16", "channels-last"), ("fp32", "contiguous"))
"""How networks are trained."""

COLUMNS = ("type", "layout", "T", "contender", "forward ms", "both ms", "forward of copy", "both of copy", "peak MB")


@command("the rows so far are kept where --csv was given")
def main() -> int:
    options = parse_options()
    torch.manual_seed(0)
    table = Table(options.csv, COLUMNS)
    failed = work_off(jobs(options, table), options.csv, options.seconds)
    if not spikingjelly(1, options.device):
        print(INSTALL)
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device
    print(f"{name}, batch {options.batch}; {machine('torch')}, median of {options.repeats}")
    return exit_code(failed)


def jobs(options: argparse.Namespace, table: Table) -> dict[str, Callable[[], None]]:
    """What is measured, by name. A loop takes a while to compile, so that it waits until the rest is there."""
    found: dict[str, Callable[[], None]] = {}
    kinds = sorted(product(options.dtypes, LAYOUTS), key=lambda kind: kind not in FIRST)
    for late in (False, True):
        for steps, (dtype, layout) in product(options.steps, kinds):
            if late and (options.no_compile or steps > MOST_COMPILED):
                continue
            name = f"{dtype} {layout}, T = {steps}{', torch.compile' if late else ''}"
            found[name] = partial(add_rows, table, dtype, layout, steps, options, late)
    return found


def add_rows(table: Table, dtype: str, layout: str, steps: int, options: argparse.Namespace, compile_it: bool) -> None:
    for row in measure(dtype, layout, steps, options, compile_it):
        table.add(*row)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=9)
    made.add_argument("--batch", type=int, default=32, help="samples; default: 32")
    made.add_argument("--side", type=int, default=48, help="pixels; default: 48")
    made.add_argument("--steps", type=int, nargs="+", default=STEPS, help="numbers of time steps")
    made.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=list(DTYPES), help="types of the current")
    made.add_argument("--device", default="cuda")
    made.add_argument("--backend", default="triton", help="backend to measure; default: triton")
    made.add_argument("--no-compile", action="store_true", help="leave out torch.compile of the loop")
    made.add_argument("--seconds", type=float, default=1e9, help="after which nothing further is begun")
    made.add_argument("--csv", type=Path, default=Path("recurrence_gpu.csv"), help="file for the table")
    return made.parse_args()


def measure(dtype: str, layout: str, steps: int, options: argparse.Namespace, compile_it: bool) -> list[list[object]]:
    """A row of the table for each contender; for the compiled loop alone where that is asked for."""
    current = make_current(steps, options.batch, CHANNELS, options.side, layout, dtype, options.device)
    layers = glif(CHANNELS, steps, options.backend, options.device)
    check_agreement(layers["ours"], layers["eager"], current)
    if compile_it:
        layers = {"compiled": compiled(layers["eager"])}
    else:
        layers |= runnable(spikingjelly(steps, options.device), current)
    ready = torch.empty_like(current)
    jobs: dict[str, Callable[[], object]] = {"copy": partial(ready.copy_, current)}
    for name, layer in layers.items():
        jobs[f"{name} forward"] = partial(forward, layer, current)
        jobs[f"{name} both"] = partial(forward_backward, layer, current)
    clock = seconds_on_gpu if current.is_cuda else timed
    seconds = in_turns({name: partial(clock, job) for name, job in jobs.items()}, options.repeats)
    rows: list[list[object]] = []
    for name in layers:
        one, both, copy = seconds[f"{name} forward"], seconds[f"{name} both"], seconds["copy"]
        times = f"{1e3 * one:.3f}", f"{1e3 * both:.3f}", f"{copy / one:.0%}", f"{2.5 * copy / both:.0%}"
        peak = peak_megabytes(jobs[f"{name} both"], current)
        rows.append([dtype, layout, steps, name, *times, f"{peak:.0f}"])
    return rows


def runnable(layers: dict[str, nn.Module], current: Tensor) -> dict[str, nn.Module]:
    """The peers that take this type; what the others say is printed."""
    able = {}
    for name, layer in layers.items():
        try:
            forward_backward(layer, current)
        except Exception as error:  # whatever a peer raises, ours is still to be measured
            print(f"{name} does not run {current.dtype}: {type(error).__name__}: {str(error).splitlines()[:1]}")
        else:
            able[name] = layer
    return able


def seconds_on_gpu(job: Callable[[], object]) -> float:
    """Seconds between two marks in the GPU's queue around a job."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start.record()
    job()
    end.record()
    end.synchronize()
    milliseconds: float = start.elapsed_time(end)
    return milliseconds / 1e3


if __name__ == "__main__":
    sys.exit(main())
