"""The recurrence on the CPU: the compiled backend against the reference loop, its peers, a ReLU and copies, in one run.

The shapes are those of 7B-wideNet's three largest stages. First both backends must agree, spike for spike and in every
gradient. Then all take turns of two calls, of which the second counts, and medians are printed with their ratios to
ours. All allocate their outputs, as a network does, but the "copy, ready": fresh pages cost more than the arithmetic,
and ours asks for huge ones. Forward and backward must move five tensors where a copy moves two, so 2.5 copies stand
beside them as what memory alone takes. Memory is that of tensors, the scratch of compiled loops left out.
SpikingJelly's LIFNode has fewer terms than GLIF.

Example:
    .venv/bin/python -m scripts.bench.recurrence --batch 4 --repeats 9 --dtypes fp32 bf16
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser, timed_warm
from scripts.bench.neuron_peers import (
    DTYPES,
    INSTALL,
    LAYOUTS,
    check_agreement,
    check_lif,
    compiled,
    forward,
    forward_backward,
    glif,
    make_current,
    peak_megabytes,
    saved_bytes,
    spikingjelly,
)

STAGES = {"1": (64, 48), "2": (64, 24), "3": (128, 12)}
HEADER = (
    f"{'':>14}  {'forward':>16}  {'forward + backward':>18}  {'memory':>18}\n"
    f"{'':>14}  {'ms':>8} {'× ours':>7}  {'ms':>10} {'× ours':>7}  {'peak MB':>8} {'saved B':>9}"
)


@command("no figures were kept")
def main() -> None:
    options = parse_options()
    torch.manual_seed(0)
    lines: list[str] = []
    for dtype, layout, stage in product(options.dtypes, options.layouts, options.stages):
        channels, side = STAGES[stage]
        current = make_current(options.steps, options.batch, channels, side, layout, dtype, "cpu")
        table = [f"{'×'.join(map(str, current.shape))}, {dtype}, {layout}", HEADER, *measure(current, options), ""]
        print(*table, sep="\n", flush=True)
        lines += table
    last = [f"{machine('torch', 'numba')}, {torch.get_num_threads()} threads, median of {options.repeats}"]
    if not spikingjelly(options.steps, "cpu"):
        last.append(INSTALL)
    print(*last, sep="\n")
    lines += last
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=9)
    made.add_argument("--batch", type=int, default=4, help="samples; default: 4")
    made.add_argument("--steps", type=int, default=16, help="time steps; default: 16")
    made.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    made.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=["fp32"], help="types of the current")
    made.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=["contiguous"])
    made.add_argument("--compile", action="store_true", help="torch.compile of the loop too, which takes minutes")
    made.add_argument("--out", type=Path, help="file for the tables")
    return made.parse_args()


def measure(current: Tensor, options: argparse.Namespace) -> list[str]:
    """The lines of a table, one per layer."""
    layers = glif(current.shape[2], options.steps, "cpu", "cpu")
    check_agreement(layers["ours"], layers["eager"], current)
    if options.compile:
        layers["compiled"] = compiled(layers["eager"])
    others = spikingjelly(options.steps, "cpu") if current.dtype == torch.float32 else {}
    if others:
        check_lif(others["SJ LIF"], current, "cpu")
    layers |= {**others, "ReLU": nn.ReLU()}
    ready = torch.empty_like(current)
    one: dict[str, Callable[[], object]] = {name: partial(forward, layer, current) for name, layer in layers.items()}
    one |= {"copy, fresh": current.clone, "copy, ready": partial(ready.copy_, current)}
    two = {name: partial(forward_backward, layer, current) for name, layer in layers.items()}
    forwards, both = (milliseconds(jobs, options.repeats) for jobs in (one, two))
    both |= {name: 2.5 * forwards[name] for name in one if name not in two}
    lines = []
    for name in one:
        line = f"{name:>14}  {forwards[name]:8.2f} {forwards[name] / forwards['ours']:7.2f}"
        line += f"  {both[name]:10.2f} {both[name] / both['ours']:7.2f}"
        if name in two:
            line += f"  {peak_megabytes(two[name], current):8.1f} {saved_bytes(layers[name], current):9.2f}"
        lines.append(line)
    return lines


def milliseconds(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    medians = in_turns({name: partial(timed_warm, job) for name, job in jobs.items()}, repeats)
    return {name: 1e3 * seconds for name, seconds in medians.items()}


if __name__ == "__main__":
    sys.exit(main())
