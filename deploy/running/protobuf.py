"""What an ONNX file holds, found without loading it and without the ``onnx`` package.

Only the messages that can hold a node or a tensor are walked; their numbers are those of ``onnx.proto`` (ONNX IR
version 3 on). The wire format is that of protobuf: a varint tag ``number << 3 | kind``, then a varint (0), 8 bytes (1),
a length and so many bytes (2), or 4 bytes (5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}


class MessageError(ValueError):
    """Bytes that are no protobuf message."""


class Part(NamedTuple):
    """A message inside an ONNX file.

    Attributes:
        kind: one of ``_PARTS``, or "tensor".
        message: its bytes.
        around: the nodes that it lies in, the innermost last.
    """

    kind: str
    message: memoryview
    around: tuple[memoryview, ...] = ()


def parts(data: memoryview) -> Iterator[Part]:
    """All messages of an ONNX file that can hold a node or a tensor, and these.

    Raises:
        MessageError: if the bytes are no protobuf message.
    """
    waiting = [Part("model", data)]
    while waiting:
        part = waiting.pop()
        yield part
        inside = _PARTS.get(part.kind)
        if inside:
            around = (*part.around, part.message) if part.kind == "node" else part.around
            waiting += [
                Part(inside[number], found, around) for number, found in strings(part.message) if number in inside
            ]


def strings(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of the fields that hold text, bytes or another message."""
    for number, value in fields(message):
        if isinstance(value, memoryview):
            yield number, value


def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field.

    Raises:
        MessageError: if the bytes are no protobuf message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise MessageError(f"not a protobuf message: field of kind {kind}")
        if number == 0 or at + length > len(message):
            raise MessageError("not a protobuf message: a field reaches beyond its end")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, at
    raise MessageError("not a protobuf message: a number has no end")
