"""Evaluations as printed tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evglif.evaluation.comparison import Comparison
from evglif.evaluation.figures import Evaluation
from preprocessing.terminal import paragraph, shown

MOST_PRINTED = 20
"""Classes up to which the confusion matrix is printed; of more, only the scores of the worst."""

MOST_STEPS = 16
"""Steps that a printed line has room for."""


def summary(evaluation: Evaluation) -> str:
    """The single figures, one a line."""
    low, high = evaluation.interval
    calibration = evaluation.calibration.error
    rows = {
        "accuracy": f"{evaluation.accuracy:.2%} of {evaluation.num_samples} samples "
        f"(95 % interval {low:.1%} to {high:.1%})",
        **_familiar(evaluation),
        **({"top 5": f"{evaluation.top5:.2%}"} if evaluation.top5 is not None else {}),
        "loss": f"{evaluation.loss:.4f} nats, the cross-entropy of the time-mean",
        "confidence": f"{evaluation.mean_confidence:.1%} on average; expected calibration error {calibration:.1%}",
        "spikes": _spikes(evaluation),
        **({} if math.isnan(evaluation.samples_per_second) else {"speed": f"{_speed(evaluation)} samples/s"}),
    }
    return "\n".join(f"{name:<12}{text}" for name, text in rows.items())


def _speed(evaluation: Evaluation) -> str:
    """Samples per second after the first batch, reading included."""
    return "–" if math.isnan(evaluation.samples_per_second) else f"{evaluation.samples_per_second:,.0f}"


def _familiar(evaluation: Evaluation) -> dict[str, str]:
    if not evaluation.num_familiar:
        return {}
    new, accuracy = evaluation.num_samples - evaluation.num_familiar, evaluation.accuracy_on_new
    others = "none is new" if accuracy is None else f"on the {new} new ones {accuracy:.2%}"
    told = f"the model has learnt from {evaluation.num_familiar} of these samples; {others}"
    return {"": f"NO TEST ACCURACY: {told}"}


def _spikes(evaluation: Evaluation) -> str:
    if not evaluation.layers:
        return "none: the network has no spiking neurons"
    neuron_steps = sum(layer.num_neurons * len(layer.by_step) for layer in evaluation.layers.values())
    return f"{evaluation.spikes:,.0f} a sample, {evaluation.spikes / neuron_steps:.4f} per neuron and step"


def confusion_table(evaluation: Evaluation, classes: Sequence[str]) -> str:
    """The confusion matrix as text: a row per true class, its recall at the end."""
    width = max(6, *(len(name) for name in classes))
    cells = max(5, *(len(name[:8]) for name in classes)) + 1
    lines = [" " * width + "".join(f"{name[:8]:>{cells}}" for name in classes) + "   recall"]
    recall = evaluation.classes.recall
    for label, (name, row) in enumerate(zip(classes, evaluation.confusion, strict=True)):
        counts = "".join(f"{count:>{cells}}" for count in row)
        lines.append(f"{name:<{width}}{counts}{_percent(recall[label], 9)}")
    return "\n".join(lines)


def class_table(evaluation: Evaluation, classes: Sequence[str]) -> str:
    """Samples, precision, recall and F1 of each class; of many classes those of the lowest F1."""
    scores = evaluation.classes
    chosen = list(range(len(classes)))
    if len(classes) > MOST_PRINTED:
        chosen = np.argsort(np.nan_to_num(scores.f1, nan=math.inf), kind="stable")[: MOST_PRINTED // 2].tolist()
    width = max(8, *(len(classes[label]) for label in chosen))
    lines = [f"{'class':<{width}}{'samples':>9}{'precision':>11}{'recall':>9}{'F1':>9}"]
    for label in chosen:
        shares = _percent(scores.precision[label], 11), _percent(scores.recall[label], 9), _percent(scores.f1[label], 9)
        lines.append(f"{classes[label]:<{width}}{scores.support[label]:>9}" + "".join(shares))
    if len(chosen) < len(classes):
        lines.insert(0, f"the {len(chosen)} of {len(classes)} classes with the lowest F1")
    return "\n".join(lines)


def steps_table(evaluation: Evaluation) -> str:
    """Accuracy of a decision after the first t steps."""
    reached = list(enumerate(evaluation.accuracy_by_step, 1))
    lines = ["accuracy of a decision after t steps"]
    for first in range(0, len(reached), MOST_STEPS):
        part = reached[first : first + MOST_STEPS]
        lines.append(f"{'t':<10}" + "".join(f"{step:>7}" for step, _ in part))
        lines.append(f"{'accuracy':<10}" + "".join(f"{share:>7.1%}" for _, share in part))
    return "\n".join(lines)


def firing_table(evaluation: Evaluation) -> str:
    """Neurons, mean rate, share of silent neurons and the first and last step's rate of each layer."""
    if not evaluation.layers:
        return "the network has no spiking neurons"
    width = max(5, *(len(name) for name in evaluation.layers))
    lines = [
        "spikes per neuron and step, and the share of neurons that never fired",
        f"{'layer':<{width}}{'neurons':>10}{'rate':>9}{'at t = 1':>10}{'at t = T':>10}{'silent':>9}",
    ]
    for name, layer in evaluation.layers.items():
        rates = f"{layer.rate:9.4f}{layer.by_step[0]:10.4f}{layer.by_step[-1]:10.4f}"
        lines.append(f"{name:<{width}}{layer.num_neurons:>10,}{rates}{layer.silent:>9.1%}")
    return "\n".join(lines)


def evaluation_text(evaluation: Evaluation, classes: Sequence[str], heading: str) -> str:
    """All tables of an evaluation."""
    classes = [shown(name) for name in classes]
    tables = [
        f"{shown(heading)}\n{summary(evaluation)}",
        class_table(evaluation, classes),
        steps_table(evaluation),
        firing_table(evaluation),
    ]
    if len(classes) <= MOST_PRINTED:
        tables.insert(1, "confusion: rows are true classes\n" + confusion_table(evaluation, classes))
    return "\n\n".join(tables)


def comparison_text(evaluations: Mapping[str, Evaluation], comparisons: Mapping[str, Comparison]) -> str:
    """Models side by side; all but the first with their difference to it.

    Args:
        evaluations: name → evaluation of the same samples, the first is what the others are set against.
        comparisons: name → comparison with the first, for the others.
    """
    width = max(5, *(len(shown(name)) for name in evaluations))
    head = ("accuracy", "95 % interval", "loss", "ECE", "spikes", "samples/s", "difference", "95 % interval", "p")
    widths = (10, 18, 9, 8, 11, 11, 12, 20, 10)
    lines = [f"{'model':<{width}}" + _cells(head, widths)]
    for name, evaluation in evaluations.items():
        lines.append(f"{shown(name):<{width}}" + _cells(_side(evaluation, comparisons.get(name)), widths))
    first = next(iter(evaluations))
    notes = [
        "",
        f"difference: to {first}, in percentage points; p: McNemar's exact test, not corrected for several models.",
        "It compares these weights on these samples; whether a neuron is better takes several seeds of each.",
    ]
    return paragraph(lines + notes)


def _side(evaluation: Evaluation, comparison: Comparison | None) -> tuple[str, ...]:
    low, high = evaluation.interval
    cells = (
        f"{evaluation.accuracy:.2%}",
        f"{low:.1%} to {high:.1%}",
        f"{evaluation.loss:.4f}",
        f"{evaluation.calibration.error:.1%}",
        f"{evaluation.spikes:,.0f}" if evaluation.layers else "–",
        _speed(evaluation),
    )
    if comparison is None:
        return (*cells, "–", "–", "–")
    low, high = comparison.interval
    p = comparison.p_value
    return (
        *cells,
        f"{100 * comparison.difference:+.2f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        "< 0.0001" if p < 1e-4 else f"{p:.4f}",
    )


def _cells(values: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{value:>{width}}" for value, width in zip(values, widths, strict=True))


def _percent(share: float, width: int) -> str:
    return f"{'–':>{width}}" if math.isnan(share) else f"{share:>{width}.1%}"
