from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.export import export
from deploy.running.reorder import CLOCK_RESET_US, MOST_HELD, SET_AGAIN, Order
from deploy.running.slices import Slicer
from deploy.runtime import Classifier
from preprocessing.events import EVENT_DTYPE, make_events
from preprocessing.events.slicing import Slicing
from preprocessing.frames.rasterize import Rasterizer, rasterize
from preprocessing.readers import read_recording
from tests.helpers.onnx_models import CONFIG, SENSOR, SIZE, STEPS, logits_of, step_model


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return Classifier(step_model(tmp_path_factory.mktemp("models") / "step.onnx"), threads=1)


def events_at(times, seed=0):
    generator = np.random.default_rng(seed)
    x, y = generator.integers(0, 128, len(times)), generator.integers(0, 128, len(times))
    return make_events(np.asarray(times, np.int64), x, y, generator.random(len(times)) < 0.5)


def fed(stream, packets):
    return [*(update for packet in packets for update in stream.feed(packet)), *stream.finish()]


def as_rows(updates):
    """All that updates say, as plain values."""
    return [
        {**vars(update), "logits": update.logits.tolist(), "probabilities": update.probabilities.tolist()}
        for update in updates
    ]


def cut(events, places):
    return np.split(events, sorted(place % (len(events) + 1) for place in places))


def test_a_recording_that_fits_is_what_the_slices_of_training_give(classifier):
    events = events_at(np.sort(np.random.default_rng(1).integers(0, 60_000, 500)))
    events["t"][[0, -1]] = 0, 59_999
    frames = rasterize(events, SENSOR, STEPS, SIZE, "duration:20ms", "area")
    updates = fed(classifier.stream(), [events])
    assert [(update.step, update.final) for update in updates] == [(1, False), (2, False), (3, True)]
    assert [(update.start_us, update.stop_us) for update in updates] == [
        (0, 20_000),
        (20_000, 40_000),
        (40_000, 60_000),
    ]
    assert sum(update.num_events for update in updates) == 500
    np.testing.assert_allclose([update.logits for update in updates], logits_of(frames), atol=1e-6)
    np.testing.assert_allclose(updates[-1].probabilities, classifier.predict(frames), atol=1e-6)
    np.testing.assert_allclose(classifier.predict(events), classifier.predict(frames), atol=1e-6)


def test_a_slice_is_answered_as_soon_as_nothing_can_come_before_its_end(classifier):
    stream = classifier.stream(max_disorder_us=1000)
    assert stream.feed(events_at([5, 20_004])) == []
    assert stream.feed(events_at([21_004])) == []
    (update,) = stream.feed(events_at([21_005]))
    assert (update.start_us, update.stop_us, update.num_events) == (5, 20_005, 2)
    assert [update.num_events for update in stream.finish()] == [2]


def test_slices_of_a_number_of_events_need_no_clock(classifier):
    events = events_at(np.arange(25) * 100)
    updates = fed(classifier.stream("events:10"), [events])
    assert [(update.num_events, update.start_us, update.stop_us) for update in updates] == [
        (10, 0, 900), (10, 1000, 1900), (5, 2000, 2400),
    ]  # fmt: skip
    frames = rasterize(events, SENSOR, STEPS, SIZE, "events:10", "area")
    np.testing.assert_allclose(updates[-1].logits, logits_of(frames)[-1], atol=1e-6)


def test_after_the_last_step_membranes_go_back_to_rest(classifier):
    once = events_at(np.arange(0, 60_000, 500))
    twice = np.concatenate([once, once])
    twice["t"][len(once) :] += 60_000
    updates = fed(classifier.stream(), [twice])
    assert [(update.window, update.step, update.final) for update in updates] == [
        (0, 1, False), (0, 2, False), (0, 3, True), (1, 1, False), (1, 2, False), (1, 3, True),
    ]  # fmt: skip
    for first, second in zip(updates[:3], updates[3:], strict=True):
        np.testing.assert_array_equal(first.logits, second.logits)


def test_silence_inside_a_window_counts_and_silent_windows_are_left_out(classifier):
    hour = 3_600_000_000
    updates = fed(classifier.stream(), [events_at([0, 1000, hour + 45_000])])
    assert [(update.window, update.step, update.num_events) for update in updates] == [
        (0, 1, 2), (0, 2, 0), (0, 3, 0), (1, 1, 0), (1, 2, 0), (1, 3, 1),
    ]  # fmt: skip
    assert updates[3].start_us == hour


@st.composite
def streams(draw):
    """Events with gaps, of equal times, up to a little more than 10 ms late, at times beyond a clock's reset."""
    gaps = draw(st.lists(st.sampled_from([0, 1, 700, 9_000, 21_000, 70_000, 400_000]), min_size=1, max_size=25))
    times = np.cumsum(gaps)
    late = draw(
        st.lists(st.sampled_from([0, 0, 0, 3, 9_999, 10_000, 10_001]), min_size=len(times), max_size=len(times))
    )
    back = draw(st.sampled_from([0, 0, 2 * CLOCK_RESET_US])) * (np.arange(len(times)) > len(times) // 2)
    return events_at(times - late - back, seed=draw(st.integers(0, 3)))


@given(streams(), st.lists(st.integers(0, 1000), max_size=8), st.sampled_from([None, "events:3", "7ms"]))
def test_answers_do_not_depend_on_how_the_stream_is_cut_into_packets(classifier, events, places, slicing):
    whole, pieces = classifier.stream(slicing), classifier.stream(slicing)
    assert as_rows(fed(pieces, cut(events, places))) == as_rows(fed(whole, [events]))
    assert (pieces.num_late, pieces.num_resets) == (whole.num_late, whole.num_resets)


@given(streams(), st.lists(st.integers(0, 1000), max_size=8))
def test_filters_remember_what_came_in_earlier_packets(models_with_filters, events, places):
    whole, pieces = models_with_filters.stream(), models_with_filters.stream()
    assert as_rows(fed(pieces, cut(events, places))) == as_rows(fed(whole, [events]))


@pytest.fixture(scope="module")
def models_with_filters(tmp_path_factory):
    config = {**CONFIG, "filters": ["crop:1ms-500ms", "refractory:2ms", "noise:100ms"], "value": "signed"}
    return Classifier(step_model(tmp_path_factory.mktemp("models") / "filters.onnx", config), threads=1)


VOXELS = {**CONFIG, "value": "voxel", "slicing": "duration:20ms"}


@pytest.fixture(scope="module")
def models_of_voxels(tmp_path_factory):
    return Classifier(step_model(tmp_path_factory.mktemp("models") / "voxels.onnx", VOXELS), threads=1)


@given(streams(), st.lists(st.integers(0, 1000), max_size=8), st.sampled_from([None, "7ms"]))
def test_voxels_do_not_depend_on_how_the_stream_is_cut_into_packets(models_of_voxels, events, places, slicing):
    whole, pieces = models_of_voxels.stream(slicing), models_of_voxels.stream(slicing)
    assert as_rows(fed(pieces, cut(events, places))) == as_rows(fed(whole, [events]))


def test_live_voxels_are_those_of_whole_recordings_and_begin_anew_with_each_window(models_of_voxels):
    generator = np.random.default_rng(0)
    windows = [events_at([start, *np.sort(generator.integers(start, start + 60_000, 300))]) for start in (5, 60_005)]
    updates = fed(models_of_voxels.stream(), np.array_split(np.concatenate(windows), 7))
    assert [(update.window, update.step) for update in updates] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    for events, answers in zip(windows, (updates[:3], updates[3:]), strict=True):
        frames = models_of_voxels.frames(events)[0]
        np.testing.assert_array_equal(frames, rasterize(events, SENSOR, STEPS, SIZE, "duration:20ms", "area", "voxel"))
        np.testing.assert_allclose([answer.logits for answer in answers], logits_of(frames), atol=1e-6)


def test_a_silent_slice_holds_the_voxels_that_the_one_before_gave_it():
    rasterizer = Rasterizer((4, 4), 3, (4, 4), "duration:10ms", "nearest", value="voxel")
    slicer = Slicer(rasterizer, Slicing.parse("duration:10ms"), 3)
    slices = [*slicer.feed(make_events([0, 5_000, 25_000], [1, 2, 3], [0, 0, 0], [1, 1, 0]), 25_000)]
    slices += slicer.finish(30_000)
    assert [(each.num_events, float(each.frame.sum())) for each in slices] == [(2, 1.5), (0, 0.5), (1, 0.5)]


def test_voxels_of_a_number_of_events_are_refused(models_of_voxels, tmp_path):
    with pytest.raises(ValueError, match=r"voxel shares events between bins in time, .*'events:10'"):
        models_of_voxels.stream("events:10")
    windows = {**VOXELS, "slicing": "time", "window_us": 60_000, "hop_us": 60_000}
    with pytest.raises(ValueError, match=r"slices by time .*60000 µs in 2\): --slicing 30000us$"):
        Classifier(step_model(tmp_path / "time.onnx", windows)).stream()


def test_silences_that_a_filter_cuts_short_make_no_slices(tmp_path):
    model = Classifier(step_model(tmp_path / "gap.onnx", {**CONFIG, "filters": ["gap:5ms"]}), threads=1)
    events = events_at([*range(0, 50_000, 1000), *range(900_000, 905_000, 1000)])
    whole = fed(model.stream(), [events])
    assert as_rows(fed(model.stream(), np.array_split(events, 20))) == as_rows(whole)
    assert [(update.window, update.step, update.num_events) for update in whole] == [(0, 1, 20), (0, 2, 20), (0, 3, 15)]
    np.testing.assert_allclose(whole[-1].logits, logits_of(model.frames(events)[0])[-1], atol=1e-6)


def test_live_filters_are_those_of_whole_recordings(models_with_filters):
    generator = np.random.default_rng(0)
    events = make_events(
        np.sort(generator.integers(0, 58_000, 3000)), generator.integers(0, 12, 3000), generator.integers(0, 9, 3000),
        generator.random(3000) < 0.5,
    )  # fmt: skip
    frames = models_with_filters.frames(events)[0]
    updates = fed(models_with_filters.stream(), np.array_split(events, 7))
    assert 0 < sum(update.num_events for update in updates) < 2500
    np.testing.assert_allclose(updates[-1].logits, logits_of(frames)[len(updates) - 1], atol=1e-6)


def test_a_stream_lasts_to_its_last_event_even_if_a_filter_drops_it(tmp_path):
    model = Classifier(step_model(tmp_path / "crop.onnx", {**CONFIG, "filters": ["crop:-10ms"]}))
    updates = fed(model.stream(), [events_at([0, 5000, 59_999])])
    assert [(update.num_events, update.final) for update in updates] == [(2, False), (0, False), (0, True)]


def test_events_of_one_time_keep_their_order_behind_a_late_one():
    order = Order(max_disorder_us=10)
    events = events_at([9, *[8] * 40])
    list(order.feed(events))
    assert order.rest().tolist() == [*events[1:].tolist(), events[0].tolist()]


def test_a_filter_that_needs_the_whole_recording_is_refused(tmp_path):
    path = step_model(tmp_path / "hot.onnx", {**CONFIG, "filters": ["hot:3"]})
    with pytest.raises(ValueError, match=r"the filter hot:3 looks for pixels that fire too often in a whole recording"):
        Classifier(path).stream()


def test_slices_that_share_out_a_recording_are_refused_with_what_to_pass(tmp_path):
    windows = {**CONFIG, "slicing": "count", "window_us": 1_300_000, "hop_us": 1_300_000}
    model = Classifier(step_model(tmp_path / "count.onnx", windows))
    told = r"slices by count .*1300000 µs in 3.*--slicing 433333us, or --slicing events:"
    with pytest.raises(ValueError, match=told):
        model.stream()
    with pytest.raises(ValueError, match="slices by time share out a whole recording"):
        model.stream("time")
    with pytest.raises(ValueError, match="unknown slicing 'soon'; choose count, time, duration:50ms or 50ms"):
        model.stream("soon")
    assert len(fed(model.stream("433333us"), [events_at([0, 433_333])])) == 2


def test_a_networks_steps_add_up_to_its_whole_run(run, exported, recordings, tmp_path):
    path, _ = export(run / "best.pt", "onnx-step", out=tmp_path / "step.onnx")
    unrolled, steps = Classifier(exported, threads=1), Classifier(path, threads=1)
    for recording in sorted((recordings / "test").glob("*/*.aedat")):
        events = read_recording(recording).events
        updates = fed(steps.stream(f"events:{len(events) // 3}"), np.array_split(events, 10))
        assert [update.step for update in updates] == [1, 2, 3]
        expected = unrolled.predict(recording)
        np.testing.assert_allclose(updates[-1].probabilities, expected, atol=1e-5)
        np.testing.assert_allclose(steps.predict(recording), expected, atol=1e-5)


def test_what_cannot_stream_says_what_can(exported):
    with pytest.raises(ValueError, match=r"runs all time steps at once.*--format onnx-step"):
        Classifier(exported).stream()


def test_events_that_come_too_late_are_counted_and_a_clock_set_back_begins_anew(classifier):
    stream = classifier.stream(max_disorder_us=100)
    events = events_at([0, 5000, 4900, 4899, 30_000, 30_000 - CLOCK_RESET_US - 1, 30_000 - CLOCK_RESET_US])
    updates = fed(stream, [events])
    assert (stream.num_late, stream.num_resets) == (1, 1)
    assert [(update.window, update.num_events, update.final) for update in updates] == [
        (0, 3, False), (0, 1, True), (1, 2, True),
    ]  # fmt: skip


def random_clock(number):
    """AEDAT's 32 bits, each within 36 minutes of the one before."""
    return np.cumsum(np.random.default_rng(0).integers(-(2**31), 2**31, number))


def set_every(events, by_us):
    return lambda number: np.arange(number) % events * 10 + (np.arange(number) // events) * by_us


CLOCKS = {
    "random": random_clock,
    "random, forward": lambda number: np.abs(random_clock(number)).cumsum(),
    "set back at every event": set_every(1, -2 * CLOCK_RESET_US),
    "set back at every third": set_every(3, -2 * CLOCK_RESET_US),
    "set back at every ninetieth": set_every(90, -2 * CLOCK_RESET_US),
    "two clocks": lambda number: np.arange(number) % 2 * 10**9 + np.arange(number),
}


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_a_clock_that_tells_no_time_brings_few_answers_and_is_told(classifier, clock):
    number = 30_000
    stream = classifier.stream()
    updates = fed(stream, np.split(events_at(clock(number)), 10))
    assert len(updates) <= 10 * STEPS
    assert stream.num_doubted > number - 200


def test_a_clock_that_tells_time_again_is_believed_again(classifier):
    good = events_at(10**9 + np.arange(0, 60_000, 100))
    stream = classifier.stream()
    updates = fed(stream, [np.concatenate([events_at(random_clock(1000)), good])])
    assert stream.num_doubted < 1000 + 2 * SET_AGAIN
    assert sum(update.num_events for update in updates[-STEPS:]) > len(good) - 2 * SET_AGAIN


@given(
    st.lists(st.sampled_from([0, 10, 5_000, 70_000_000, -1_500_000, -20]), min_size=1, max_size=60),
    st.lists(st.integers(0, 1000), max_size=8),
)
def test_what_a_clock_is_believed_does_not_depend_on_packets(steps, places):
    events, whole, pieces = events_at(np.cumsum(steps)), Order(), Order()
    expected = [[] if piece is None else piece.tolist() for piece in (*whole.feed(events), whole.rest())]
    found = [piece for packet in cut(events, places) for piece in pieces.feed(packet)]
    found = [[] if piece is None else piece.tolist() for piece in (*found, pieces.rest())]
    assert list(chain(*found)) == list(chain(*expected))
    counts = ("num_late", "num_resets", "num_forward", "num_doubted")
    assert [getattr(pieces, name) for name in counts] == [getattr(whole, name) for name in counts]


def test_a_clock_that_stands_still_fills_no_memory():
    order = Order()
    given = 0
    for _ in range(60):
        given += sum(len(piece) for piece in order.feed(events_at(np.full(8192, 7))))
        assert len(order._held) <= MOST_HELD
    assert given + len(order.rest()) == 60 * 8192
    assert order.num_late == 0


def test_what_comes_before_what_was_given_for_want_of_room_is_late():
    order = Order()
    many = events_at(np.sort(np.random.default_rng(0).integers(1000, 9000, MOST_HELD + 10)))
    (given,) = order.feed(many)
    assert len(given) == MOST_HELD // 2 + 10
    last = int(given["t"][-1])
    list(order.feed(events_at([last - 1, last, 9000])))
    assert order.num_late == 1
    assert order.past_us == last


def test_late_events_find_their_place():
    order = Order(max_disorder_us=10)
    events = events_at([100, 95, 120, 110, 95])
    ready = [piece for packet in (events[:2], events[2:]) for piece in order.feed(packet)]
    assert [piece["t"].tolist() for piece in ready] == [[], [95, 100]]
    assert order.rest()["t"].tolist() == [110, 120]
    assert order.num_late == 1


def test_held_events_do_not_grow_with_the_stream():
    order = Order(max_disorder_us=1000)
    for at in range(0, 100_000, 1000):
        list(order.feed(events_at(np.arange(at, at + 1000, 10))))
    held = order.rest()
    assert len(held) <= 101
    assert held.base is None


@pytest.mark.parametrize("disorder", [-1, CLOCK_RESET_US + 1])
def test_a_disorder_that_cannot_be_is_refused(classifier, disorder):
    with pytest.raises(ValueError, match=f"got a disorder of {disorder} µs"):
        classifier.stream(max_disorder_us=disorder)


def test_an_event_outside_the_sensor_is_refused(classifier):
    outside = np.array([(0, 200, 5, True), (90_000, 1, 1, True)], EVENT_DTYPE)
    with pytest.raises(ValueError, match=r"at \(200, 5\) lies outside the 128×128 sensor"):
        classifier.stream().feed(outside)


def test_parts_of_a_slice_add_up_exactly():
    rasterizer = Rasterizer((128, 128), 1, (48, 48), value="signed")
    events = events_at(np.arange(2000))
    parts = [rasterizer.weights(part).astype(np.uint64) for part in np.array_split(events, 5)]
    np.testing.assert_array_equal(rasterizer.frames_of(sum(parts)), rasterizer.frames(events))


def sliding(seed=5, end=160_000):
    """Events of eight slices and their frames."""
    events = events_at(np.sort(np.random.default_rng(seed).integers(0, end, 900)), seed)
    events["t"][[0, -1]] = 0, end - 1
    return events, rasterize(events, SENSOR, end // 20_000, SIZE, "duration:20ms", "area")


@pytest.mark.parametrize("hop", [1, 2])
def test_sliding_windows_give_what_each_window_gives_alone(classifier, hop):
    events, frames = sliding()
    updates = fed(classifier.stream(hop=hop), np.array_split(events, 11))
    starts = {update.window: update.window * hop for update in updates}
    for update in updates:
        first = starts[update.window]
        expected = logits_of(frames[first : first + STEPS])[update.step - 1]
        np.testing.assert_allclose(update.logits, expected, atol=1e-6)
        assert update.stop_us == 20_000 * (first + update.step)
    whole = [update.window for update in updates if update.step == STEPS]
    assert whole == list(range(len(whole)))
    assert len(whole) == (len(frames) - STEPS) // hop + 1
    assert updates[-1].final


def test_a_silence_ends_the_windows_that_slide(classifier):
    events, _ = sliding(end=80_000)
    late = events.copy()
    late["t"] += 3_000_000
    updates = fed(classifier.stream(hop=1), [events, late])
    after = [update for update in updates if update.start_us > 1_000_000]
    assert [(update.step, update.final) for update in after[:3]] == [(1, False), (2, False), (3, True)]
    assert {update.begin_us for update in updates} == {0}


def test_smoothing_averages_the_windows_that_ended_before(classifier):
    events, _ = sliding(end=180_000)
    raw, smooth = (fed(classifier.stream(smoothing=number), [events]) for number in (1, 2))
    finals = [update.probabilities for update in raw if update.final]
    assert len(finals) == 3
    for plain, update in zip(raw, smooth, strict=True):
        before = [finals[update.window - 1]] if update.window else []
        np.testing.assert_allclose(update.probabilities, np.mean([*before, plain.probabilities], axis=0), atol=1e-6)
        np.testing.assert_array_equal(update.logits, plain.logits)


def test_a_stream_that_begins_anew_has_forgotten(classifier):
    events, _ = sliding(end=60_000)
    stream = classifier.stream(smoothing=9, hop=1)
    later = events.copy()
    later["t"] += 1_000_000
    first = [*stream.feed(events), *stream.begin_anew()]
    second = [*stream.feed(later), *stream.finish()]
    assert {update.begin_us for update in second} == {1_000_000}
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.probabilities, two.probabilities)


@pytest.mark.parametrize(
    ("options", "told"), [({"hop": 0}, "1 to 3"), ({"hop": 4}, "1 to 3"), ({"smoothing": 0}, "one window")]
)
def test_hops_and_smoothing_have_bounds(classifier, options, told):
    with pytest.raises(ValueError, match=told):
        classifier.stream(**options)
