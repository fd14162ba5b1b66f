import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import EVENT_DTYPE, RecordingError, make_events
from preprocessing.events.doubts import doubts
from preprocessing.readers import aedat2, decode_recording
from preprocessing.readers.raw import open_raw

HEADER = b"#!AER-DAT2.0\r\n# a comment\r\n"


def recording(*records, header=HEADER):
    return header + b"".join(struct.pack(">II", address, time) for address, time in records)


def chip(name):
    return HEADER + f"# AEChip: eu.seebetter.ini.chips.davis.{name}\r\n".encode()


def decode(data, sensor=None):
    return decode_recording(data, "r.aedat", sensor)


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
        (recording((0x8000, 5)), "holds no events, only 1 other records"),
        (recording((0, 5), (0, 6))[:-3], "cut in the middle of a record: 5 of 8 bytes at byte 35, after 1 records"),
        (recording((0, 5), (0x10000, 6)), r"event 1 \(byte 35\) has the address 0x00010000, outside the 128×128"),
        (recording((0, 5), (0, 10_009), (0, 8)), "time runs backwards at event 2, from 10009 µs to 8 µs"),
        (recording((0, 2**31), (0, 0)), "time runs backwards at event 1"),
        (b"#!AER-DAT3.0\r\n\0\0\0", "this is AEDAT-3.0; AEDAT-1.0, 2.0, 3.1 and 4.0 can be read"),
        (chip("SciDVS") + bytes(8), r"recorded by a SciDVS \(header line AEChip\); only DVS128, .* can be read"),
        (chip("Davis240CStereoPair") + bytes(8), "recorded by a Davis240CStereoPair"),
        (recording((1 << 31, 5), (0x400, 6), header=chip("DAVIS240C")), "holds no events, only 2 other records"),
        (
            recording((0, 5), (240 << 12, 6), header=chip("DAVIS240C")),
            "event 1 .* address 0x000f0000, outside the 240×180",
        ),
        (recording((180 << 22, 6), header=chip("DAVIS240C")), r"event 0 \(byte \d+\) .* outside the 240×180 sensor"),
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
    with pytest.raises(RecordingError, match="is of a 128×128 sensor, but 34×34 was asked for"):
        decode(recording((0, 1)), (34, 34))
    with pytest.raises(RecordingError, match="is of a 240×180 sensor, but 346×260 was asked for"):
        decode(recording((0, 1), header=chip("DAVIS240C")), (346, 260))


def test_the_address_of_a_davis_by_hand():
    # 10 bits of a sample; bit 11 = 1 is ON; x = 239 − bits 12 to 21; y = 179 − bits 22 to 30
    records = (0b0_000000011_0000000101_1_0_1111111111, 7), (0b0_010110011_0011101111_0_0_0000000000, 9)
    decoded = decode(recording(*records, header=chip("DAVIS240C")))

    assert decoded.events.tolist() == [(7, 234, 176, True), (9, 0, 0, False)]
    assert (decoded.sensor, decoded.num_special) == ((240, 180), 0)


def test_frames_motion_and_external_events_of_a_davis_are_dropped_and_counted():
    aps, imu, external = 1 << 31, 0x80000C00, 1 << 10
    data = recording((aps, 900), (0, 7), (imu, 3), (external, 1), (1 << 11, 8), header=chip("Davis346B"))

    assert decode(data).events.tolist() == [(7, 345, 259, False), (8, 345, 259, True)]
    assert decode(data).num_special == 3


def test_the_clock_of_a_davis_wraps_between_its_events():
    data = recording((0, 2**32 - 2), (1 << 31, 0), (0, 3), (0, 2**32 - 1), (0, 1), header=chip("DAVIS240A"))

    assert decode(data).events["t"].tolist() == [2**32 - 2, 2**32 + 3, 2**33 - 1, 2**33 + 1]


@pytest.mark.parametrize("sensor", [(240, 180), (346, 260), (640, 480)])
def test_a_header_without_camera_is_a_davis_if_its_sensor_is_asked_for(sensor):
    decoded = decode(recording((1 << 31, 5), (1 << 12, 6)), sensor)

    assert decoded.events.tolist() == [(6, sensor[0] - 2, sensor[1] - 1, False)]


def test_a_davis_taken_for_a_dvs128_is_told_what_to_do():
    with pytest.raises(RecordingError, match="a DAVIS whose header doesn't say so is read with --sensor"):
        decode(recording((1 << 31, 5)))


@settings(deadline=None)  # the first call compiles
@given(st.binary(max_size=80))
@example(b"#")
@example(b"#!AER-DAT")
def test_arbitrary_bytes_raise_nothing_else(data):
    for start in (b"", HEADER, chip("DAVIS240C")):
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


def test_a_real_recording_of_a_davis(shared_data):
    decoded = read_recording(shared_data / "formats/aedat2_davis240_boxes.aedat")
    events = decoded.events

    # of 196 608 records the type bits make 33 837 motion samples; there are no frames in it
    assert (len(events), decoded.sensor, decoded.num_special) == (162771, (240, 180), 33837)
    assert (events[0].tolist(), events[-1].tolist()) == ((294976755, 83, 143, False), (297049406, 6, 139, False))
    assert [int(events[column].sum(dtype="i8")) for column in "xyp"] == [24301911, 17174673, 82944]


@pytest.mark.parametrize(
    ("header", "sensor", "said_by"),
    [
        (HEADER, None, "guess"),
        (HEADER, (128, 128), "asked"),
        (HEADER, (240, 180), "asked"),
        (chip("Davis240C"), None, "file"),
        (chip("Davis240C"), (240, 180), "file"),
        (HEADER + b"# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n", None, "file"),
    ],
)
def test_a_camera_that_no_header_line_names_is_a_guess(header, sensor, said_by):
    data = recording((2, 7), (2, 9), header=header)
    raw = open_raw(data, "r.aedat", sensor)

    assert decode(data, sensor).sensor_from == said_by
    assert raw is None or raw.sensor_from == said_by


def test_the_cochlea_without_a_name_is_doubted():
    """Addresses of a silicon cochlea: channel in bits 2 to 7, ear and filter in bits 0, 1, 8 and 9."""
    rng = np.random.default_rng(0)
    addresses = rng.integers(0, 64, 4000) << 2 | rng.integers(0, 2, 4000) << 1 | rng.integers(0, 4, 4000) << 8 | 1
    data = recording(*((int(address), time) for time, address in enumerate(addresses)))
    raw = open_raw(data, "r.aedat")

    one_sided, narrow = doubts(raw.events, raw.sensor)
    assert raw.sensor_from == "guess"
    assert one_sided.endswith("all of its 4,000 events are OFF")
    assert narrow.endswith("its 4,000 events are in 4 of 128 rows")
