import re
import struct

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from preprocessing.events import RecordingError
from preprocessing.readers import aedat2, decode_recording
from preprocessing.readers.aedat import TEXT

HEADER = b"#!AER-DAT1.0\r\n# a comment\r\n"
OLD_HEADER = b"# This is a raw AE data file - do not edit\r\n"


def recording(*records, header=HEADER):
    return header + b"".join(struct.pack(">HI", address, time) for address, time in records)


def decode(data, sensor=None):
    return decode_recording(data, "r.aedat", sensor)


@pytest.mark.parametrize("header", [HEADER, OLD_HEADER, b""])
def test_the_record_by_hand(header):
    # bit 0 = 0 is ON; x = 127 − bits 1 to 7; y = 127 − bits 8 to 14; bit 15 external
    records = (0b0_0000011_0000101_0, 7), (0x8000, 8), (0b0_1111111_0000000_1, 9)
    decoded = decode(recording(*records, header=header))

    assert decoded.events.tolist() == [(7, 122, 124, True), (9, 127, 0, False)]
    assert (decoded.sensor, decoded.format, decoded.num_special) == ((128, 128), "aedat1", 1)


@given(st.lists(st.tuples(st.integers(0, 0x7FFF), st.integers(0, 2**32 - 1)), min_size=1, max_size=40))
def test_the_events_are_those_of_the_next_version(records):
    records.sort(key=lambda record: record[1])
    body = recording(*records, header=b"")
    assume(not re.match(rb"#%b(\n|\Z)" % TEXT, body))  # nothing tells that from a header line
    wide = b"#!AER-DAT2.0\r\n" + b"".join(struct.pack(">II", *record) for record in records)

    np.testing.assert_array_equal(decode(recording(*records)).events, aedat2.decode(wide, "r").events)


def test_the_clock_may_wrap():
    assert decode(recording((0, 2**32 - 2), (0, 3))).events["t"].tolist() == [2**32 - 2, 2**32 + 3]


def test_a_file_with_signature_needs_no_suffix():
    assert decode_recording(recording((0, 1)), "no_suffix").format == "aedat1"


def test_a_first_record_that_starts_like_a_header_line_is_a_record():
    assert decode(recording((0x2341, 0x42), header=b"")).events.tolist() == [(0x42, 95, 92, False)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEADER, r"^r.aedat: ends after its header \(27 bytes\), it holds no events$"),
        (recording((0x8000, 5)), "^r.aedat: holds no events, only 1 external ones$"),
        (recording((0, 5), (0, 6))[:-2], "cut in the middle of a record: 4 of 6 bytes at byte 33, after 1 records$"),
        (recording((0, 20_000), (0, 5)), "time runs backwards at event 1, from 20000 µs to 5 µs$"),
        (
            b"just some text\n",
            r"3 of 6 bytes at byte 12, .* \(read as AEDAT-1.0, as it doesn't start with '#!AER-DAT'\)$",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, message):
    with pytest.raises(RecordingError, match=message):
        decode(data)


def test_another_sensor_is_refused():
    with pytest.raises(RecordingError, match="is of a 128×128 sensor, but 240×180 was asked for"):
        decode(recording((0, 5)), (240, 180))


@given(st.binary(max_size=80))
@example(b"#")
@example(b"#\n")
def test_arbitrary_bytes_raise_nothing_else(data):
    for start in (b"", HEADER, OLD_HEADER):
        try:
            decoded = decode(start + data)
        except RecordingError as error:
            assert str(error).startswith("r.aedat: ")  # noqa: PT017
        else:
            assert len(decoded.events) > 0


@pytest.mark.parametrize(
    ("header", "said_by", "num"), [(HEADER, "file", 0), (OLD_HEADER, "file", 0), (b"", "guess", 1)]
)
def test_a_file_without_header_is_doubted(header, said_by, num):
    decoded = decode(recording((2, 7), (5, 8), header=header))

    assert (decoded.sensor_from, len(decoded.warnings)) == (said_by, num)


def test_addresses_outside_the_layout_are_doubted():
    decoded = decode(recording((0x8000, 5), (2, 7), (0x9234, 8)))

    assert decoded.warnings == ("2 of 3 addresses are not in the layout of a DVS128's pixels",)
