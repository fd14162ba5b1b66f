"""What the folder of a finished run holds, read and checked: figures, epochs, weights, and what was made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from evglif.checkpoint import Checkpoint, read_checkpoint
from evglif.evaluation.epochs import Row, read_rows
from evglif.evaluation.firing import LayerFiring
from evglif.results import RESULTS, read_results, weights_that_count
from evglif.training.run import METRICS, RECIPE
from preprocessing.plain import fitting, from_plain, parse_json

PARITY, PROFILE = "*.parity.json", "*profile.json"
"""Files beside a checkpoint: of ``deploy.export``, and of ``deploy.profile … --json``."""

T = TypeVar("T")


@dataclass(frozen=True)
class ClassFigures:
    """Figures of each class, ``[K]``; None where there is nothing to divide by."""

    support: tuple[int, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    f1: tuple[float | None, ...]


@dataclass(frozen=True)
class CalibrationFigures:
    """Confidence against accuracy by bins ``[M]``; None in bins without samples."""

    error: float
    mean_confidence: float
    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]


@dataclass(frozen=True)
class TestFigures:
    """What is told of an evaluation; names as in ``Evaluation.to_dict``."""

    accuracy: float
    accuracy_interval_95: tuple[float, ...]
    num_samples: int
    loss: float
    accuracy_by_step: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    classes: ClassFigures
    calibration: CalibrationFigures
    spikes: float = 0.0
    layers: dict[str, LayerFiring] = field(default_factory=dict)
    num_learnt_from: int | None = None
    accuracy_on_new_samples: float | None = None

    @property
    def chance(self) -> float:
        """Accuracy of always naming the most frequent class."""
        return max(self.classes.support) / self.num_samples


@dataclass(frozen=True)
class ParityFigures:
    """How an exported model agrees with its checkpoint; names as in the file that ``deploy.export`` writes."""

    model: str
    samples: str
    num_samples: int
    agreement: float
    agreement_interval_95: tuple[float, ...]
    max_difference: float
    accuracy: float | None = None
    checkpoint_accuracy: float | None = None
    num_observed: int = 0
    flipped: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EnergyFigures:
    """Operations and energy of a sample; names as in the file that ``deploy.profile --json`` writes."""

    num_samples: int
    macs: float
    accumulates: float
    n_accumulates: float
    neuron_multiplications: float
    microjoules: float
    relu_twin: dict[str, dict[str, float]]
    convention: str


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Attributes:
        folder: where it is.
        results: what stands in its ``results.json``.
        chosen: ``"best"``, the epoch of best validation, or ``"last"`` where there was no validation.
        checkpoint: of that epoch.
        epochs: figures of every epoch.
        recipe: its text.
        parities: of the exports that lie beside the checkpoint.
        energy: of a profile that lies there; None where none does.
    """

    folder: Path
    results: dict[str, Any]
    chosen: str
    checkpoint: Checkpoint
    epochs: list[Row]
    recipe: str
    parities: list[ParityFigures]
    energy: EnergyFigures | None

    @property
    def checkpoint_path(self) -> Path:
        """File of the weights that the report is about."""
        return self.folder / f"{self.chosen}.pt"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits; numbers where the checkpoint knows none."""
        data, num = self.checkpoint.data, self.checkpoint.model.spec.num_classes
        return data.classes if data else tuple(map(str, range(num)))

    def test(self, which: str) -> TestFigures | None:
        """Figures on the test split of the ``"best"`` or ``"last"`` epoch, as the training noted them."""
        found = self.results.get(which, {}).get("test")
        return None if found is None else figures_of(found, f"{self.folder / RESULTS}: {which}.test")


def read_run(folder: Path) -> RunRecord:
    """Read the folder of a finished run.

    Raises:
        FileNotFoundError: there is no such run, or it is not finished.
        ValueError: one of its files is damaged.
    """
    results = read_results(folder / RESULTS)
    if results is None:
        raise FileNotFoundError(
            f"no {RESULTS} in {folder}: give the folder of a finished run of python -m evglif.train; "
            "the same training command finishes one that was stopped"
        )
    chosen = weights_that_count(results)
    recipe = folder / RECIPE
    return RunRecord(
        folder=folder,
        results=results,
        chosen=chosen,
        checkpoint=read_checkpoint(folder / f"{chosen}.pt"),
        epochs=read_rows(folder / METRICS),
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        parities=[_read(ParityFigures, each) for each in sorted(folder.glob(PARITY))],
        energy=next((_read(EnergyFigures, each) for each in sorted(folder.glob(PROFILE))), None),
    )


def figures_of(found: Mapping[str, Any], what: str) -> TestFigures:
    """The figures of an evaluation, from ``Evaluation.to_dict`` or a file that holds it.

    Raises:
        ValueError: one is missing, or of another type; ``what`` says of what.
    """
    try:
        plain = {**found, **{name: _known(kind, found.get(name, {})) for name, kind in _INNER.items()}}
        return from_plain(TestFigures, _known(TestFigures, plain))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is not what an evaluation writes: {error}") from error


_INNER: dict[str, type] = {"classes": ClassFigures, "calibration": CalibrationFigures}


def _known(kind: type, found: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataclass has a field for; later versions may write more."""
    return {each.name: found[each.name] for each in fields(kind) if each.name in found}


def _read(kind: type[T], path: Path) -> T:
    try:
        return from_plain(kind, _known(kind, fitting("it", parse_json(path.read_bytes()), dict[str, Any])))
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}; remove it, or write it anew") from error
