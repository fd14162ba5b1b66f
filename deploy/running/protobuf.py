"""Which other files an ONNX file refers to, found without loading it and without the ``onnx`` package.

Only the messages that can hold a tensor are walked; their numbers are those of ``onnx.proto`` (ONNX IR version 3 on).
The wire format is that of protobuf: a varint tag ``number << 3 | kind``, then a varint (0), 8 bytes (1), a length and
so many bytes (2), or 4 bytes (5).
"""

from __future__ import annotations

from collections.abc import Iterator

_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_KEY, _VALUE = 1, 2


def external_files(data: memoryview) -> list[str]:
    """Where tensors of an ONNX file say that they lie, outside of it; empty for a file that stands alone.

    Raises:
        ValueError: if the bytes are no protobuf message.
    """
    found: list[str] = []
    waiting = [("model", data)]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            found += _locations(message)
            continue
        parts = _PARTS[kind]
        waiting += [(parts[number], part) for number, part in _strings(message) if number in parts]
    return found


def _locations(tensor: memoryview) -> Iterator[str]:
    """One place for a tensor that lies elsewhere, ``"?"`` where it says so and not where."""
    entries = [dict(_strings(part)) for number, part in _strings(tensor) if number == _EXTERNAL_DATA]
    if entries or (_DATA_LOCATION, _EXTERNAL) in _fields(tensor):
        named = [entry.get(_VALUE, b"") for entry in entries if entry.get(_KEY, b"") == b"location"]
        yield next((bytes(name).decode(errors="replace") for name in named), "?")


def _strings(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of the fields that hold text, bytes or another message."""
    for number, value in _fields(message):
        if isinstance(value, memoryview):
            yield number, value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field."""
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
            raise ValueError(f"not a protobuf message: field of kind {kind}")
        if number == 0 or at + length > len(message):
            raise ValueError("not a protobuf message: a field reaches beyond its end")
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
    raise ValueError("not a protobuf message: a number has no end")
