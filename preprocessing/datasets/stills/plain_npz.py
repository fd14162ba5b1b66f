"""Arrays of an ``.npz`` file, read as nothing but numbers and texts, and in a stated multiple of what the file holds.

Source: numpy.org, "numpy.lib.format"; Python, "zipfile".
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MOST_INFLATION = 100
"""How many times the size of its file the arrays may have. Photographs shrink to a half, digits to a fifth."""

LAST_LETTER = 0x10FFFF

LEAST_ROOM = 1 << 26
"""Bytes that the arrays of any file may have."""


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """The arrays of these names, as far as they are there.

    Raises:
        ValueError: the file is no ``.npz``, is damaged or encrypted, or one of them has Python objects or more values
            than may be; the message goes without the path.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if info.filename.removesuffix(".npy") in names]
            if len({info.filename.removesuffix(".npy") for info in found}) < len(found):
                raise ValueError("it has two arrays of one name")
            _check_size(sum(info.file_size for info in found), path.stat().st_size)
            return {info.filename.removesuffix(".npy"): _array(archive, info) for info in found}
    except ValueError:
        raise
    except Exception as error:  # a damaged archive ends in whatever its last bytes met, an encrypted one in no password
        raise ValueError(str(error) or type(error).__name__) from error


def _check_size(announced: int, num_bytes: int) -> None:
    most = max(LEAST_ROOM, MOST_INFLATION * num_bytes)
    if announced > most:
        raise ValueError(
            f"its {num_bytes:,} bytes unpack to {announced:,}, more than {MOST_INFLATION} times as many; where this is "
            "meant, save it unpacked, with numpy.savez"
        )


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[np.generic]:
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read_header is None:
            raise ValueError(f"{name} is of version {version} of the npy format; expected 1.0 or 2.0")
        shape, fortran, dtype = read_header(file)
        if dtype.kind not in "biufSU" or dtype.itemsize == 0:
            raise ValueError(f"{name} is of type {dtype}; expected numbers or texts")
        held = info.file_size - file.tell()
        if min(shape, default=1) < 0 or prod(shape) * dtype.itemsize != held:
            raise ValueError(f"{name} announces {shape} of {dtype}, but holds {held} bytes")
        data = bytearray(file.read())
        if dtype.kind == "U" and np.frombuffer(data, f"{dtype.str[0]}u4").max(initial=0) > LAST_LETTER:
            raise ValueError(f"{name} has letters that Unicode doesn't have")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
