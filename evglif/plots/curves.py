"""Training curves: loss, accuracy and learning rate by epoch."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from evglif.evaluation.epochs import Row, best_row
from evglif.plots.style import BLUE, COLOURS, GREEN, GREY, MARKERS, ORANGE, integer_ticks, new_figure, save, tidy

STAGES = {"train": BLUE, "validation": ORANGE, "test": GREEN}
MOST_MARKERS = 40

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
    rows = _read_rows(metrics)
    curves = _curves(rows)
    if not curves:
        raise ValueError(f"{metrics} holds no epochs to draw; it is written by python -m evglif.train")
    rates = {name: points for name, points in curves.items() if name == "lr" or name.startswith("lr-")}
    figure = new_figure(12.5 if rates else 9, 3.8, title)
    panels = figure.subplots(1, 3 if rates else 2)
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=False):
        of_stages = {stage: curves[f"{stage}_{quantity}"] for stage in STAGES if f"{stage}_{quantity}" in curves}
        _draw(axes, of_stages, quantity)
    _mark_best(panels[1], rows)
    if rates:
        _draw(panels[2], {name.removeprefix("lr-"): points for name, points in rates.items()}, "learning rate")
    save(figure, out)


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


def _read_rows(metrics: Path) -> list[Row]:
    """Figures by epoch; of an epoch that has several lines, those of all together."""
    rows: dict[str, Row] = {}
    with metrics.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            found = {name: float(value) for name, value in line.items() if value and name != "step"}
            if line.get("epoch"):
                rows.setdefault(line["epoch"], {}).update(found)
    return list(rows.values())


def _curves(rows: Sequence[Row]) -> Curves:
    curves: Curves = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if name != "epoch":
                curves[name].append((int(row["epoch"]), value))
    return curves
