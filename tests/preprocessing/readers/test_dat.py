import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import dat, decode_recording

HEADER = b"% Data file containing CD events\n% Version 2\n% Width 640\n% Height 480\n"
TYPE = bytes([0x0C, 8])


def record(t, x, y, p):
    return struct.pack("<II", t, p << 28 | y << 14 | x)


def recording(*records, header=HEADER + TYPE):
    return header + b"".join(record(*fields) for fields in records)


def encode(events, header=HEADER):
    return recording(*events.tolist(), header=header + TYPE)


def decode(data, sensor=None):
    return decode_recording(data, "r.dat", sensor)


@st.composite
def event_arrays(draw):
    size = draw(st.integers(1, 40))
    column = lambda top: np.array(draw(st.lists(st.integers(0, top), min_size=size, max_size=size)))  # noqa: E731
    return make_events(np.sort(column(2**32 - 1)), column(639), column(479), column(1))


@given(event_arrays())
def test_what_is_written_is_read(events):
    decoded = decode(encode(events))

    np.testing.assert_array_equal(decoded.events, events)
    assert (decoded.sensor, decoded.format, decoded.num_special) == ((640, 480), "dat", 0)


def test_a_record_by_hand():
    # time, then x from bit 0, y from bit 14, polarity in bit 28
    header = b"% Version 2\n% Width 16384\n% Height 16384\n" + TYPE
    words = struct.pack("<4I", 7, 0b0001_00000000000011_00000000000101, 2**32 - 1, 0b0000_11111111111111_11111111111111)

    decoded = decode(header + words)

    assert decoded.events.tolist() == [(7, 5, 3, True), (2**32 - 1, 16383, 16383, False)]


def test_the_clock_may_wrap_more_than_once():
    times = (2**32 - 2, 3, 2**32 - 1, 1)

    decoded = decode(recording(*((t, 0, 0, 0) for t in times)))

    assert decoded.events["t"].tolist() == [2**32 - 2, 2**32 + 3, 2**33 - 1, 2**33 + 1]


def test_records_a_little_late_are_put_in_order():
    decoded = decode(recording((9, 1, 0, 0), (5, 2, 0, 0)))

    assert (decoded.events["x"].tolist(), decoded.num_backward) == ([2, 1], 1)


@pytest.mark.parametrize("kind", [0x00, 0x0C])
def test_both_types_of_event_have_the_same_record(kind):
    assert len(decode(recording((1, 2, 3, 1), header=HEADER + bytes([kind, 8]))).events) == 1


def test_the_header_may_say_where_it_ends():
    assert len(decode(recording((1, 2, 3, 1), header=HEADER + b"% end\n" + TYPE)).events) == 1


@pytest.mark.parametrize("header", [b"% Version 2\n", b"% Data file containing CD events\n"])
def test_the_format_is_told_by_its_header(header):
    assert decode_recording(recording((1, 2, 3, 1), header=header + TYPE), "no_suffix").format == "dat"


@pytest.mark.parametrize(
    ("x", "y", "sensor"),
    [
        (119, 99, (120, 100)),
        (120, 0, (304, 240)),
        (0, 100, (304, 240)),
        (304, 239, (640, 480)),
        (639, 480, (1280, 720)),
    ],
)
def test_without_a_size_the_smallest_sensor_that_holds_all_is_taken(x, y, sensor):
    assert decode(recording((1, x, y, 0), (2, 0, 0, 0), header=b"% Version 2\n" + TYPE)).sensor == sensor


def test_the_callers_sensor_is_taken_where_the_header_has_none():
    assert decode(recording((1, 2, 3, 1), header=b"% Version 2\n" + TYPE), (400, 300)).sensor == (400, 300)


def test_where_the_records_start_and_what_the_header_states():
    assert dat.body(recording((1, 2, 3, 1)), "r.dat") == (len(HEADER) + 2, (640, 480))
    assert dat.body(recording(header=b"% Version 2\n" + TYPE) + bytes(8), "r.dat") == (14, None)


@pytest.mark.parametrize(
    ("data", "sensor", "message"),
    [
        (b"", None, "r.dat: the file is empty"),
        (b"hello", None, "not a DAT file, it starts with b'hello'"),
        (b"% Version 1\n" + TYPE + bytes(8), None, "DAT of version 1; only version 2"),
        (HEADER, None, r"ends with its header \(70 bytes\), it holds no events"),
        (HEADER + b"\x0c", None, r"ends with its header \(71 bytes\), it holds no events"),
        (HEADER + TYPE, None, r"ends after its header \(72 bytes\), it holds no events"),
        (HEADER + b"\x0e\x08" + bytes(8), None, r"holds external triggers \(type 0x0e at byte 70\)"),
        (HEADER + b"\x0c\x10" + bytes(16), None, r"records of 16 bytes \(byte 71\); expected 8"),
        (recording((1, 0, 0, 0), (2, 0, 0, 0))[:-3], None, "record: 5 of 8 bytes at byte 80, after 1 records"),
        (recording((1, 0, 0, 0), (2, 0, 0, 2)), None, r"event 1 \(byte 80\) has the polarity 2; expected 0 or 1"),
        (recording((1, 640, 0, 0)), None, r"event 0 at \(640, 0\) lies outside the 640×480 sensor"),
        (recording((10_006, 0, 0, 0), (5, 0, 0, 0)), None, "time runs backwards at event 1, from 10006 µs to 5 µs"),
        (recording((1, 0, 0, 0)), (304, 240), "640×480.*, but 304×240 was asked for"),
        (recording((1, 1280, 0, 0), header=b"% Version 2\n" + TYPE), None, r"reach \(1280, 0\).*--sensor WIDTHxHEIGHT"),
        (recording((1, 0, 0, 0), header=b"% Version 2\n% Width 640\n" + TYPE), None, "the sensor as '640' by ''"),
        (recording((1, 0, 0, 0), header=b"% Width 0\n% Height 9\n" + TYPE), None, "the sensor as '0' by '9'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, sensor, message):
    with pytest.raises(RecordingError, match=message):
        decode(data, sensor)


@given(st.binary(max_size=60))
@example(b"% ")
@example(b"% \n")
@example(HEADER[:-1])
def test_arbitrary_bytes_raise_nothing_else(data):
    for start in (b"", b"% Version 2\n", HEADER + TYPE):
        try:
            decoded = decode(start + data)
        except RecordingError as error:
            assert str(error).startswith("r.dat: ")  # noqa: PT017
        else:
            assert len(decoded.events) > 0


def test_a_file_cut_or_damaged_anywhere_raises_nothing_else():
    whole = recording((1, 2, 3, 1), (5, 639, 479, 0))
    damaged = [whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :] for i in range(len(whole)) for bit in range(8)]

    for data in [whole[:i] for i in range(len(whole))] + damaged:
        try:
            assert 1 <= len(decode(data).events) <= 2
        except RecordingError as error:
            assert str(error).startswith("r.dat: ")  # noqa: PT017


def test_a_real_recording_of_ncars(shared_data):
    recording = read_recording(shared_data / "formats/ncars_sample.dat")

    # counts and sums as expelliarmus 1.1.12 gives them
    events = recording.events
    assert (len(events), recording.sensor, recording.duration_us) == (2009, (120, 100), 99952)
    assert events[[0, -1]].tolist() == [(0, 25, 8, False), (99952, 75, 28, True)]
    assert [int(events[name].sum(dtype=np.int64)) for name in "txyp"] == [98196680, 93457, 40463, 1350]
