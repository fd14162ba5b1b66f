"""How gates shape a membrane, and how time constants move in training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from evglif.evaluation.dynamics import Dynamics
from evglif.evaluation.epochs import read_rows
from evglif.plots.curves import TAU, draw_time_constants
from evglif.plots.style import COLOURS, GREY, new_figure, save, tidy

LINES = ("-", "--", "-.", ":")


def plot_dynamics(dynamics: Dynamics, out: Path, title: str = "") -> None:
    """Draw the four neuronal dynamics of GLIF's Figure 2: decay, coding, soft and hard reset, and gated reset.

    Args:
        dynamics: the potentials by time step.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.
    """
    figure = new_figure(11, 7, title)
    upper, lower = figure.subfigures(2, 1)  # type: ignore[misc]
    left, right = upper.subfigures(1, 2)
    _draw(left.subplots(), "(a) α: linear and exponential decay; input in the first half", dynamics.decay)
    above, below = right.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _draw(above, "(b) β: an input weighted by time", dynamics.coding)
    above.set_xlabel("")
    _draw(below, "", dynamics.conductance, "1 − β(1 − g$^t$)", legend=False)
    panels = lower.subplots(1, 2, sharey=True)
    titles = "(c) V$_{re}$: soft resets beside the hard one", "(d) γ: from soft to hard reset, V$_{re}$ = 0.5"
    for axes, each, curves in zip(panels, titles, (dynamics.reset, dynamics.gated_reset), strict=True):
        axes.axhline(dynamics.threshold, color=GREY, linewidth=1, label="threshold")
        _draw(axes, each, curves, low=True)
    save(figure, out)


def _draw(
    axes: Axes,
    title: str,
    curves: Mapping[str, NDArray[np.float64]],
    quantity: str = "membrane U",
    legend: bool = True,
    low: bool = False,
) -> None:
    for number, (name, values) in enumerate(curves.items()):
        label = name.replace("V_re", "V$_{re}$")
        axes.plot(range(1, len(values) + 1), values, LINES[number % 4], color=COLOURS[number], label=label)
    axes.set(xlabel="time step t", ylabel=quantity)
    axes.set_title(title, fontsize=10, loc="left")
    tidy(axes)
    if low:
        axes.set_ylim(bottom=-0.95)  # room for the key
    if legend:
        axes.legend(frameon=False, fontsize=8, loc="lower left" if low else "best")


def plot_time_constants(metrics: Path, out: Path, title: str = "") -> None:
    """Draw τ of every layer over training, in time steps, as in Figure 7 of PLIF.

    Args:
        metrics: the ``metrics.csv`` of a run.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the run has learnt no τ for a whole layer.
    """
    if not metrics.is_file():
        raise FileNotFoundError(f"no {metrics}; give the folder of a run of python -m evglif.train, or its checkpoint")
    rows = read_rows(metrics)
    if not rows or not any(name.endswith(TAU) for name in rows[0]):
        raise ValueError(f"{metrics} holds no τ by epoch: it is noted where a layer learns one, as with --neuron plif")
    figure = new_figure(6.4, 4.2, title)
    draw_time_constants(figure.subplots(), rows)
    save(figure, out)
