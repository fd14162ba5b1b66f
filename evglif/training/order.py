"""In which order a process sees the samples of an epoch: decided by the seed and the epoch alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evglif.data import Rows


@dataclass(frozen=True)
class Piece:
    """What one process does of one batch.

    Attributes:
        rows: its samples.
        share: what the mean loss of these counts, so that the mean over all processes, added up over the batches of a
            step, is the mean loss of the step's samples.
        steps: whether the optimiser steps after it.
    """

    rows: Rows
    share: float
    steps: bool


@dataclass(frozen=True)
class Order:
    """How the samples of an epoch are dealt out.

    Attributes:
        num_samples: of the training split.
        batch_size: samples per batch and process.
        seed: of the run.
        rank: number of this process, from 0.
        num_processes: how many share a batch.
        accumulate: batches per step of the optimiser.

    Raises:
        ValueError: where there are fewer samples than processes.
    """

    num_samples: int
    batch_size: int
    seed: int
    rank: int = 0
    num_processes: int = 1
    accumulate: int = 1

    def __post_init__(self) -> None:
        if self.num_samples < self.num_processes:
            raise ValueError(f"{self.num_samples} training samples cannot be shared by {self.num_processes} processes")

    def epoch(self, epoch: int) -> list[Piece]:
        """The pieces of an epoch, every sample once among all processes.

        The samples of a batch are the same however many processes share it. A last batch of fewer samples is shared
        out as evenly as it goes; one that would leave a process without any joins the batch before it.
        """
        batches = self._batches(epoch)
        steps = [batches[start : start + self.accumulate] for start in range(0, len(batches), self.accumulate)]
        pieces = []
        for step in steps:
            num_samples = sum(len(batch) for batch in step)
            for position, batch in enumerate(step, start=1):
                rows = np.array_split(batch, self.num_processes)[self.rank]
                pieces.append(Piece(rows, len(rows) * self.num_processes / num_samples, position == len(step)))
        return pieces

    def _batches(self, epoch: int) -> list[Rows]:
        samples = np.random.default_rng([self.seed, epoch]).permutation(self.num_samples)
        whole = self.batch_size * self.num_processes
        cuts = [cut for cut in range(whole, self.num_samples, whole) if self.num_samples - cut >= self.num_processes]
        return np.split(samples, cuts)


def seed_of(seed: int, epoch: int, rank: int) -> int:
    """Seed of all that is drawn in an epoch on a process: dropout, augmentation, noise of encoders."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0])
