import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing.readers import flatbuffer
from preprocessing.readers.flatbuffer import FlatbufferError

# size, place of the table from here, kind, padding; table of fields: 3 entries, the second at its default; the table
BUFFER = struct.pack("<II4s2xHHHHHi", 48, 20, b"KIND", 10, 16, 4, 0, 8, 10) + struct.pack("<iIIHHH", -7, 4, 3, 1, 2, 3)
TABLE = 24


def test_the_table_and_its_fields():
    assert flatbuffer.root(BUFFER, b"KIND") == TABLE
    assert flatbuffer.integer(BUFFER, TABLE, 0, flatbuffer.I32, default=5) == -7
    assert flatbuffer.integer(BUFFER, TABLE, 1, flatbuffer.I32, default=5) == 5
    assert flatbuffer.integer(BUFFER, TABLE, 9, flatbuffer.I32, default=5) == 5


def test_a_vector():
    start, count = flatbuffer.vector(BUFFER, TABLE, 2, item_bytes=2)

    assert struct.unpack_from(f"<{count}H", BUFFER, start) == (1, 2, 3)
    assert flatbuffer.vector(BUFFER, TABLE, 1, item_bytes=2) == (len(BUFFER), 0)


def test_a_vector_longer_than_its_buffer_is_refused():
    with pytest.raises(FlatbufferError, match="it announces 3 items of 3 bytes, of which 6 are there"):
        flatbuffer.vector(BUFFER, TABLE, 2, item_bytes=3)


def test_another_kind_of_buffer_is_refused():
    with pytest.raises(FlatbufferError, match="it holds b'KIND' where b'EVTS' was expected"):
        flatbuffer.root(BUFFER, b"EVTS")


@given(st.binary(max_size=60), st.integers(0, 3))
@example(b"\xff" * 60, 0)
@example(BUFFER[12:], 2)
def test_arbitrary_bytes_raise_nothing_else(data, slot):
    buffer = BUFFER[:12] + data
    try:
        start, count = flatbuffer.vector(buffer, flatbuffer.root(buffer, b"KIND"), slot, item_bytes=1)
    except FlatbufferError:
        return
    assert 0 <= start <= start + count <= len(buffer)
