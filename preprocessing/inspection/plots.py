"""Pictures of recordings and frame caches. matplotlib is imported only here, inside the functions, and draws to files.

Events have the colours of ``preprocessing.drawing``; images are shown as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.drawing import OFF, ON, REST, colours, literal, looks, save
from preprocessing.events import Events
from preprocessing.events.filters import count_image
from preprocessing.frames.rasterize import Rasterizer
from preprocessing.progress import progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from preprocessing.cache import FrameCache

_COLUMNS = 8
_MOST_ROWS = 100  # of classes; a picture cannot be of any height
_MOST_NAMES = 40  # below an axis; letters, where they stand side by side
_PEAKED = 20  # times the median rate that make the axis logarithmic, so that the rest can be seen


def slice_labels(t: NDArray[np.int64], edges: NDArray[np.int64], shared: bool = False) -> list[str]:
    """From when to when the events of each frame lie, since the first event.

    Args:
        t: times ``[N]``, µs.
        edges: as of ``Rasterizer.edges``.
        shared: events are shared between their own frame and the next one.
    """
    if len(t) == 0:
        return ["no events"] * (len(edges) - 1)
    since = t - t[0]
    unit, us = next((u for u in (("s", 1e6), ("ms", 1e3)) if since[-1] >= 10 * u[1]), ("µs", 1))
    finest = since[-1] / us / (len(edges) - 1)
    starts = np.append(edges[:1], edges[:-2]) if shared else edges[:-1]
    digits = 0 if finest >= 10 or us == 1 else 1 if finest >= 1 else 2
    return [
        f"{since[a] / us:.{digits}f}–{since[b - 1] / us:.{digits}f} {unit}" if b > a else "no events"
        for a, b in zip(starts.tolist(), edges[1:].tolist(), strict=True)
    ]


def draw_recording(path: Path, events: Events, rasterizer: Rasterizer, title: str) -> None:
    """Write a picture of events ``[N]``, N > 0: their frames, and below them their rate and their places."""
    frames = rasterizer.frames(events)
    edges = rasterizer.edges(events["t"])
    labels = slice_labels(events["t"], edges, rasterizer.value == "voxel")
    aspect = rasterizer.sensor[1] / rasterizer.sensor[0]
    num_rows = -(-len(frames) // _COLUMNS)
    heights = num_rows * (1.45 * aspect + 0.25), 3.2
    figure = _figure(12.5, sum(heights) + 0.7)
    _head(figure, title)
    above, below = _halves(figure, heights)
    _sheet(above, colours(frames), labels, aspect)
    left, right = below.subplots(1, 2, width_ratios=(1.9, 1))
    _draw_rate(left, events, edges)
    _draw_counts(right, count_image(events, rasterizer.sensor))
    save(figure, path, dpi=110)


def draw_sample(path: Path, cache: FrameCache, index: int, title: str) -> None:
    """Write a picture of the frames of one sample of a cache, each with its sum."""
    aspect = _aspect(cache)
    frames = cache[index]
    figure = _figure(12.5, -(-len(frames) // _COLUMNS) * (1.45 * aspect + 0.25) + 0.7)
    _head(figure, title, cache.kind)
    sums = [f"{step}: sum {total:,.0f}" for step, total in enumerate(frames.sum((1, 2, 3)))]
    _sheet(figure, looks(cache.kind, frames), sums if cache.kind == "events" else [""], aspect)
    save(figure, path, dpi=110)


def draw_cache(path: Path, cache: FrameCache, title: str) -> None:
    """Write a picture of a cache: the first samples of each class, below them how the samples are spread."""
    found = [np.flatnonzero(cache.labels == label)[: 2 * _COLUMNS].tolist() for label in range(len(cache.classes))]
    shown = [(name, firsts) for name, firsts in zip(cache.classes, found, strict=True) if firsts][:_MOST_ROWS]
    aspect = _aspect(cache)
    heights = len(shown) * (0.72 * aspect + 0.06), 3.0
    figure = _figure(12.5, sum(heights) + 0.7)
    row, which = (_first_images, "samples") if cache.kind == "images" else (_first_steps, _steps_shown(cache))
    _head(figure, f"{title}\nThe first {which} of each of {len(shown)} classes", cache.kind)
    above, below = _halves(figure, heights)
    grid = above.subplots(len(shown), squeeze=False).ravel()
    for axes, (name, firsts) in zip(grid, progress(shown, len(shown), "drawing", "classes"), strict=True):
        _show_row(axes, row(cache, firsts), aspect)
        axes.set_ylabel(literal(name), rotation=0, ha="right", va="center", fontsize=9)
    if cache.kind == "events":
        _draw_spreads(below, cache)
    else:
        _draw_classes(below.subplots(), cache)
    save(figure, path, dpi=110)


def _first_images(cache: FrameCache, samples: Sequence[int]) -> NDArray[np.float64]:
    """Some images side by side, ``[2 · columns, H, W, 3]``, with white where there are fewer."""
    images = looks(cache.kind, np.concatenate([cache[index] for index in samples]))
    missing = np.ones((2 * _COLUMNS - len(images), *images.shape[1:]))
    return np.concatenate([images, missing])


def _first_steps(cache: FrameCache, samples: Sequence[int]) -> NDArray[np.float64]:
    """Time steps of the first of some samples, ``[T, H, W, 3]``."""
    return colours(cache[samples[0]][_steps(cache)])


def _steps(cache: FrameCache) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, cache.steps - 1, min(cache.steps, 2 * _COLUMNS)).round().astype(np.int64))


def _steps_shown(cache: FrameCache) -> str:
    num = len(_steps(cache))
    return f"sample, {f'all {num}' if num == cache.steps else f'{num} of {cache.steps}'} steps,"


def animate(path: Path, events: Events, rasterizer: Rasterizer, title: str) -> None:
    """Write a GIF of the frames of events ``[N]``, N > 0, eight a second."""
    from matplotlib.animation import PillowWriter

    labels = slice_labels(events["t"], rasterizer.edges(events["t"]), rasterizer.value == "voxel")
    images = colours(rasterizer.frames(events))
    aspect = rasterizer.sensor[1] / rasterizer.sensor[0]
    figure = _figure(4.6, 4.2 * aspect + 0.9)
    _head(figure, title)
    axes = figure.subplots()
    shown = _show(axes, images[0], aspect)
    writer = PillowWriter(fps=8)
    with writer.saving(figure, str(path), dpi=100):
        for image, label in progress(zip(images, labels, strict=True), len(images), "drawing", "frames"):
            shown.set_data(image)
            axes.set_xlabel(label)
            writer.grab_frame()


def _aspect(cache: FrameCache) -> float:
    """Height / width of what the camera saw, as the frames show it."""
    width, height = cache.sensor
    return width / height if cache.config.get("transpose") else height / width


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _halves(figure: Figure, heights: tuple[float, float]) -> tuple[SubFigure, SubFigure]:
    """Two parts one above the other, which are laid out each for itself."""
    grid = figure.add_gridspec(2, 1, height_ratios=heights)
    return figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])


def _head(figure: Figure, title: str, kind: str = "events") -> None:
    """A title, and of events the meaning of the colours."""
    from matplotlib.patches import Patch

    figure.suptitle(literal(title), fontsize=10, x=0.01, ha="left")
    if kind == "images":
        return
    patches = [Patch(color=ON, label="ON"), Patch(color=OFF, label="OFF")]
    figure.legend(handles=patches, loc="upper right", ncols=2, frameon=False, fontsize=9, borderaxespad=0)


def _sheet(figure: Figure | SubFigure, images: NDArray[np.float64], labels: Sequence[str], aspect: float) -> None:
    num_columns = min(_COLUMNS, len(images))
    grid = figure.subplots(-(-len(images) // num_columns), num_columns, squeeze=False).ravel()
    for axes in grid[len(images) :]:
        axes.set_axis_off()
    for axes, image, label in zip(grid, images, labels, strict=False):
        _show(axes, image, aspect)
        axes.set_title(label, fontsize=8, pad=3)


def _show_row(axes: Axes, images: NDArray[np.float64], aspect: float) -> None:
    """Images ``[T, H, W, 3]`` side by side as one: much faster than a drawing of its own for each."""
    num, height, width, _ = images.shape
    gap = np.ones((num, height, max(1, width // 12), 3))
    row = np.concatenate([images, gap], axis=2).swapaxes(0, 1).reshape(height, -1, 3)[:, : -gap.shape[2]]
    _show(axes, row, aspect * width / row.shape[1])
    axes.spines[:].set_visible(False)


def _show(axes: Axes, image: NDArray[np.float64], aspect: float) -> Any:
    """An image ``[H, W, 3]`` at an aspect ratio (height / width) of its own, that of the sensor."""
    height, width = image.shape[:2]
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#BBBBBB")
    return axes.imshow(image, interpolation="nearest", aspect=aspect * width / height)


def _draw_rate(axes: Axes, events: Events, edges: NDArray[np.int64]) -> None:
    """ON and OFF events/s over time, in 200 bins, with the slices."""
    from matplotlib.ticker import EngFormatter

    since = (events["t"] - events["t"][0]) / 1e6
    bins = np.linspace(0, max(since[-1], 1e-6), 201)
    rates = [np.histogram(since[which], bins)[0] / bins[1] for which in (events["p"], ~events["p"])]
    for name, colour, rate in zip(("ON", "OFF"), (ON, OFF), rates, strict=True):
        axes.stairs(rate, bins, color=colour, label=name, linewidth=1.2, baseline=None)
    for edge in since[np.minimum(edges, len(since) - 1)]:
        axes.axvline(edge, color="#999999", linewidth=0.5, alpha=0.6, zorder=0)
    axes.set_title("Event rate; the grey lines are the edges of the slices", fontsize=9, loc="left")
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    axes.yaxis.set_major_formatter(EngFormatter())
    axes.set(xlim=(0, bins[-1]), ylim=(0, None), ylabel="events/s")
    typical = np.median(np.concatenate(rates))
    if np.max(rates) > _PEAKED * typical > 0:
        axes.set_yscale("symlog", linthresh=typical)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_counts(axes: Axes, counts: NDArray[np.int64]) -> None:
    """Events per pixel of the sensor, on a logarithmic scale, and the pixel that has most."""
    from matplotlib.colors import LogNorm

    y, x = np.unravel_index(int(counts.argmax()), counts.shape)
    most = int(counts[y, x])
    image = axes.imshow(np.ma.masked_equal(counts, 0), norm=LogNorm(1, max(most, 2)), cmap="viridis")
    axes.set_facecolor(REST)
    axes.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor="#CC79A7", markeredgewidth=1.5)
    axes.set_title(f"Events per pixel; the most, {most:,}, at ({x}, {y})", fontsize=9, loc="left")
    axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.04, 1)))


def _draw_spreads(figure: SubFigure, cache: FrameCache) -> None:
    """Samples per class and split, and histograms of their events and durations."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    left, middle, right = figure.subplots(1, 3)
    _draw_classes(left, cache)
    for axes, values, title, unit in (
        (middle, cache.num_events, "Events per sample", ""),
        (right, cache.duration_us / 1e6, "Duration of a sample", "s"),
    ):
        axes.hist(values, bins=40, color="#777777")
        axes.set_title(title, fontsize=9, loc="left")
        axes.xaxis.set_major_formatter(EngFormatter(unit))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=(1, 2, 5, 10)))
        axes.set_ylabel("samples", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)


def _draw_classes(axes: Axes, cache: FrameCache) -> None:
    """Samples per class and split."""
    from preprocessing.cache.balance import class_counts

    bottom = np.zeros(len(cache.classes), np.int64)
    for (split, counts), colour in zip(class_counts(cache).items(), ("#56B4E9", "#E69F00", "#009E73"), strict=True):
        if counts.any():
            axes.bar(range(len(counts)), counts, bottom=bottom, label=split, color=colour)
            bottom += counts
    every = range(0, len(bottom), -(-len(bottom) // _MOST_NAMES))
    axes.set_xticks(every, [literal(cache.classes[i]) for i in every], fontsize=8)
    if sum(map(len, cache.classes)) > _MOST_NAMES:
        axes.tick_params("x", rotation=90)
    axes.set_ylim(0, bottom.max() * 1.25)
    axes.legend(ncols=3, frameon=False, fontsize=8, loc="upper left")
    axes.set_title("Samples per class", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
