import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import decode_recording


def decode(text, sensor=None):
    return decode_recording(text.encode() if isinstance(text, str) else text, "r.txt", sensor)


@st.composite
def event_arrays(draw):
    size = draw(st.integers(1, 40))
    column = lambda low, top: np.array(draw(st.lists(st.integers(low, top), min_size=size, max_size=size)))  # noqa: E731
    return make_events(np.sort(column(-(10**14), 10**17)), column(0, 1279), column(0, 719), column(0, 1))


def in_seconds(us):
    """Decimal digits of a time, without a float."""
    return f"{'-' if us < 0 else ''}{abs(us) // 10**6}.{abs(us) % 10**6:06}"


@given(
    event_arrays(),
    st.permutations("txyp"),
    st.sampled_from(["t", "t[us]", "time_us", "Timestamp (us)", "t[s]", "ts_s", "time [sec]"]),
    st.sampled_from([",", ";", "\t", " , "]),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.sampled_from([0, -1]),
)
def test_what_is_written_is_read(events, order, time, separator, end, off):
    seconds = time.endswith(("[s]", "_s", "[sec]"))
    names = {"t": time, "x": "x", "y": "Y", "p": "polarity"}
    lines = [separator.join(names[field] for field in order)]
    for t, x, y, p in events.tolist():
        words = {"t": in_seconds(t) if seconds else str(t), "x": str(x), "y": str(y), "p": "1" if p else str(off)}
        lines.append(separator.join(words[field] for field in order))

    np.testing.assert_array_equal(decode(end.join(lines)).events, events)


def test_lines_by_hand():
    decoded = decode("0.003811000 96 133 0\n0.003820001 127 171 1\n1 0 2 1")

    assert decoded.events.tolist() == [(3811, 96, 133, False), (3820, 127, 171, True), (1_000_000, 0, 2, True)]
    assert (decoded.format, decoded.sensor) == ("text", (240, 180))


@pytest.mark.parametrize(
    ("time", "us"),
    [
        ("1500000000.123456", 1_500_000_000_123_456),  # a float has no room for more than half a µs of it
        ("999999999999.999999", 999_999_999_999_999_999),
        ("0.0000004999999", 0),
        ("0.0000005", 1),
        ("0.9999995", 1_000_000),
        ("-0.0000015", -2),
        ("-2.5", -2_500_000),
        ("007.25", 7_250_000),
    ],
)
def test_seconds_are_rounded_to_us_by_their_digits(time, us):
    assert decode(f"{time} 0 0 1").events["t"].tolist() == [us]


@pytest.mark.parametrize(
    ("title", "time", "us"),
    [
        ("t", "12", 12),
        ("t", "12.0", 12),
        ("t", "12.50", 12_500_000),
        ("t_s", "12.0", 12_000_000),
        ("t_us", "12.5", 13),
        ("t[µs]", "12", 12),
        ("timestamp [ms]", "12.3456", 12_346),
        ("t_ns", "1500", 2),
        ("time(s)", "12", 12_000_000),
    ],
)
def test_the_unit_is_in_the_name_else_a_fraction_means_seconds(title, time, us):
    assert decode(f"{title},x,y,p\n{time},1,2,0\n").events["t"].tolist() == [us]


def test_a_fraction_in_any_time_makes_all_times_seconds():
    assert decode("0 1 1 1\n0.5 1 1 1\n").events["t"].tolist() == [0, 500_000]
    assert decode("0 1 1 1\n2.000 1 1 1\n3. 1 1 1\n").events["t"].tolist() == [0, 2, 3]


def saved(*columns, **options):
    file = io.BytesIO()
    np.savetxt(file, np.stack(columns, 1), **options)
    return file.getvalue()


@pytest.mark.parametrize("first", [0, 1_600_000_000_000_000])
def test_what_numpy_saves_by_default(first):
    t = first + np.array([5, 17, 1_000_002])
    x, y, p = np.array([[0, 1279, 100], [9, 719, 10], [1, 0, 1]])
    expected = make_events(t, x, y, p)

    np.testing.assert_array_equal(decode(saved(t, x, y, p)).events, expected)
    np.testing.assert_array_equal(decode(saved(t, x, y, p * 2 - 1)).events, expected)
    np.testing.assert_array_equal(decode(saved(p, t, y, x, header="p t y x", delimiter=",")).events, expected)
    np.testing.assert_array_equal(decode(saved(t / 1e6, x, y, p)).events, expected)
    np.testing.assert_array_equal(decode(saved(t * 1000, x, y, p, header="t_ns x y p")).events, expected)


@pytest.mark.parametrize(
    ("time", "us"),
    [
        ("1.5e+3", 1500),
        ("1500E-0", 1500),
        ("-1.2500e+02", -125),
        ("1.5e-6", 2),  # a fraction: seconds, halves away from zero
        ("-1.49999999999999999999e-6", -1),
        ("1e-30", 0),
        ("0.000e+99", 0),
        ("123456789012345678901234e-9", 123_456_789_012_345_678_901),
    ],
)
def test_numbers_with_an_exponent_are_exact(time, us):
    if us < 10**18:
        assert decode(f"{time} 0 0 1").events["t"].tolist() == [us]
    else:
        with pytest.raises(RecordingError, match="too many digits"):
            decode(f"{time} 0 0 1")


@pytest.mark.parametrize(
    "text",
    [
        ",t,x,y,p\n0,5,1,2,True\n1,6,3,4,False\n",  # pandas.DataFrame.to_csv
        "Unnamed: 0,t,x,y,p\n0,5.0,1.0,2.0,1\n1,6.0,3.0,4.0,0\n",
        "\tt\tx\ty\tp\n0\t5\t1\t2\t1\n1\t6\t3\t4\t-1\n",
        "p,label,t,x,y,note\n1,a dog,5,1,2,\n0,,6,3,4,it ran\n",
        "t;x;y;p;w\n5;1;2;1;nan\n6;3;4;255;-inf\n",
        "# frame x y t p\n9 1 2 5 1\n9 3 4 6 0\n",
    ],
)
def test_columns_that_are_not_wanted_are_passed_over(text):
    assert decode(text).events.tolist() == [(5, 1, 2, True), (6, 3, 4, False)]


def test_lines_above_the_events():
    decoded = decode("\ufeff# made by hand\n%\n346 260\n\n# t x y p\n1 2 3 1\n")

    assert decoded.events.tolist() == [(1, 2, 3, True)]
    assert decoded.sensor == (346, 260)


def test_names_may_be_quoted_and_stand_between_blanks():
    decoded = decode('"x" "y" "pol" "t [us]"\n7 8 1 9\n')

    assert decoded.events.tolist() == [(9, 7, 8, True)]


@pytest.mark.parametrize(
    ("x", "y", "sensor"), [(33, 33, (34, 34)), (34, 0, (128, 128)), (300, 200, (304, 240)), (1279, 719, (1280, 720))]
)
def test_the_smallest_sensor_that_holds_all_is_taken(x, y, sensor):
    assert decode(f"0 {x} {y} 1").sensor == sensor


def test_the_callers_sensor_is_taken():
    assert decode("0 1999 1999 1", (2000, 2000)).sensor == (2000, 2000)


@pytest.mark.parametrize(
    ("text", "sensor", "message"),
    [
        ("", None, "the file is empty"),
        ("\n\n", None, "holds no events"),
        ("240 180\nt x y p\n", None, "holds no events"),
        ("1 2 3", None, "line 1 '1 2 3', after 0 events: expected numbers, t x y p"),
        ("1 2 3 1\n\n4 5 6 0\n7 8", None, "line 4 '7 8', after 2 events: expected numbers"),
        ("1 2 3 1 9", None, "line 1 .* nothing is expected behind t x y p; a first line may name more columns"),
        ("1,2,,1", None, "line 1 .* expected numbers"),
        ("1 2 3-1", None, "line 1 .* expected numbers"),
        ("1 2.5 3 1", None, "line 1 .* only a time may be a fraction"),
        ("1 2 3 1e", None, "line 1 .* expected numbers"),
        (". 2 3 1", None, "line 1 .* expected numbers"),
        ("1 2 3e-1 1", None, "line 1 .* expected numbers"),
        ("1 2 3 1\n1 nan 3 1", None, "line 2 '1 nan 3 1', after 1 events"),
        ("1 65536 3 1", None, "line 1 .* x and y are 0 to 65535"),
        ("1 2 -1 1", None, "line 1 .* x and y are 0 to 65535"),
        ("1 99999999999999999999 3 1", None, "line 1 .* too many digits"),
        ("9999999999999999999 2 3 1", None, "line 1 .* too many digits"),
        ("9999999999999.5 2 3 1", None, "line 1 .* too many digits"),
        ("5 6 7 2", None, "line 1 .* polarities are 0 and 1, or -1 and 1.* e.g. 'x,y,p,t'"),
        ("5 6 7 0\n6 6 7 1\n7 6 7 -1", None, "line 3 .* polarities are 0 and 1, or -1 and 1"),
        ("5 6 7 -1\n6 6 7 0", None, "line 2 .* polarities are 0 and 1, or -1 and 1"),
        ("hello", None, "line 1 'hello' doesn't name the columns t, x, y and p, each once"),
        ("t,x,y,p,ts\n1,2,3,1,0", None, "line 1 .* doesn't name the columns"),
        ("t,x,y,x\n1,2,3,1", None, "line 1 .* doesn't name the columns"),
        ("t[days],x,y,p\n1,2,3,1", None, "line 1 .* doesn't name the columns"),
        ("0.5 0 0 1\n100000.6 0 0 1", None, "run from 0.5 s to 100000.6 s; if they are µs, write them as integers"),
        ("1 240 0 1", (240, 180), r"event 0 at \(240, 0\) lies outside the 240×180 sensor"),
        ("240 180\n1 0 0 1", (128, 128), "240×180.* but 128×128 was asked for"),
        ("1 1280 0 1", None, "state it"),
        ("20000 0 0 1\n5 0 0 1", None, "time runs backwards at event 1, from 20000 µs to 5 µs"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(text, sensor, message):
    with pytest.raises(RecordingError, match=message) as refusal:
        decode(text, sensor)
    assert str(refusal.value).startswith("r.txt: ")


@given(st.sampled_from([b"", b"240 180\n", b"t,x,y,p\n", b"1 2 3 1\n"]), st.binary(max_size=60))
@example(b"", b"-")
@example(b"1 2 3 1\n", b"\n5 5 5 -")
def test_arbitrary_bytes_raise_nothing_else(head, data):
    try:
        decoded = decode(head + data)
    except RecordingError as error:
        assert str(error).startswith("r.txt: ")  # noqa: PT017
    else:
        assert len(decoded.events) > 0


@given(st.text(alphabet="0123456789-., \r\n", max_size=80))
def test_whatever_is_read_reads_the_same_by_numpy(text):
    try:
        events = decode("t[us],x,y,p\n" + text).events
    except RecordingError:
        return
    rows = [line.replace(",", " ").split() for line in text.split("\n") if line.strip()]
    expected = sorted((round(float(t) + 1e-9 * (1 if float(t) > 0 else -1)), int(x), int(y)) for t, x, y, _ in rows)

    assert sorted(zip(*(events[field].tolist() for field in "txy"), strict=True)) == expected


def test_a_real_recording(shared_data):
    path = shared_data / "formats/rpg_slider_depth_first130k.txt"
    recording = read_recording(path)
    table = np.loadtxt(path, max_rows=5000)

    assert (len(recording.events), recording.duration_us, recording.sensor) == (130_000, 438_837, (240, 180))
    assert recording.events[[0, -1]].tolist() == [(3811, 96, 133, False), (442_648, 157, 113, True)]
    for field, column in zip("txyp", (np.rint(table[:, 0] * 1e6), *table[:, 1:].T), strict=True):
        np.testing.assert_array_equal(recording.events[field][:5000], column)


def test_blank_lines_are_passed_over_at_once():
    text = b"\n \r\n\t" * 300_000 + b"# a comment\n\n  7 1 2 1\n" + b"\n" * 300_000
    assert decode_recording(text, "r.txt").events.tolist() == [(7, 1, 2, True)]
    with pytest.raises(RecordingError, match="holds no events"):
        decode_recording(b"\n" * 300_000, "r.txt")


def test_more_lines_above_the_events_than_any_program_writes():
    with pytest.raises(RecordingError, match=r"line 10001 '#': 10,000 lines came before it, none an event"):
        decode_recording(b"#\n" * 10_001 + b"7 1 2 1\n", "r.txt")
    assert len(decode_recording(b"#\n" * 9_999 + b"7 1 2 1\n", "r.txt").events) == 1
