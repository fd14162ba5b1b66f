"""An evaluation as files: JSON, CSV and pictures in a folder."""

from __future__ import annotations

import csv
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
from preprocessing.drawing import optional_picture
from preprocessing.plain import json_text
from preprocessing.terminal import NEVER, by_codes

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What spreadsheets begin a formula by; the list is OWASP's for CSV injection."""

AGAIN = "all figures are written; the same command draws it"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON, UTF-8; of a name that is no text, as Linux allows, the codes.

    A number that is not finite is null.
    """
    path.write_text(json_text(content, indent=1), encoding="utf-8")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table in UTF-8; what is not defined (NaN, None) is left empty.

    A text that a spreadsheet would take for a formula has an apostrophe before it, which the spreadsheet hides.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[_cell(value) for value in row] for row in (head, *rows)])


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        value = by_codes(NEVER, value)
        return f"'{value}" if _looks_like_a_formula(value) else value
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _looks_like_a_formula(text: str) -> bool:
    if not text.startswith(FORMULA):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False  # a class may be called -1


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
    folder: Path,
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    cache: FrameCache,
    split: str,
    pictures: str = "png",
) -> None:
    """Write all there is to an evaluation: ``evaluation.json``, the CSV files, the neurons' values, then the pictures.

    Files of the same names are replaced. The folder is made where there is none. A picture that cannot be drawn is a
    warning. ``pictures`` is their suffix, one of ``names.PICTURES``.
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
    values = neuron_values(checkpoint.model)
    write_values(folder, values)
    title = f"{cache.path.stem}, {split}: {model}, {_right(evaluation)}"
    draw_evaluation(folder, evaluation, cache.classes, title, model, pictures)
    draw_values(folder, values, f"{cache.path.stem}: {model}, learnt values", pictures)


def _right(evaluation: Evaluation) -> str:
    right = f"{evaluation.accuracy:.1%} of {evaluation.num_samples} right"
    return f"{right}, {evaluation.num_familiar} of them learnt from" if evaluation.num_familiar else right


def write_comparison(
    folder: Path,
    evaluations: Mapping[str, Evaluation],
    comparisons: Mapping[str, Comparison],
    title: str,
    pictures: str = "png",
) -> None:
    """Write ``comparison.csv``, a row per model, and ``steps.png``, all of them in one picture, or another suffix."""
    rows = [_compared(name, evaluation, comparisons.get(name)) for name, evaluation in evaluations.items()]
    write_csv(folder / "comparison.csv", list(rows[0]), (list(row.values()) for row in rows))
    _draw("plot_steps", folder / f"steps.{pictures}", title, evaluations)


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


def draw_evaluation(
    folder: Path, evaluation: Evaluation, classes: Sequence[str], title: str, model: str, suffix: str
) -> None:
    """Draw an evaluation: ``confusion.png``, ``steps.png``, ``reliability.png`` and, with spikes, ``firing.png``."""
    _draw("plot_confusion", folder / f"confusion.{suffix}", title, evaluation.confusion, classes)
    _draw("plot_steps", folder / f"steps.{suffix}", title, {model: evaluation})
    _draw("plot_reliability", folder / f"reliability.{suffix}", title, evaluation)
    if evaluation.layers:
        _draw("plot_firing", folder / f"firing.{suffix}", title, evaluation.layers)


def _draw(kind: str, out: Path, title: str, *what: Any) -> None:
    """Draw by a function of ``evglif.plots``, which loads matplotlib; a picture that fails is a warning."""
    with optional_picture(out, AGAIN):
        from evglif import plots

        getattr(plots, kind)(*what, out, title)


def write_values(folder: Path, values: Sequence[NeuronValue]) -> None:
    """Write ``values.csv`` of the neurons' values."""
    names = [field.name for field in fields(ValueRow)]
    write_csv(folder / "values.csv", names, (list(asdict(row).values()) for row in value_rows(values)))


def draw_values(folder: Path, values: Sequence[NeuronValue], title: str, suffix: str) -> None:
    """Draw ``values.png`` of the neurons' values, where any is learnt."""
    if any(value.learnt for value in values):
        _draw("plot_values", folder / f"values.{suffix}", title, values)
