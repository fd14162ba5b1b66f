"""The confusion matrix, from two classes to hundreds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from evglif.plots.style import new_figure, save
from preprocessing.drawing import literal

MOST_NUMBERED = 30
"""Classes up to which every cell has its count; beyond, the pairs most often confused are listed instead."""

NUM_LISTED = 15


def plot_confusion(confusion: ArrayLike, classes: Sequence[str], out: Path, title: str = "") -> None:
    """Draw a confusion matrix: rows are true classes, colour is the share of the row, numbers are counts.

    Args:
        confusion: counts ``[K, K]``.
        classes: K names.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.

    Raises:
        ValueError: where the names are not as many as the rows.
    """
    counts = np.asarray(confusion)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"{len(classes)} classes need as many rows and columns, got the shape {counts.shape}")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    numbered = len(classes) <= MOST_NUMBERED
    names = [name if len(name) <= 18 else f"{name[:17]}…" for name in classes]
    side = max(2.6, (0.46 if numbered else 0.135) * len(classes)) + 0.075 * max(len(name) for name in names)
    figure = new_figure(side + (1.6 if numbered else 4.2), side + 0.5, title)
    panels = figure.subplots(1, 1 if numbered else 2, squeeze=False, width_ratios=(1,) if numbered else (side, 2.6))[0]
    axes = panels[0]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if numbered:
        _write_counts(axes, counts, shares)
    else:
        _list_pairs(panels[1], counts, shares, classes)
    _name_classes(axes, names, np.diag(shares), counts.sum(1), 9 if numbered else 6)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8, pad=0.01 if numbered else 0.005)
    save(figure, out)


def _name_classes(
    axes: Axes, names: Sequence[str], recall: NDArray[np.float64], support: NDArray[np.int64], size: int
) -> None:
    """Names left and below; to the right of every row its recall."""
    ticks = range(len(names))
    rotation = 90 if size < 9 else 45 if max(len(name) for name in names) > 4 else 0
    shown = [literal(name) for name in names]
    axes.set_xticks(ticks, shown, rotation=rotation, ha="right" if rotation == 45 else "center", fontsize=size)
    axes.set_yticks(ticks, shown, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    right = axes.secondary_yaxis("right")
    right.set_yticks(ticks, [f"{r:.0%}" if n else "–" for r, n in zip(recall, support, strict=True)], fontsize=size)
    right.tick_params(length=0)
    right.set_ylabel("recall", fontsize=9)


def _write_counts(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    size = 9 if counts.max(initial=0) < 1000 else 7
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=colour)


def _list_pairs(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64], classes: Sequence[str]) -> None:
    axes.axis("off")
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, counts)
    rows, columns = np.unravel_index(np.argsort(-wrong, axis=None, kind="stable")[:NUM_LISTED], wrong.shape)
    lines = ["most often confused", ""]
    for row, column in zip(rows, columns, strict=True):
        if wrong[row, column]:
            share = f"{wrong[row, column]} of {counts[row].sum()}, {shares[row, column]:.0%}"
            lines.append(f"{classes[row]} → {classes[column]}\n    {share}")
    axes.text(0, 1, literal("\n".join(lines)), va="top", fontsize=11, transform=axes.transAxes)
