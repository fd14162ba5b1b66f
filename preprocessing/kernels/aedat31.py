"""From the packets of AEDAT-3.1 to events.

A packet is a header of 28 bytes and events of one kind; nothing in a file is aligned, so words are put together
from their bytes, which compiles to one load.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64
from numpy.typing import NDArray

_HEADER_BYTES = 28
_POLARITY = 1
_EVENT_BYTES = 8


@njit(cache=True, nogil=True)
def measure(data: NDArray[np.uint8], start: int) -> tuple[int, int, int, int]:
    """Go from packet to packet from byte ``start`` on, up to the end or the first that can't be.

    Returns:
        The byte reached; the number of polarity events of the first source that has any; of all other events;
        and that source (−1 for none).
    """
    at, num_events, num_other, source = start, 0, 0, -1
    while at + _HEADER_BYTES <= len(data):
        size, capacity, number = _signed(data, at + 4), _signed(data, at + 16), _signed(data, at + 20)
        if number < 0 or capacity < number or (capacity and size <= 0):
            break
        if capacity * size > len(data) - at - _HEADER_BYTES:
            break
        if _half(data, at) == _POLARITY:
            if (capacity and size != _EVENT_BYTES) or _signed(data, at + 12) < 0:
                break
            if source < 0 and number:
                source = _half(data, at + 2)
        if _is_wanted(data, at, source):
            num_events += number
        else:
            num_other += number
        at += _HEADER_BYTES + capacity * size
    return at, num_events, num_other, source


@njit(cache=True, nogil=True)
def polarity(
    data: NDArray[np.uint8],
    start: int,
    source: int,
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
) -> int:
    """Decode the valid polarity events of ``source`` into columns with room for all; returns their number.

    The packets have passed ``measure``. Where a packet says that all its events are valid, so they are; some
    writers leave the events' own marks unset.
    """
    event = uint64(0)
    at = start
    while at < len(data):
        size, capacity, number = _signed(data, at + 4), _signed(data, at + 16), _signed(data, at + 20)
        if number and _is_wanted(data, at, source):
            epoch = _signed(data, at + 12) << 31
            all_valid = uint32(_signed(data, at + 24) == number)
            place = uint64(at + _HEADER_BYTES)
            for _ in range(number):
                address, time = _word(data, place), _word(data, place + uint64(4))
                place += uint64(_EVENT_BYTES)
                if (address | all_valid) & uint32(1):
                    t[event] = epoch + np.int64(np.int32(time))
                    x[event], y[event] = address >> uint32(17), address >> uint32(2) & uint32(0x7FFF)
                    p[event] = address & uint32(2) != 0
                    event += uint64(1)
        at += _HEADER_BYTES + capacity * size
    return int(event)


@njit(cache=True, nogil=True, inline="always")
def _is_wanted(data: NDArray[np.uint8], at: int, source: int) -> bool:
    return bool(_half(data, at) == _POLARITY and _half(data, at + 2) == source)


@njit(cache=True, nogil=True, inline="always")
def _word(data: NDArray[np.uint8], at: np.uint64) -> np.uint32:
    low = uint32(data[at]) | uint32(data[at + uint64(1)]) << uint32(8)
    high = uint32(data[at + uint64(2)]) | uint32(data[at + uint64(3)]) << uint32(8)
    return np.uint32(low | high << uint32(16))


@njit(cache=True, nogil=True, inline="always")
def _signed(data: NDArray[np.uint8], at: int) -> int:
    return int(np.int32(_word(data, uint64(at))))


@njit(cache=True, nogil=True, inline="always")
def _half(data: NDArray[np.uint8], at: int) -> int:
    return int(np.int32(_word(data, uint64(at)) & uint32(0xFFFF)))
