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
from preprocessing.outlet import for_bars

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


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

    @contextmanager
    def epoch(self, number: int, num_samples: int) -> Iterator[None]:
        """Show an epoch of so many samples while it lasts."""
        name, hidden = f"epoch {number}/{self.epochs}", not self.in_terminal
        stream = for_bars(sys.stdout)
        with tqdm(total=num_samples, desc=name, unit=" samples", disable=hidden, file=stream) as self.bar:
            yield

    def batch(self, means: Means) -> None:
        """Show how the epoch goes."""
        if self.in_terminal and self.bar is not None:
            loss, accuracy = means.figures("train").values()
            self.bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.1%}", refresh=False)
            self.bar.update(means.num_samples - self.bar.n)

    def figures(self, row: Row) -> None:
        """Show the figures of an epoch that is over."""
        if self.in_terminal and self.bar is not None:
            self.bar.bar_format = "{desc} [{elapsed}, {rate_fmt}{postfix}]"  # a full bar would leave no room
            self.bar.set_postfix_str(said(row))
        if self.in_log:
            rate = f"{row['samples_per_second']:.0f} samples/s"
            print(f"epoch {row['epoch']:.0f}/{self.epochs}: {said(row)}; {rate}", flush=True)

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
