"""The papers' figures, from the folders of finished runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from evglif import load_checkpoint
from evglif.evaluation.learnt import neuron_values
from evglif.plots.neurons import plot_values
from evglif.plots.style import new_figure, save, tidy

Curves = Mapping[str, list[float]]


def draw(what: str, folders: Mapping[str, Path], out: Path, title: str) -> None:
    """Draw a figure.

    Args:
        what: ``Table.draws``.
        folders: label of a row → folder of its run.
        out: a PNG file.
        title: of the picture.
    """
    if what == "learnt":
        plot_values(neuron_values(load_checkpoint(next(iter(folders.values())) / "last.pt")), out, title)
        return
    panels: dict[str, dict[str, list[float]]] = {}
    for label, folder in folders.items():
        data, _, neuron = label.partition(", ")
        for name, values in (accuracies(folder, neuron) if what == "curves" else time_constants(folder)).items():
            panels.setdefault(data if what == "curves" else label, {})[name] = values
    figure = new_figure(4.5 * len(panels), 3.8, title)
    for axes, (name, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, name, "test accuracy, %" if what == "curves" else "τ, steps", curves)
    save(figure, out)


def accuracies(folder: Path, label: str) -> Curves:
    """Test accuracy by epoch, %."""
    return {label: [100 * float(row["test_accuracy"]) for row in _rows(folder)]}


def time_constants(folder: Path) -> Curves:
    """τ by epoch of every layer, numbered from 1 as in the paper."""
    rows = _rows(folder)
    names = [name for name in rows[0] if name.endswith(".tau")]
    return {f"layer {number}": [float(row[name]) for row in rows] for number, name in enumerate(names, 1)}


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _draw(axes: Axes, title: str, quantity: str, curves: Curves) -> None:
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, label=name)
    axes.set(title=title, xlabel="epoch", ylabel=quantity)
    tidy(axes)
    axes.legend(frameon=False, fontsize="small")
