"""Pictures of a run: curves by epoch, the confusion matrix, the frames of a sample."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

OFF_COLOUR, ON_COLOUR = np.array([0.13, 0.40, 0.67]), np.array([0.84, 0.38, 0.10])


def plot_curves(metrics: Path, out: Path) -> None:
    """Loss and accuracy by epoch, from Lightning's ``metrics.csv``."""
    curves = _read_curves(metrics)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for stage in ("train", "validation"):
            points = curves.get(f"{stage}_{quantity}", [])
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=stage)
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(out, dpi=120)


def _read_curves(metrics: Path) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("epoch", "step"):
                    curves[name].append((int(row["epoch"]), float(value)))
    return curves


def plot_confusion(confusion: ArrayLike, classes: Sequence[str], out: Path) -> None:
    """A confusion matrix ``[K, K]``: rows are true classes, colour is the share of the row."""
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.2 + 0.42 * len(classes)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=45, ha="right")
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, label="share of true class", shrink=0.8)
    figure.savefig(out, dpi=120)


def plot_frames(
    frames: NDArray[np.float32], title: str, out: Path, probabilities: dict[str, float] | None = None
) -> None:
    """The frames ``[T, 2, H, W]`` of one sample, ON and OFF in colour; beside them what a model made of it.

    Args:
        frames: events per pixel, channel 0 = OFF, channel 1 = ON.
        title: of the picture.
        out: a PNG file.
        probabilities: class → probability, drawn as bars.
    """
    steps = len(frames)
    columns = min(steps, 8)
    rows = -(-steps // columns)
    figure = Figure(figsize=(1.35 * columns + (3 if probabilities else 0), 1.5 * rows + 0.6), layout="constrained")
    left, right = figure, None
    if probabilities:
        left, right = figure.subfigures(1, 2, width_ratios=(1.35 * columns, 3))  # type: ignore[misc]
    figure.suptitle(title, fontsize=10)
    strength = frames / max(float(np.quantile(frames, 0.995)), 1e-9)
    for step, axes in enumerate(left.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if step < steps:
            axes.imshow(_colour(strength[step]))
            axes.set_title(f"t = {step}", fontsize=7)
    if right is not None and probabilities:
        axes = right.subplots()
        axes.barh(list(probabilities), list(probabilities.values()), color=ON_COLOUR)
        axes.set(xlim=(0, 1), xlabel="probability")
        axes.invert_yaxis()
    figure.savefig(out, dpi=120)


def _colour(strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """White without events; the more events of a polarity, the more of its colour."""
    off, on = np.clip(strength, 0, 1)[..., None]
    picture: NDArray[np.float64] = np.clip(1 - off * (1 - OFF_COLOUR) - on * (1 - ON_COLOUR), 0, 1)
    return picture
