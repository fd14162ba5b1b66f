"""Training steps whose memory is kept for the next one, against the same where the C library gives it back.

A step is the forward pass, cross-entropy, the backward pass and Adam, on the processor, under glibc. First both must
learn the same, bit for bit. Then they take turns, of two steps each, of which the second counts. Medians are printed,
with the page faults of a step and the most memory that the process had.

Example:
    .venv/bin/python -m scripts.bench.kept_memory --repeats 5
    .venv/bin/python -m scripts.bench.kept_memory --networks plif-mnist --batch 64
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif import build_model
from evglif.kept_memory import kept_memory
from preprocessing.commands import command
from scripts.bench.common import machine, parser, timed

NETWORKS = {"plif-mnist": ("plif", 8, 1, 28), "7b-widenet": ("glif", 16, 2, 48)}
"""Their neuron, T, channels of a frame and its side, px."""

WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {"given back": nullcontext, "kept": kept_memory}


class Turn(NamedTuple):
    """A step's seconds and page faults, and the most memory of the process, MB."""

    seconds: float
    faults: float
    peak: float


@command("no figures were kept")
def main() -> None:
    options = parse_options()
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        raise ValueError("MALLOC_… or GLIBC_TUNABLES is set, so that both would be the same; run it without")
    lines = [f"{'':<26}{'ms a step':>10}{'× given back':>14}{'page faults':>13}{'peak MB':>9}"]
    for name in options.networks:
        learnt = [Training(name, options.batch).learn(way) for way in WAYS.values()]
        assert all(map(torch.equal, *learnt)), f"{name} does not learn the same"
        training = Training(name, options.batch)
        turns = [{way: training.turn(within) for way, within in WAYS.items()} for _ in range(options.repeats)]
        rows = {way: Turn(*map(median, zip(*(turn[way] for turn in turns), strict=True))) for way in WAYS}
        for way, row in rows.items():
            ratio = row.seconds / rows["given back"].seconds
            lines.append(
                f"{f'{name}, {way}':<26}{1e3 * row.seconds:>10.0f}{ratio:>14.2f}{row.faults:>13,.0f}{row.peak:>9.0f}"
            )
    threads = f"{torch.get_num_threads()} threads, batch {options.batch}"
    lines.append(f"{machine('torch', 'numba')}, {threads}, median of {options.repeats}")
    print(*lines, sep="\n")
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=5)
    made.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    made.add_argument("--batch", type=int, default=16, help="samples; default: 16")
    made.add_argument("--out", type=Path, help="file for the table")
    return made.parse_args()


class Training:
    """A network and its optimiser, and one batch to learn."""

    def __init__(self, name: str, batch: int) -> None:
        neuron, steps, channels, side = NETWORKS[name]
        torch.manual_seed(0)
        self.network = build_model(name, neuron, steps=steps).train()
        self.frames = torch.poisson(torch.full((batch, steps, channels, side, side), 0.5))
        if name == "plif-mnist":
            self.frames = self.frames[:, 0]
        self.labels = torch.arange(batch) % 10
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)

    def __call__(self) -> None:
        F.cross_entropy(self.network(self.frames), self.labels).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()

    def learn(self, within: Callable[[], AbstractContextManager[None]]) -> list[Tensor]:
        """The weights after three steps."""
        torch.manual_seed(1)
        with within():
            for _ in range(3):
                self()
        return [weight.detach() for weight in self.network.parameters()]

    def turn(self, within: Callable[[], AbstractContextManager[None]]) -> Turn:
        """A step after one that is not counted."""
        Path("/proc/self/clear_refs").write_text("5")  # the most memory from here on
        with within():
            self()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            seconds = timed(self)
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
            return Turn(seconds, faults, _peak())


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


if __name__ == "__main__":
    sys.exit(main())
