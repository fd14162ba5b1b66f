import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.events.slicing import Slicing, parse_duration, slice_edges, window_edges, windows
from preprocessing.frames.settings import FrameSettings

times = st.lists(st.integers(0, 500), max_size=60).map(lambda t: np.sort(np.array(t, np.int64)))


def test_equal_counts_leave_the_tail_to_the_last_slice():
    assert slice_edges(np.arange(11), 4).tolist() == [0, 2, 4, 6, 11]


def test_fewer_events_than_slices_are_all_in_the_last():
    assert slice_edges(np.arange(3), 4).tolist() == [0, 0, 0, 0, 3]


def test_equal_durations_put_an_event_on_an_edge_into_the_later_slice():
    t = np.array([100, 101, 109, 110, 119, 120, 140])

    assert slice_edges(t, 4, "time").tolist() == [0, 3, 5, 6, 7]


def test_equal_durations_need_not_be_whole_microseconds():
    assert slice_edges(np.arange(11), 4, "time").tolist() == [0, 3, 5, 8, 11]


@given(times, st.integers(1, 20), st.sampled_from(["count", "time"]))
def test_slices_share_out_all_events_in_order(t, steps, slicing):
    edges = slice_edges(t, steps, slicing)

    assert edges.dtype == np.int64
    assert (len(edges), edges[0], edges[-1]) == (steps + 1, 0, len(t))
    assert (np.diff(edges) >= 0).all()


@given(times.filter(len), st.integers(1, 20))
def test_equal_durations_follow_their_definition(t, steps):
    edges = slice_edges(t, steps, "time")
    span = int(t[-1] - t[0])
    for i, time in enumerate((t - t[0]).tolist()):
        j = min(time * steps // span, steps - 1) if span else steps - 1
        assert edges[j] <= i < edges[j + 1]


def test_slices_of_one_duration_leave_what_comes_behind_them():
    t = np.array([100, 101, 109, 110, 125, 130, 140])

    assert slice_edges(t, 3, "duration:10us").tolist() == [0, 3, 4, 5]
    assert slice_edges(t, 5, "duration:10us").tolist() == [0, 3, 4, 5, 6, 7]
    assert slice_edges(t, 3, "duration:1s").tolist() == [0, 7, 7, 7]


def test_slices_of_one_number_of_events_leave_what_comes_behind_them():
    assert slice_edges(np.arange(7), 3, "events:2").tolist() == [0, 2, 4, 6]
    assert slice_edges(np.arange(7), 5, "events:2").tolist() == [0, 2, 4, 6, 7, 7]
    assert slice_edges(np.arange(7), 2, f"events:{10**17}").tolist() == [0, 7, 7]


@given(times, st.integers(1, 20), st.integers(1, 600))
def test_slices_of_one_duration_follow_their_definition(t, steps, each):
    edges = slice_edges(t, steps, f"duration:{each}us")
    for i, time in enumerate((t - t[0]).tolist() if len(t) else []):
        j = time // each
        assert edges[j] <= i < edges[j + 1] if j < steps else i >= edges[-1]


@pytest.mark.parametrize("slicing", ["count", "time", "duration:1ms", "events:3"])
def test_no_events_give_empty_slices(slicing):
    assert slice_edges(np.empty(0, np.int64), 3, slicing).tolist() == [0, 0, 0, 0]


def test_times_are_only_made_where_they_decide():
    class Untimed:
        def __len__(self):
            return 7

    assert slice_edges(Untimed(), 3, "count").tolist() == [0, 2, 4, 7]
    assert slice_edges(Untimed(), 3, "events:2").tolist() == [0, 2, 4, 6]


def test_unknown_slicing_and_no_steps_are_refused():
    for unknown in ("events", "events:0", "events:-3", "duration", "duration:", "duration:5", "count:3", "Count", ""):
        with pytest.raises(ValueError, match=rf"({unknown}|{unknown[9:]})'.* (choose count, time|write a number and)"):
            slice_edges(np.arange(3), 4, unknown)
    with pytest.raises(ValueError, match="cannot read the duration '50'; write a number and s, ms or us"):
        Slicing.parse("50")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        slice_edges(np.arange(3), 0)


@pytest.mark.parametrize("short", ["50ms", " 0.05 s", ".05s", "50000us"])
def test_a_duration_alone_is_a_slicing_by_time_and_is_kept_in_full(short):
    assert Slicing.parse(short) == Slicing.parse("duration:50ms")
    assert FrameSettings(slicing=short).slicing == f"duration:{short}"
    assert FrameSettings(slicing="events:3").slicing == "events:3"


def test_windows_overlap_and_only_whole_ones_are_given():
    t = np.array([1000, 1004, 1010, 1014, 1019, 1024])

    assert window_edges(t, 10, 5) == [(0, 2), (2, 4), (2, 5), (4, 6)]


def test_a_window_ends_with_its_last_microsecond():
    assert window_edges(np.array([5, 14]), 10, 10) == [(0, 2)]
    assert window_edges(np.array([5, 13]), 10, 10) == []


def test_a_quiet_window_is_given_empty():
    assert window_edges(np.array([0, 29]), 10, 10) == [(0, 1), (1, 1), (1, 2)]


def test_no_events_have_no_windows():
    assert window_edges(np.array([], np.int64), 10, 10) == []


@given(times.filter(len), st.integers(1, 100), st.integers(1, 100))
def test_windows_hold_what_happened_in_them(t, window, hop):
    given_windows = window_edges(t, window, hop)

    assert len(given_windows) == max(0, (int(t[-1] - t[0]) + 1 - window) // hop + 1)
    for k, (start, stop) in enumerate(given_windows):
        inside = (t >= t[0] + k * hop) & (t < t[0] + k * hop + window)
        assert np.flatnonzero(inside).tolist() == list(range(start, stop))


@pytest.mark.parametrize(("window", "hop"), [(0, 5), (5, 0), (-1, 5)])
def test_windows_must_be_positive(window, hop):
    with pytest.raises(ValueError, match="at least 1 µs"):
        window_edges(np.arange(3), window, hop)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1.3s", 1_300_000),
        ("50ms", 50_000),
        ("500us", 500),
        ("500µs", 500),
        (" 2 s ", 2_000_000),
        (".5ms", 500),
        ("1.s", 1_000_000),
    ],
)
def test_durations(text, us):
    assert parse_duration(text) == us


@pytest.mark.parametrize("text", ["", "1.3", "s", "1,3s", "-1s", "1 min", "1e3us", "nan s", "٣s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="write a number and s, ms or us"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0.5us", "0.0001ms", "1.0000001s"])
def test_durations_are_whole_microseconds(text):
    with pytest.raises(ValueError, match="whole number of µs"):
        parse_duration(text)


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=12).map(sorted),
    st.integers(1, 20),
    st.integers(1, 25),
)
def test_windows_are_those_with_events(times, window, hop):
    t = np.array(times) + 10**15
    ranges = window_edges(t, window, hop)
    found = windows(t, window, hop)
    assert found.num_all == len(ranges) == max(0, (times[-1] - times[0] + 1 - window) // hop + 1)
    inside = [(k, *edges) for k, edges in enumerate(ranges) if edges[0] < edges[1]]
    assert list(zip(*(column.tolist() for column in found[:3]), strict=True)) == inside
    for k, (start, stop) in enumerate(ranges):
        begin = t[0] + k * hop
        assert (start, stop) == tuple(np.searchsorted(t, (begin, begin + window)))


def test_a_silence_costs_nothing_and_too_many_windows_are_refused():
    t = np.array([0, 1_700_000_000_000_000])
    assert windows(t, 10, 10).number.tolist() == [0]
    assert windows(t, 1, 1).number.tolist() == [0, 1_700_000_000_000_000]
    assert windows(t, 1, 10**30).number.tolist() == [0]
    with pytest.raises(ValueError, match=r"1,000,001 windows of 1000000 µs, one each 1 µs, hold events; at most 1,000"):
        windows(np.arange(2_000_000), 1_000_000, 1, most=1000)
    with pytest.raises(ValueError, match=r"1,700,000,000,000,001 windows .* a list that would take 2\.04e\+05 TB"):
        window_edges(t, 1, 1)


def test_many_slices_of_long_times_are_exact():
    t = np.array([-(1 << 61), 5, 1 << 61])
    steps = 1_000_003
    edges = slice_edges(t, steps, "time")
    span = 1 << 62
    found = [int(np.searchsorted(edges, i + 1)) for i in range(3)]  # the slice behind each event
    assert (edges[0], edges[-1], len(edges)) == (0, 3, steps + 1)
    assert found[0] == 1
    assert found[1] == next(j for j in range(steps // 2, steps) if -(1 << 61) + -(-j * span // steps) > 5)
