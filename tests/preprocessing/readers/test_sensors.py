import numpy as np
import pytest

from preprocessing.events import Recording, RecordingError, make_events
from preprocessing.readers.sensors import agreed, attributed, smallest


def events_at(x, y):
    return make_events(np.array([0, 1]), np.array([0, x]), np.array([0, y]), np.array([0, 1]))


@pytest.mark.parametrize(
    ("stated", "asked", "expected"),
    [(None, None, None), ((4, 2), None, (4, 2)), (None, (4, 2), (4, 2)), ((4, 2), (4, 2), (4, 2))],
)
def test_the_file_or_the_caller_says_the_sensor(stated, asked, expected):
    assert agreed(stated, asked, "r") == expected


def test_file_and_caller_may_not_disagree():
    with pytest.raises(RecordingError, match="r: is of a 4×2 sensor, but 2×4 was asked for"):
        agreed((4, 2), (2, 4), "r")


@pytest.mark.parametrize(("x", "y", "sensor"), [(3, 3, (4, 4)), (4, 0, (8, 6)), (0, 4, (8, 6)), (7, 5, (8, 6))])
def test_the_smallest_sensor_that_holds_all_is_taken(x, y, sensor):
    assert smallest(events_at(x, y), ((4, 4), (8, 6)), "r") == sensor


def test_events_beyond_every_sensor_need_one_to_be_stated():
    with pytest.raises(RecordingError, match=r"r: .* events reach \(0, 6\), beyond 8×6; .*--sensor WIDTHxHEIGHT"):
        smallest(events_at(0, 6), ((4, 4), (8, 6)), "r")


@pytest.mark.parametrize(
    ("stated", "asked", "said_by"),
    [(None, None, "guess"), (None, (4, 2), "asked"), ((4, 2), None, "file"), ((4, 2), (4, 2), "file")],
)
def test_a_recording_tells_who_said_its_sensor(stated, asked, said_by):
    assert attributed(Recording(events_at(1, 1), (4, 2), "made", "r"), stated, asked).sensor_from == said_by


@pytest.mark.parametrize(
    ("first", "last", "doubted"),
    [((1, 1), (34, 34), True), ((0, 1), (34, 34), False), ((1, 1), (34, 33), False), ((1, 1), (346, 260), True)],
)
def test_places_that_may_be_counted_from_one_are_doubted(first, last, doubted):
    x, y = np.array([first, last]).T
    recording = Recording(make_events(np.array([0, 1]), x, y, np.array([0, 1])), (640, 480), "made", "r")

    assert [text[:15] for text in attributed(recording, None, None).warnings] == ["x and y run fro"] * doubted
    assert attributed(recording, None, (640, 480)).warnings == ()
