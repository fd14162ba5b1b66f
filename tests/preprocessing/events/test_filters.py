from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.events import EVENT_DTYPE, make_events
from preprocessing.events.filters import (
    FILTERS,
    Crop,
    Gap,
    Hot,
    Noise,
    Refractory,
    apply_filters,
    count_image,
    parse_filter,
)
from preprocessing.readers import read_recording

SENSOR = (5, 4)
SPECS = ["crop:3us-20us", "refractory:4us", "noise:4us", "hot:1", "gap:2us"]


def events(*rows):
    """Events from (t, x, y) or (t, x, y, p)."""
    return np.array([(*row, True)[:4] for row in rows], EVENT_DTYPE)


@st.composite
def streams(draw):
    """A few events, close together in time and place, on a 5×4 sensor; times may be equal or negative."""
    pixel = st.tuples(st.integers(0, 30), st.integers(0, 4), st.integers(0, 3), st.booleans())
    rows = sorted(draw(st.lists(pixel, max_size=60)), key=lambda row: row[0])
    stream = np.array(rows, EVENT_DTYPE)
    stream["t"] += draw(st.sampled_from([0, -17, 1 << 40]))
    return stream


def refractory_twin(stream, period):
    last, kept = {}, []
    for i, (t, x, y, _) in enumerate(stream.tolist()):
        if (x, y) not in last or t - last[x, y] >= period:
            last[x, y] = t
            kept.append(i)
    return kept


def noise_twin(stream, support):
    last, kept = {}, []
    around = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
    for i, (t, x, y, _) in enumerate(stream.tolist()):
        if any(t - last.get((x + dx, y + dy), -(1 << 60)) < support for dx, dy in around):
            kept.append(i)
        last[x, y] = t
    return kept


def crop_twin(stream, start, stop):
    since = stream["t"] - stream["t"][:1]
    return np.flatnonzero((since >= start) & (since < stop)).tolist()


def hot_twin(stream, factor):
    pixels = [(x, y) for _, x, y, _ in stream.tolist()]
    counts = sorted(pixels.count(pixel) for pixel in set(pixels))
    if not counts:
        return []
    usual = next(c for c in counts if sum(other <= c for other in counts) >= 0.99 * len(counts))
    return [i for i, pixel in enumerate(pixels) if pixels.count(pixel) <= factor * usual]


@given(streams(), st.integers(1, 12))
def test_refractory_follows_its_definition(stream, period):
    assert_keeps(Refractory(period), stream, refractory_twin(stream, period))


@given(streams(), st.integers(1, 12))
def test_noise_follows_its_definition(stream, support):
    assert_keeps(Noise(support), stream, noise_twin(stream, support))


@given(streams(), st.integers(0, 20), st.integers(1, 20))
def test_crop_follows_its_definition(stream, start, length):
    assert_keeps(Crop(start, start + length), stream, crop_twin(stream, start, start + length))


@given(streams(), st.sampled_from([1.0, 1.5, 3.0]))
def test_hot_follows_its_definition(stream, factor):
    assert_keeps(Hot(factor), stream, hot_twin(stream, factor))


def assert_keeps(filter_, stream, kept):
    before = stream.copy()
    np.testing.assert_array_equal(filter_(stream, SENSOR), before[kept])
    np.testing.assert_array_equal(stream, before)


def test_an_event_at_the_end_of_the_dead_time_is_kept():
    stream = events((0, 1, 1), (999, 1, 1, False), (1000, 1, 1), (1001, 1, 1), (1001, 2, 1))

    assert parse_filter("refractory:1ms")(stream, SENSOR)["t"].tolist() == [0, 1000, 1001]


def test_a_dropped_event_does_not_make_the_dead_time_longer():
    stream = events(*((t, 0, 0) for t in (0, 6, 12, 18)))

    assert Refractory(10)(stream, SENSOR)["t"].tolist() == [0, 12]


def test_of_a_pixels_events_at_one_time_the_first_is_kept():
    stream = events((5, 0, 0, False), (5, 0, 0, True), (5, 1, 0, True))

    assert Refractory(1)(stream, SENSOR)[["x", "p"]].tolist() == [(0, False), (1, True)]


def test_support_ends_just_before_its_time():
    assert Noise(10)(events((0, 1, 1), (9, 2, 2)), SENSOR)["t"].tolist() == [9]
    assert Noise(10)(events((0, 1, 1), (10, 2, 2)), SENSOR)["t"].tolist() == []


def test_a_pixel_does_not_support_itself():
    assert len(Noise(10)(events((0, 1, 1), (1, 1, 1), (2, 1, 1)), SENSOR)) == 0


def test_what_was_dropped_supports_others():
    assert Noise(10)(events((0, 0, 0), (5, 1, 0), (12, 2, 0)), SENSOR)["t"].tolist() == [5, 12]


def test_of_two_neighbours_at_one_time_the_second_is_supported():
    assert Noise(1)(events((7, 0, 0), (7, 0, 1)), SENSOR)["y"].tolist() == [1]


def test_the_sensors_sides_are_no_neighbours_of_each_other():
    stream = events((0, 4, 1), (1, 0, 2), (2, 4, 3), (3, 0, 0), (4, 2, 3), (5, 2, 0))

    assert len(Noise(100)(stream, SENSOR)) == 0


@pytest.mark.parametrize("corner", [(0, 0), (4, 0), (0, 3), (4, 3)])
def test_corners_have_three_neighbours(corner):
    for x in range(5):
        for y in range(4):
            near = max(abs(x - corner[0]), abs(y - corner[1])) == 1
            assert len(Noise(10)(events((0, x, y), (1, *corner)), SENSOR)) == near


def test_crop_counts_from_the_first_event_and_leaves_its_end_out():
    stream = events(*((1_000_000 + t, 0, 0) for t in (0, 99_999, 100_000, 1_299_999, 1_300_000)))

    def times(spec):
        return (parse_filter(spec)(stream, SENSOR)["t"] - 1_000_000).tolist()

    assert times("crop:100ms-1.3s") == [100_000, 1_299_999]
    assert times("crop:100ms-") == [100_000, 1_299_999, 1_300_000]
    assert times("crop:-1.3s") == [0, 99_999, 100_000, 1_299_999]
    assert times("crop:2s-") == []


def test_hot_pixels_are_those_beyond_the_factor():
    counts = np.concatenate([np.full(99, 10), [30], np.zeros(20, int)])
    assert np.flatnonzero(Hot(2.9).pixels(counts)).tolist() == [99]
    assert not Hot(3).pixels(counts).any()


def test_few_active_pixels_are_never_hot():
    assert not Hot(1).pixels(np.array([1] * 98 + [1000])).any()


def test_an_added_hot_pixel_goes_and_the_recording_stays(shared_data):
    recording = read_recording(shared_data / "dvs128_objects/session1/box.aedat")
    t = np.linspace(recording.events["t"][0], recording.events["t"][-1], 20_000).astype(np.int64)
    place = np.full((2, len(t)), 127)
    with_hot = np.concatenate([recording.events, make_events(t, *place, t % 2 == 0)])
    with_hot = with_hot[np.argsort(with_hot["t"], kind="stable")]

    clean = parse_filter("hot:3")(with_hot, recording.sensor)

    own = (recording.events["x"] != 127) | (recording.events["y"] != 127)
    np.testing.assert_array_equal(clean, recording.events[own])


@pytest.mark.parametrize("spec", SPECS)
def test_no_events_give_no_events(spec):
    assert len(apply_filters([spec], np.empty(0, EVENT_DTYPE), SENSOR)) == 0


@pytest.mark.parametrize("spec", SPECS[1:4])
def test_events_outside_the_sensor_are_refused(spec):
    with pytest.raises(ValueError, match=r"event 1 at \(5, 3\) lies outside the 5×4 sensor"):
        apply_filters([spec], events((0, 4, 3), (1, 5, 3)), SENSOR)


def test_filters_work_one_after_the_other():
    stream = events((0, 0, 0), (1, 1, 0), (12, 1, 1), (13, 1, 1))

    assert apply_filters(["crop:5us-", "noise:13us"], stream, SENSOR)["t"].tolist() == []
    assert apply_filters(["noise:13us", "crop:5us-"], stream, SENSOR)["t"].tolist() == [12, 13]
    assert apply_filters([], stream, SENSOR) is stream


def test_other_event_arrays_are_taken():
    stream = events((0, 1, 1), (5, 1, 1), (20, 1, 1))
    wide = np.empty(3, [("x", "<i4"), ("y", "<i4"), ("p", "?"), ("t", "<i8")])
    for name in "txyp":
        wide[name] = stream[name]

    assert apply_filters(["refractory:10us"], wide, SENSOR)["t"].tolist() == [0, 20]


def test_a_read_only_part_of_a_recording_is_taken():
    stream = np.repeat(events((0, 1, 1), (5, 1, 1), (20, 1, 1)), 2)[::2]
    stream.flags.writeable = False

    assert apply_filters(["refractory:10us"], stream, SENSOR)["t"].tolist() == [0, 20]


def test_counts_stand_where_the_pixels_are():
    counts = count_image(events((0, 4, 0), (0, 4, 0), (1, 0, 3)), SENSOR)

    assert counts.shape == (4, 5)
    assert (counts[0, 4], counts[3, 0], counts.sum()) == (2, 1, 3)


@pytest.mark.parametrize(
    ("text", "filter_"),
    [
        ("crop:100ms-1.3s", Crop(100_000, 1_300_000)),
        ("crop: 100ms - ", Crop(100_000, None)),
        ("crop:-1s", Crop(0, 1_000_000)),
        ("refractory:1ms", Refractory(1000)),
        (" noise:10ms ", Noise(10_000)),
        ("hot:3", Hot(3.0)),
        ("gap:1.5s", Gap(1_500_000)),
        ("hot:2.5", Hot(2.5)),
    ],
)
def test_filters_are_read_from_text(text, filter_):
    assert parse_filter(text) == filter_
    assert text.strip().partition(":")[0] in FILTERS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no filter is named ''"),
        ("blur:1ms", "no filter is named 'blur'"),
        ("refractory", "cannot read the duration ''"),
        ("refractory:1", "cannot read the duration '1'"),
        ("refractory:99999999999999s", "longer than any recording"),
        ("crop:-", "no two times in '-'"),
        ("crop:1s", "no two times in '1s'"),
        ("crop:2s-1s", "nothing lies between 2s and 1s"),
        ("crop:1s-1000ms", "nothing lies between 1s and 1000ms"),
        ("hot:0.5", "a number from 1, got '0.5'"),
        ("hot:nan", "a number from 1, got 'nan'"),
        ("hot:", "a number from 1, got ''"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_forms(text, why):
    with pytest.raises(
        ValueError, match="write crop:START-STOP, refractory:TIME, noise:TIME, hot:FACTOR, gap:TIME"
    ) as caught:
        parse_filter(text)
    assert str(caught.value).startswith(f"cannot read the filter {text!r}: ")
    assert why in str(caught.value)


@given(st.text(max_size=20) | st.from_regex(r"(crop|hot|noise|refractory|gap):[\d.msu\-]{0,8}", fullmatch=True))
def test_any_text_is_a_filter_or_a_value_error(text):
    try:
        parsed = parse_filter(text)
    except ValueError:
        return
    assert len(parsed(events((0, 0, 0)), SENSOR)) <= 1


@given(
    streams(),
    st.lists(st.integers(0, 60), max_size=5),
    st.sampled_from(["crop:3us-20us", "refractory:4us", "noise:4us", "gap:2us"]),
)
def test_a_live_filter_lets_pass_of_packets_what_it_does_of_all(stream, places, spec):
    live = parse_filter(spec).live(SENSOR)
    passing = [live(packet) for packet in np.split(stream, sorted(place % (len(stream) + 1) for place in places))]

    np.testing.assert_array_equal(np.concatenate(passing), parse_filter(spec)(stream, SENSOR))


def test_hot_pixels_cannot_be_known_of_a_live_stream():
    with pytest.raises(ValueError, match=r"hot:1.5 looks for pixels that fire too often in a whole recording"):
        Hot(1.5).live(SENSOR)


def gap_twin(stream, longest):
    """The times of a stream whose silences last ``longest`` at most."""
    t = stream["t"].tolist()
    times = t[:1]
    for before, now in pairwise(t):
        times.append(times[-1] + min(now - before, longest))
    return times


@given(streams(), st.integers(1, 12))
def test_gap_follows_its_definition(stream, longest):
    before = stream.copy()
    closed = Gap(longest)(stream, SENSOR)

    assert closed["t"].tolist() == gap_twin(stream, longest)
    np.testing.assert_array_equal(closed[["x", "y", "p"]], stream[["x", "y", "p"]])
    np.testing.assert_array_equal(stream, before)


def test_a_silence_of_just_that_time_stays():
    assert Gap(10)(events((0, 0, 0), (10, 0, 0), (21, 0, 0), (22, 0, 0)), SENSOR)["t"].tolist() == [0, 10, 20, 21]


@given(streams(), st.integers(1, 5), st.integers(1, 4))
def test_nothing_leaves_a_filter_before_the_time_that_it_promises(stream, num_packets, longest):
    live, promised = Gap(longest).live(SENSOR), -(1 << 62)
    for packet in np.array_split(stream, num_packets):
        left = live(packet)
        assert not len(left) or left["t"][0] >= promised
        if len(packet):
            promised = live.behind(int(packet["t"][-1]))
            assert promised == left["t"][-1]
