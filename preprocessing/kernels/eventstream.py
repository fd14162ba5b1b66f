"""From the bytes of an Event Stream to events."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from preprocessing.kernels.prophesee import put


@njit(cache=True, nogil=True)
def polarity_events(
    data: NDArray[np.uint8], num_flags: int, height: int, t: NDArray[np.int64], address: NDArray[np.uint64]
) -> tuple[np.uint64, int, np.uint64]:
    """Decode DVS or ATIS events; without room for them (``t`` and ``address`` empty) they are counted.

    The first byte of an event holds the time since the one before and, lowest, one flag (DVS: ON) or two
    (ATIS: ON and, lowest, threshold crossing). With all bits of the time set it is no event: its flags are a number,
    of how often that time has passed.

    Returns:
        The number of events, that of threshold crossings, and how many bytes hold all of them: fewer than there
        are if the last event is cut.
    """
    room, num_events, num_special = uint64(len(t)), uint64(0), 0
    end, at, time = uint64(len(data)), uint64(0), uint64(0)
    shift, longest = uint64(num_flags), uint64(0xFF >> num_flags)
    flags_mask, crossing = uint64((1 << num_flags) - 1), uint64(num_flags - 1)
    while at < end:
        first = uint64(data[at])
        delta, flags = first >> shift, first & flags_mask
        if delta == longest:
            time += longest * flags
            at += uint64(1)
            continue
        if end - at < 5:
            break
        time += delta
        if flags & crossing:
            num_special += 1
        else:
            if num_events < room:
                x = uint64(data[at + uint64(1)]) | uint64(data[at + uint64(2)]) << uint64(8)
                y = uint64(data[at + uint64(3)]) | uint64(data[at + uint64(4)]) << uint64(8)
                if y < uint64(height):  # else it stays outside
                    y = uint64(height - 1) - y
                put(t, address, num_events, time, x, y, flags >> uint64(num_flags - 1))
            num_events += uint64(1)
        at += uint64(5)
    return num_events, num_special, at
