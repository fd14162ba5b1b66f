"""Settings side by side, and what a sweep found along each of its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from evglif.plots.style import BLUE, GREY, ORANGE, new_figure, save, tidy
from preprocessing.drawing import literal

MOST_TICKS = 6
WIDE = 20
"""Of largest to least: above it an axis is logarithmic."""


def plot_settings(shares: Mapping[str, Sequence[float]], out: Path, title: str, label: str) -> None:
    """Draw a dot for every run and a bar for the mean of every setting.

    Args:
        shares: name of a setting → share of each of its runs, one at least.
        out: the picture's file.
        title: of the picture.
        label: what the shares are of.
    """
    figure = new_figure(6.8, 1.2 + 0.42 * len(shares), title)
    axes = figure.subplots()
    for row, values in enumerate(shares.values()):
        mean = sum(values) / len(values)
        axes.plot(values, [row] * len(values), "o", color=BLUE, alpha=0.6, markersize=6)
        axes.plot((mean, mean), (row - 0.3, row + 0.3), color=ORANGE, linewidth=2)
    axes.set_yticks(range(len(shares)), [literal(name) for name in shares], fontsize=8)
    axes.set(xlabel=f"{label}: each run (dots) and their mean (bars)", ylim=(len(shares) - 0.5, -0.5))
    axes.xaxis.set_major_formatter("{x:.1%}")
    tidy(axes)
    save(figure, out)


def plot_sweep(trials: Sequence[tuple[Mapping[str, Any], float]], chosen: int, out: Path, title: str) -> None:
    """Draw the validation accuracy of every trial against each value that was swept.

    Args:
        trials: settings, and the mean validation accuracy of their seeds.
        chosen: place of the best.
        out: the picture's file.
        title: of the picture.
    """
    names = list(trials[0][0])
    figure = new_figure(3.4 * min(len(names), 3), 3.2 * -(-len(names) // 3), title)
    panels = figure.subplots(-(-len(names) // 3), min(len(names), 3), squeeze=False, sharey=True)
    for number, (name, axes) in enumerate(zip(names, panels.flat, strict=False)):
        _draw_dimension(axes, name, trials, chosen)
        if number % 3 == 0:
            axes.set_ylabel("validation accuracy")
    for axes in list(panels.flat)[len(names) :]:
        axes.set_visible(False)
    save(figure, out)


def _draw_dimension(axes: Axes, name: str, trials: Sequence[tuple[Mapping[str, Any], float]], chosen: int) -> None:
    values = [settings[name] for settings, _ in trials]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    known = list(dict.fromkeys(map(str, values)))
    x = values if numbers else [known.index(str(value)) for value in values]
    y = [share for _, share in trials]
    axes.plot(x, y, "o", color=BLUE, alpha=0.6)
    axes.plot(x[chosen], y[chosen], "o", color=ORANGE, markersize=9, markerfacecolor="none", markeredgewidth=2)
    if not numbers:
        axes.set_xticks(range(len(known)), [literal(text) for text in known], rotation=30, ha="right")
        axes.margins(x=0.2)
    elif len(known) <= MOST_TICKS:
        axes.set_xticks(sorted(set(values)), [f"{value:g}" for value in sorted(set(values))])
    if numbers and min(values) > 0 and max(values) / min(values) >= WIDE:
        axes.set_xscale("log")
    axes.set_xlabel(literal(name), color=GREY)
    axes.yaxis.set_major_formatter("{x:.0%}")
    tidy(axes)
