"""Events to frames: T slices of a stream, each counted per pixel and polarity, then resized.

    frame[j, c, v, u] = Σ over the events of slice j with p = c of  weight_x[x, u] · weight_y[y, v]

One look-up and one integer addition per (event, bin it feeds), exact, in one pass; see ``tables`` and ``records``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing import limits
from preprocessing.events import Events, lies_outside
from preprocessing.events.array import LONGEST_SIDE
from preprocessing.events.records import Layout, Records
from preprocessing.events.slicing import check_slicing, slice_edges
from preprocessing.frames.resizing import RESIZE_AXES, AxisTable, axis_table

RESIZES = tuple(RESIZE_AXES)
VALUES = ("count", "binary", "signed")

_BIN_BYTES = 8  # while they are made: sums, and what is stored of them
_FINEST = 1 << 31


class Stored(NamedTuple):
    """One sample as the cache keeps it.

    Attributes:
        frames: ``[T, 2, H, W]`` uint16, in units of the rasterizer's ``scale``.
        num_saturated: bins beyond 65535 units, stored as 65535.
        num_events: events in the slices; fewer than were given where slices have one size for all.
    """

    frames: NDArray[np.uint16]
    num_saturated: int
    num_events: int


def rasterize(
    events: Events,
    sensor: tuple[int, int] = (128, 128),
    steps: int = 16,
    size: tuple[int, int] = (48, 48),
    slicing: str = "count",
    resize: str = "bilinear",
    value: str = "count",
) -> NDArray[np.float32]:
    """Turn events ``[N]`` into frames ``[steps, 2, height, width]``; see ``Rasterizer.frames``."""
    return _rasterizer(tuple(sensor), steps, tuple(size), slicing, resize, False, value).frames(events)


@dataclass(frozen=True)
class Rasterizer:
    """Events to frames ``[T, 2, H, W]``, channel 0 = OFF, channel 1 = ON, for one camera and one frame size.

    Attributes:
        sensor: (width, height) of the camera, px.
        steps: T, the number of slices.
        size: (W, H) of a frame, px.
        slicing: how a sample is cut into slices, see ``slicing.slice_edges``.
        resize: how the sensor is brought to ``size``, a name in ``tables.RESIZE_AXES``.
        transpose: swap x and y of the events first, and with them the sensor's sides.
        value: what a bin holds. ``"count"``: the events that feed it, by weight. ``"binary"``: 1 if there is any.
            ``"signed"``: their balance ON − OFF, in channel 1 where it is positive and in channel 0 where negative.
        half_turn: turn the events by 180° first.

    Raises:
        ValueError: an unknown slicing, resizing or value, a number that isn't positive, a side beyond 4096 px, or
            frames that would take more memory than ``limits`` has for them.
    """

    sensor: tuple[int, int]
    steps: int = 16
    size: tuple[int, int] = (48, 48)
    slicing: str = "count"
    resize: str = "bilinear"
    transpose: bool = False
    value: str = "count"
    half_turn: bool = False

    def __post_init__(self) -> None:
        check_slicing(self.slicing, self.steps)
        for name, choice, choices in (("resize", self.resize, RESIZES), ("value", self.value, VALUES)):
            if choice not in choices:
                raise ValueError(f"unknown {name} {choice!r}; choose one of {', '.join(choices)}")
        for name, pair in (("sensor", self.sensor), ("size", self.size)):
            if len(pair) != 2 or min(pair) < 1 or max(pair) > LONGEST_SIDE:
                raise ValueError(f"{name} is (width, height), each from 1 to {LONGEST_SIDE} px, got {pair}")
        width, height = self.size
        if problem := limits.frames_problem(self.steps * 2 * height * width * _BIN_BYTES):
            raise ValueError(f"frames of {self.steps} × 2 × {height} × {width}: a sample {problem}")

    @cached_property
    def _axes(self) -> tuple[AxisTable, AxisTable]:
        """Tables along the frame's width and height."""
        sensor = self.sensor[::-1] if self.transpose else self.sensor
        x, y = (axis_table(RESIZE_AXES[self.resize](*sides)) for sides in zip(sensor, self.size, strict=True))
        return x, y

    @cached_property
    def denominator(self) -> int:
        """D: a frame's values are integers / D."""
        return 1 if self.value == "binary" else self._unit

    @cached_property
    def _unit(self) -> int:
        """Weights are integers / this: their common denominator; rounded to 1 / 2³¹ where that is finer."""
        return min(prod(axis.denominator for axis in self._axes), _FINEST)

    @cached_property
    def exact(self) -> bool:
        """Whether stored integers × ``scale`` are the frames exactly; else they are within ``scale`` / 2."""
        return self.denominator <= 256

    @cached_property
    def scale(self) -> float:
        """What one unit of the stored integers is worth: value = stored × scale."""
        return 1 / self.denominator if self.exact else 1 / 256

    def frames(self, events: Events | Records) -> NDArray[np.float32]:
        """Frames ``[T, 2, H, W]`` of events ``[N]``; all zero when N = 0.

        Raises:
            ValueError: an event outside the sensor.
        """
        return self.frames_of(self.weights(events))

    def weights(self, events: Events | Records) -> NDArray[np.unsignedinteger]:
        """What events ``[N]`` add to the bins, ``[T, 2, H, W]``, exact integers; those of parts of a slice add up.

        Raises:
            ValueError: an event outside the sensor.
        """
        records = self._records(events)
        return self._weights(records, slice_edges(records.t, self.steps, self.slicing))

    def frames_of(self, weights: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
        """Frames ``[T, 2, H, W]`` of what ``weights`` gave."""
        from preprocessing.kernels.raster import divided

        sums = self._valued(weights)
        if max(int(sums.max()), self.denominator) >= 1 << 24:
            return (sums / self.denominator).astype(np.float32)
        frames = np.empty(sums.shape, np.float32)
        divided(sums.ravel(), self.denominator, frames.reshape(-1))
        return frames

    def stored(self, events: Events | Records) -> Stored:
        """One sample of events ``[N]`` as the cache keeps it.

        Raises:
            ValueError: an event outside the sensor.
        """
        from preprocessing.kernels.raster import clipped

        records = self._records(events)
        edges = slice_edges(records.t, self.steps, self.slicing)
        sums = self._valued(self._weights(records, edges))
        if not self.exact:
            sums = (sums.astype(np.uint64) * 256 + self.denominator // 2) // self.denominator
        frames = np.empty(sums.shape, np.uint16)
        num_saturated = clipped(sums.ravel(), frames.reshape(-1))
        return Stored(frames, num_saturated, int(edges[-1]))

    def sums(self, events: Events | Records) -> NDArray[np.unsignedinteger]:
        """Frames ``[T, 2, H, W]`` × ``denominator``: exact integers.

        Raises:
            ValueError: an event outside the sensor.
        """
        return self._valued(self.weights(events))

    def _records(self, events: Events | Records) -> Records:
        return events if isinstance(events, Records) else _checked_records(events, self.sensor)

    def _weights(self, records: Records, edges: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
        from preprocessing.kernels.raster import accumulate

        table, heaviest = _table(self, records.layout)
        fields = np.array([(field.shift, field.mask) for field in records.layout.fields], np.uint64)
        width, height = self.size
        most = int(np.diff(edges).max()) * heaviest
        sums = np.zeros((self.steps, 2 * height * width), np.uint32 if most < 1 << 32 else np.uint64)
        accumulate(records.words, edges, fields, table, sums)
        return sums.reshape(self.steps, 2, height, width)

    def _valued(self, sums: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
        """Sums of weights as what ``value`` asks for, in units of 1 / ``denominator``."""
        if self.value == "count":
            return sums
        if self.value == "binary":
            return (sums > 0).astype(sums.dtype)
        off, on = sums[:, 0], sums[:, 1]
        less = np.minimum(off, on)
        return np.stack([off - less, on - less], axis=1)


@lru_cache(maxsize=8)
def _rasterizer(*options: Any) -> Rasterizer:
    """One ``Rasterizer`` for all calls of ``rasterize`` with the same options."""
    return Rasterizer(*options)


def _checked_records(events: Events, sensor: tuple[int, int]) -> Records:
    from preprocessing.kernels.check import first_outside

    records = Records.from_events(events, sensor)
    outside = first_outside(records.words, *sensor)
    if outside >= 0:
        raise ValueError(lies_outside(events, outside, sensor))
    return records


@lru_cache(maxsize=8)  # a table takes longer to make than a recording to look up
def _table(rasterizer: Rasterizer, layout: Layout) -> tuple[NDArray[np.unsignedinteger], int]:
    """The table ``[K, addresses]`` for ``kernels.raster.accumulate``, and the largest weight in it."""
    x, y, p = layout.places(np.arange(1 << layout.address_bits))
    inside = (x < rasterizer.sensor[0]) & (y < rasterizer.sensor[1])
    if rasterizer.half_turn:
        x, y = rasterizer.sensor[0] - 1 - x, rasterizer.sensor[1] - 1 - y
    if rasterizer.transpose:
        x, y = y, x
    across, down = rasterizer._axes
    width, height = rasterizer.size
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    unit = rasterizer._unit
    heaviest = round(across.weights.max() * down.weights.max() * unit)
    narrow = heaviest < 1 << 16 and 2 * height * width <= 1 << 16
    dtype, half = (np.uint32, 16) if narrow else (np.uint64, 32)
    table = np.empty((len(across.bins) * len(down.bins), len(x)), dtype)
    pairs = product(zip(down.bins, down.weights, strict=True), zip(across.bins, across.weights, strict=True))
    for entries, ((row, row_weight), (column, column_weight)) in zip(table, pairs, strict=True):
        weights = np.rint(row_weight[y] * column_weight[x] * unit * inside).astype(np.int64)
        entries[:] = weights << half | (p * height + row[y]) * width + column[x]
    return table, heaviest
