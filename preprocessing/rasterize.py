"""Events to frames: T slices of a stream, each counted per pixel and polarity, then resized.

    frame[j, c, v, u] = Σ over the events of slice j with p = c of  weight_x[x, u] · weight_y[y, v]

One look-up and one integer addition per (event, bin it feeds), exact, in one pass; see ``tables``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import Events, address_words, as_events
from preprocessing.slicing import check_slicing, slice_edges
from preprocessing.tables import RESIZE_MATRICES, AxisTable, axis_table

RESIZES = tuple(RESIZE_MATRICES)

_LARGEST = np.iinfo(np.uint16).max


def rasterize(
    events: Events,
    sensor: tuple[int, int] = (128, 128),
    steps: int = 16,
    size: tuple[int, int] = (48, 48),
    slicing: str = "count",
    resize: str = "bilinear",
) -> NDArray[np.float32]:
    """Turn events ``[N]`` into frames ``[steps, 2, height, width]``; see ``Rasterizer.frames``."""
    return _rasterizer(tuple(sensor), steps, tuple(size), slicing, resize).frames(events)


@dataclass(frozen=True)
class Rasterizer:
    """Events to frames ``[T, 2, H, W]``, channel 0 = OFF, channel 1 = ON, for one camera and one frame size.

    Attributes:
        sensor: (width, height) of the camera, px.
        steps: T, the number of slices; fewer events than slices leave the early ones empty.
        size: (W, H) of a frame, px.
        slicing: ``"count"`` or ``"time"``, see ``slicing.slice_edges``.
        resize: ``"bilinear"`` or ``"area"``, as torch's ``interpolate`` does them (``align_corners=False``).
        transpose: swap x and y of the events first, and with them the sensor's sides.

    Raises:
        ValueError: an unknown slicing or resizing, or a number that isn't positive.
    """

    sensor: tuple[int, int]
    steps: int = 16
    size: tuple[int, int] = (48, 48)
    slicing: str = "count"
    resize: str = "bilinear"
    transpose: bool = False

    def __post_init__(self) -> None:
        check_slicing(self.slicing, self.steps)
        if self.resize not in RESIZES:
            raise ValueError(f"unknown resize {self.resize!r}; choose one of {', '.join(RESIZES)}")
        for name, pair in (("sensor", self.sensor), ("size", self.size)):
            if len(pair) != 2 or min(pair) < 1:
                raise ValueError(f"{name} is (width, height), each at least 1 px, got {pair}")

    @cached_property
    def _axes(self) -> tuple[AxisTable, AxisTable]:
        """Tables along the frame's width and height."""
        sensor = self.sensor[::-1] if self.transpose else self.sensor
        x, y = (axis_table(*RESIZE_MATRICES[self.resize](*sides)) for sides in zip(sensor, self.size, strict=True))
        return x, y

    @cached_property
    def _tables(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Bins and weights ``[K, pixels]`` of the sensor's pixels, row by row as the camera sees them."""
        x, y = self._axes
        bins = y.bins[:, None, :, None] * self.size[0] + x.bins[None, :, None, :]
        weights = y.weights[:, None, :, None] * x.weights[None, :, None, :]
        if self.transpose:
            bins, weights = bins.swapaxes(2, 3), weights.swapaxes(2, 3)
        num_pixels = self.sensor[0] * self.sensor[1]
        return bins.reshape(-1, num_pixels).astype(np.uint32), weights.reshape(-1, num_pixels).astype(np.uint32)

    @cached_property
    def denominator(self) -> int:
        """D: a frame's values are integers / D."""
        return prod(axis.denominator for axis in self._axes)

    @cached_property
    def exact(self) -> bool:
        """Whether stored integers × ``scale`` are the frames exactly; else they are within ``scale`` / 2."""
        return self.denominator <= 256

    @cached_property
    def scale(self) -> float:
        """What one unit of the stored integers is worth: value = stored × scale."""
        return 1 / self.denominator if self.exact else 1 / 256

    def frames(self, events: Events) -> NDArray[np.float32]:
        """Frames ``[T, 2, H, W]`` of events ``[N]``; all zero when N = 0.

        Raises:
            ValueError: an event outside the sensor.
        """
        frames: NDArray[np.float32] = (self.sums(events) / float(self.denominator)).astype(np.float32)
        return frames

    def stored(self, events: Events) -> tuple[NDArray[np.uint16], int]:
        """Frames ``[T, 2, H, W]`` as the cache keeps them, in units of ``scale``, and the bins saturated.

        A bin beyond 65535 units is stored as 65535 and counted in the second value.

        Raises:
            ValueError: an event outside the sensor.
        """
        sums = self.sums(events)
        if not self.exact:
            sums = (sums.astype(np.uint64) * 256 + self.denominator // 2) // self.denominator
        num_saturated = int(np.count_nonzero(sums > _LARGEST))
        return np.minimum(sums, _LARGEST).astype(np.uint16), num_saturated

    def sums(self, events: Events, compiled: bool = True) -> NDArray[np.unsignedinteger]:
        """Frames ``[T, 2, H, W]`` × ``denominator``, exact integers; ``compiled=False`` takes the NumPy twin.

        Raises:
            ValueError: an event outside the sensor.
        """
        events = as_events(events)
        edges = slice_edges(events["t"], self.steps, self.slicing)
        bins, weights = self._tables
        most = int(np.diff(edges).max()) * int(weights.max())
        width, height = self.size
        flat = np.zeros((self.steps, 2 * height * width), np.uint32 if most < 1 << 32 else np.uint64)
        accumulate = _compiled_accumulate if compiled else _accumulate_numpy
        outside = accumulate(events, edges, self.sensor, bins, weights, flat)
        if outside >= 0:
            x, y = events["x"][outside], events["y"][outside]
            camera = "{}×{}".format(*self.sensor)
            raise ValueError(f"event {outside} at ({x}, {y}) lies outside the {camera} sensor")
        return flat.reshape(self.steps, 2, height, width)


@lru_cache(maxsize=8)
def _rasterizer(*options: Any) -> Rasterizer:
    """One ``Rasterizer`` for all calls of ``rasterize`` with the same options: its tables take a while to make."""
    return Rasterizer(*options)


def _compiled_accumulate(
    events: Events,
    edges: NDArray[np.int64],
    sensor: tuple[int, int],
    bins: NDArray[np.uint32],
    weights: NDArray[np.uint32],
    sums: NDArray[np.unsignedinteger],
) -> int:
    """Run the compiled loop; same arguments and result as ``_accumulate_numpy``."""
    from preprocessing.kernels.raster import accumulate

    at: int = accumulate(address_words(events), edges, sensor, bins, weights, sums)
    return at


def _accumulate_numpy(
    events: Events,
    edges: NDArray[np.int64],
    sensor: tuple[int, int],
    bins: NDArray[np.uint32],
    weights: NDArray[np.uint32],
    sums: NDArray[np.unsignedinteger],
) -> int:
    """Add each event's ``weights[k, pixel]`` to ``sums[slice, p, bins[k, pixel]]``, for every k.

    Args:
        events: ``[N]``.
        edges: event indices ``[T + 1]`` of the slices.
        sensor: (width, height), px.
        bins: which bins of a channel's frame the sensor's pixels feed, ``[K, width·height]``.
        weights: how much of it, the same shape.
        sums: the channels' frames ``[T, 2·H·W]``, added to.

    Returns:
        The index of the first event outside the sensor, -1 if there is none.
    """
    width, height = sensor
    outside = (events["x"] >= width) | (events["y"] >= height)
    if outside.any():
        return int(outside.argmax())
    pixel = events["y"].astype(np.int64) * width + events["x"]
    plane = sums.shape[1] // 2
    step = np.repeat(np.arange(len(sums)), np.diff(edges))
    channel = events["p"] * plane
    for pixel_bins, pixel_weights in zip(bins, weights, strict=True):
        np.add.at(sums, (step, channel + pixel_bins[pixel]), pixel_weights[pixel])
    return -1
