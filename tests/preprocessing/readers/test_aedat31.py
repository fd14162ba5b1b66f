import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import aedat31, decode_recording

LINES = b"#!AER-DAT3.1\r\n#Format: RAW\r\n%b#Start-Time: 2020-11-20 18:06:50 (TZ+0300)\r\n#!END-HEADER\r\n"
HEADER = LINES % b"#Source 1: DVS128\r\n"
UNKNOWN = LINES % b"#Source 1: Test\r\n"


def event(t, x, y, p, valid=1):
    return struct.pack("<Ii", x << 17 | y << 2 | p << 1 | valid, t)


def packet(*events, kind=1, source=1, overflow=0, size=8, number=None, valid=None, capacity=None):
    number = len(events) if number is None else number
    valid = number if valid is None else valid
    capacity = number if capacity is None else capacity
    return struct.pack("<hhiiiiii", kind, source, size, 4, overflow, capacity, number, valid) + b"".join(events)


def decode(data, sensor=None):
    return decode_recording(data, "r.aedat", sensor)


@st.composite
def event_arrays(draw):
    size = draw(st.integers(1, 40))
    column = lambda top: np.array(draw(st.lists(st.integers(0, top), min_size=size, max_size=size)))  # noqa: E731
    times = draw(st.sampled_from([100, 2**31 + 5, 2**62 - 1]))
    return make_events(np.sort(column(times)), column(39), column(29), column(1))


@given(event_arrays(), st.sampled_from([(40, 30), (128, 128), (346, 260), (32768, 32768)]))
def test_what_is_written_is_read(events, sensor):
    decoded = decode(aedat31.encode(events, sensor))

    np.testing.assert_array_equal(decoded.events, events)
    assert (decoded.sensor, decoded.format, decoded.num_special) == (sensor, "aedat31", 0)


def test_long_recordings_are_written_in_several_packets():
    t = np.arange(30_000)
    events = make_events(t, t % 128, t % 127, t % 2)
    data = aedat31.encode(events, (128, 128))

    np.testing.assert_array_equal(decode(data).events, events)
    assert len(data) == len(aedat31.encode(events[:1], (128, 128))) - 36 + 4 * 28 + 30_000 * 8


def test_the_extremes_of_an_event_by_hand():
    data = (
        UNKNOWN + packet(event(0, 0, 0, 0), event(2**31 - 1, 32766, 32767, 1)) + packet(event(3, 1, 2, 1), overflow=1)
    )

    assert decode(data, (32768, 32768)).events.tolist() == [
        (0, 0, 0, False),
        (2**31 - 1, 32766, 32767, True),
        (2**31 + 3, 1, 2, True),
    ]


def test_packets_of_other_kinds_are_skipped_by_their_size_and_their_events_counted():
    frame = packet(bytes(1000), kind=2, size=1000)
    motion = packet(bytes(36), bytes(36), kind=3, size=36)
    data = HEADER + frame + packet(event(5, 1, 1, 1)) + motion + packet(event(6, 1, 1, 1)) + packet()

    assert decode(data).events["t"].tolist() == [5, 6]
    assert decode(data).num_special == 3


def test_room_that_a_packet_left_unused_is_skipped():
    data = HEADER + packet(event(5, 1, 1, 1), bytes(8), number=1, capacity=2) + packet(event(6, 1, 1, 1))

    assert decode(data).events["t"].tolist() == [5, 6]
    assert decode(data).num_special == 0


def test_events_marked_as_invalid_are_dropped_and_counted():
    data = HEADER + packet(event(5, 1, 1, 1), event(6, 1, 1, 1, valid=0), event(7, 1, 1, 1), valid=2)

    assert decode(data).events["t"].tolist() == [5, 7]
    assert decode(data).num_special == 1


def test_a_packet_that_says_all_are_valid_is_believed():
    assert decode(HEADER + packet(event(5, 1, 1, 1, valid=0))).events.tolist() == [(5, 1, 1, True)]


def test_of_two_cameras_the_first_that_has_events_is_read():
    header = LINES % b"#Source 1: DVS128\r\n#Source 2: DAVIS240C\r\n"
    data = header + packet(source=1) + packet(event(5, 200, 1, 1), source=2) + packet(event(6, 1, 1, 1), source=1)

    assert decode(data).events["t"].tolist() == [5]
    assert (decode(data).sensor, decode(data).num_special) == ((240, 180), 1)


@pytest.mark.parametrize(
    ("source", "asked", "sensor"),
    [
        (b"#Source 1: DAVIS346B\r\n", None, (346, 260)),
        (b"#Source 1: DAVIS346B\r\n", (346, 260), (346, 260)),
        (b"#Source 3: File\r\n#-Source 1: DAVIS240C\r\n", None, (240, 180)),
        (b"#Source 1: 34x40\r\n", None, (34, 40)),
        (b"#Source 1: Test\r\n", None, (240, 180)),
        (b"#Source 1: Test\r\n", (1280, 720), (1280, 720)),
        (b"", None, (240, 180)),
    ],
)
def test_the_sensor_is_that_of_the_header_or_the_one_asked_for_or_the_smallest(source, asked, sensor):
    data = LINES % source + packet(event(5, 130 if sensor[0] > 130 else 0, 1, 1))

    assert decode(data, asked).sensor == sensor


SMALL = HEADER + packet(event(5, 1, 1, 1)) + packet(bytes(20), kind=2, size=20) + packet(event(9, 2, 1, 0))


@pytest.mark.parametrize(
    ("data", "sensor", "message"),
    [
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n", None, "the header has no end; expected lines that start with '#' up to"),
        (HEADER, None, "holds no events, only 0 of other kinds or invalid"),
        (HEADER + packet(bytes(20), kind=2, size=20), None, "holds no events, only 1 of other kinds"),
        (HEADER + packet(event(5, 1, 1, 1, valid=0), valid=0), None, "holds no events, only 1 of other"),
        (SMALL, (240, 180), "is of a 128×128 sensor, but 240×180 was asked for"),
        (SMALL[:-3], None, r"packet at byte \d+ is cut or damaged: it announces 8 bytes, 5 are there; 1 events"),
        (SMALL + b"123", None, r"packet at byte \d+ is cut: 3 of 28 bytes of its header; 2 events came before"),
        (HEADER + packet(number=2**31 - 1, size=2**31 - 1), None, "is damaged: it says kind 1, 2147483647 events"),
        (HEADER + packet(number=2**31 - 1), None, "announces 17179869176 bytes, 0 are there; 0 events came before"),
        (HEADER + packet(bytes(4), size=4), None, "is damaged: it says kind 1, 1 events of 4 bytes"),
        (HEADER + packet(event(5, 1, 1, 1), capacity=0), None, "1 events of 8 bytes in room for 0"),
        (HEADER + packet(number=-1), None, "is damaged: it says kind 1, -1 events"),
        (HEADER + packet(kind=2, number=10**9, size=0), None, "is damaged: it says kind 2, 1000000000 events of 0"),
        (HEADER + packet(event(5, 1, 1, 1), overflow=-1), None, "-1 overflows of the time"),
        (HEADER + packet(event(5, 128, 1, 1)), None, r"event 0 at \(128, 1\) lies outside the 128×128 sensor"),
        (UNKNOWN + packet(event(5, 1, 700, 1)), None, r"events reach \(1, 700\), beyond 640×480; state it"),
        (HEADER + packet(event(50_000, 1, 1, 1), event(5, 1, 1, 1)), None, "time runs backwards at event 1"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, sensor, message):
    with pytest.raises(RecordingError, match=f"^r.aedat: .*{message}"):
        decode(data, sensor)


def decodes_or_is_refused(data):
    try:
        decoded = decode_recording(data, "r.aedat")
    except RecordingError as error:
        assert str(error).startswith("r.aedat: ")  # noqa: PT017
    else:
        assert len(decoded.events) > 0


@given(st.binary(max_size=120))
@example(bytes(28))
@example(b"\xff" * 28)
def test_arbitrary_bytes_raise_nothing_else(data):
    decodes_or_is_refused(HEADER + data)
    decodes_or_is_refused(HEADER + packet(data, number=len(data) // 8))


def test_a_file_cut_anywhere_raises_nothing_else():
    for end in range(1, len(SMALL)):
        decodes_or_is_refused(SMALL[:end])


@settings(max_examples=300)
@given(st.integers(0, 8 * len(SMALL) - 1))
def test_a_wrong_bit_anywhere_raises_nothing_else(bit):
    data = bytearray(SMALL)
    data[bit // 8] ^= 1 << bit % 8
    decodes_or_is_refused(bytes(data))


@pytest.mark.parametrize(
    ("t", "x", "sensor", "message"),
    [
        ([0, 2**62], 0, (8, 8), "holds times in"),
        ([-1], 0, (8, 8), "holds times in"),
        ([0], 8, (8, 8), "outside"),
        ([2, 1], 0, (8, 8), "backwards"),
        ([0], 0, (32769, 8), "holds sensors up to 32768 px"),
    ],
)
def test_events_that_the_format_cannot_hold_are_not_written(t, x, sensor, message):
    events = make_events(np.array(t), np.full(len(t), x), np.zeros(len(t), int), np.zeros(len(t), int))

    with pytest.raises(ValueError, match=message):
        aedat31.encode(events, sensor)


def test_a_file_of_another_program(shared_data):
    decoded = read_recording(shared_data / "formats/aedat31_tiny_synthetic.aedat")

    assert decoded.events.tolist() == [
        (15, 127, 126, True),
        (88, 18, 98, True),
        (1254, 15, 19, False),
        (1265, 28, 19, True),
        (1288, 17, 17, True),
    ]
    assert (decoded.sensor, decoded.num_special) == ((128, 128), 0)
