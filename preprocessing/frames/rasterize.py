"""Events to frames: T slices of a stream, each counted per pixel and polarity, then resized.

    frame[j, c, v, u] = Σ over the events of slice j with p = c of  weight_x[x, u] · weight_y[y, v]

One look-up and one integer addition per (event, bin it feeds), exact, in one pass; see ``tables`` and ``records``.

A voxel grid shares an event out between the two slices that it lies between in time as well, at t* (Zhu, Yuan, Chaney
and Daniilidis, CVPR 2019):

    frame[j, c, v, u] = Σ over all events with p = c of  max(0, 1 − |j − t*|) · weight_x[x, u] · weight_y[y, v]

The paper's V = Σ ± max(0, 1 − |j − t*|) is ON − OFF of these. It has a sign, so the two stay apart: both are positive,
as in every other frame, and nothing is lost. t* is rounded to 1/256, so that the shares of an event are integers /
256 that add up to 1, each within 1/512 of the formula's.
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
from preprocessing.events.slicing import Positions, Times, check_in_time, check_slicing, positions, slice_edges
from preprocessing.frames.resizing import RESIZE_AXES, AxisTable, axis_table

RESIZES = tuple(RESIZE_AXES)
VALUES = ("count", "binary", "signed", "voxel")

_BIN_BYTES = 8  # while they are made: sums, and what is stored of them
_FINEST = 1 << 31
_SHARES = 256  # an event between two bins in time is shared out in parts of 1 / this


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
            ``"voxel"``: the events by weight, shared out in time between the two bins that they lie between, as above;
            defined for slices that are cut by time, see ``slicing.positions``. With ``"time"`` t* goes from 0 to T − 1
            and each event adds its whole weight; with ``"duration:50ms"`` bins are 50 ms apart, and what would go to
            bin T is not in the frames.
        half_turn: turn the events by 180° first.

    Raises:
        ValueError: an unknown slicing, resizing or value, ``"voxel"`` of slices that time does not cut, a number that
            isn't positive, a side beyond 4096 px, or frames that would take more memory than ``limits`` has for them.
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
        if self.value == "voxel":
            check_in_time(self.slicing)
        for name, pair in (("sensor", self.sensor), ("size", self.size)):
            if len(pair) != 2 or min(pair) < 1 or max(pair) > LONGEST_SIDE:
                raise ValueError(f"{name} is (width, height), each from 1 to {LONGEST_SIDE} px, got {pair}")
        width, height = self.size
        num_steps = self.steps + (self.value == "voxel")  # one more, for what goes beyond the last
        if problem := limits.frames_problem(num_steps * 2 * height * width * _BIN_BYTES):
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
        return 1 if self.value == "binary" else self._unit * self._shares

    @cached_property
    def _unit(self) -> int:
        """Weights in space are integers / this: their common denominator; rounded where D would be beyond 2³¹."""
        return min(prod(axis.denominator for axis in self._axes), _FINEST // self._shares)

    @property
    def _shares(self) -> int:
        """Weights in time are integers / this."""
        return _SHARES if self.value == "voxel" else 1

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
        """What events ``[N]`` add to the bins, ``[T, 2, H, W]``, exact integers.

        Raises:
            ValueError: an event outside the sensor.
        """
        return self._cut(self._records(events))[0]

    def edges(self, t: Times) -> NDArray[np.int64]:
        """Event indices ``[T + 1]`` of the slices of times ``[N]``; of voxels, slice j goes from bin j to bin j + 1."""
        if self.value == "voxel":
            return positions(t, self.steps, self.slicing).edges
        return slice_edges(t, self.steps, self.slicing)

    def weights_of_slice(self, events: Events, start_us: int, each_us: int) -> NDArray[np.unsignedinteger]:
        """What events ``[N]`` of one slice add to its bins and those of the next one, ``[2, 2, H, W]``.

        Exact integers; those of parts of a slice add up. Only voxels add to the next one.

        Args:
            events: of the slice, or a part of it.
            start_us: where the slice begins; as ``each_us``, of voxels only.
            each_us: how long it is.

        Raises:
            ValueError: an event outside the sensor.
        """
        records = self._records(events)
        edges = np.array([0, len(records), len(records)])
        if self.value == "voxel":
            return self._weights_between(records, np.asarray(records.t), Positions(edges[:2], start_us, 1, each_us))
        return self._weights(records, edges)

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

        weights, num_events = self._cut(self._records(events))
        sums = self._valued(weights)
        if not self.exact:
            sums = (sums.astype(np.uint64) * 256 + self.denominator // 2) // self.denominator
        frames = np.empty(sums.shape, np.uint16)
        num_saturated = clipped(sums.ravel(), frames.reshape(-1))
        return Stored(frames, num_saturated, num_events)

    def sums(self, events: Events | Records) -> NDArray[np.unsignedinteger]:
        """Frames ``[T, 2, H, W]`` × ``denominator``: exact integers.

        Raises:
            ValueError: an event outside the sensor.
        """
        return self._valued(self.weights(events))

    def _records(self, events: Events | Records) -> Records:
        return events if isinstance(events, Records) else _checked_records(events, self.sensor)

    def _cut(self, records: Records) -> tuple[NDArray[np.unsignedinteger], int]:
        """What records add to the bins, ``[T, 2, H, W]``, and how many of them are in the slices."""
        if self.value == "voxel":
            times = np.asarray(records.t)
            places = positions(times, self.steps, self.slicing)
            return self._weights_between(records, times, places)[:-1], int(places.edges[-1])
        edges = self.edges(records.t)
        return self._weights(records, edges), int(edges[-1])

    def _weights(self, records: Records, edges: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
        """What the records of slices add to each one's bins, ``[T, 2, H, W]``."""
        from preprocessing.kernels.raster import accumulate

        table, heaviest = _table(self, records.layout)
        sums = self._empty_sums(len(edges) - 1, int(np.diff(edges).max()) * heaviest)
        accumulate(records.words, edges, _fields(records.layout), table, sums)
        return self._framed(sums)

    def _weights_between(
        self, records: Records, times: NDArray[np.int64], places: Positions
    ) -> NDArray[np.unsignedinteger]:
        """What records add to the bins that they lie between in time, and to those behind, ``[T + 1, 2, H, W]``."""
        from preprocessing.kernels.raster import accumulate_between

        table, heaviest = _table(self, records.layout)
        most = 2 * int(np.diff(places.edges).max())  # events of two slices feed a bin
        sums = self._empty_sums(len(places.edges), most * heaviest * _SHARES)
        scale = places.first, places.rate, places.spacing
        accumulate_between(records.words, times, places.edges, scale, _fields(records.layout), table, sums)
        return self._framed(sums)

    def _empty_sums(self, steps: int, most: int) -> NDArray[np.unsignedinteger]:
        """Bins ``[steps, 2 · H · W]`` that can hold up to ``most``."""
        width, height = self.size
        return np.zeros((steps, 2 * height * width), np.uint32 if most < 1 << 32 else np.uint64)

    def _framed(self, sums: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
        width, height = self.size
        return sums.reshape(-1, 2, height, width)

    def _valued(self, sums: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
        """Sums of weights as what ``value`` asks for, in units of 1 / ``denominator``."""
        if self.value in {"count", "voxel"}:
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


def _fields(layout: Layout) -> NDArray[np.uint64]:
    """Shift and mask ``[1, 2]`` or ``[3, 2]`` of the parts of an address."""
    return np.array([(field.shift, field.mask) for field in layout.fields], np.uint64)


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
