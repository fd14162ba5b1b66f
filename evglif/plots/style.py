"""What the pictures share: colours that all colour visions tell apart, and how a figure is begun and saved."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preprocessing import drawing
from preprocessing.drawing import literal

BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW)
"""From the palette of Okabe and Ito."""

MARKERS = "osD^vP"
"""Beside the colours, for print without them."""

GREY = "#666666"
CHARACTERS_PER_INCH = 11


def new_figure(width: float, height: float, title: str) -> Figure:
    """A figure of so many inches; a long title is broken into lines, and shown letter for letter."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(literal(wrapped(title, width)), fontsize=11)
    return figure


def wrapped(text: str, width: float) -> str:
    """A text broken into lines of so many inches."""
    return "\n".join(textwrap.wrap(text, max(20, int(width * CHARACTERS_PER_INCH))))


def save(figure: Figure, out: Path) -> None:
    """Write a figure, as its suffix says, with a narrow margin however much room its parts take."""
    drawing.save(figure, out, dpi=120, bbox_inches="tight", pad_inches=0.12)


def tidy(axes: Axes) -> None:
    """A light grid behind the data, no frame at the top and right."""
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def integer_ticks(axes: Axes) -> None:
    """Whole numbers along x: steps and epochs have no halves."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
