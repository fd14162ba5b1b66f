"""The folder of a run: what is written after every epoch, and how a run that was stopped finds its place again.

``state.pt`` alone decides where a run stands. It is replaced whole, and ``last.pt``, ``best.pt`` and ``metrics.csv``
follow from it: they are written after it, and once more when a run goes on. Wherever a kill falls,

- before ``state.pt`` is replaced, the epoch has not been: it is done again, from the same weights in the same order;
- after it, the epoch counts, and what was not yet written is written when the run goes on.

So no epoch is missing or stands twice, and no file is ahead of the state that made it. ``best.pt`` cannot be lost: it
is written before the next epoch begins, and while the state stands at the best epoch it holds those same weights.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evglif.checkpoint import DataSpec, load_checkpoint, save_checkpoint
from evglif.evaluation.epochs import Row, best_row
from evglif.models import Network
from evglif.provenance import Origin, Seen, digest
from evglif.results import RESULTS, read_results
from evglif.tensor_files import load_tensors, remove_leftovers, replace_file, save_tensors
from evglif.training.machine import is_first
from preprocessing.files import exclusive
from preprocessing.plain import brief, from_plain, json_text

FORMAT = "evglif-training-state"
VERSION = 1
MOST_THREADS = 4096
"""Of a processor; more is a damaged number."""
STATE, RECIPE, METRICS, REPORT = "state.pt", "recipe.yaml", "metrics.csv", "report.html"
FILES = (STATE, RECIPE, "last.pt", "best.pt", METRICS, RESULTS, "curves.png", "confusion.png", REPORT)
"""What a run writes to its folder, beside TensorBoard's files; nothing else is ever removed from it."""

LOCK = ".training"
"""File that a training holds in its folder while it works there."""

BOARD = "tensorboard"
"""Folder of TensorBoard's files."""

MOST_DIFFERENCES = 5


@dataclass(frozen=True)
class State:
    """Where a run stood after an epoch.

    Attributes:
        history: figures of every epoch so far.
        learner: what ``Learner.restore`` takes.
        threads: of the processor, which sums round by; None where a run was not bound to a number.
    """

    history: list[Row]
    learner: dict[str, Any]
    threads: int | None = None


@dataclass(frozen=True)
class _Kept:
    """What ``state.pt`` holds.

    Raises:
        ValueError: its epochs are not one after the other, with the same figures.
    """

    format: str
    version: int
    identity: dict[str, Any]
    history: list[dict[str, Any]]
    learner: dict[str, Any]
    best: str = ""
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.history:
            raise ValueError("history is empty; expected an epoch at least")
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads is {brief(self.threads)}; expected a number from 1 to {MOST_THREADS}")
        for number, row in enumerate(self.history, 1):
            wrong = [name for name, value in row.items() if type(value) not in (int, float)]
            if wrong or row.keys() != self.history[0].keys() or row.get("epoch") != number:
                what = f"{wrong[0]} is {brief(row[wrong[0]])}" if wrong else f"figures {brief(list(row))}"
                raise ValueError(f"history: {what} in place {number}; expected numbers, those of epoch {number}")
        judged = {name for name in ("validation_loss", "validation_accuracy") if name in self.history[0]}
        if len(judged) == 1:
            raise ValueError(f"history has {judged.pop()} alone; expected loss and accuracy of the validation split")


class Run:
    """The files of a run.

    Args:
        folder: where they are.
        data: what the network is trained on, for the checkpoints.
        identity: all that decides what is learnt, plain values by dotted names; another one is another run.
        seen: finds out which samples are learnt from, for the checkpoints; asked for once there is one to write.
        origins: the checkpoints that it began with, the oldest first.

    Raises:
        ValueError: where the folder is a file.
    """

    def __init__(
        self,
        folder: Path,
        data: DataSpec,
        identity: Mapping[str, Any],
        seen: Callable[[], Seen],
        origins: tuple[Origin, ...] = (),
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"--out {folder} is a file; give a folder")
        self.folder = folder
        self.data = data
        self.identity = dict(identity)
        self.origins = origins
        self._find_seen = seen
        self._best = ""

    @cached_property
    def seen(self) -> Seen:
        """The samples that are learnt from."""
        return self._find_seen()

    def former(self) -> State | None:
        """Where the run in the folder stands; None where there is no run.

        Raises:
            FileExistsError: where the folder holds another run, naming what differs, or one that cannot go on.
            ValueError: where its state is damaged, naming what in it.
        """
        instead = "choose another --out, or pass --overwrite to begin anew"
        state = self.folder / STATE
        if not state.exists():
            found = [name for name in FILES if (self.folder / name).exists() and name != RECIPE]
            if found:
                raise FileExistsError(f"{self.folder} holds {', '.join(found)} but no {STATE} to go on from; {instead}")
            return None
        content = load_tensors(state, FORMAT, VERSION)
        try:
            kept = from_plain(_Kept, content)
        except ValueError as error:
            raise ValueError(f"{state} is damaged: {error}; {instead}") from error
        differences = _differences(kept.identity, self.identity)
        if differences:
            raise FileExistsError(f"{self.folder} holds another run: {differences}; {instead}")
        self._best = kept.best
        self._check_best(kept.history, instead)
        return State(kept.history, kept.learner, kept.threads)

    def _check_best(self, history: Sequence[Row], instead: str) -> None:
        """Make sure that ``best.pt`` is still what this run wrote; that of the last epoch is written anew."""
        best = best_row(history)
        if best is None or best is history[-1] or not self._best or (self.folder / RESULTS).exists():
            return
        path = self.folder / "best.pt"
        if not path.exists():
            raise FileExistsError(
                f"{path}, of epoch {best['epoch']:.0f}, is missing, and the run cannot go on; {instead}"
            )
        if digest(load_checkpoint(path)) != self._best:
            raise FileExistsError(f"{path} is not what this run wrote after epoch {best['epoch']:.0f}; {instead}")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other trainings out of the folder; one process of several does it for all.

        Raises:
            BusyError: another training is at work there.
        """
        if not is_first():
            yield
            return
        try:
            with exclusive(self.folder / LOCK, f"training in {self.folder}"):
                yield
        finally:
            with suppress(OSError):  # which is what there is to say of one that holds a run
                self.folder.rmdir()

    def begin(self, recipe: str) -> None:
        """Make the folder, remove the run that it holds, and write the recipe."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self._written():
            path.unlink()
        replace_file(self.folder / RECIPE, recipe.encode())

    def _written(self) -> list[Path]:
        for name in FILES:
            remove_leftovers(self.folder / name)
        named = [self.folder / name for name in FILES if (self.folder / name).exists()]
        return named + list((self.folder / BOARD).glob("events.out.tfevents.*"))

    def save(self, state: State, weights: Network) -> None:
        """Keep an epoch; see above for the order.

        Raises:
            OSError: where there is no room; what was written before is as it was.
        """
        if best_row(state.history) is state.history[-1]:
            self._best = digest(weights)
        content = {"format": FORMAT, "version": VERSION, "identity": self.identity, "best": self._best, **vars(state)}
        save_tensors(self.folder / STATE, content)
        self.follow(state.history, weights)

    def follow(self, history: Sequence[Row], weights: Network) -> None:
        """Write what follows from a state: ``last.pt``, ``metrics.csv`` and, if its epoch is the best, ``best.pt``."""
        for name in FILES:
            remove_leftovers(self.folder / name)
        names = ("last.pt", "best.pt") if best_row(history) is history[-1] else ("last.pt",)
        for name in names:
            save_checkpoint(self.folder / name, weights, self.data, history[-1], self.seen, self.origins)
        replace_file(self.folder / METRICS, _table(history))

    def finish(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json``, which says that the run is finished."""
        replace_file(self.folder / RESULTS, json_text(results, indent=1).encode())

    def results(self) -> dict[str, Any] | None:
        """What a finished run found; None of one that is not finished.

        Raises:
            ValueError: it is damaged.
        """
        return read_results(self.folder / RESULTS, len(self.data.classes))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested plain values by dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found.update(flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value})
    return found


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    said = [f"{name} is {there.get(name)!r} there and {here.get(name)!r} here" for name in names[:MOST_DIFFERENCES]]
    more = len(names) - len(said)
    return ", ".join(said) + (f", and {more} more" if more else "")


def _table(history: Sequence[Row]) -> bytes:
    written = io.StringIO()
    writer = csv.DictWriter(written, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return written.getvalue().encode()
