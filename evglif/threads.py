"""How many threads of the processor a network is worth.

Threads wait for each other at the end of every layer, without giving up their processors. Of a small layer that is most
of what they do, and beside another busy program all wait for the one that has to share: an epoch that took 0.4 s on one
thread took 2.2 s on two. The number follows from the size of the work alone, so that the same command learns the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from evglif.models import Network
from evglif.models.summary import summarise

LEAST_WORK = 50_000_000
"""Multiply-accumulates of a layer, a batch long, for which another thread is worth it: some milliseconds."""


@dataclass(frozen=True)
class Threads:
    """A number of threads, and why.

    Attributes:
        number: of threads.
        reason: in words, as part of a line.
    """

    number: int
    reason: str

    def __str__(self) -> str:
        return f"threads: {self.number} of {torch.get_num_threads()}, {self.reason}"


def choose_threads(model: Network, batch_size: int, asked: int | None = None, before: int | None = None) -> Threads:
    """The number of threads for a network on the processor.

    Args:
        model: the network.
        batch_size: of its batches.
        asked: what ``--threads`` says.
        before: what the run had so far; another number would round sums in another way.

    Raises:
        ValueError: for fewer than one.
    """
    if asked is not None:
        if asked < 1:
            raise ValueError(f"threads must be at least 1, got {asked}")
        other = f"; the run had {before} before, and may differ in last bits" if before not in (None, asked) else ""
        return Threads(asked, f"as --threads says{other}")
    if before is not None:
        return Threads(before, "as the run had before; --threads N takes another number")
    work = batch_size * sum(layer.num_macs for layer in summarise(model).layers) // _num_weighted(model)
    number = max(1, min(torch.get_num_threads(), work // LEAST_WORK))
    return Threads(
        number, f"for {work / 1e6:.0f} million multiply-accumulates a layer; --threads N takes another number"
    )


def _num_weighted(model: nn.Module) -> int:
    return max(1, sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()))


@contextmanager
def use_threads(number: int | None) -> Iterator[None]:
    """So many threads within, of torch and of the compiled loops; None for as many as there are."""
    before = torch.get_num_threads()
    try:
        if number is not None:
            torch.set_num_threads(number)
        yield
    finally:
        torch.set_num_threads(before)
