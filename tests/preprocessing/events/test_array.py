import subprocess
import sys

import numpy as np
import pytest

from preprocessing.events import (
    EVENT_DTYPE,
    MAX_DISORDER_US,
    RecordingError,
    address_words,
    as_events,
    check_events,
    make_events,
    make_recording,
)


def events_of(*rows):
    return make_events(*(np.array(column) for column in zip(*rows, strict=True)))


def test_columns_are_packed_into_events():
    events = events_of((10, 3, 4, True), (20, 5, 6, False))

    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(10, 3, 4, True), (20, 5, 6, False)]


def test_usable_events_pass():
    check_events(events_of((10, 0, 0, 1), (10, 3, 1, 0)), (4, 2), "r")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, 0, 0, 1), (2, 4, 1, 1)], r"r: event 1 at \(4, 1\) lies outside the 4×2 sensor"),
        ([(1, 0, 2, 1)], r"r: event 0 at \(0, 2\) lies outside"),
        ([(5, 0, 0, 1), (7, 0, 0, 1), (6, 0, 0, 1)], r"r: time runs backwards at event 2, from 7 µs to 6 µs"),
    ],
)
def test_the_event_at_fault_is_named(rows, message):
    with pytest.raises(RecordingError, match=message):
        check_events(events_of(*rows), (4, 2), "r")


def test_no_events_are_refused():
    with pytest.raises(RecordingError, match="r: holds no events"):
        check_events(np.empty(0, EVENT_DTYPE), (4, 2), "r")


def test_events_a_little_late_are_put_in_order_and_counted():
    rows = [(5, 0, 0, 1), (9, 1, 0, 1), (7, 2, 0, 1), (8, 3, 0, 0), (7, 3, 1, 0)]

    recording = make_recording(events_of(*rows), (4, 2), "raw", "r")

    assert recording.events.tolist() == [rows[0], rows[2], rows[4], rows[3], rows[1]]  # equal times keep their order
    assert recording.num_backward == 2


def test_events_in_order_are_taken_as_they_are():
    events = events_of((5, 0, 0, 1), (5, 1, 0, 1))

    recording = make_recording(events, (4, 2), "raw", "r", num_special=3)

    assert recording.events is events
    assert (recording.num_special, recording.num_backward) == (3, 0)


def test_lateness_counts_from_the_latest_event_before():
    late = MAX_DISORDER_US
    in_bounds = [(late, 0, 0, 1), (late // 2, 0, 0, 1), (0, 0, 0, 1)]
    assert make_recording(events_of(*in_bounds), (4, 2), "raw", "r").num_backward == 2

    with pytest.raises(RecordingError, match=f"r: time runs backwards at event 2, from {late} µs to -1 µs"):
        make_recording(events_of(*in_bounds[:2], (-1, 0, 0, 1)), (4, 2), "raw", "r")


def test_other_event_arrays_are_converted_by_name():
    foreign = np.array([(3, 4, 1, 10)], [("x", "i2"), ("y", "i2"), ("p", "i1"), ("t", "i8")])

    assert as_events(foreign).tolist() == [(10, 3, 4, True)]


def test_event_arrays_are_not_copied_without_need():
    events = events_of((1, 2, 3, 1))

    assert as_events(events) is events


@pytest.mark.parametrize("column", [np.array([(-1, 0, 1, 5)], "i4,i4,i4,i8"), np.array([(0, 0, -1, 5)], "i4,i4,i4,i8")])
def test_values_that_would_not_survive_the_conversion_are_refused(column):
    column.dtype.names = ("x", "y", "p", "t")

    with pytest.raises(ValueError, match=r"has values that .* cannot hold"):
        as_events(column)


def test_arrays_without_the_fields_are_refused():
    with pytest.raises(ValueError, match="t, x, y, p; got float64"):
        as_events(np.zeros(3))


def test_address_words_hold_x_y_and_p():
    words = address_words(events_of((-1, 0xABCD, 0x1234, 1), (7, 1, 2, 0)))

    assert (words >> 24 & 0xFFFF).tolist() == [0xABCD, 1]
    assert (words >> 40 & 0xFFFF).tolist() == [0x1234, 2]
    assert (words >> 56).tolist() == [1, 0]


def test_importing_the_package_needs_only_numpy():
    code = "import sys, preprocessing; print({'numba', 'h5py', 'torch'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_function_rasterize_is_not_hidden_by_its_module():
    code = "import preprocessing.frames.rasterize; from preprocessing import rasterize; print(callable(rasterize))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
