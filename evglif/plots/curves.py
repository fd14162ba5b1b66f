"""Training curves: loss, accuracy and learning rate by epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from evglif.evaluation.epochs import Row, best_row, read_rows
from evglif.plots.style import BLUE, COLOURS, GREEN, GREY, MARKERS, ORANGE, integer_ticks, new_figure, save, tidy
from preprocessing.drawing import literal

STAGES = {"train": BLUE, "validation": ORANGE, "test": GREEN}
MOST_MARKERS = 40
TAU = ".tau"
"""End of a column of time constants, behind the name of the layer."""

Curves = dict[str, list[tuple[int, float]]]


def plot_curves(metrics: Path, out: Path, title: str = "") -> None:
    """Draw loss, accuracy and, where it was logged, the learning rate by epoch.

    The epoch that is marked is the one whose weights the run keeps as its best.

    Args:
        metrics: the ``metrics.csv`` of a run: a column ``epoch``, columns such as ``validation_loss``, and one
            ``lr`` or several ``lr-…`` for parameter groups.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.

    Raises:
        ValueError: for a file without epochs.
    """
    rows = read_rows(metrics)
    curves = _curves(rows)
    if not curves:
        raise ValueError(f"{metrics} holds no epochs to draw; it is written by python -m evglif.train")
    rates = any(map(_is_rate, curves))
    figure = new_figure(12.5 if rates else 9, 3.8, title)
    panels = figure.subplots(1, 3 if rates else 2)
    draw_quantity(panels[0], rows, "loss")
    draw_quantity(panels[1], rows, "accuracy")
    if rates:
        draw_rates(panels[2], rows)
    save(figure, out)


def draw_quantity(axes: Axes, rows: Sequence[Row], quantity: str) -> None:
    """Draw ``"loss"`` (nats) or ``"accuracy"`` of every stage by epoch; of the accuracy, the epoch that is kept."""
    curves = _curves(rows)
    _draw(axes, {stage: curves[f"{stage}_{quantity}"] for stage in STAGES if f"{stage}_{quantity}" in curves}, quantity)
    if quantity == "accuracy":
        axes.yaxis.set_major_formatter("{x:.0%}")
        _mark_best(axes, rows)
    else:
        axes.set_ylabel("loss, nats")


def draw_rates(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the learning rates by epoch."""
    rates = {name.removeprefix("lr-"): points for name, points in _curves(rows).items() if _is_rate(name)}
    _draw(axes, rates, "learning rate")


def draw_time_constants(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw τ of every layer by epoch, where it is learnt once for a layer, as PLIF does (its Figure 7)."""
    found = {name.removesuffix(TAU): points for name, points in _curves(rows).items() if name.endswith(TAU)}
    colours = colormaps["viridis"](np.linspace(0.2, 0.95, len(found)))
    for (name, points), colour in zip(found.items(), colours, strict=True):
        marker = "." if len(points) <= MOST_MARKERS else ""
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, label=literal(name))
    axes.set(xlabel="epoch", ylabel="τ, time steps")
    integer_ticks(axes)
    tidy(axes)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


def _is_rate(name: str) -> bool:
    return name == "lr" or name.startswith("lr-")


def _draw(axes: Axes, curves: Curves, quantity: str) -> None:
    for number, (name, points) in enumerate(curves.items()):
        marker = MARKERS[number % len(MARKERS)] if len(points) <= MOST_MARKERS else ""
        colour = STAGES.get(name, COLOURS[number % len(COLOURS)])
        axes.plot(*zip(*points, strict=True), marker=marker, markersize=3.5, color=colour, label=name)
    axes.set(xlabel="epoch", ylabel=quantity)
    integer_ticks(axes)
    tidy(axes)
    if len(curves) > 1:
        axes.legend(frameon=False)


def _mark_best(axes: Axes, rows: Sequence[Row]) -> None:
    best = best_row(rows)
    if best is not None:
        axes.axvline(best["epoch"], color=GREY, linewidth=1, linestyle=":", zorder=0)
        title = f"best validation accuracy {best['validation_accuracy']:.1%} in epoch {best['epoch']:.0f}"
        axes.set_title(title, fontsize=9, color=GREY)


def _curves(rows: Sequence[Row]) -> Curves:
    curves: Curves = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if name != "epoch":
                curves[name].append((int(row["epoch"]), value))
    return curves
