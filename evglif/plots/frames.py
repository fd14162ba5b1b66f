"""The frames of a sample, and what a model made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from evglif.plots.style import GREY
from preprocessing import drawing
from preprocessing.drawing import OFF, ON, colours, literal


def plot_frames(
    frames: NDArray[np.float32], title: str, out: Path, probabilities: dict[str, float] | None = None
) -> None:
    """The frames ``[T, 2, H, W]`` of one sample, ON and OFF in colour; beside them what a model made of it.

    Args:
        frames: events per pixel, channel 0 = OFF, channel 1 = ON.
        title: of the picture.
        out: a file, PNG, SVG or PDF by its suffix.
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
    patches = [Patch(color=ON, label="ON"), Patch(color=OFF, label="OFF")]
    figure.legend(handles=patches, loc="upper right", ncols=2, frameon=False, fontsize=8, borderaxespad=0.2)
    seen = colours(frames)
    for step, axes in enumerate(left.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if step < steps:
            axes.imshow(seen[step])
            axes.set_title(f"t = {step + 1}", fontsize=7)
    if right is not None and probabilities:
        axes = right.subplots()
        axes.barh([literal(name) for name in probabilities], list(probabilities.values()), color=GREY)
        axes.set(xlim=(0, 1), xlabel="probability")
        axes.invert_yaxis()
    drawing.save(figure, out, dpi=120)
