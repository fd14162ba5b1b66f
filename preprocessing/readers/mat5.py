"""Variables of a MAT-file of version 5: what MATLAB calls a save without ``-v7.3``, packed by zlib or not.

128 bytes of header, of which the last two tell the byte order, then elements: four bytes of type and four of length,
the bytes, and up to seven more to a multiple of eight. Where the length is at most four, it stands in the upper half
of the type, and the bytes in the place of the length. A matrix is an element of elements: flags, dimensions, name, and
its numbers, in the smallest type that holds them; or, of a structure, its fields' names and their matrices.

Written here because scipy's reader, given a damaged file, can end the whole program.

Source: mathworks.com, "MAT-File Format", version 5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing import limits

Value = NDArray[Any] | dict[str, NDArray[Any]] | None
"""Numbers, in MATLAB's shape; a structure of such; None for anything else."""

_HEADER_BYTES = 128
_ORDERS = {b"IM": "<", b"MI": ">"}
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCTURE, _NUMBERS = 2, range(6, 16)  # classes of matrices
_COMPLEX = 0x800


def variables(data: bytes) -> dict[str, Value]:
    """The variables of a file by name.

    Raises:
        ValueError, struct.error, zlib.error: the file is damaged.
    """
    order = _ORDERS.get(data[_HEADER_BYTES - 2 : _HEADER_BYTES])
    if order is None:
        raise ValueError(f"its byte order is {data[_HEADER_BYTES - 2 : _HEADER_BYTES]!r}, expected b'IM' or b'MI'")
    found: dict[str, Value] = {}
    packed = _elements(memoryview(data)[_HEADER_BYTES:], order)
    for kind, content in _unpacked(packed, order, limits.allowed(len(data))):
        if kind == _MATRIX:
            name, value = _matrix(content, order, nested=False)
            found[name] = value
    return found


def _unpacked(elements: Iterator[tuple[int, memoryview]], order: str, most: int) -> Iterator[tuple[int, memoryview]]:
    """The elements, and in the place of packed ones what is in them, ``most`` bytes in all."""
    left = most
    for kind, content in elements:
        if kind == _COMPRESSED:
            inflated = zlib.decompressobj().decompress(content, left + 1)
            left -= len(inflated)
            if left < 0:
                raise ValueError(f"it unpacks to more than {most} bytes; {limits.advice(10 * most)}")
            yield from _elements(memoryview(inflated), order)
        else:
            yield kind, content


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and bytes of each element."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from(f"{order}II", data, at)
        start, step = at + 8, length if kind == _COMPRESSED else -(-length // 8) * 8
        if kind >> 16:
            kind, length, start, step = kind & 0xFFFF, kind >> 16, at + 4, 0
        if start + length > len(data) or (step == 0 and length > 4 and start == at + 4):
            raise ValueError(f"an element announces {length} bytes, {len(data) - start} are there")
        yield kind, data[start : start + length]
        at += 8 + step


def _matrix(data: memoryview, order: str, nested: bool) -> tuple[str, Value]:
    """Name and value of a matrix; a structure inside of another is none."""
    parts = _elements(data, order)
    flags = _one(*_next(parts), order)
    shape = tuple(_numbers(*_next(parts), order).astype(np.int64).tolist())
    name = bytes(_next(parts)[1]).decode("latin-1")
    kind = flags & 0xFF
    if kind in _NUMBERS and not flags & _COMPLEX and min(shape, default=0) >= 0:
        values = _numbers(*_next(parts), order)
        if len(values) != prod(shape):
            raise ValueError(f"{name} is of the shape {shape}, but has {len(values)} numbers")
        return name, values.reshape(shape, order="F")
    if kind == _STRUCTURE and prod(shape) == 1 and not nested:
        return name, _fields(parts, order)
    return name, None


def _fields(parts: Iterator[tuple[int, memoryview]], order: str) -> dict[str, NDArray[Any]]:
    """The fields of a structure that hold numbers."""
    length = _one(*_next(parts), order)
    text = bytes(_next(parts)[1])
    if length < 1:
        raise ValueError(f"names of fields are {length} bytes long")
    names = [text[at : at + length].split(b"\0")[0].decode("latin-1") for at in range(0, len(text), length)]
    values = {name: _matrix(content, order, nested=True)[1] for name, (_, content) in zip(names, parts, strict=False)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _next(parts: Iterator[tuple[int, memoryview]]) -> tuple[int, memoryview]:
    part = next(parts, None)
    if part is None:
        raise ValueError("a matrix ends before its numbers")
    return part


def _one(kind: int, content: memoryview, order: str) -> int:
    values = _numbers(kind, content, order)
    if not len(values) or values.dtype.kind not in "iu":
        raise ValueError("a matrix has no flags, or a structure no length of its names")
    return int(values[0])


def _numbers(kind: int, content: memoryview, order: str) -> NDArray[Any]:
    if kind not in _TYPES:
        raise ValueError(f"numbers of type {kind}, expected one of {', '.join(map(str, _TYPES))}")
    return np.frombuffer(content, np.dtype(order + _TYPES[kind]))
