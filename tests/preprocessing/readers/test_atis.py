import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import atis, decode_recording


def decode(data, sensor=None):
    return decode_recording(data, "r.bin", sensor)


@st.composite
def event_arrays(draw):
    size = draw(st.integers(1, 40))
    column = lambda top: np.array(draw(st.lists(st.integers(0, top), min_size=size, max_size=size)))  # noqa: E731
    return make_events(np.sort(column(2**23 - 1)), column(255), column(239), column(1))


@given(event_arrays())
def test_what_is_written_is_read(events):
    np.testing.assert_array_equal(decode(atis.encode(events), (256, 240)).events, events)


def test_an_event_by_hand():
    decoded = decode(bytes([3, 4, 0x81, 0x02, 0x03, 5, 6, 0x7F, 0xFF, 0xFF]))

    assert decoded.events.tolist() == [(0x010203, 3, 4, True), (2**23 - 1, 5, 6, False)]
    assert decoded.format == "atis"


def test_a_tick_of_the_clock_adds_its_time_to_what_follows():
    tick = bytes([0, 240, 0, 0, 0])
    decoded = decode(bytes([1, 1, 0, 0, 9]) + tick + bytes([1, 2, 0, 0, 5]) + tick + bytes([1, 3, 0, 0, 5]))

    assert decoded.events["t"].tolist() == [9, 8192 + 5, 2 * 8192 + 5]
    assert decoded.events["y"].tolist() == [1, 2, 3]
    assert decoded.num_special == 2


@pytest.mark.parametrize(
    ("x", "y", "sensor"),
    [
        (33, 33, (34, 34)),
        (34, 0, (128, 128)),
        (127, 127, (128, 128)),
        (128, 0, (240, 180)),
        (239, 179, (240, 180)),
        (0, 180, (304, 240)),
        (240, 0, (304, 240)),
    ],
)
def test_the_smallest_sensor_that_holds_all_is_taken(x, y, sensor):
    assert decode(bytes([x, y, 0, 0, 1, 0, 0, 0, 0, 2])).sensor == sensor


def test_the_callers_sensor_is_taken():
    assert decode(bytes(5), (304, 240)).sensor == (304, 240)


@pytest.mark.parametrize(
    ("data", "sensor", "message"),
    [
        (b"", None, "r.bin: the file is empty"),
        (bytes(13), None, "cut in the middle of an event: 3 of 5 bytes at byte 10"),
        (bytes([34, 0, 0, 0, 1]), (34, 34), r"event 0 at \(34, 0\) lies outside the 34×34 sensor"),
        (bytes([0, 250, 0, 0, 1]), None, r"event 0 at \(0, 250\) lies outside the 304×240 sensor"),
        (bytes([0, 0, 1, 0, 9, 0, 0, 0, 0, 8]), None, "time runs backwards at event 1, from 65545 µs to 8 µs"),
        (bytes([0, 240, 0, 0, 1]), None, "holds no events"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, sensor, message):
    with pytest.raises(RecordingError, match=message):
        decode(data, sensor)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_else(data):
    try:
        decoded = decode(data)
    except RecordingError as error:
        assert str(error).startswith("r.bin: ")  # noqa: PT017
    else:
        assert len(decoded.events) > 0


@pytest.mark.parametrize(
    ("t", "y", "message"), [(2**23, 0, "hold times in"), (-1, 0, "hold times in"), (0, 240, "outside")]
)
def test_events_that_the_format_cannot_hold_are_not_written(t, y, message):
    with pytest.raises(ValueError, match=message):
        atis.encode(make_events(np.array([t]), np.array([0]), np.array([y]), np.array([1])))


@pytest.mark.parametrize(
    ("name", "num_events", "sensor"),
    [
        ("nmnist_small/Test/0/00004.bin", 5293, (34, 34)),
        ("dvs_gesture_clips/1.bs2", 63471, (128, 128)),
        ("formats/ncaltech101_faces_easy_0001.bin", 67445, (240, 180)),
    ],
)
def test_real_recordings(shared_data, name, num_events, sensor):
    recording = read_recording(shared_data / name)

    assert (len(recording.events), recording.sensor, recording.num_special) == (num_events, sensor, 0)
    assert atis.encode(recording.events) == (shared_data / name).read_bytes()
