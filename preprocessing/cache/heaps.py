"""HDF5's global heaps, in which the texts of a file lie, looked through before HDF5 does.

A heap is a chain of objects, each of which says how long it is. HDF5 goes along it without looking whether it gets
anywhere: one damaged length, and it never comes back, nor does it heed Ctrl-C.

Source: "HDF5 File Format Specification", III.E, "Disk Format: Level 1E - Global Heap".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_SIGNATURE = b"GCOL\x01"
_SIZE_AT = 8
_HEAD = 16  # bytes: the signature and the size of the heap; also of an object: number, references, length
_BLOCK = 1 << 24


def check_heaps(file: BinaryIO, num_bytes: int, frames: tuple[int, int]) -> None:
    """Make sure that all global heaps of a file can be gone through.

    Args:
        file: an HDF5 file, open for reading.
        num_bytes: its size.
        frames: where its frames begin and end; in a large file nothing is looked for there.

    Raises:
        ValueError: one cannot.
    """
    outside = [(0, frames[0]), (frames[1], num_bytes)] if num_bytes > _BLOCK else [(0, num_bytes)]
    for start, stop in outside:
        for place in _places(file, start, stop):
            file.seek(place + _SIZE_AT)
            size = int.from_bytes(file.read(8), "little")
            if not _HEAD <= size <= num_bytes - place:
                raise ValueError(f"a heap of texts at byte {place} says that it takes {size} bytes")
            file.seek(place)
            _check_heap(file.read(size), place)


def _places(file: BinaryIO, start: int, stop: int) -> Iterator[int]:
    """Where heaps begin, between these bytes of a file."""
    while start < stop:
        file.seek(start)
        block = file.read(min(_BLOCK, stop - start))
        found = block.find(_SIGNATURE)
        while found >= 0:
            yield start + found
            found = block.find(_SIGNATURE, found + 1)
        if len(block) < _BLOCK:
            return
        start += len(block) - len(_SIGNATURE) + 1


def _check_heap(heap: bytes, place: int) -> None:
    at = _HEAD
    while at + _HEAD <= len(heap):
        number, length = struct.unpack_from("<H6xQ", heap, at)
        # Number 0 is what is free, with its head; others are followed by bytes up to a multiple of eight.
        taken = length if number == 0 else _HEAD + (length + 7) // 8 * 8
        if not _HEAD <= taken <= len(heap) - at:
            raise ValueError(f"a text at byte {place + at} says that it takes {length} bytes")
        at += taken
