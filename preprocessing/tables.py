"""Resizing as a look-up: for each pixel along an axis, the bins of the frame that it feeds, and how much.

Counting events and resizing the counts are both linear: a frame's bin is a weighted sum over the events, with
one fixed weight per (pixel, bin), the product of the two axes' weights. Bilinear weights are rational: over a
common denominator they are integers, and their sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AxisTable:
    """What each of n pixels along an axis feeds: up to K bins, with weight ``weights / denominator`` each.

    Attributes:
        bins: bin indices ``[K, n]``; 0 where the pixel feeds fewer than K.
        weights: numerators ``[K, n]``; 0 there.
        denominator: D, common to the axis.
    """

    bins: NDArray[np.int64]
    weights: NDArray[np.int64]
    denominator: int


def axis_table(matrix: NDArray[np.int64], denominator: int) -> AxisTable:
    """List the non-zero entries of a resizing matrix ``[bins, pixels]`` pixel by pixel, in lowest terms."""
    common = int(np.gcd.reduce(matrix, axis=None, initial=denominator))
    pixel, bins = np.nonzero(matrix.T)
    num_bins = np.bincount(pixel, minlength=matrix.shape[1])
    slot = np.arange(len(pixel)) - np.repeat(np.cumsum(num_bins) - num_bins, num_bins)
    table = np.zeros((2, int(num_bins.max()), matrix.shape[1]), np.int64)
    table[:, slot, pixel] = bins, matrix[bins, pixel] // common
    return AxisTable(table[0], table[1], denominator // common)


def bilinear_matrix(num_pixels: int, num_bins: int) -> tuple[NDArray[np.int64], int]:
    """Bilinear resizing along one axis: the matrix ``[bins, pixels]`` in units of 1 / the second value.

    Bin i reads between the two pixels next to ``(i + 1/2)·pixels/bins − 1/2``, from 0 on. These are the
    weights of ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``: nothing is smoothed
    first, so that a reduction to less than half leaves some pixels unused.
    """
    unit = 2 * num_bins
    i = np.arange(num_bins)
    position = np.maximum((2 * i + 1) * num_pixels - num_bins, 0)
    low, rest = np.divmod(position, unit)
    matrix = np.zeros((num_bins, num_pixels), np.int64)
    np.add.at(matrix, (i, low), unit - rest)
    np.add.at(matrix, (i, np.minimum(low + 1, num_pixels - 1)), rest)
    return matrix, unit


def area_matrix(num_pixels: int, num_bins: int) -> tuple[NDArray[np.int64], int]:
    """Averaging along one axis: the matrix ``[bins, pixels]`` in units of 1 / the second value.

    Bin i is the mean of the pixels that it touches, ⌊i·pixels/bins⌋ up to ⌈(i + 1)·pixels/bins⌉, as in
    ``torch.nn.functional.interpolate(mode="area")``: every event counts, however far the reduction goes.
    """
    i = np.arange(num_bins)
    start, stop = i * num_pixels // num_bins, -(-(i + 1) * num_pixels // num_bins)
    unit = int(np.lcm.reduce(stop - start))
    pixel = np.arange(num_pixels)
    touched = (start[:, None] <= pixel) & (pixel < stop[:, None])
    return touched * (unit // (stop - start))[:, None], unit


RESIZE_MATRICES = {"bilinear": bilinear_matrix, "area": area_matrix}
"""Name of a way to resize → its matrix along one axis."""
