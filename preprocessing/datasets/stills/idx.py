"""The format idx of MNIST: two zero bytes, type, number of dimensions, their sizes (big-endian uint32), values."""

from __future__ import annotations

import gzip
import io
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocessing import limits
from preprocessing.events import RecordingError

_GZIP = b"\x1f\x8b"
_UINT8 = 8  # the code of the only type that image sets use


def read_idx(path: Path, num_dimensions: int) -> NDArray[np.uint8]:
    """Read an array of bytes from an idx file, which may be packed by gzip.

    Raises:
        RecordingError: it cannot be read, is no idx file of bytes with so many dimensions, or has another length
            than its header says.
    """
    data = _content(path)
    start = bytes((0, 0, _UINT8, num_dimensions))
    if data[:4] != start:
        raise RecordingError(
            f"{path}: begins with {data[:4]!r}, an idx file of this kind with {start!r}; fetch it again"
        )
    begin = 4 + 4 * num_dimensions
    shape = [int(side) for side in np.frombuffer(data[4:begin].ljust(begin - 4, b"\0"), ">u4")]
    if len(data) != begin + prod(shape):
        held = f"{len(data) - begin} bytes of values, its header says {' × '.join(map(str, shape))}"
        raise RecordingError(f"{path}: has {held}; it is cut short or damaged: fetch it again")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if not data.startswith(_GZIP):
            return data
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(limits.allowed(len(data)) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: cannot be read ({error}); fetch it again") from error
    if problem := limits.problem(len(unpacked), len(data)):
        raise RecordingError(f"{path}: {problem}")
    return unpacked
