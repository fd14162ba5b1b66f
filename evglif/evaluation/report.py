"""An evaluation as files: JSON, CSV and pictures in a folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evglif.checkpoint import Checkpoint
from evglif.evaluation.comparison import Comparison
from evglif.evaluation.figures import Evaluation, Predictions
from evglif.evaluation.learnt import NeuronValue, ValueRow, neuron_values, value_rows
from evglif.models import spec_to_dict
from preprocessing.cache import FrameCache, package_version


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; what is not defined (NaN, None) is left empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows([[_cell(value) for value in row] for row in rows])


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def write_tables(folder: Path, evaluation: Evaluation, classes: Sequence[str], sources: Sequence[str]) -> None:
    """Write the CSV files of an evaluation to a folder that exists.

    ``classes.csv``, ``confusion.csv`` (counts, rows are true classes), ``steps.csv``, ``layers.csv``,
    ``reliability.csv`` and ``predictions.csv``, one row per sample.

    Args:
        folder: where.
        evaluation: of which.
        classes: K names.
        sources: recording or picture behind each sample of the whole cache.
    """
    scores, bins = evaluation.classes, evaluation.calibration
    by_class = classes, scores.support, scores.precision, scores.recall, scores.f1
    _write_columns(folder / "classes.csv", ("class", "samples", "precision", "recall", "f1"), by_class)
    confusion = zip(classes, evaluation.confusion.tolist(), strict=True)
    write_csv(folder / "confusion.csv", ("true class", *classes), ([name, *row] for name, row in confusion))
    write_csv(folder / "steps.csv", ("t", "accuracy"), enumerate(evaluation.accuracy_by_step, 1))
    _write_layers(folder / "layers.csv", evaluation)
    by_bin = bins.edges[:-1], bins.edges[1:], bins.counts, bins.confidence, bins.accuracy
    _write_columns(folder / "reliability.csv", ("above", "up_to", "samples", "mean_confidence", "accuracy"), by_bin)
    _write_predictions(folder / "predictions.csv", evaluation.predictions, classes, sources)


def _write_layers(path: Path, evaluation: Evaluation) -> None:
    steps = [f"rate_t{step}" for step in range(1, len(evaluation.accuracy_by_step) + 1)]
    rows = (
        (name, layer.num_neurons, layer.rate, layer.silent, layer.spikes, *layer.by_step)
        for name, layer in evaluation.layers.items()
    )
    write_csv(path, ("layer", "neurons", "rate", "silent", "spikes_per_sample", *steps), rows)


def _write_predictions(path: Path, predictions: Predictions, classes: Sequence[str], sources: Sequence[str]) -> None:
    columns = (
        predictions.indices,
        [sources[index] for index in predictions.indices],
        [classes[label] for label in predictions.labels],
        [classes[label] for label in predictions.predicted],
        predictions.confidence,
    )
    _write_columns(path, ("index", "source", "true", "predicted", "probability"), columns)


def _write_columns(path: Path, head: Sequence[str], columns: Sequence[Sequence[Any] | NDArray[Any]]) -> None:
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
    write_csv(path, head, zip(*plain, strict=True))


def write_evaluation(
    folder: Path, checkpoint: Checkpoint, evaluation: Evaluation, cache: FrameCache, split: str
) -> None:
    """Write all there is to an evaluation: ``evaluation.json``, the CSV files, the neurons' values, the pictures.

    Files of the same names are replaced. The folder is made where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = checkpoint.model.spec
    what = {
        "data": str(cache.path),
        "fingerprint": cache.fingerprint,
        "split": split,
        "class_names": list(cache.classes),
        "model": spec_to_dict(spec),
        "metrics": checkpoint.metrics,
        "versions": {"evglif": package_version(), "torch": torch.__version__},
    }
    write_json(folder / "evaluation.json", {**what, **evaluation.to_dict()})
    write_tables(folder, evaluation, cache.classes, cache.sources)
    model = f"{spec.name} with {spec.neuron.name}"
    title = f"{cache.path.stem}, {split}: {model}, {_right(evaluation)}"
    write_pictures(folder, evaluation, cache.classes, title, model)
    write_values(folder, neuron_values(checkpoint.model), f"{cache.path.stem}: {model}, learnt values")


def _right(evaluation: Evaluation) -> str:
    right = f"{evaluation.accuracy:.1%} of {evaluation.num_samples} right"
    return f"{right}, {evaluation.num_familiar} of them learnt from" if evaluation.num_familiar else right


def write_comparison(
    folder: Path, evaluations: Mapping[str, Evaluation], comparisons: Mapping[str, Comparison], title: str
) -> None:
    """Write ``comparison.csv``, a row per model, and ``steps.png``, all of them in one picture."""
    from evglif.plots import plot_steps

    rows = [_compared(name, evaluation, comparisons.get(name)) for name, evaluation in evaluations.items()]
    write_csv(folder / "comparison.csv", list(rows[0]), (list(row.values()) for row in rows))
    plot_steps(evaluations, folder / "steps.png", title)


def _compared(name: str, evaluation: Evaluation, comparison: Comparison | None) -> dict[str, Any]:
    low, high = evaluation.interval
    row = {"model": name, "accuracy": evaluation.accuracy, "low_95": low, "high_95": high, "loss": evaluation.loss}
    row |= {"calibration_error": evaluation.calibration.error, "spikes": evaluation.spikes}
    names = ("only_first", "only_second", "difference", "difference_low_95", "difference_high_95", "p_value")
    if comparison is None:
        return row | dict.fromkeys(names)
    alone = comparison.only_first, comparison.only_second
    values = *alone, comparison.difference, *comparison.interval, comparison.p_value
    return row | dict(zip(names, values, strict=True))


def write_pictures(folder: Path, evaluation: Evaluation, classes: Sequence[str], title: str, model: str) -> None:
    """Draw an evaluation: ``confusion.png``, ``steps.png``, ``reliability.png`` and, with spikes, ``firing.png``."""
    from evglif.plots import plot_confusion, plot_firing, plot_reliability, plot_steps

    plot_confusion(evaluation.confusion, classes, folder / "confusion.png", title)
    plot_steps({model: evaluation}, folder / "steps.png", title)
    plot_reliability(evaluation, folder / "reliability.png", title)
    if evaluation.layers:
        plot_firing(evaluation.layers, folder / "firing.png", title)


def write_values(folder: Path, values: Sequence[NeuronValue], title: str) -> None:
    """Write ``values.csv`` of the neurons' values and, where any is learnt, ``values.png``."""
    from evglif.plots import plot_values

    names = [field.name for field in fields(ValueRow)]
    write_csv(folder / "values.csv", names, (list(asdict(row).values()) for row in value_rows(values)))
    if any(value.learnt for value in values):
        plot_values(values, folder / "values.png", title)
