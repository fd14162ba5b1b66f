"""Training a small network beside another busy program: epochs on the threads that are chosen, on one and on all.

The busy program is one process that counts for as long as the measurement takes, a minute at most, and is stopped by
this one. Times are of epochs of the quick start's network on frames drawn at random, which take turns.

Example:
    .venv/bin/python -m scripts.bench.neighbour --repeats 5
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from evglif import build_model
from evglif.models import Network
from evglif.threads import choose_threads, use_threads
from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser, timed

BATCH, NUM_BATCHES, LONGEST_S = 16, 2, 60.0


@command("no figures were kept")
def main() -> None:
    made = parser(__doc__, repeats=5)
    options = made.parse_args()
    torch.manual_seed(0)
    model = build_model("7b-widenet", "glif", steps=4, size=(16, 16), width=16, init="cifar").train()
    frames, labels = torch.rand(BATCH, 4, 2, 16, 16), torch.randint(0, 10, (BATCH,))
    chosen = choose_threads(model, BATCH)
    print(chosen)
    numbers = {"chosen": chosen.number, "one": 1, "all": torch.get_num_threads()}
    jobs = {name: partial(timed, partial(epoch, model, frames, labels, number)) for name, number in numbers.items()}
    report("alone", jobs, options.repeats)
    busy = multiprocessing.get_context("spawn").Process(target=count, daemon=True)
    busy.start()
    try:
        report("beside a busy program", jobs, options.repeats)
    finally:
        busy.kill()
        busy.join()
    print(f"{machine('torch', 'numba')}, median of {options.repeats}")


def report(where: str, jobs: Mapping[str, Callable[[], float]], repeats: int) -> None:
    seconds = in_turns(jobs, repeats)
    told = ", ".join(f"{name} {1e3 * taken:.0f} ms ({taken / seconds['one']:.2f})" for name, taken in seconds.items())
    print(f"{where}, × one thread: {told}")


def epoch(model: Network, frames: Tensor, labels: Tensor, threads: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with use_threads(threads):
        for _ in range(NUM_BATCHES):
            nn.functional.cross_entropy(model(frames), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()


def count() -> None:
    """Keep a processor busy."""
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        pass


if __name__ == "__main__":
    sys.exit(main())
