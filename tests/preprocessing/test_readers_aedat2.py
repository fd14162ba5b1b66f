import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import EVENT_DTYPE, RecordingError, make_events
from preprocessing.readers import aedat2, decode_recording

HEADER = b"#!AER-DAT2.0\r\n# a comment\r\n"


def recording(*records, header=HEADER):
    return header + b"".join(struct.pack(">II", address, time) for address, time in records)


def decode(data):
    return decode_recording(data, "r.aedat")


@st.composite
def event_arrays(draw):
    size = draw(st.integers(1, 40))
    column = lambda top: np.array(draw(st.lists(st.integers(0, top), min_size=size, max_size=size)))  # noqa: E731
    return make_events(np.sort(column(2**32 - 1)), column(127), column(127), column(1))


@settings(deadline=None)  # the first call compiles
@given(event_arrays())
def test_what_is_written_is_read(events):
    decoded = decode(aedat2.encode(events, comments=["who: José"]))

    np.testing.assert_array_equal(decoded.events, events)
    assert (decoded.sensor, decoded.format, decoded.source) == ((128, 128), "aedat2", "r.aedat")


def test_the_address_by_hand():
    # bit 0 = 0 is ON; x = 127 − bits 1 to 7; y = 127 − bits 8 to 14
    decoded = decode(recording((0b0_0000011_0000101_0, 7), (0b0_1111111_0000000_1, 9)))

    assert decoded.events.tolist() == [(7, 122, 124, True), (9, 127, 0, False)]


def test_times_are_unsigned():
    assert decode(recording((0, 2**31 + 5), (0, 2**32 - 1))).events["t"].tolist() == [2**31 + 5, 2**32 - 1]


def test_the_clock_may_wrap_more_than_once():
    decoded = decode(recording((0, 2**32 - 2), (0, 3), (0, 2**32 - 1), (0, 1)))

    assert decoded.events["t"].tolist() == [2**32 - 2, 2**32 + 3, 2**33 - 1, 2**33 + 1]


def test_external_events_are_dropped_and_counted():
    decoded = decode(recording((0x8000, 500), (0, 7), (0x8001, 3), (1, 8)))

    assert decoded.events["t"].tolist() == [7, 8]
    assert decoded.num_special == 2


def test_another_file_of_the_family_is_told_by_its_signature():
    assert decode_recording(recording((0, 1)), "no_suffix").format == "aedat2"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "r.aedat: the file is empty"),
        (HEADER, r"r.aedat: ends after its header \(27 bytes\), it holds no events"),
        (HEADER + b"# cut in the hea", "holds no events"),
        (recording((0x8000, 5)), "holds no events, only 1 external"),
        (recording((0, 5), (0, 6))[:-3], "cut in the middle of a record: 5 of 8 bytes at byte 35, after 1 records"),
        (recording((0, 5), (0x10000, 6)), r"event 1 \(byte 35\) has the address 0x00010000, outside the 128×128"),
        (recording((0, 5), (0, 10_009), (0, 8)), "time runs backwards at event 2, from 10009 µs to 8 µs"),
        (recording((0, 2**31), (0, 0)), "time runs backwards at event 1"),
        (b"just some text\n", r"not an AEDAT file, it starts with b'just some text\\n'; expected AEDAT-2.0"),
        (b"# a comment\r\n", "not an AEDAT file"),
        (b"#!AER-DAT3.1\r\n\0\0\0", "this is AEDAT-3.1; expected AEDAT-2.0"),
        (HEADER + b"# AEChip: eu.seebetter.DAVIS240C\r\n12345678", "recorded by a DAVIS240C"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, message):
    with pytest.raises(RecordingError, match=message):
        decode(data)


def test_time_backwards_behind_a_wrap_is_still_found():
    with pytest.raises(RecordingError, match="backwards at event 3, from 4294987303 µs to 4294967302 µs"):
        decode(recording((0, 2**32 - 2), (0, 3), (0, 20_007), (0, 6)))


@pytest.mark.parametrize("rest", [b"\x23\x00\x00\x0a", b"\x23\x41\x42\x43", b"\x23\x20\x01\x0a"])
def test_a_record_that_starts_like_a_header_line_is_a_record(rest):
    data = HEADER + rest + struct.pack(">I", 0x0A00) + struct.pack(">II", 0, 0x0B00)

    with pytest.raises(RecordingError, match=r"event 0 \(byte 27\) has the address 0x23"):
        decode(data)


def test_nothing_behind_the_line_that_ends_a_header_belongs_to_it():
    # "#ABC" "DEF\n" would be text
    with pytest.raises(RecordingError, match=r"event 0 .* has the address 0x23414243"):
        decode(HEADER + b"#End Of ASCII Header\r\n#ABCDEF\n")


def test_another_sensor_than_the_file_says_is_refused():
    with pytest.raises(RecordingError, match=r"by a DVS128, sensor \(128, 128\), but \(34, 34\)"):
        decode_recording(recording((0, 1)), "r.aedat", sensor=(34, 34))


@settings(deadline=None)  # the first call compiles
@given(st.binary(max_size=80))
@example(b"#")
@example(b"#!AER-DAT")
def test_arbitrary_bytes_raise_nothing_else(data):
    for start in (b"", HEADER):
        try:
            decoded = decode(start + data)
        except RecordingError as error:
            assert str(error).startswith("r.aedat: ")  # noqa: PT017
        else:
            assert len(decoded.events) > 0


@pytest.mark.parametrize(
    ("t", "x", "message"),
    [
        ([0, 2**32], [0, 0], "holds times in"),
        ([-1], [0], "holds times in"),
        ([0], [128], "outside"),
        ([2, 1], [0, 0], "backwards"),
    ],
)
def test_events_that_the_format_cannot_hold_are_not_written(t, x, message):
    events = make_events(np.array(t), np.array(x), np.zeros(len(t), int), np.zeros(len(t), int))

    with pytest.raises(ValueError, match=message):
        aedat2.encode(events)


def test_a_comment_is_one_line():
    with pytest.raises(ValueError, match="one line of text"):
        aedat2.encode(np.zeros(1, EVENT_DTYPE), comments=["two\nlines"])


def test_real_recordings(shared_data):
    walking = read_recording(shared_data / "formats/aedat2_dvs128_walking.aedat")
    late = read_recording(shared_data / "dvs128_objects/session2/cutter.aedat")

    assert (len(walking.events), walking.duration_us, walking.num_special) == (19182, 6886550, 0)
    assert (len(late.events), late.events["t"][-1]) == (314257, 3957404391)
    assert aedat2.encode(late.events).endswith(
        (shared_data / "dvs128_objects/session2/cutter.aedat").read_bytes()[3412:]
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("aedat2_davis240_boxes.aedat", "DAVIS240C"),
        ("aedat31_tiny_synthetic.aedat", "AEDAT-3.1"),
        ("aedat4_dvs128_gesture.aedat4", "AEDAT-4.0"),
    ],
)
def test_real_files_of_other_cameras_and_versions_are_named(shared_data, name, what):
    with pytest.raises(RecordingError, match=what):
        read_recording(shared_data / "formats" / name)
