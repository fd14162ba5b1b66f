"""ECF, the compression of events in Prophesee's HDF5 files (filter 36559), unpacked without its plug-in.

A chunk of N ≤ 65535 events is four bytes, N << 2 and two bits that tell its form, then columns, little-endian:

- times: the first one in eight bytes, then a byte for each run of equal times: the step from the run before (4 bits)
  and its length (4 bits; 15: in the next two bytes). A step of 15 or more is told before, four bits a byte, the lowest
  first, in bytes whose step is 15.
- form 0: rows, 16 bits a run: y and its length (5 bits; 31: in the next two bytes); then 16 bits of x, and which of the
  next five columns (5 bits) had the events that follow; then polarities, a byte a run: p and its length (7 bits; 127:
  in the next two bytes).
- form 1: the rows of form 0, then x and p in 12 bits; form 2: y, x and p in 24 bits. Four of these are packed together.

Source: github.com/prophesee-ai/hdf5_ecf, ``ecf_codec.cpp``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preprocessing import apart
from preprocessing.events import RecordingError

if TYPE_CHECKING:
    import h5py

FILTER = 36559
_MOST_EVENTS = 65535  # of a chunk
_FORM_BITS = 2


def can_unpack(column: h5py.Dataset, filters: list[int]) -> bool:
    """Whether a data set holds events, packed by ECF alone."""
    return filters == [FILTER] and column.ndim == 1 and {"t", "x", "y", "p"} == set(column.dtype.names or ())


def blocks(column: h5py.Dataset, what: str) -> Iterator[dict[str, NDArray[Any]]]:
    """The events of a data set, a chunk at a time.

    Raises:
        RecordingError: a chunk does not hold what it announces.
    """
    size = column.chunks[0]
    for start in range(0, len(column), size):
        skipped, data = column.id.read_direct_chunk((start,))
        chunk = np.frombuffer(data, column.dtype) if skipped else _unpacked(data, size, f"{what}: event {start}")
        yield {field: chunk[field][: len(column) - start] for field in "txyp"}


def _unpacked(data: bytes, size: int, what: str) -> Any:
    num_events = int.from_bytes(data[:4], "little") >> _FORM_BITS
    if num_events != size or size > _MOST_EVENTS:
        raise RecordingError(f"{what}: a chunk of {size} events announces {num_events}; the file is damaged")
    t, p = np.empty(size, np.int64), np.empty(size, np.uint8)
    x, y = np.empty(size, np.uint16), np.empty(size, np.uint16)
    if not _unpack()(np.frombuffer(data, np.uint8), t, x, y, p):
        raise RecordingError(f"{what}: a chunk of {len(data)} bytes ends before its {size} events; the file is damaged")
    return {"t": t, "x": x, "y": y, "p": p}


@lru_cache(maxsize=1)
def _unpack() -> Callable[..., bool]:
    """The loop that unpacks a chunk, ready to run."""
    with apart.outside_bounds():
        from preprocessing.kernels.ecf import unpack

        bytes_, words = np.empty(0, np.uint8), np.empty(0, np.uint16)
        unpack(np.frombuffer(b"\0", np.uint8), np.empty(0, np.int64), words, words, bytes_)  # compiles it
    loop: Callable[..., bool] = unpack
    return loop
