"""How a run is watched: a progress bar or a line per epoch, and TensorBoard."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from evglif.evaluation.epochs import Row
from evglif.training.learner import Means
from evglif.training.pace import Pace, duration
from preprocessing.outlet import for_bars

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


_AFTER_INTRODUCTION = 1e-9
"""Seconds: a bar with any delay is first shown when it moves."""


class Watch:
    """What is shown of a run, on the process that shows it.

    In a terminal a bar per epoch, which stays with the epoch's figures; elsewhere a line per epoch.

    Args:
        epochs: of the run.
        shown: whether anything is printed.
        tensorboard: folder for TensorBoard's files; None for none.
    """

    def __init__(self, epochs: int, shown: bool, tensorboard: Path | None = None) -> None:
        self.epochs = epochs
        self.in_terminal = shown and sys.stdout.isatty()
        self.in_log = shown and not self.in_terminal
        self.tensorboard = tensorboard
        self.writer: SummaryWriter | None = None
        self.bar: tqdm[None] | None = None
        self.pace = Pace(epochs)
        self._introduction = ""

    def introduce(self, facts: str) -> None:
        """A line that is to stand before all others, with the time to expect, once a batch or two have told it."""
        self._introduction = facts

    @contextmanager
    def epoch(self, number: int, num_samples: int, num_judged: int = 0) -> Iterator[None]:
        """Show an epoch of so many samples while it lasts; another number of them is judged then."""
        self.pace.begin(number, num_samples, num_judged)
        name, hidden = f"epoch {number}/{self.epochs}", not self.in_terminal
        stream, delay = for_bars(sys.stdout), _AFTER_INTRODUCTION if self._introduction else 0
        with tqdm(total=num_samples, desc=name, unit=" samples", disable=hidden, file=stream, delay=delay) as self.bar:
            yield

    def batch(self, means: Means) -> None:
        """Show how the epoch goes."""
        self.pace.batch(means.num_samples)
        left = self.pace.left()
        if self._introduction and left is None:
            return  # the first batch; the bar is to come after the line that waits for the second
        self._introduced(left)
        if self.in_terminal and self.bar is not None:
            loss, accuracy = means.figures("train").values()
            run = "" if left is None else f", run {duration(left)} left"
            self.bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.1%}{run}", refresh=False)
            self.bar.update(means.num_samples - self.bar.n)

    def _introduced(self, left: float | None) -> None:
        if self._introduction and (self.in_terminal or self.in_log):
            expected = "" if left is None else f"; about {duration(left)} to go"
            print(f"{self._introduction}{expected}", flush=True)
        self._introduction = ""

    def figures(self, row: Row) -> None:
        """Show the figures of an epoch that is over."""
        self.pace.end()
        left = self.pace.left()
        self._introduced(left)
        if self.in_terminal and self.bar is not None:
            self.bar.bar_format = "{desc} [{elapsed}, {rate_fmt}{postfix}]"  # a full bar would leave no room
            self.bar.set_postfix_str(said(row))
        if self.in_log:
            rate = f"{row['samples_per_second']:.0f} samples/s"
            to_go = f"; {duration(left)} left" if left else ""
            print(f"epoch {row['epoch']:.0f}/{self.epochs}: {said(row)}; {rate}{to_go}", flush=True)

    def log(self, row: Row) -> None:
        """Add an epoch to TensorBoard's files; what they hold of this epoch and later ones is taken back."""
        if self.tensorboard is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        epoch = int(row["epoch"])
        if self.writer is None:
            self.writer = SummaryWriter(str(self.tensorboard), purge_step=epoch)
        for name, value in row.items():
            if name != "epoch":
                self.writer.add_scalar(name.replace("_", "/", 1), value, epoch)
        self.writer.flush()

    def close(self) -> None:
        """Close TensorBoard's files."""
        if self.writer is not None:
            self.writer.close()


def said(row: Row) -> str:
    """Loss and accuracy of every stage, for people."""
    stages = [stage for stage in ("train", "validation", "test") if f"{stage}_loss" in row]
    return "; ".join(f"{stage} {row[f'{stage}_loss']:.4f}, {row[f'{stage}_accuracy']:.1%}" for stage in stages)
