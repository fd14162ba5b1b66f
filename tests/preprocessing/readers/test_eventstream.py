import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import decode_recording

DVS, ATIS = 1, 2


def header(kind=DVS, width=320, height=240, version=(2, 0, 0)):
    return b"Event Stream" + bytes([*version, kind]) + struct.pack("<HH", width, height)


def encode(events, kind=DVS, height=240):
    """The bytes of a stream: overflows as far as needed, then the event."""
    data, last = header(kind, height=height), 0
    full = 0xFF >> kind
    for t, x, y, p in events.tolist():
        overflows, delta = divmod(t - last, full)
        last = t
        if kind == DVS:
            data += b"\xff" * overflows
        else:
            data += b"\xff" * (overflows // 3) + bytes([0xFC | overflows % 3] if overflows % 3 else [])
        data += struct.pack("<BHH", delta << kind | int(p) << kind - 1, x, height - 1 - y)
    return data


def decode(data, sensor=None):
    return decode_recording(data, "r.es", sensor)


@st.composite
def event_arrays(draw):
    size = draw(st.integers(1, 40))
    column = lambda top: np.array(draw(st.lists(st.integers(0, top), min_size=size, max_size=size)))  # noqa: E731
    return make_events(np.cumsum(column(500)), column(319), column(239), column(1))


@pytest.mark.parametrize("kind", [DVS, ATIS])
@given(events=event_arrays())
def test_what_is_written_is_read(kind, events):
    decoded = decode(encode(events, kind))

    np.testing.assert_array_equal(decoded.events, events)
    assert (decoded.sensor, decoded.format, decoded.num_special) == ((320, 240), "eventstream", 0)


def test_dvs_events_by_hand():
    # time above one flag, ON; x and y with the low byte first, y from the bottom
    data = bytes([3 << 1 | 1, 0x03, 0x01, 0, 0]) + b"\xff\xfe\xff" + bytes([126 << 1, 4, 0, 239, 0])

    assert decode(header() + data).events.tolist() == [(3, 259, 239, True), (3 + 2 * 127 + 126, 4, 0, False)]


def test_atis_events_by_hand():
    # time above two flags, ON and threshold crossing; an overflow says how often 63 µs have passed
    on, off = bytes([2 << 2 | 2, 1, 0, 9, 0]), bytes([62 << 2, 5, 0, 9, 0])
    crossing = bytes([4 << 2 | 3, 1, 0, 9, 0])

    decoded = decode(header(ATIS) + on + b"\xfe\xfc\xfd" + crossing + b"\xff" + off)

    assert decoded.events.tolist() == [(2, 1, 230, True), (2 + 3 * 63 + 4 + 3 * 63 + 62, 5, 230, False)]
    assert decoded.num_special == 1


def test_coordinates_may_take_all_bits():
    events = make_events(np.array([1, 2]), np.array([0, 65534]), np.array([0, 65534]), np.array([0, 1]))
    data = encode(events, height=65535).replace(header(height=65535), header(width=65535, height=65535))

    np.testing.assert_array_equal(decode(data).events, events)


def test_the_format_is_told_by_its_signature():
    assert decode_recording(header() + bytes(5), "no_suffix").format == "eventstream"


@pytest.mark.parametrize(
    ("data", "sensor", "message"),
    [
        (b"", None, "r.es: the file is empty"),
        (b"hello", None, "not an Event Stream, it starts with b'hello'"),
        (b"Event Stream\2\0", None, "cut in its header: 14 of 20 bytes"),
        (header(version=(1, 0, 3)) + bytes(5), None, "this is Event Stream 1.0.3; only version 2"),
        (header(kind=0) + bytes(5), None, "a stream of generic events; only DVS and ATIS"),
        (header(kind=4) + bytes(5), None, "a stream of color events; only DVS and ATIS"),
        (header(kind=9) + bytes(5), None, "a stream of type 9 events; only DVS and ATIS"),
        (header(), None, "r.es: holds no events"),
        (header() + b"\xfe\xff", None, "r.es: holds no events"),
        (header(ATIS) + bytes([1, 0, 0, 0, 0]), None, "r.es: holds no events"),
        (header() + bytes(6), None, "cut in the middle of an event: 1 of 5 bytes at byte 25, after 1 events"),
        (header() + bytes(9), None, "cut in the middle of an event: 4 of 5 bytes at byte 25, after 1 events"),
        (header() + bytes([0, 64, 1, 0, 0]), None, r"event 0 at \(320, 239\) lies outside the 320×240 sensor"),
        (header() + bytes([0, 0, 0, 240, 0]), None, r"event 0 at \(0, 240\) lies outside the 320×240 sensor"),
        (header(width=0, height=0) + bytes(5), None, r"event 0 at \(0, 0\) lies outside the 0×0 sensor"),
        (header() + bytes(5), (304, 240), "320×240.*, but 304×240 was asked for"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, sensor, message):
    with pytest.raises(RecordingError, match=message):
        decode(data, sensor)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_else(data):
    for start in (b"", b"Event Stream", header(width=65535, height=65535), header(ATIS)):
        try:
            decoded = decode(start + data)
        except RecordingError as error:
            assert str(error).startswith("r.es: ")  # noqa: PT017
        else:
            assert len(decoded.events) > 0


def test_a_file_cut_or_damaged_anywhere_raises_nothing_else():
    whole = encode(make_events(np.array([1, 300]), np.array([2, 319]), np.array([3, 239]), np.array([1, 0])))
    damaged = [whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :] for i in range(len(whole)) for bit in range(8)]

    for data in [whole[:i] for i in range(len(whole))] + damaged:
        try:
            assert 1 <= len(decode(data).events) <= 2
        except RecordingError as error:
            assert str(error).startswith("r.es: ")  # noqa: PT017


def test_a_real_recording(shared_data):
    recording = read_recording(shared_data / "formats/es_dvs.es")

    # counts and sums as faery 0.7.1 gives them; event_stream 1.6.3 too, with y from the bottom
    events = recording.events
    assert (len(events), recording.sensor, recording.duration_us) == (473225, (320, 240), 999000)
    assert events[[0, -1]].tolist() == [(0, 0, 0, True), (999000, 38, 193, True)]
    assert [int(events[name].sum(dtype=np.int64)) for name in "txyp"] == [200862071000, 72946016, 56007796, 270001]
