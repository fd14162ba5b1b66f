"""What the neurons do and what they have learnt, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from evglif.evaluation.firing import LayerFiring
from evglif.evaluation.learnt import SYMBOLS, NeuronValue
from evglif.plots.style import BLUE, GREY, ORANGE, integer_ticks, new_figure, save, tidy, wrapped
from preprocessing.drawing import literal

COLUMNS = 4
HEIGHT_OF_A_LAYER = 0.24
"""In inches, where layers stand one above the other."""

MOST_NAMED = 24
"""Layers that have their names below an axis; of more the numbers."""
KEY = "dot: mean over channels; line and body: their range and density; orange: where a fresh network starts"
LEAST_SPAN = 0.02
"""Of an axis, as a share of its values: what has not moved shall not look as if it had."""


def plot_firing(layers: Mapping[str, LayerFiring], out: Path, title: str = "") -> None:
    """Draw each layer's mean firing rate and share of silent neurons, and its rate at each step.

    Args:
        layers: name → firing, in the order of the network.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.

    Raises:
        ValueError: for a network without spiking neurons.
    """
    if not layers:
        raise ValueError("there is no firing to draw: the network has no spiking neurons")
    figure = new_figure(11, 1.9 + HEIGHT_OF_A_LAYER * len(layers), title)
    bars, steps = figure.subplots(1, 2, width_ratios=(1, 1.25), sharey=True)
    draw_firing(bars, layers)
    draw_firing_by_step(steps, layers)
    save(figure, out)


def draw_firing(axes: Axes, layers: Mapping[str, LayerFiring]) -> None:
    """Draw the mean firing rate of each layer as a bar, and its share of silent neurons as a diamond."""
    places, rates = np.arange(len(layers)), [layer.rate for layer in layers.values()]
    silent = [layer.silent for layer in layers.values()]
    axes.barh(places, rates, 0.6, color=BLUE, label="spikes per neuron and step")
    axes.plot(silent, places, "D", color=ORANGE, markersize=5, label="share of silent neurons", clip_on=False)
    axes.set_yticks(places, [literal(name) for name in layers], fontsize=8)
    axes.set(xlim=(0, max(0.05, 1.08 * max([*silent, *rates]))), ylim=(len(layers) - 0.5, -0.5))
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    tidy(axes)


def draw_firing_by_step(axes: Axes, layers: Mapping[str, LayerFiring]) -> None:
    """Draw the firing rate of each layer at each time step as colours."""
    by_step = np.array([layer.by_step for layer in layers.values()])
    extent = (0.5, by_step.shape[1] + 0.5, len(layers) - 0.5, -0.5)
    image = axes.imshow(by_step, cmap="cividis", aspect="auto", vmin=0, extent=extent)
    axes.set_yticks(range(len(layers)), [literal(name) for name in layers], fontsize=8)
    axes.set(xlabel="time step t")
    integer_ticks(axes)
    axes.get_figure(root=True).colorbar(image, ax=axes, label="spikes per neuron", pad=0.01)  # type: ignore[union-attr]


def plot_values(values: Sequence[NeuronValue], out: Path, title: str = "") -> None:
    """Draw what the neurons have learnt: for each value how it is spread over the channels of every layer.

    A dash marks where a fresh network starts. g^t is drawn by step, one line per layer.

    Args:
        values: of a network, see ``neuron_values``.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.

    Raises:
        ValueError: where nothing is learnt.
    """
    learnt = [value for value in values if value.learnt]
    names = list(dict.fromkeys(value.name for value in learnt))
    if not names:
        raise ValueError("there is nothing to draw: the network's neurons have no values that are learnt")
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    width = max(6.5, 3.6 * columns)
    figure = new_figure(width, 2.9 * rows + (1.7 if rows == 1 else 0.9), title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        draw_value(axes, [value for value in learnt if value.name == name])
    for axes in panels[len(names) :]:
        axes.axis("off")
    figure.supxlabel(wrapped(KEY, width), fontsize=9, color=GREY)
    save(figure, out)


def draw_value(axes: Axes, values: Sequence[NeuronValue]) -> None:
    """Draw one value of all layers: over the channels of each, or by time step where it has these."""
    draw = _draw_by_step if values[0].values.ndim == 2 else _draw_by_layer
    draw(axes, values)
    axes.set_title(_typeset(SYMBOLS.get(values[0].name, values[0].name)), fontsize=11)
    tidy(axes)
    _widen(axes)


def _typeset(symbol: str) -> str:
    """τ_exp with its index below the line, g^t with its exponent above."""
    return re.sub(r"([_^])(\w+)", r"$\1{\2}$", symbol)


def _widen(axes: Axes) -> None:
    low, high = axes.get_ylim()
    middle, reach = (low + high) / 2, LEAST_SPAN / 2 * abs(low + high) / 2
    axes.set_ylim(min(low, middle - reach), max(high, middle + reach))
    axes.ticklabel_format(axis="y", useOffset=False)


def _draw_by_layer(axes: Axes, values: Sequence[NeuronValue]) -> None:
    """A violin over the channels, or a dot where all channels share one value."""
    start = np.concatenate([value.start for value in values])
    axes.axhspan(start.min(), start.max(), color=ORANGE, alpha=0.15, linewidth=0)
    axes.axhline(start.mean(), color=ORANGE, linewidth=1.2, linestyle="--")
    depth = np.arange(1, len(values) + 1)
    many = [index for index, value in enumerate(values) if np.ptp(value.values) > 0]
    if many:
        spread = axes.violinplot([values[index].values for index in many], depth[many], widths=0.8, showextrema=False)
        for body in spread["bodies"]:  # type: ignore[attr-defined]
            body.set(facecolor=BLUE, alpha=0.35)
        axes.vlines(depth, *np.array([(v.values.min(), v.values.max()) for v in values]).T, color=BLUE, linewidth=1)
    axes.plot(depth, [value.values.mean() for value in values], "o", color=BLUE, markersize=4)
    axes.set_xlim(0.3, len(values) + 0.7)
    if len(values) <= MOST_NAMED:
        axes.set_xticks(depth, [literal(value.layer) for value in values], rotation=90, fontsize=7)
    else:
        axes.set_xlabel("neuron layer, from the input on")
        integer_ticks(axes)


def _draw_by_step(axes: Axes, values: Sequence[NeuronValue]) -> None:
    """The mean over channels at each step."""
    cmap = colormaps["viridis"]
    steps = np.arange(1, len(values[0].values) + 1)
    for index, value in enumerate(values):
        colour = cmap(0.9 * index / max(1, len(values) - 1))
        marked = index in (0, len(values) - 1)
        label = literal(value.layer) if marked and len(values) > 1 else None
        axes.plot(steps, value.values.mean(1), marker="o", markersize=2.5, linewidth=1.2, color=colour, label=label)
    axes.plot(steps, values[0].start.mean(1), color=ORANGE, linestyle="--", linewidth=1.2, label="start")
    axes.set_xlabel("time step t")
    integer_ticks(axes)
    axes.legend(framealpha=0.8, edgecolor="none", fontsize=8, labelcolor=GREY)
