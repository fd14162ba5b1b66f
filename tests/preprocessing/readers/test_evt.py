import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import decode_recording

EVT2, EVT21, EVT3 = (f"% format {name};height=480;width=640\n% end\n".encode() for name in ("EVT2", "EVT21", "EVT3"))
LEGACY = b"% format EVT21;endianness=legacy;height=480;width=640\n% end\n"
TIME_HIGH = 8 << 28
OFF, ON = 0, 1 << 28


def words32(*words):
    return np.array(words, "<u4").tobytes()


def words64(*words):
    return np.array(words, "<u8").tobytes()


def words16(*words):
    return np.array(words, "<u2").tobytes()


def event32(t, x, y, p):
    """An EVT 2.0 event, and the high half of one in EVT 2.1."""
    return int(p) << 28 | (t & 0x3F) << 22 | x << 11 | y


def encode2(events):
    words = []
    for t, x, y, p in events.tolist():
        words += [TIME_HIGH | t >> 6 & 0xFFFFFFF, event32(t, x, y, p)]
    return EVT2 + words32(*words)


def encode21(events, header):
    """Every event alone in its group of 32, at another place of it."""
    words = []
    for t, x, y, p in events.tolist():
        offset = x % 32
        words += [(TIME_HIGH | t >> 6 & 0xFFFFFFF) << 32, event32(t, x - offset, y, p) << 32 | 1 << offset]
    halves = np.array(words, "<u8").view("<u4").reshape(-1, 2)
    return header + (halves[:, ::-1] if header == LEGACY else halves).tobytes()


def encode3(events):
    """Single events and vectors in turn."""
    words = []
    for number, (t, x, y, p) in enumerate(events.tolist()):
        words += [8 << 12 | t >> 12 & 0xFFF, 6 << 12 | t & 0xFFF, y]
        kind, offset = number % 3, x % 12
        if kind == 0:
            words += [2 << 12 | p << 11 | x]
        elif kind == 1:
            words += [3 << 12 | p << 11 | x - offset, 4 << 12 | 1 << offset]
        else:
            words += [3 << 12 | p << 11 | max(x - 12, 0), 4 << 12 | (1 << x if x < 12 else 0), 5 << 12 | (x >= 12)]
    return EVT3 + words16(*words)


def decode(data, sensor=None):
    return decode_recording(data, "r.raw", sensor)


@st.composite
def event_arrays(draw, longest_gap):
    size = draw(st.integers(1, 40))
    column = lambda top: np.array(draw(st.lists(st.integers(0, top), min_size=size, max_size=size)))  # noqa: E731
    first = draw(st.integers(0, 2 * longest_gap - 1))
    return make_events(first + np.cumsum(column(longest_gap)), column(639), column(479), column(1))


def assert_same_but_for_the_start(decoded, events, wrap):
    """Whole turns of the clock before the first event can't be known."""
    turns = int(events["t"][0]) // wrap * wrap
    assert [(t + turns, *rest) for t, *rest in decoded.events.tolist()] == events.tolist()


@given(event_arrays(longest_gap=2**33 - 64))
def test_what_is_written_in_evt2_is_read(events):
    decoded = decode(encode2(events))

    assert_same_but_for_the_start(decoded, events, 2**34)
    assert (decoded.sensor, decoded.format, decoded.num_special) == ((640, 480), "evt2", 0)


@pytest.mark.parametrize("header", [EVT21, LEGACY])
@given(events=event_arrays(longest_gap=2**33 - 64))
def test_what_is_written_in_evt21_is_read(header, events):
    decoded = decode(encode21(events, header))

    assert_same_but_for_the_start(decoded, events, 2**34)
    assert (decoded.sensor, decoded.format, decoded.num_special) == ((640, 480), "evt21", 0)


@given(event_arrays(longest_gap=2**23 - 4096))
def test_what_is_written_in_evt3_is_read(events):
    decoded = decode(encode3(events))

    assert_same_but_for_the_start(decoded, events, 2**24)
    assert (decoded.sensor, decoded.format, decoded.num_special) == ((640, 480), "evt3", 0)


def test_evt2_words_by_hand():
    data = words32(
        0b1000_0000000000000000000000000011,
        0b0001_000101_00000000111_00000001001,  # 6 bits of time, 11 of x, 11 of y
        0b0000_111111_01001111111_00111011111,
    )

    assert decode(EVT2 + data).events.tolist() == [(3 * 64 + 5, 7, 9, True), (3 * 64 + 63, 639, 479, False)]


def test_an_evt21_word_is_up_to_32_events():
    event = event32(5, 96, 9, True) << 32
    data = words64(0x8000_0003_0000_0000, event | 0x8000_0005, event)

    events = decode(EVT21 + data).events

    assert events["x"].tolist() == [96, 98, 127]
    assert set(events[["t", "y", "p"]].tolist()) == {(3 * 64 + 5, 9, True)}


def test_legacy_evt21_has_the_high_half_first():
    data = words32(TIME_HIGH | 3, 0, event32(5, 96, 9, True), 0x1)

    assert decode(LEGACY + data).events.tolist() == [(3 * 64 + 5, 96, 9, True)]


@pytest.mark.parametrize(
    ("lines", "legacy"),
    [
        (b"% evt 2.1\n% endianness legacy\n", True),
        (b"% evt 2.1\n% endianness little\n% system_ID 49\n", False),
        (b"% evt 2.1\n% system_ID 49\n", True),
        (b"% evt 2.1\n% system_ID 49\n% integrator_name Another\n", False),
        (b"% evt 2.1\n% system_ID 55\n", False),
        (b"% evt 2.1\n", False),
    ],
)
def test_which_half_comes_first_is_told_by_the_header(lines, legacy):
    halves = (TIME_HIGH | 3, 0), (event32(5, 96, 9, True), 0x1)
    data = words32(*(word for high, low in halves for word in ((high, low) if legacy else (low, high))))

    assert decode(lines + b"% end\n" + data).events.tolist() == [(3 * 64 + 5, 96, 9, True)]


def test_evt3_words_by_hand():
    data = words16(
        0x8002,  # TIME_HIGH
        0x6005,  # TIME_LOW
        0x0009,  # ADDR_Y
        0x2807,  # ADDR_X, ON
        0x3064,  # VECT_BASE_X, OFF
        0x4801,  # VECT_12: pixels 0 and 11 from 100 on
        0x4002,  # pixel 1 from 112 on
        0x5F81,  # VECT_8: pixels 0 and 7 from 124 on; the other bits are unused
        0x6006,
        0x5001,  # pixel 0 from 132 on
    )

    time = 2 * 4096 + 5
    assert decode(EVT3 + data).events.tolist() == [
        (time, 7, 9, True),
        *((time, x, 9, False) for x in (100, 111, 113, 124, 131)),
        (time + 1, 132, 9, False),
    ]


def test_a_new_time_high_starts_its_time_low_at_zero():
    data = words16(0x8000, 0x6FFF, 0x0009, 0x2001, 0x8001, 0x2002, 0x6003, 0x2003, 0x8001, 0x2004)

    assert decode(EVT3 + data).events["t"].tolist() == [4095, 4096, 4099, 4099]


@pytest.mark.parametrize(("low", "times"), [(0x7FF, [0xFFF, 0x17FF]), (0x800, [0xFFF, 0x800])])
def test_a_time_high_lower_by_half_its_range_has_wrapped(low, times):
    first, second = (0x8000 | high for high in (0xFFF, low))
    data = words16(first, 0, 0x2000, second, 0x2000)

    if low == 0x7FF:
        assert (decode(EVT3 + data).events["t"] >> 12).tolist() == times
    else:
        with pytest.raises(RecordingError, match="time runs backwards at event 1, from 16773120 µs to 8388608 µs"):
            decode(EVT3 + data)


def test_the_clocks_of_evt2_and_evt21_wrap_at_34_bits():
    highs = [0xFFFFFFF, 0, 0xFFFFFFF, 1]
    halves = [half for high in highs for half in (TIME_HIGH | high, OFF)]

    evt2 = decode(EVT2 + words32(*halves))
    evt21 = decode(EVT21 + words64(*(half << 32 | 1 for half in halves)))

    assert (evt2.events["t"] >> 6).tolist() == [0xFFFFFFF, 1 << 28, 0x1FFFFFFF, (2 << 28) + 1]
    np.testing.assert_array_equal(evt21.events, evt2.events)


def test_a_recording_may_last_for_weeks():
    data = words32(*[TIME_HIGH | 0xFFFFFFF, TIME_HIGH] * 200, ON)

    assert decode(EVT2 + data).events.tolist() == [(200 * 2**34, 0, 0, True)]


def test_times_a_little_late_are_put_in_order():
    decoded = decode(EVT3 + words16(0x8000, 0x6009, 0, 0x2001, 0x6005, 0x2002))

    assert (decoded.events[["t", "x"]].tolist(), decoded.num_backward) == ([(5, 2), (9, 1)], 1)


def test_special_words_are_dropped_and_counted():
    evt2 = words32(TIME_HIGH, *(kind << 28 for kind in (2, 9, 10, 13, 14, 15)), ON)
    evt21 = words64(TIME_HIGH << 32, *(kind << 60 | 1 for kind in (10, 14, 15)), ON << 32 | 1)
    evt3 = words16(0x8000, 0x6000, *(kind << 12 for kind in (7, 9, 10, 13, 14, 15)), 0x0000, 0x2800)

    for data, num_special in ((EVT2 + evt2, 6), (EVT21 + evt21, 3), (EVT3 + evt3, 6)):
        decoded = decode(data)
        assert (decoded.events.tolist(), decoded.num_special) == ([(0, 0, 0, True)], num_special)


def test_events_without_a_time_or_a_place_are_special():
    evt2 = EVT2 + words32(ON, OFF, TIME_HIGH, ON)
    evt21 = EVT21 + words64(ON << 32 | 1, TIME_HIGH << 32, ON << 32 | 1)
    evt3 = EVT3 + words16(0x0000, 0x3000, 0x2800, 0x4001, 0x8000, 0x2800)
    no_row = EVT3 + words16(0x8000, 0x6000, 0x2800, 0x3000, 0x5001, 0x0000, 0x2800)
    no_base = EVT3 + words16(0x8000, 0x6000, 0x0000, 0x4001, 0x2800)

    for data, num_special in ((evt2, 2), (evt21, 1), (evt3, 2), (no_row, 2), (no_base, 1)):
        decoded = decode(data)
        assert (decoded.events.tolist(), decoded.num_special) == ([(0, 0, 0, True)], num_special)


@pytest.mark.parametrize("row", [0x0805, 0x1005])
def test_what_stands_in_a_row_of_a_second_camera_or_of_another_kind_is_special(row):
    decoded = decode(EVT3 + words16(0x8000, 0x6000, 0x0004, row, 0x2001, 0x0005, 0x2002))

    assert (decoded.events.tolist(), decoded.num_special) == ([(0, 2, 5, False)], 1)


@pytest.mark.parametrize(
    ("lines", "sensor"),
    [
        (b"% evt 2.0\n% geometry 320x320\n", (320, 320)),
        (b"% format EVT2;height=720;width=1280\n% geometry 640x480\n", (1280, 720)),
        (b"% evt 2.0\n% system_ID 21\n", (640, 480)),
        (b"% evt 2.0\n% system_ID 161\n", (640, 480)),
        (b"% evt 2.0\n% system_ID 48\n", (1280, 720)),
        (b"% evt 2.0\n% system_ID 48\n% integrator_name Another\n", (320, 320)),
        (b"% evt 2.0\n% system_ID soon\n", (320, 320)),
        (b"% evt 2.0\n", (320, 320)),
    ],
)
def test_the_sensor_is_told_by_the_header_or_the_smallest(lines, sensor):
    assert decode(lines + words32(TIME_HIGH, event32(0, 319, 319, True))).sensor == sensor


@pytest.mark.parametrize(
    ("x", "y", "sensor"), [(320, 0, (640, 480)), (0, 320, (640, 480)), (640, 0, (1280, 720)), (0, 480, (1280, 720))]
)
def test_without_a_size_the_smallest_sensor_that_holds_all_is_taken(x, y, sensor):
    assert decode(b"% evt 2.0\n" + words32(TIME_HIGH, event32(0, x, y, True))).sensor == sensor


def test_the_callers_sensor_is_taken_where_the_header_has_none():
    assert decode(b"% evt 2.0\n" + words32(TIME_HIGH, ON), (346, 260)).sensor == (346, 260)


def test_the_format_is_told_by_its_header():
    assert decode_recording(b"% evt 2.0\n" + words32(TIME_HIGH, ON), "no_suffix").format == "evt2"


@pytest.mark.parametrize(
    ("data", "sensor", "message"),
    [
        (b"", None, "r.raw: the file is empty"),
        (b"hello", None, "found b'hello'; expected a header line '% evt 3.0'"),
        (b"% Date today\n", None, r"found a header without them \(Date\); expected a header line"),
        (b"% evt 4.0\n", None, "encoded as EVT 4.0; only EVT 2.0, 2.1 and 3.0"),
        (b"% format HISTO3D;width=320\n", None, "encoded as HISTO3D; only EVT"),
        (b"% format EVT21;endianness=big\n", None, "in the byte order 'big'; only little and legacy"),
        (b"% evt 2.0\n% geometry 640\n", None, "the sensor as '640' by ''; expected two numbers"),
        (b"% format EVT2;width=x;height=480\n", None, "the sensor as 'x' by '480'; expected two numbers"),
        (EVT2, None, "r.raw: holds no events, only 0 special words"),
        (EVT2 + words32(TIME_HIGH, 10 << 28), None, "holds no events, only 1 special words"),
        (EVT2 + words32(TIME_HIGH, ON)[:-1], None, "of a word: 3 of 4 bytes at byte 45, after 1 words"),
        (EVT21 + words64(1, 2)[:-1], None, "of a word: 7 of 8 bytes at byte 50, after 1 words"),
        (EVT3 + words16(1, 2)[:-1], None, "of a word: 1 of 2 bytes at byte 43, after 1 words"),
        (EVT2 + words32(TIME_HIGH, event32(0, 640, 0, 1)), None, r"event 0 at \(640, 0\) lies outside the 640×480"),
        (EVT2 + words32(TIME_HIGH, event32(0, 0, 480, 1)), None, r"event 0 at \(0, 480\) lies outside the 640×480"),
        (EVT2 + words32(TIME_HIGH, ON), (1280, 720), "640×480.*, but 1280×720 was asked for"),
        (b"% evt 2.0\n" + words32(TIME_HIGH, event32(0, 0, 720, 1)), None, r"reach \(0, 720\).*--sensor WIDTHxHEIGHT"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, sensor, message):
    with pytest.raises(RecordingError, match=message):
        decode(data, sensor)


@pytest.mark.parametrize("num_empty", [54, 171, 5462])  # up to and beyond 11 and 16 bits of x
def test_vectors_that_run_out_of_the_sensor_are_refused(num_empty):
    with pytest.raises(RecordingError, match=r"event 0 at \(\d+, 0\) lies outside the 640×480 sensor"):
        decode(EVT3 + words16(0x8000, 0x6000, 0x0000, 0x3000, *[0x4000] * num_empty, 0x4001))


def test_a_header_beyond_64_kib_is_none():
    with pytest.raises(RecordingError, match=r"found a header without them \(comment\)"):
        decode(b"% comment\n" * 7000 + b"% evt 2.0\n" + words32(TIME_HIGH, ON))


@given(st.binary(max_size=120))
@example(b"% ")
@example(b"% evt")
@example(b"% evt \n% system_ID -1\n")
@example(b"% format ;=;\n")
def test_arbitrary_bytes_raise_nothing_else(data):
    for start in (b"", b"% evt 2.0\n", b"% evt 2.1\n", b"% evt 3.0\n", EVT2, EVT21, LEGACY, EVT3):
        try:
            decoded = decode(start + data)
        except RecordingError as error:
            assert str(error).startswith("r.raw: ")  # noqa: PT017
        else:
            assert len(decoded.events) > 0


@pytest.mark.parametrize("encode", [encode2, lambda events: encode21(events, LEGACY), encode3])
def test_a_file_cut_or_damaged_anywhere_raises_nothing_else(encode):
    events = make_events(np.array([70, 5000, 5001]), np.array([1, 638, 13]), np.array([3, 479, 0]), np.array([1, 0, 1]))
    whole = encode(events)
    damaged = [whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :] for i in range(len(whole)) for bit in range(8)]

    for data in [whole[:i] for i in range(len(whole))] + damaged:
        try:
            assert len(decode(data).events) >= 1
        except RecordingError as error:
            assert str(error).startswith("r.raw: ")  # noqa: PT017


def test_real_recordings(shared_data):
    evt2 = read_recording(shared_data / "formats/evt2_sample.raw")
    evt3 = read_recording(shared_data / "formats/evt3_sample.raw")
    sums = lambda recording: [int(recording.events[name].sum(dtype=np.int64)) for name in "txyp"]  # noqa: E731

    # counts and sums as expelliarmus 1.1.12 and faery 0.7.1 give them
    assert (len(evt2.events), evt2.sensor, evt2.num_special, evt2.duration_us) == (539481, (640, 480), 0, 50000)
    assert evt2.events[[0, -1]].tolist() == [(1317888, 237, 121, True), (1367888, 210, 142, True)]
    assert sums(evt2) == [724340275912, 171811022, 110162026, 367855]

    # as evt3 0.4.1 gives them; faery agrees but for times: it holds the ones that the camera sent too high
    assert (len(evt3.events), evt3.sensor, evt3.num_special, evt3.num_backward) == (219596, (1280, 720), 0, 0)
    assert evt3.events[[0, -1]].tolist() == [(11718656, 874, 200, False), (11727457, 1218, 572, True)]
    assert sums(evt3) == [2574324900467, 159113225, 85638051, 115532]
