"""Training steps whose memory glibc keeps for the next one, against the same where it gives it back.

A step is the forward pass, cross-entropy, the backward pass and Adam, on the processor. Each turn is a process of its
own, by the environment's ``MALLOC_…`` or without. First both must learn the same, bit for bit. Medians of the turns'
medians are printed, with the page faults of a step and the most memory that the process had.

Example:
    .venv/bin/python -m scripts.bench.kept_memory --repeats 3
    .venv/bin/python -m scripts.bench.kept_memory --networks plif-mnist --batch 64
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif import build_model
from preprocessing.arguments import positive
from preprocessing.commands import command
from scripts.bench.common import machine, parser, timed

NETWORKS = {"plif-mnist": ("plif", 8, (1, 28, 28)), "7b-widenet": ("glif", 16, (16, 2, 48, 48))}
"""Their neuron, T, and the shape of a sample: a still, or frames."""

KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "100000000"}
WAYS: dict[str, dict[str, str]] = {"given back": {}, "kept": KEEP}
"""What the environment says of memory that is freed; see ``man mallopt``."""

NUM_STEPS = 5
"""Of a turn; the first two do not count."""


class Turn(NamedTuple):
    """A step's seconds and page faults, the most memory of the process, MB, and what was learnt."""

    seconds: float
    faults: float
    peak: float
    learnt: str


@command("no figures were kept")
def main() -> None:
    options = parse_options()
    if options.turn:
        print(json.dumps(turn(options.turn, options.batch)))
        return
    lines = [f"{'':<26}{'ms a step':>10}{'× given back':>14}{'page faults':>13}{'peak MB':>9}"]
    for name in options.networks:
        turns = [{way: in_process(name, way, options.batch) for way in WAYS} for _ in range(options.repeats)]
        assert len({of_way.learnt for each in turns for of_way in each.values()}) == 1, (
            f"{name} does not learn the same"
        )
        usual = median(each["given back"].seconds for each in turns)
        for way in WAYS:
            seconds, faults, peak = map(median, zip(*(each[way][:3] for each in turns), strict=True))
            lines.append(
                f"{f'{name}, {way}':<26}{1e3 * seconds:>10.0f}{seconds / usual:>14.2f}{faults:>13,.0f}{peak:>9.0f}"
            )
    threads = f"{torch.get_num_threads()} threads, batch {options.batch}"
    lines.append(f"{machine('torch', 'numba')}, {threads}, median of {options.repeats}")
    print(*lines, sep="\n")
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=3)
    made.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    made.add_argument("--batch", type=positive, default=16, help="samples; default: 16")
    made.add_argument("--out", type=Path, help="file for the table")
    made.add_argument("--turn", choices=list(NETWORKS), help=argparse.SUPPRESS)
    return made.parse_args()


def in_process(name: str, way: str, batch: int) -> Turn:
    """A turn in a process whose memory is kept or not."""
    usual = {
        key: value for key, value in os.environ.items() if not key.startswith("MALLOC_") and key != "GLIBC_TUNABLES"
    }
    words = [sys.executable, "-m", "scripts.bench.kept_memory", "--turn", name, "--batch", str(batch)]
    ended = subprocess.run(words, env={**usual, **WAYS[way]}, check=True, stdout=subprocess.PIPE, text=True)
    return Turn(*json.loads(ended.stdout))


def turn(name: str, batch: int) -> Turn:
    """Steps on one batch, from the same weights each time."""
    neuron, steps, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = build_model(name, neuron, steps=steps).train()
    frames = torch.poisson(torch.full((batch, *shape), 0.5))
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        F.cross_entropy(network(frames), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    seconds, faults = [], [_faults()]
    for _ in range(NUM_STEPS):
        seconds.append(timed(step))
        faults.append(_faults())
    of_steps = [after - before for before, after in pairwise(faults)]
    learnt = sha256(b"".join(weight.detach().numpy().tobytes() for weight in network.parameters())).hexdigest()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return Turn(median(seconds[2:]), median(of_steps[2:]), peak, learnt)


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    sys.exit(main())
