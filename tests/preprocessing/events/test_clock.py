import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.events import Reading, RecordingError, make_events, make_recording
from preprocessing.events.clock import CLOCK_JUMP_US, Followed, forward_jumps, judged
from preprocessing.events.records import Records

SECOND = 1_000_000
STEADY = np.arange(0, 2 * SECOND, 100)  # 20,000 events in 2 s


def recording(t, how=None):
    t = np.asarray(t, np.int64)
    place = np.arange(len(t)) % 128
    events = make_events(t, place, place, np.zeros(len(t), bool))
    return make_recording(events, (128, 128), "made", "r", how=how or Reading())


def put(t, places, times):
    t = t.copy()
    t[list(places)] = times
    return t


def test_stale_events_before_the_clock_was_set_are_a_jump():
    t = np.concatenate([np.zeros(40, np.int64), 1_600_000_000 * SECOND + STEADY])

    read = recording(t)

    assert (read.jumps, read.resets, read.num_dropped) == ((40,), (), 0)
    assert read.events["t"].tolist() == t.tolist()  # the clock's own times stand
    assert read.warnings == (
        "its clock jumps forward, by 1.6e+09 s, at event 40: the stretches are used as if they followed on each other",
    )
    assert [len(stretch) for stretch in read.stretches()] == [40, 20_000]


@pytest.mark.parametrize(
    ("silence_us", "usual_us", "jumps"),
    [
        (20 * SECOND, 100, 0),  # nothing moves
        (CLOCK_JUMP_US - 1, 100, 0),
        (CLOCK_JUMP_US, 100, 1),
        (120 * SECOND, SECOND, 1),  # 100 times the longest of the others, and more
        (100 * SECOND, SECOND, 1),
        (99 * SECOND, SECOND, 0),
        (3600 * SECOND, 40 * SECOND, 0),  # noise was filtered out
    ],
)
def test_a_silence_is_a_jump_if_it_is_long_and_stands_alone(silence_us, usual_us, jumps):
    before = np.append(STEADY, STEADY[-1] + usual_us)
    t = np.concatenate([before, before[-1] + silence_us + STEADY])

    assert len(forward_jumps(t)) == jumps
    assert forward_jumps(t).tolist() == [len(before)] * jumps


def test_several_jumps_do_not_hide_each_other():
    t = np.concatenate([STEADY, 1000 * SECOND + STEADY, 4000 * SECOND + STEADY])

    assert recording(t).jumps == (20_000, 40_000)
    assert recording(t).warnings[0].startswith("its clock jumps forward, by 998 s, 2 times, first at event 20000")


@given(st.lists(st.integers(0, 2999), min_size=1, max_size=4, unique=True), st.integers(0, 200 * SECOND))
def test_jumps_are_found_wherever_they_are(places, gap_us):
    silences = np.full(3000, 7)
    for place in places:
        silences[place - 1] += gap_us
    t = np.cumsum(silences)

    expected = {i for i in range(1, 3000) if t[i] - t[i - 1] >= CLOCK_JUMP_US}
    assert set(forward_jumps(t).tolist()) == expected


def test_events_that_are_late_are_dropped_and_counted():
    places = [5000, 5001, 12_000]
    t = put(STEADY, places, STEADY[places] - 99_000)

    read = recording(t)

    assert (read.num_dropped, len(read.events), read.resets) == (3, 19_997, ())
    assert read.events["t"].tolist() == np.delete(STEADY, places).tolist()
    assert read.doubts == ("3 of 20,000 events are bad and were dropped",)


def test_more_late_events_than_may_be_lose_the_recording():
    places = np.arange(5000, 5021)  # 21 of 20,000
    t = put(STEADY, places, STEADY[places] - 99_000)

    said = r"^r: time runs backwards at event 5000, from 499900 µs to 401000 µs; 21 of 20,000 events are bad, "
    with pytest.raises(RecordingError, match=said + r"no more than 0\.1 % may be \(--drop-bad\)$"):
        recording(t)
    assert recording(t, Reading(drop_bad=0.0011)).num_dropped == 21
    assert recording(put(STEADY, places[1:], STEADY[places[1:]] - 99_000)).num_dropped == 20
    with pytest.raises(RecordingError, match=r"to 401000 µs$"):
        recording(t, Reading(drop_bad=0))


@pytest.mark.parametrize("wrong", [0, 5 * 3600 * SECOND])
def test_damaged_times_are_dropped_on_either_side(wrong):
    t = put(STEADY + 3600 * SECOND, [7000], wrong)

    read = recording(t)

    assert (read.num_dropped, read.resets, read.jumps) == (1, (), ())
    assert read.duration_us == STEADY[-1]


def test_damaged_times_on_both_sides_are_dropped():
    read = recording(put(STEADY + 3600 * SECOND, [3000, 7000, 9000], [5 * 3600 * SECOND, 0, 8 * 3600 * SECOND]))

    assert (read.num_dropped, read.resets, read.jumps) == (3, (), ())


def test_a_clock_set_back_begins_a_stretch_that_follows_on_the_one_before():
    t = np.concatenate([100 * SECOND + STEADY, 5 * SECOND + STEADY])

    read = recording(t)

    assert (read.num_dropped, read.num_backward, read.resets) == (0, 0, (20_000,))
    follows_on = STEADY[-1] + 1
    assert read.events["t"].tolist() == (100 * SECOND + np.concatenate([STEADY, follows_on + STEADY])).tolist()
    assert read.warnings == (
        "its clock was set back, at event 20000: the stretches are used as if they followed on each other",
    )


def test_late_events_of_a_stretch_after_the_clock_was_set_back_are_late():
    t = np.concatenate([100 * SECOND + STEADY, put(5 * SECOND + STEADY, [300], 5 * SECOND + 300 * 100 - 20_000)])

    read = recording(t)

    assert (read.num_dropped, read.resets, len(read.events)) == (1, (20_000,), 39_999)


def test_times_that_mean_nothing_are_no_clock_set_back():
    with pytest.raises(RecordingError, match="time runs backwards"):
        recording(np.random.default_rng(0).integers(0, 3600 * SECOND, 5000))


def test_what_lies_too_far_apart_is_refused():
    with pytest.raises(RecordingError, match="time runs backwards at event 1"):
        recording([2**62, -(2**62), 2**62])


@given(st.lists(st.integers(-30_000, 30_000), min_size=2, max_size=200), st.integers(0, 5))
def test_kept_events_are_in_order_and_none_is_lost(steps, most):
    t = np.cumsum(steps)

    followed = Followed.of(t, most)

    assert (np.diff(followed.t) >= 0).all()
    assert len(set(followed.kept.tolist())) == len(followed.kept) == len(followed.t)
    late, resets = judged(t, int(t[0]))
    if not resets.any() and late.sum() <= most:
        assert set(range(len(t))) - set(followed.kept.tolist()) == set(np.flatnonzero(late).tolist())


def test_raw_records_of_a_clock_that_jumped_follow_on_each_other():
    t = np.concatenate([np.zeros(4, np.int64), 100 * SECOND + np.arange(6)])
    place = np.arange(10)
    records = Records.from_events(make_events(t, place, place, place % 2), (16, 16))

    assert forward_jumps(records.t).tolist() == [4]
    whole = Records.joined(records.stretches([4]))
    assert np.asarray(whole.t).tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert whole.words.tolist() == records.words.tolist()


@pytest.mark.parametrize("arguments", [{"time_unit": "h"}, {"drop_bad": 1}, {"drop_bad": -0.1}])
def test_a_reading_that_cannot_be_is_refused(arguments):
    with pytest.raises(ValueError, match=r"unknown time unit 'h'; choose one of us, ms, ns, s|from 0 to below 1, got"):
        Reading(**arguments)


def test_shares_are_not_lost_to_binary_fractions():
    assert [Reading(drop_bad=share).most_bad(num) for share, num in ((0.29, 100), (0.001, 1000), (0.001, 999))] == [
        29,
        1,
        0,
    ]
