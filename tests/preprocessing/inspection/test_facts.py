import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.cache import FrameCache
from preprocessing.events import EVENT_DTYPE, Recording
from preprocessing.frames.settings import FrameSettings
from preprocessing.inspection.facts import Spread, cache_facts, recording_facts, sample_facts
from preprocessing.readers import read_recording

SMALL = FrameSettings(steps=2, size=(4, 3), resize="area")


def recording(*rows, sensor=(4, 3)):
    return Recording(np.array(list(rows), EVENT_DTYPE), sensor, "made", "made.aedat", num_special=7, num_backward=2)


def test_facts_of_a_recording():
    made = recording((0, 1, 2, True), (9_999, 1, 2, True), (10_000, 3, 0, False), (39_999, 0, 0, True))

    facts, kept = recording_facts(made, SMALL)

    assert (facts.path, facts.format, facts.sensor) == ("made.aedat", "made", (4, 3))
    assert (facts.num_events, facts.duration_us, facts.rate) == (4, 39_999, 100)
    assert facts.peak_rate == 200  # two events in the first 10 ms
    assert (facts.on_share, facts.num_active) == (0.75, 3)
    assert (facts.hottest, facts.hottest_share) == ((1, 2), 0.5)
    assert (facts.num_special, facts.num_backward) == (7, 2)
    assert kept is made.events


def test_a_span_under_two_stretches_has_no_peak_below_its_average():
    """30 events at each end of 15 ms: 4000 events/s, of which the first 10 ms alone hold half."""
    made = recording(*((t, 0, 0, True) for t in (0, 14_999) for _ in range(30)))

    facts, _ = recording_facts(made, SMALL)

    assert (facts.rate, facts.peak_rate, facts.peak_us) == (4000, 4000, 15_000)


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=40))
def test_no_peak_is_below_its_average(times):
    facts, _ = recording_facts(recording(*((t, 0, 0, True) for t in sorted(times))), SMALL)

    assert facts.rate <= facts.peak_rate <= facts.num_events / facts.peak_us * 1e6
    assert min(10_000, facts.duration_us + 1) <= facts.peak_us < 20_000


def test_all_events_at_one_time_have_a_rate():
    facts, _ = recording_facts(recording((5, 0, 0, True), (5, 1, 0, True)), SMALL)

    assert (facts.duration_us, facts.rate, facts.peak_rate) == (0, 2e6, 2e6)


def test_a_gap_of_days_does_not_matter():
    facts, _ = recording_facts(recording((0, 0, 0, True), (1, 0, 0, True), (1 << 50, 1, 0, True)), SMALL)

    assert facts.peak_rate == 200


def test_filters_are_followed_one_by_one():
    made = recording((0, 0, 0, True), (1, 0, 0, True), (20, 1, 0, True), (25, 2, 0, True))
    settings = FrameSettings(2, (4, 3), filters=("refractory:10us", "noise:10us"))

    facts, kept = recording_facts(made, settings)

    assert facts.filtered == (("refractory:10us", 3), ("noise:10us", 1))
    assert kept["t"].tolist() == [25]
    assert facts.num_events == 4


def test_events_that_no_frame_shows_are_told():
    made = recording(*((t, t % 8, 0, True) for t in range(40)), sensor=(8, 1))

    facts, _ = recording_facts(made, FrameSettings(2, (2, 1), "events:8", "nearest"))
    assert (facts.num_unused, facts.fed_share) == (24, 0.25)  # columns 0 and 4 of 8

    facts, _ = recording_facts(made, FrameSettings(2, (2, 1), "count", "area"))
    assert (facts.num_unused, facts.fed_share) == (0, 1)


def test_no_event_left_is_no_error():
    facts, kept = recording_facts(recording((0, 0, 0, True)), FrameSettings(2, (4, 3), filters=("noise:1ms",)))

    assert (len(kept), facts.filtered, facts.fed_share) == (0, (("noise:1ms", 0),), 0)


def test_share_of_the_reference_recipe(shared_data):
    """Bilinear from 128 to 48 leaves two of eight columns and rows unused."""
    facts, _ = recording_facts(read_recording(shared_data / "formats/aedat2_dvs128_walking.aedat"), FrameSettings())

    assert facts.fed_share == pytest.approx((6 / 8) ** 2, abs=0.02)


def test_facts_of_a_cache(cache_path):
    cache = FrameCache(cache_path)
    facts = cache_facts(cache)

    assert (facts.num_samples, facts.shape, facts.sensor) == (40, (3, 2, 16, 16), (128, 128))
    assert facts.balance["left"] == {"train": 16, "validation": 0, "test": 4}
    assert facts.num_events == Spread(600, 600, 600, facts.num_events.histogram)
    assert sum(facts.duration_us.histogram) == 40
    assert facts.counts["num_saturated"] == cache.num_saturated
    assert facts.config == cache.config


def test_facts_of_a_sample(cache_path):
    cache = FrameCache(cache_path)
    index = int(cache.indices("test")[-1])
    facts = sample_facts(cache, index)

    assert (facts.label, facts.split, facts.num_events) == ("right", "test", 600)
    assert facts.source == cache.source(index)
    assert sum(facts.channels.values()) == pytest.approx(float(cache[index].sum()))
    assert facts.most == cache[index].max()
    with pytest.raises(IndexError):
        sample_facts(cache, 40)


def test_facts_are_json(cache_path):
    cache = FrameCache(cache_path)
    found = [recording_facts(recording((0, 0, 0, True)), SMALL)[0], cache_facts(cache), sample_facts(cache, 0)]

    kinds = [json.loads(json.dumps(facts.as_json()))["kind"] for facts in found]
    assert kinds == ["recording", "cache", "sample"]
