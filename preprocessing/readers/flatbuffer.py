"""The part of FlatBuffers that AEDAT-4.0 needs: fields and vectors of one table, told by offsets within the buffer.

Every offset is checked against the bytes there, so damaged buffers end in ``FlatbufferError`` and nothing else.

Source: flatbuffers.dev, "FlatBuffer Internals". Buffers here start with their size (32 bits), as AEDAT-4.0 writes them.
"""

from __future__ import annotations

import struct

U16, U32, I32, I64 = (struct.Struct(layout) for layout in ("<H", "<I", "<i", "<q"))


class FlatbufferError(ValueError):
    """A buffer whose offsets lead nowhere."""


def root(buffer: bytes, identifier: bytes) -> int:
    """Where the buffer's table stands.

    Raises:
        FlatbufferError: it is not of the kind that the four bytes ``identifier`` name.
    """
    found = bytes(buffer[8:12])
    if found != identifier:
        raise FlatbufferError(f"it holds {found!r} where {identifier!r} was expected")
    return 4 + number(buffer, U32, 4)


def field(buffer: bytes, table: int, slot: int) -> int | None:
    """Where a table's field number ``slot`` stands; None where it has its default value."""
    vtable = table - number(buffer, I32, table)
    entry = 4 + 2 * slot
    if entry + 2 > number(buffer, U16, vtable):
        return None
    offset = number(buffer, U16, vtable + entry)
    return table + offset if offset else None


def integer(buffer: bytes, table: int, slot: int, layout: struct.Struct, default: int) -> int:
    """The integer of that layout in field ``slot``."""
    at = field(buffer, table, slot)
    return default if at is None else number(buffer, layout, at)


def vector(buffer: bytes, table: int, slot: int, item_bytes: int) -> tuple[int, int]:
    """Where the items of a vector in field ``slot`` start, and their number; 0 items where the field is not there."""
    at = field(buffer, table, slot)
    if at is None:
        return len(buffer), 0
    at += number(buffer, U32, at)
    count, start = number(buffer, U32, at), at + 4
    if count * item_bytes > len(buffer) - start:
        raise FlatbufferError(
            f"it announces {count} items of {item_bytes} bytes, of which {len(buffer) - start} are there"
        )
    return start, count


def number(buffer: bytes, layout: struct.Struct, at: int) -> int:
    """The integer of that layout at byte ``at``."""
    if not 0 <= at <= len(buffer) - layout.size:
        raise FlatbufferError(f"it points to byte {at} of {len(buffer)}")
    value: int = layout.unpack_from(buffer, at)[0]
    return value
