"""The texts of an HDF5 file, their lengths looked through before HDF5 does.

A global heap is a chain of objects, each of which says how long it is. HDF5 goes along it without looking whether it
gets anywhere: one damaged length, and it never comes back, nor does it heed Ctrl-C.

Source: "HDF5 File Format Specification", III.E, "Global Heap", and IV.A.1.a, "Version 1 Data Object Header Prefix".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_SIGNATURE = b"GCOL\x01"
_SIZE_AT = 8
_HEAD = 16  # bytes: the signature and the size of the heap; also of an object: number, references, length
_BLOCK = 1 << 24
_CONTINUED, _ATTRIBUTE = 0x10, 0x0C  # kinds of messages in the head of an object
_ANY_LENGTH = 9  # class of types, of texts and lists


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


def check_attributes(file: BinaryIO, place: int, num_bytes: int) -> None:
    """Make sure that no attribute of an object is a text longer than the file: HDF5 asks for its room first.

    Args:
        file: an HDF5 file, open for reading.
        place: where the head of the object begins.
        num_bytes: size of the file.

    Raises:
        ValueError: one is, or the head is not of the kind that caches have.
    """
    file.seek(place)
    version, length = struct.unpack("<B7xI4x", file.read(_HEAD))
    if version != 1:
        raise ValueError(f"the head of an object at byte {place} is of version {version}; expected 1")
    blocks, seen = [(place + _HEAD, length)], 0
    while blocks:
        start, length = blocks.pop()
        seen += length
        if seen > num_bytes:
            raise ValueError(f"the head of an object at byte {place} says that it goes on beyond the file")
        file.seek(start)
        block, at = file.read(length), 0
        while at + 8 <= len(block):
            kind, size = struct.unpack_from("<HH", block, at)
            message = block[at + 8 : at + 8 + size]
            if kind == _CONTINUED:
                blocks.append(struct.unpack_from("<QQ", message))
            elif kind == _ATTRIBUTE:
                _check_attribute(message, num_bytes)
            at += 8 + size


def _check_attribute(message: bytes, num_bytes: int) -> None:
    name, kind, space = ((size + 7) // 8 * 8 for size in struct.unpack_from("<2xHHH", message))
    if message[8 + name] & 15 == _ANY_LENGTH:
        (length,) = struct.unpack_from("<I", message, 8 + name + kind + space)
        if length > num_bytes:
            raise ValueError(f"the attribute {message[8:40]!r} says that it takes {length:,} bytes")
