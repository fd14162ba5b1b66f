import numpy as np
import pytest
from matplotlib.colors import to_rgb

from preprocessing.drawing import OFF, ON, REST, colours
from preprocessing.inspection.plots import slice_labels


def test_colours_tell_polarity_and_strength():
    frames = np.zeros((1, 2, 1, 5), np.float32)
    frames[0, :, 0] = [[0, 9, 0, 5, 0], [0, 0, 9, 4, 1]]

    nothing, off, on, both, faint = colours(frames)[0, 0]

    np.testing.assert_allclose(nothing, to_rgb(REST))
    np.testing.assert_allclose(off, to_rgb(OFF))
    np.testing.assert_allclose(on, to_rgb(ON))
    np.testing.assert_allclose(both, 5 / 9 * np.array(to_rgb(OFF)) + 4 / 9 * np.array(to_rgb(ON)))
    assert (np.abs(faint - to_rgb(REST)) < np.abs(on - to_rgb(REST))).all()


def test_frames_without_events_are_grey():
    np.testing.assert_allclose(colours(np.zeros((2, 2, 3, 4), np.float32)), np.broadcast_to(to_rgb(REST), (2, 3, 4, 3)))


@pytest.mark.parametrize(
    ("times", "labels"),
    [
        ([0, 40_000, 50_000, 90_000], ["0–40 ms", "50–90 ms"]),
        ([1_000_000, 6_000_000, 7_500_000, 13_000_000], ["0.0–5.0 s", "6.5–12.0 s"]),
        ([7, 8, 9, 10], ["0–1 µs", "2–3 µs"]),
    ],
)
def test_slices_are_labelled_from_the_first_event(times, labels):
    assert slice_labels(np.array(times), np.array([0, 2, 4])) == labels


def test_slices_without_events_say_so():
    assert slice_labels(np.array([0, 90]), np.array([0, 0, 2])) == ["no events", "0–90 µs"]
    assert slice_labels(np.empty(0, np.int64), np.array([0, 0])) == ["no events"]


def test_labels_of_voxels_reach_over_both_slices_that_feed_them():
    assert slice_labels(np.array([0, 40, 90]), np.array([0, 2, 3, 3]), shared=True) == [
        "0–40 µs",
        "0–90 µs",
        "90–90 µs",
    ]
