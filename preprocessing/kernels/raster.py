"""From the words of records to sums per bin; see ``preprocessing.events.records``."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def clean_span(
    words: NDArray[np.uint64],
    swapped: bool,
    time: tuple[int, int],
    unset: np.uint64,
    x: tuple[int, int, int],
    y: tuple[int, int, int],
) -> int:
    """The time from the first to the last of words ``[N]``, N > 0, µs, if every one is an event; else −1.

    That is, if bits ``unset`` are zero, x and y (shift, mask, limit) below their limits, and times don't decrease.
    """
    if (x[1] or y[1]) and not _are_inside(words, x, y):
        return -1
    time_shift, time_mask = uint64(time[0]), uint64(time[1])
    last, used = uint64(0), uint64(0)
    backward: np.bool_ = np.bool_(False)
    for i in range(len(words)):
        word = words[uint64(i)]
        used |= word
        now = (_swapped(word) if swapped else word) >> time_shift & time_mask
        backward |= now < last
        last = now
    if backward or used & unset:
        return -1
    first = (_swapped(words[0]) if swapped else words[0]) >> time_shift & time_mask
    return int(last - first)


@njit(cache=True, nogil=True)
def _are_inside(words: NDArray[np.uint64], x: tuple[int, int, int], y: tuple[int, int, int]) -> bool:
    x_shift, x_mask, width = uint64(x[0]), uint64(x[1]), uint64(x[2])
    y_shift, y_mask, height = uint64(y[0]), uint64(y[1]), uint64(y[2])
    wrong: np.bool_ = np.bool_(False)
    for i in range(len(words)):
        word = words[uint64(i)]
        wrong |= (word >> x_shift & x_mask) >= width
        wrong |= (word >> y_shift & y_mask) >= height
    return bool(not wrong)


@njit(cache=True, nogil=True)
def accumulate(
    words: NDArray[np.uint64],
    edges: NDArray[np.int64],
    fields: NDArray[np.uint64],
    table: NDArray[np.unsignedinteger],
    sums: NDArray[np.unsignedinteger],
) -> None:
    """Add ``entry >> half`` to bin ``entry & low_half``, of every entry ``table[k, address]`` of every record.

    Args:
        words: records ``[N]``.
        edges: record indices ``[T + 1]`` of the slices.
        fields: shift and mask ``[1, 2]`` or ``[3, 2]`` of the address's parts.
        table: ``[K, addresses]``, weight in the upper and bin in the lower half of an entry.
        sums: ``[T, bins]``, added to.
    """
    half = uint64(table.itemsize * 4)
    low_half = (uint64(1) << half) - uint64(1)
    shift, mask = fields[0]
    for j in range(sums.shape[0]):
        for k in range(table.shape[0]):
            slice_sums, entries = sums[j], table[k]
            if fields.shape[0] == 1:
                for i in range(edges[j], edges[j + 1]):
                    entry = uint64(entries[words[uint64(i)] >> shift & mask])
                    slice_sums[entry & low_half] += entry >> half
            else:
                shift_1, mask_1 = fields[1]
                shift_2, mask_2 = fields[2]
                for i in range(edges[j], edges[j + 1]):
                    word = words[uint64(i)]
                    address = word >> shift & mask | word >> shift_1 & mask_1 | word >> shift_2 & mask_2
                    entry = uint64(entries[address])
                    slice_sums[entry & low_half] += entry >> half


@njit(cache=True, nogil=True)
def accumulate_between(
    words: NDArray[np.uint64],
    times: NDArray[np.int64],
    edges: NDArray[np.int64],
    scale: tuple[int, int, int],
    fields: NDArray[np.uint64],
    table: NDArray[np.unsignedinteger],
    sums: NDArray[np.unsignedinteger],
) -> None:
    """As ``accumulate``, the weight of a record shared between slices j and j + 1 as its time lies between them.

    It adds 256 · weight in all, of it s · weight to slice j + 1, s = ⌊256 · (t* − j) + ½⌋ with t* − j = d / spacing,
    d = rate · (t − first) − j · spacing. So s is the whole part of (1024 d + 2 spacing) / (4 spacing), and of half a
    step more, (1024 d + 2 spacing + 1) / (4 spacing): this one is never nearer to a whole number than 1 / (4 spacing),
    so that s is exact in float64 where spacing < 2⁴¹, 25 days, and else may be one more or less where it is halfway.

    Args:
        words: records ``[N]``.
        times: of them ``[N]``, µs.
        edges: record indices ``[T + 1]`` of the slices.
        scale: first, rate and spacing, as of ``slicing.Positions``.
        fields, table: as of ``accumulate``.
        sums: ``[T + 1, bins]``, added to; the last row is what goes beyond slice T − 1.
    """
    first, rate, spacing = uint64(scale[0]), uint64(scale[1]), uint64(scale[2])
    speed, unit = uint64(1024) * rate, 1 / np.float64(uint64(4) * spacing)
    half = uint64(table.itemsize * 4)
    low_half = (uint64(1) << half) - uint64(1)
    last = fields.shape[0] - 1
    (shift, mask), (shift_1, mask_1), (shift_2, mask_2) = fields[0], fields[min(1, last)], fields[last]
    for j in range(len(edges) - 1):
        start = speed * first + uint64(1024) * uint64(j) * spacing - uint64(2) * spacing - uint64(1)
        for k in range(table.shape[0]):
            now, after, entries = sums[j], sums[j + 1], table[k]
            for i in range(edges[j], edges[j + 1]):
                word = words[uint64(i)]
                address = word >> shift & mask
                if last:
                    address |= word >> shift_1 & mask_1 | word >> shift_2 & mask_2
                entry = uint64(entries[address])
                place = np.int64(speed * uint64(times[uint64(i)]) - start)  # small, whatever wraps on the way
                share = uint64(np.int64(np.float64(place) * unit))
                now[entry & low_half] += (entry >> half) * (uint64(256) - share)
                after[entry & low_half] += (entry >> half) * share


@njit(cache=True, nogil=True)
def times(words: NDArray[np.uint64], swapped: bool, shift: int, mask: int) -> NDArray[np.int64]:
    """The times ``[N]`` in words ``[N]``, µs."""
    found = np.empty(len(words), np.int64)
    for i in range(len(words)):
        word = words[uint64(i)]
        found[uint64(i)] = (_swapped(word) if swapped else word) >> uint64(shift) & uint64(mask)
    return found


@njit(cache=True, nogil=True)
def divided(sums: NDArray[np.unsignedinteger], denominator: int, frames: NDArray[np.float32]) -> None:
    """Write ``sums / denominator`` into ``frames``; both ``[N]``, and both numbers exact in float32."""
    for i in range(len(sums)):
        frames[uint64(i)] = np.float32(sums[uint64(i)]) / np.float32(denominator)


@njit(cache=True, nogil=True)
def clipped(values: NDArray[np.unsignedinteger], frames: NDArray[np.uint16]) -> int:
    """Write ``values`` into ``frames``, both ``[N]``, 65535 where one is larger; how many those are."""
    largest, num_larger = values.dtype.type(0xFFFF), 0
    for i in range(len(values)):
        value = values[uint64(i)]
        num_larger += value > largest
        frames[uint64(i)] = min(value, largest)
    return num_larger


@njit(cache=True, nogil=True, inline="always")
def _swapped(word: np.uint64) -> np.uint64:
    """The word with its eight bytes in the other order; compiles to one instruction."""
    word = (word & uint64(0x00FF00FF00FF00FF)) << uint64(8) | word >> uint64(8) & uint64(0x00FF00FF00FF00FF)
    word = (word & uint64(0x0000FFFF0000FFFF)) << uint64(16) | word >> uint64(16) & uint64(0x0000FFFF0000FFFF)
    return word << uint64(32) | word >> uint64(32)
