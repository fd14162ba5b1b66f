"""The charts of a report: drawn by ``evglif.plots``, a panel each, as SVG that stands in the page.

Letters and lines have the colours of the page, light or dark: matplotlib draws them in colours that nothing else has,
and these are replaced by the page's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evglif.evaluation.epochs import Row
from evglif.evaluation.firing import LayerFiring
from evglif.evaluation.learnt import NeuronValue
from evglif.evaluation.statistics import Calibration
from evglif.plots import plot_confusion
from evglif.plots.accuracy import draw_reliability, draw_steps
from evglif.plots.curves import TAU, draw_quantity, draw_rates, draw_time_constants
from evglif.plots.neurons import HEIGHT_OF_A_LAYER, draw_firing, draw_firing_by_step, draw_value
from evglif.plots.style import GREY, new_figure
from evglif.reporting.record import CalibrationFigures, TestFigures
from preprocessing import drawing

_INK = "#010203"
_THEME: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), "none"),
    "svg.fonttype": "none",
    "font.size": 10,
}
_POINT_PX = 96 / 72


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        svg: the picture.
        caption: what it shows, in words.
        width: px at which its letters have the size of the page's.
    """

    svg: Markup
    caption: str
    width: int


def training_charts(rows: Sequence[Row]) -> list[Chart]:
    """Loss, accuracy and learning rate by epoch, and τ by epoch where a layer has one."""
    charts = [
        _panel(4.4, 3.0, lambda axes: draw_quantity(axes, rows, "loss"), "Loss by epoch, in nats."),
        _panel(
            4.4, 3.0, lambda axes: draw_quantity(axes, rows, "accuracy"), "Accuracy by epoch; dotted: the epoch kept."
        ),
    ]
    names = set(rows[0])
    if any(name == "lr" or name.startswith("lr-") for name in names):
        charts.append(_panel(4.4, 3.0, lambda axes: draw_rates(axes, rows), "Learning rate by epoch."))
    if any(name.endswith(TAU) for name in names):
        caption = "Membrane time constant τ of every layer by epoch, in time steps."
        charts.append(_panel(5.6, 3.8, lambda axes: draw_time_constants(axes, rows), caption))
    return charts


def confusion_chart(test: TestFigures, classes: Sequence[str]) -> Chart:
    """The confusion matrix."""

    def write(path: Path) -> None:
        plot_confusion(test.confusion, classes, path)

    return _written(write, "Confusion: rows are true classes, columns what was said; numbers are samples.")


def test_charts(test: TestFigures, model: str) -> list[Chart]:
    """Accuracy by time step, where there is more than one, and calibration with counts."""
    reached, num = test.accuracy_by_step, test.num_samples
    charts = []
    if len(reached) > 1:
        caption = "Accuracy of a decision after the first t steps; shaded: 95 % interval."
        charts.append(_panel(4.4, 3.4, lambda axes: draw_steps(axes, model, reached, num), caption))
    bins = _calibration(test.calibration)
    charts.append(
        _panels(
            4.4,
            5.0,
            lambda panels: draw_reliability(panels, bins, test.calibration.mean_confidence, test.accuracy),
            "Calibration: of what was said with a confidence, how much is right; below, how many samples that were.",
        )
    )
    return charts


def firing_charts(layers: Mapping[str, LayerFiring]) -> list[Chart]:
    """Firing rates by layer, and by time step; none for a network without spikes."""
    if not layers:
        return []
    height = 1.3 + HEIGHT_OF_A_LAYER * len(layers)
    charts = [
        _panel(
            5.2, height, lambda axes: draw_firing(axes, layers), "Spikes per neuron and step, and neurons never firing."
        )
    ]
    if len(next(iter(layers.values())).by_step) > 1:
        caption = "Spikes per neuron at each time step."
        charts.append(_panel(5.2, height, lambda axes: draw_firing_by_step(axes, layers), caption))
    return charts


def value_charts(values: Sequence[NeuronValue], meanings: Mapping[str, str]) -> list[Chart]:
    """What the neurons have learnt, a chart for each value."""
    learnt = [value for value in values if value.learnt]
    return [
        _panel(
            4.2,
            3.8,
            lambda axes, name=name: draw_value(axes, [value for value in learnt if value.name == name]),
            f"{meanings.get(name, name).capitalize()}.",
        )
        for name in dict.fromkeys(value.name for value in learnt)
    ]


def _calibration(figures: CalibrationFigures) -> Calibration:
    means = (
        [math.nan if value is None else value for value in each] for each in (figures.confidence, figures.accuracy)
    )
    return Calibration(np.array(figures.counts), *map(np.array, means))


def _panel(width: float, height: float, draw: Callable[..., None], caption: str) -> Chart:
    """A chart of one panel, of so many inches."""
    return _figure(width, height, caption, lambda figure: draw(figure.subplots()))


def _panels(width: float, height: float, draw: Callable[[Sequence[Axes]], None], caption: str) -> Chart:
    """A chart of two panels, one above the other."""
    return _figure(
        width, height, caption, lambda figure: draw(figure.subplots(2, 1, sharex=True, height_ratios=(3, 1)))
    )


def _figure(width: float, height: float, caption: str, draw: Callable[[Figure], None]) -> Chart:
    def write(path: Path) -> None:
        figure = new_figure(width, height, "")
        draw(figure)
        drawing.save(figure, path, dpi=120)

    return _written(write, caption)


def _written(write: Callable[[Path], None], caption: str) -> Chart:
    theme = _THEME | {"svg.hashsalt": caption}  # names inside the picture are its own, and the same every time
    with TemporaryDirectory() as folder, rc_context(theme):
        path = Path(folder) / "chart.svg"
        write(path)
        drawn = path.read_text(encoding="utf-8")
    svg, width = _for_the_page(drawn, caption)
    return Chart(svg, caption, width)


def _for_the_page(svg: str, caption: str) -> tuple[Markup, int]:
    """The picture as an element of the page, and its width in px."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', svg)
    assert box is not None
    label = Markup(' role="img" aria-label="{}"').format(caption)
    svg = re.sub(r'<svg ([^>]*?)width="[\d.]+pt"', lambda head: f"<svg{label} {head[1]}", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)height="[\d.]+pt"', r"\1", svg, count=1)
    svg = re.sub(r' id="[A-Za-z]+_\d+"', "", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)  # hundredths of a point do
    for colour, own in ((_INK, "var(--ink)"), (GREY, "var(--faint)")):
        svg = svg.replace(colour, own)
    return Markup(svg), round(float(box[1]) * _POINT_PX)
