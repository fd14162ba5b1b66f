import numpy as np
import pytest

from preprocessing.events import make_events
from preprocessing.events.doubts import FEW_PIXELS, doubts
from preprocessing.events.records import Records
from preprocessing.readers import aedat2
from preprocessing.readers.raw import open_raw

SENSOR = (128, 128)


def events(num, num_pixels=16_384, on=0.5, seed=0):
    """Events at the first pixels of the sensor, row by row, each pixel as often as the next."""
    rng = np.random.default_rng(seed)
    y, x = divmod(np.arange(num) % num_pixels, 128)
    return make_events(np.arange(num), x, y, rng.random(num) < on)


def found(made):
    return [text.partition(": ")[2] for text in doubts(Records.from_events(made, SENSOR), SENSOR)]


def test_a_scene_raises_none():
    assert found(events(20_000)) == []


@pytest.mark.parametrize(("on", "polarity"), [(0, "OFF"), (1, "ON")])
def test_one_polarity_alone(on, polarity):
    assert found(events(20_000, on=on)) == [f"all of its 20,000 events are {polarity}"]


def test_a_single_event_of_the_other_polarity_is_seen():
    made = events(20_000, on=0)
    made["p"][12_345] = True

    assert found(made) == []


def test_a_handful_of_pixels():
    assert found(events(20_000, FEW_PIXELS)) == ["its 20,000 events are at 300 of 16,384 pixels"]
    assert found(events(20_000, 1000)) == []


def test_a_line_of_pixels():
    assert found(events(20_000, 6 * 128)) == ["its 20,000 events are in 6 of 128 rows"]
    assert found(events(20_000, 7 * 128)) == []
    turned = events(20_000, 6 * 128)
    turned["x"], turned["y"] = turned["y"].copy(), turned["x"].copy()
    assert found(turned) == ["its 20,000 events are in 6 of 128 columns"]


def test_few_events_say_nothing():
    assert found(events(999, 5, on=0)) == []
    assert len(found(events(1000, 5, on=0))) == 2


def test_few_events_at_each_of_few_pixels_say_nothing():
    assert found(scattered(2999)) == []
    assert found(scattered(3000)) == ["its 3,000 events are at 300 of 16,384 pixels"]


def scattered(num):
    """Events at 300 pixels all over the sensor."""
    made = events(num)
    pixels = np.arange(num) % FEW_PIXELS * 53
    made["y"], made["x"] = pixels // 128, pixels % 128
    return made


def test_records_as_they_lie_in_a_file_are_judged_alike():
    opened = open_raw(aedat2.encode(events(20_000, 200, on=0)), "r.aedat")

    assert doubts(opened.events, SENSOR) == (
        "this looks like no camera's recording: all of its 20,000 events are OFF",
        "this looks like no camera's recording: its 20,000 events are at 200 of 16,384 pixels",
    )
