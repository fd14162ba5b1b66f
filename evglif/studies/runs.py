"""Runs as they lie in folders: what each was, how far it came, what it found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evglif.evaluation.epochs import Row, best_row, read_rows
from evglif.neurons import options_of
from evglif.recipe import Recipe, read_recipe
from evglif.results import RESULTS, read_results
from evglif.studies.space import recipe_name
from evglif.training.run import METRICS, RECIPE, flat

MOST_FOLDERS = 100_000
UNSAID = ("seed", "loader.workers", "track_test", "checkpoint")
"""Values of a recipe that make no other setting of a run."""


@dataclass(frozen=True)
class FoundRun:
    """A run of ``python -m evglif.train``.

    Attributes:
        folder: where it is.
        recipe: what it does.
        history: figures of its epochs so far.
        results: what a finished one found, else None.
    """

    folder: Path
    recipe: Recipe
    history: list[Row]
    results: dict[str, Any] | None

    @property
    def data(self) -> Path | None:
        """The cache that it was trained on; only a finished run says."""
        return None if self.results is None else Path(self.results["data"])

    @property
    def network(self) -> str:
        """Name of the network."""
        return str(self.recipe.model.get("name"))

    @property
    def neuron(self) -> str:
        """Name of the neuron; its options stand in the recipe."""
        neuron = self.recipe.model.get("neuron")
        return str(neuron.get("name") if isinstance(neuron, dict) else neuron)

    @property
    def best(self) -> Row | None:
        """Its epoch of best validation, so far."""
        return best_row(self.history)

    @property
    def checkpoint(self) -> Path:
        """The weights that count: those of best validation or, without validation, the last."""
        return self.folder / ("last.pt" if self.best is None else "best.pt")

    @property
    def test(self) -> dict[str, Any] | None:
        """Figures of those weights on the test split, of a finished run with one."""
        found: dict[str, Any] | None = (self.results or {}).get("last" if self.best is None else "best", {}).get("test")
        return found

    @property
    def seconds(self) -> float:
        """That its epochs took."""
        return sum(row.get("seconds", 0.0) for row in self.history)

    @property
    def settings(self) -> dict[str, Any]:
        """All that makes it what it is but the seed, by the dotted names of a recipe: the data and the neuron first.

        Options that its neuron ignores are left out.
        """
        neuron = {"model.neuron": self.neuron}
        values = neuron | {recipe_name(name): value for name, value in flat(self.recipe.to_dict()).items()} | neuron
        ignored = {f"model.{name}" for name in options_of() - options_of(self.neuron)}
        data = {} if self.data is None else {"data": self.data.stem}
        return data | {name: value for name, value in values.items() if name not in {*UNSAID, *ignored}}


def read_run(folder: Path) -> FoundRun:
    """The run in a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: one of its files is damaged.
    """
    if not (folder / RECIPE).is_file():
        raise FileNotFoundError(f"{folder} holds no run: it has no {RECIPE}; python -m evglif.train makes one")
    recipe, metrics = read_recipe(str(folder / RECIPE)), folder / METRICS
    history = read_rows(metrics) if metrics.is_file() else []
    return FoundRun(folder, recipe, history, read_results(folder / RESULTS))


def find_runs(folders: Iterable[Path]) -> Iterator[FoundRun]:
    """All runs in these folders and in folders of theirs, by name.

    Raises:
        FileNotFoundError: a folder is not there, or has no run in it.
        ValueError: a run is damaged.
    """
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; give one of a run, or one with runs in it")
        if not (found := sorted(path.parent for path in folder.rglob(RECIPE))):
            raise FileNotFoundError(f"{folder} holds no runs; python -m evglif.train --out {folder}/NAME makes one")
        yield from map(read_run, found)
