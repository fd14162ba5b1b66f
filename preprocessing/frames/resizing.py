"""Resizing as a look-up: for each pixel along an axis, the bins of the frame that it feeds, and how much.

Counting events and resizing the counts are both linear: a frame's bin is a weighted sum over the events, with
one fixed weight per (pixel, bin), the product of the two axes' weights. The weights are rational: over their common
denominator they are integers, and their sums are exact.
"""

from __future__ import annotations

from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Axis(NamedTuple):
    """A resizing along one axis.

    Attributes:
        weights: matrix ``[bins, pixels]``.
        denominator: D, the smallest number for which all weights are integers / D.
    """

    weights: NDArray[np.float64]
    denominator: int


class AxisTable(NamedTuple):
    """What each of n pixels along an axis feeds: up to K bins.

    Attributes:
        bins: bin indices ``[K, n]``; 0 where the pixel feeds fewer than K.
        weights: ``[K, n]``; 0 there.
        denominator: as in ``Axis``.
    """

    bins: NDArray[np.int64]
    weights: NDArray[np.float64]
    denominator: int


def axis_table(axis: Axis) -> AxisTable:
    """List the non-zero entries of a resizing pixel by pixel."""
    pixel, bins = np.nonzero(axis.weights.T)
    num_bins = np.bincount(pixel, minlength=axis.weights.shape[1])
    slot = np.arange(len(pixel)) - np.repeat(np.cumsum(num_bins) - num_bins, num_bins)
    table = AxisTable(
        np.zeros((num_bins.max(), axis.weights.shape[1]), np.int64),
        np.zeros((num_bins.max(), axis.weights.shape[1])),
        axis.denominator,
    )
    table.bins[slot, pixel], table.weights[slot, pixel] = bins, axis.weights[bins, pixel]
    return table


def bilinear(num_pixels: int, num_bins: int) -> Axis:
    """Bin i reads between the two pixels next to ``(i + 1/2)·pixels/bins − 1/2``, from 0 on.

    These are the weights of ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``: nothing is
    smoothed first, so that a reduction to less than half leaves some pixels unused.
    """
    i = np.arange(num_bins)
    low, rest = np.divmod(np.maximum((2 * i + 1) * num_pixels - num_bins, 0), 2 * num_bins)
    weights = np.zeros((num_bins, num_pixels), np.int64)
    np.add.at(weights, (i, low), 2 * num_bins - rest)
    np.add.at(weights, (i, np.minimum(low + 1, num_pixels - 1)), rest)
    return _averages(weights)


def bilinear_antialias(num_pixels: int, num_bins: int) -> Axis:
    """Bin i averages the pixels under a triangle around ``(i + 1/2)·pixels/bins``, as wide as two bins.

    These are the weights of ``interpolate(mode="bilinear", antialias=True)``; enlarging, the triangle is two pixels
    wide, and the result is that of ``bilinear``.
    """
    i, j = np.arange(num_bins)[:, None], np.arange(num_pixels)
    distance = np.abs((2 * j + 1) * num_bins - (2 * i + 1) * num_pixels)
    return _averages(np.maximum(2 * max(num_pixels, num_bins) - distance, 0))


def area(num_pixels: int, num_bins: int) -> Axis:
    """Bin i is the mean of the pixels that it touches, ⌊i·pixels/bins⌋ up to ⌈(i + 1)·pixels/bins⌉.

    As ``interpolate(mode="area")``: every event counts, however far the reduction goes.
    """
    i, j = np.arange(num_bins)[:, None], np.arange(num_pixels)
    start, stop = i * num_pixels // num_bins, -(-(i + 1) * num_pixels // num_bins)
    return _averages(((start <= j) & (j < stop)).astype(np.int64))


def nearest(num_pixels: int, num_bins: int) -> Axis:
    """Bin i is the pixel ⌊i·pixels/bins⌋, as ``interpolate(mode="nearest")``: reducing, the others are unused."""
    i = np.arange(num_bins)
    weights = np.zeros((num_bins, num_pixels))
    weights[i, i * num_pixels // num_bins] = 1
    return Axis(weights, 1)


def total(num_pixels: int, num_bins: int) -> Axis:
    """Pixel j belongs to bin ⌊j·bins/pixels⌋, which adds its pixels up: every event counts once."""
    j = np.arange(num_pixels)
    weights = np.zeros((num_bins, num_pixels))
    weights[j * num_bins // num_pixels, j] = 1
    return Axis(weights, 1)


RESIZE_AXES = {
    "bilinear": bilinear,
    "bilinear-antialias": bilinear_antialias,
    "area": area,
    "nearest": nearest,
    "sum": total,
}
"""Name of a way to resize → what it does along one axis."""


def _averages(weights: NDArray[np.int64]) -> Axis:
    """Every bin's weights ``[bins, pixels]`` divided by their sum."""
    weights = weights // np.gcd.reduce(weights, axis=1)[:, None]
    sums = weights.sum(axis=1)
    return Axis(weights / sums[:, None], lcm(*sums.tolist()))
