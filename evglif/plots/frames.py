"""The frames of a sample, and what a model made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from preprocessing import drawing
from preprocessing.drawing import literal

OFF_COLOUR, ON_COLOUR = np.array([0.13, 0.40, 0.67]), np.array([0.84, 0.38, 0.10])


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
    figure.suptitle(literal(title), fontsize=10)
    strength = frames / max(float(np.quantile(frames, 0.995)), 1e-9)
    for step, axes in enumerate(left.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if step < steps:
            axes.imshow(_colour(strength[step]))
            axes.set_title(f"t = {step}", fontsize=7)
    if right is not None and probabilities:
        axes = right.subplots()
        axes.barh([literal(name) for name in probabilities], list(probabilities.values()), color=ON_COLOUR)
        axes.set(xlim=(0, 1), xlabel="probability")
        axes.invert_yaxis()
    drawing.save(figure, out, dpi=120)


def _colour(strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """White without events; the more events of a polarity, the more of its colour."""
    off, on = np.clip(strength, 0, 1)[..., None]
    picture: NDArray[np.float64] = np.clip(1 - off * (1 - OFF_COLOUR) - on * (1 - ON_COLOUR), 0, 1)
    return picture
