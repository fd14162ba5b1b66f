"""Accuracy by time step, and how far confidence can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes

from evglif.evaluation.figures import Evaluation
from evglif.evaluation.statistics import Calibration, wilson_interval
from evglif.plots.style import BLUE, COLOURS, GREY, MARKERS, ORANGE, integer_ticks, new_figure, save, tidy
from preprocessing.drawing import literal


def plot_steps(evaluations: Mapping[str, Evaluation], out: Path, title: str = "") -> None:
    """Draw the accuracy of a decision after the first t steps, with its 95 % interval, one line per model.

    Args:
        evaluations: name of the model → evaluation; at least one.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.
    """
    figure = new_figure(6.4, 4.2, title)
    axes = figure.subplots()
    for number, (name, evaluation) in enumerate(evaluations.items()):
        draw_steps(axes, name, evaluation.accuracy_by_step, evaluation.num_samples, number)
    save(figure, out)


def draw_steps(axes: Axes, name: str, reached: Sequence[float], num_samples: int, number: int = 0) -> None:
    """Draw the accuracy after the steps 1 … T of one model.

    Args:
        axes: where.
        name: of the model.
        reached: the accuracy after each step.
        num_samples: behind each of them, for its interval.
        number: of the model, for its colour and marker.
    """
    steps = range(1, len(reached) + 1)
    low, high = zip(*(wilson_interval(round(share * num_samples), num_samples) for share in reached), strict=True)
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    shown = f" {name}" if name.startswith("_") else name  # a legend leaves out what begins with "_"
    label = f"{literal(shown)}, {reached[-1]:.1%} at the end"
    axes.plot(steps, reached, marker=marker, markersize=4, color=colour, label=label)
    axes.set(xlabel="time steps seen, t", ylabel="accuracy", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter("{x:.0%}")
    integer_ticks(axes)
    tidy(axes)
    axes.legend(frameon=False, loc="lower right", fontsize=9)


def plot_reliability(evaluation: Evaluation, out: Path, title: str = "") -> None:
    """Draw accuracy against confidence, and below it how many samples have that confidence."""
    figure = new_figure(5.2, 5.6, title)
    panels = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    draw_reliability(panels, evaluation.calibration, evaluation.mean_confidence, evaluation.accuracy)
    save(figure, out)


def draw_reliability(panels: Sequence[Axes], calibration: Calibration, confidence: float, accuracy: float) -> None:
    """Draw accuracy against confidence into the first of two panels, and into the second how many samples are behind.

    Args:
        panels: one above the other.
        calibration: by bins.
        confidence: the mean over all samples.
        accuracy: over all samples.
    """
    upper, lower = panels
    _draw_reliability(upper, calibration)
    width = 1 / len(calibration.counts)
    lower.bar(calibration.edges[:-1], calibration.counts, width, align="edge", color=BLUE, edgecolor="white")
    lower.axvline(confidence, color=ORANGE, label=f"mean confidence {confidence:.1%}")
    lower.axvline(accuracy, color=rcParams["axes.edgecolor"], linestyle="--", label=f"accuracy {accuracy:.1%}")
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="samples")
    lower.xaxis.set_major_formatter("{x:.0%}")
    tidy(lower)
    lower.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_reliability(axes: Axes, calibration: Calibration) -> None:
    filled = calibration.counts > 0
    left, width = calibration.edges[:-1][filled], 1 / len(calibration.counts)
    confidence, accuracy = calibration.confidence[filled], calibration.accuracy[filled]
    axes.bar(left, accuracy, width, align="edge", color=BLUE, edgecolor="white", label="accuracy")
    over = np.where(confidence > accuracy, ORANGE, BLUE)
    axes.vlines(confidence, accuracy, confidence, colors=over.tolist(), linewidth=2)
    axes.plot(confidence, confidence, "o", color=ORANGE, markersize=5, label="mean confidence of the bin")
    axes.plot((0, 1), (0, 1), color=GREY, linestyle=":", linewidth=1)
    axes.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"expected calibration error {calibration.error:.1%}", fontsize=10, color=GREY)
    axes.yaxis.set_major_formatter("{x:.0%}")
    tidy(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
