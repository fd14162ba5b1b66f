"""What neurons do on one sample: spikes, membranes, and maps of where they fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from evglif.evaluation.activity import LayerActivity
from evglif.plots.style import BLUE, COLOURS, GREY, ORANGE, integer_ticks, new_figure, save, tidy
from preprocessing.drawing import OFF, ON, literal, looks

MOST_ROWS = 48
"""Neurons of a layer in a raster; of more, some that are spread evenly over those that fire."""

MAP = "magma"


def plot_raster(layers: Mapping[str, LayerActivity], frames: NDArray[np.float32], out: Path, title: str = "") -> None:
    """Draw the spikes of neurons by time step, a panel a layer, below the input's events.

    Args:
        layers: name → what it did on the sample; at least one.
        frames: the sample, ``[T, C, H, W]``.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.
    """
    figure = new_figure(7.5, 1.6 + 1.5 * len(layers), title)
    panels = figure.subplots(len(layers) + 1, 1, sharex=True, height_ratios=[0.8, *[1.5] * len(layers)])
    _draw_input(panels[0], frames)
    for axes, (name, layer), colour in zip(panels[1:], layers.items(), _colours(len(layers)), strict=True):
        _draw_spikes(axes, name, layer, colour)
    panels[-1].set(xlabel="time step t", xlim=(0.4, len(frames) + 0.6))
    integer_ticks(panels[-1])
    save(figure, out)


def _colours(num: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(num)]


def _draw_input(axes: Axes, frames: NDArray[np.float32]) -> None:
    steps = np.arange(1, len(frames) + 1)
    if frames.shape[1] == 2:
        off, on = frames.sum((2, 3)).T
        axes.bar(steps - 0.17, on, 0.32, color=ON, label="ON")
        axes.bar(steps + 0.17, off, 0.32, color=OFF, label="OFF")
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
        axes.set_ylabel("sum of the frame", fontsize=8)
    else:
        axes.bar(steps, np.resize(frames.sum((1, 2, 3)), len(steps)), 0.5, color=GREY)
        axes.set_ylabel("sum of the image", fontsize=8)
    axes.set_title("input", fontsize=9, loc="left")
    tidy(axes)


def _draw_spikes(axes: Axes, name: str, layer: LayerActivity, colour: str) -> None:
    steps = len(layer.spikes)
    flat = layer.spikes.reshape(steps, -1)
    rows = spread(flat)
    step, row = np.nonzero(flat[:, rows])
    axes.vlines(step + 1, row - 0.4, row + 0.4, color=colour, linewidth=max(1.0, min(6.0, 90 / steps)))
    axes.set(ylim=(max(len(rows), 1) - 0.5, -0.5), yticks=[])
    axes.set_ylabel("neurons", fontsize=8)
    num_firing = int(flat.any(0).sum())
    told = f"{name}: {len(rows)} of {flat.shape[1]:,} neurons; {num_firing:,} fire, {flat.mean():.3f} spikes a step"
    axes.set_title(literal(told), fontsize=9, loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)


def spread(spikes: NDArray[np.bool_], most: int = MOST_ROWS) -> NDArray[np.int64]:
    """Some neurons of ``[T, N]``, evenly over those that fire, and over all where fewer do than asked for."""
    firing = np.flatnonzero(spikes.any(0))
    firing = firing if len(firing) >= most else np.arange(spikes.shape[1])
    return firing[np.unique(np.linspace(0, len(firing) - 1, min(most, len(firing))).round().astype(np.int64))]


def plot_membranes(name: str, layer: LayerActivity, out: Path, title: str = "", num: int = 4) -> None:
    """Draw the membrane of some neurons of a layer by time step, with their threshold and spikes.

    Args:
        name: of the layer.
        layer: what it did on a sample.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.
        num: neurons, from one that seldom fires to the one that fires most.
    """
    steps, channels = layer.spikes.shape[:2]
    spikes, membrane = layer.spikes.reshape(steps, channels, -1), layer.membrane.reshape(steps, channels, -1)
    chosen = _chosen(spikes, num)
    figure = new_figure(7, 0.9 + 1.45 * len(chosen), title)
    panels = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    when = np.arange(1, steps + 1)
    for axes, (channel, place) in zip(panels, chosen, strict=True):
        trace, fired = membrane[:, channel, place], spikes[:, channel, place]
        axes.plot(when, trace, marker=".", color=BLUE, linewidth=1.3, label="membrane U, before the reset")
        threshold = float(layer.threshold[channel])
        axes.axhline(threshold, color=GREY, linestyle="--", linewidth=1, label="threshold")
        axes.plot(when[fired], trace[fired], "^", color=ORANGE, markersize=7, label="spike")
        where = f"{name}, channel {channel + 1}" + (f", place {place + 1}" if spikes.shape[2] > 1 else "")
        axes.set_title(literal(f"{where}: {fired.sum()} of {steps} steps with a spike"), fontsize=9, loc="left")
        axes.set_ylabel("U", fontsize=9)
        tidy(axes)
    figure.legend(
        *panels[0].get_legend_handles_labels(), frameon=False, fontsize=8, ncols=3, loc="outside lower center"
    )
    panels[-1].set_xlabel("time step t")
    integer_ticks(panels[-1])
    save(figure, out)


def _chosen(spikes: NDArray[np.bool_], num: int) -> list[tuple[int, int]]:
    """Channel and place of neurons, by how often they fire: from those that fire once to those that fire most."""
    counts = spikes.sum(0)
    order = np.argsort(counts, axis=None, kind="stable")
    firing = order[counts.ravel()[order] > 0]
    order = firing if len(firing) >= num else order[-num:]
    picked = order[np.unique(np.linspace(0, len(order) - 1, min(num, len(order))).round().astype(int))]
    return [(int(channel), int(place)) for channel, place in zip(*np.unravel_index(picked, counts.shape), strict=True)]


def plot_maps(
    name: str,
    layer: LayerActivity,
    frames: NDArray[np.float32],
    kind: str,
    out: Path,
    title: str = "",
    channels: Sequence[int] = (),
) -> None:
    """Draw what channels of a layer make of a sample, as in Figures S2, S4 and S5 of PLIF.

    A row has the input, the next the spikes of each channel at each step; at their ends stand the mean input and the
    firing rates over all steps.

    Args:
        name: of the layer.
        layer: what it did on the sample.
        frames: the sample, ``[T, C, H, W]``.
        kind: ``"events"`` or ``"images"``.
        out: a file, PNG, SVG or PDF by its suffix.
        title: of the picture.
        channels: counted from 1; none for the three that differ most from place to place.

    Raises:
        ValueError: for a layer without places, or a channel that it does not have.
    """
    rates = _places(name, layer)
    chosen = _channels(rates, channels)
    steps = np.unique(np.linspace(0, len(layer.spikes) - 1, min(len(layer.spikes), 10)).round().astype(int))
    figure = new_figure(1.05 * (len(steps) + 1.4), 1.15 * (len(chosen) + 1) + 0.6, title)
    grid = figure.subplots(
        len(chosen) + 1, len(steps) + 1, squeeze=False, width_ratios=[*[1] * len(steps), 1.15], sharey="row"
    )
    shown = looks(kind, frames if len(frames) > 1 else np.repeat(frames, len(layer.spikes), 0))
    whole = looks(kind, frames.mean(0, keepdims=True))[0]
    for place, step in enumerate(steps):
        grid[0, place].imshow(shown[step])
        grid[0, place].set_title(f"t = {step + 1}", fontsize=8)
        for row, channel in enumerate(chosen, 1):
            grid[row, place].imshow(layer.spikes[step, channel], cmap="gray", vmin=0, vmax=1)
    grid[0, -1].imshow(whole)
    grid[0, -1].set_title("mean", fontsize=8)
    for row, channel in enumerate(chosen, 1):
        image = grid[row, -1].imshow(rates[channel], cmap=MAP, vmin=0, vmax=max(rates[chosen].max(), 1e-9))
        grid[row, 0].set_ylabel(f"channel {channel + 1}", fontsize=8)
    grid[0, 0].set_ylabel("input", fontsize=8)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=grid[1:, -1].tolist(), label="spikes a step", shrink=0.8)
    figure.supxlabel(literal(f"{name}: white where a neuron fires; at the end its firing rate"), fontsize=8, color=GREY)
    save(figure, out)


def plot_channels(name: str, layer: LayerActivity, out: Path, title: str = "") -> None:
    """Draw the firing rates of all channels of a layer over all steps, as in Figure S3(b) of PLIF.

    Raises:
        ValueError: for a layer without places.
    """
    rates = _places(name, layer)
    columns = int(np.ceil(np.sqrt(1.6 * len(rates))))
    rows = -(-len(rates) // columns)
    height, width = rates.shape[1:]
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for number, each in enumerate(rates):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        sheet[top : top + height, left : left + width] = each
    figure = new_figure(7.5, 7.5 * sheet.shape[0] / sheet.shape[1] + 1, title)
    axes = figure.subplots()
    image = axes.imshow(sheet, cmap=MAP, vmin=0, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(literal(f"{name}: {len(rates)} channels of {height}×{width} neurons, row by row"), fontsize=9)
    figure.colorbar(image, ax=axes, label="spikes a step", shrink=0.8, pad=0.01)
    save(figure, out)


def _places(name: str, layer: LayerActivity) -> NDArray[np.float64]:
    rates = layer.rates
    if rates.ndim != 3:
        raise ValueError(f"the neurons of {name} have no places to be drawn at; choose a layer of a convolution")
    return rates


def _channels(rates: NDArray[np.float64], channels: Sequence[int]) -> list[int]:
    if not channels:
        return sorted(np.argsort(-rates.std((1, 2)), kind="stable")[:3].tolist())
    wrong = [channel for channel in channels if not 1 <= channel <= len(rates)]
    if wrong:
        raise ValueError(f"channels count from 1 to {len(rates)}, got {wrong[0]}")
    return [channel - 1 for channel in channels]
