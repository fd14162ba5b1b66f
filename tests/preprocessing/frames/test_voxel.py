from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from preprocessing import rasterize, read_recording
from preprocessing.events import EVENT_DTYPE, make_events
from preprocessing.events.slicing import positions
from preprocessing.frames.rasterize import RESIZES, Rasterizer
from tests.preprocessing.frames.test_rasterize import random_events, resized, sides

compiled = settings(deadline=None, max_examples=50)  # the first call compiles
SENSOR = (6, 5)
streams = st.lists(st.integers(0, 1000), max_size=40).map(sorted)
steps_of = st.integers(1, 7)


def at(times, seed=0):
    generator = np.random.default_rng(seed)
    x, y = (generator.integers(0, side, len(times)) for side in SENSOR)
    return make_events(np.asarray(times, np.int64), x, y, generator.random(len(times)) < 0.5)


def voxels(steps, slicing="time", size=SENSOR, resize="nearest", sensor=SENSOR):
    return Rasterizer(sensor, steps, size, slicing, resize, value="voxel")


def places(t, steps, slicing):
    """t* of each event, exact."""
    since = [Fraction(int(each) - int(t[0])) for each in t]
    if slicing == "time":
        return [(steps - 1) * each / since[-1] if since[-1] else Fraction(0) for each in since]
    return [each / int(slicing.removeprefix("duration:").removesuffix("us")) for each in since]


def formula(events, sensor, steps, slicing, rounded=False):
    """V of Zhu et al. in float64, of ON and OFF apart, before resizing; t* rounded to 1/256 if asked."""
    grid = np.zeros((steps, 2, sensor[1], sensor[0]))
    bins = np.arange(steps)[:, None]
    where = places(events["t"], steps, slicing)
    if rounded:
        where = [(256 * place + Fraction(1, 2)) // 1 / Fraction(256) for place in where]
    weights = np.maximum(0, 1 - np.abs(bins - np.array(where, np.float64)))
    np.add.at(grid, (bins, events["p"].astype(int), events["y"], events["x"]), weights)
    return grid


def test_shares_by_hand():
    # Three bins over 200 µs, so 100 µs apart. 25 µs: ¾ in bin 0 and ¼ in bin 1; 170 µs: 0.3 and 0.7 of bins 1 and 2,
    # which are 76.8 and 179.2 parts of 256.
    frames = rasterize(
        make_events([0, 25, 100, 170, 200], [0, 1, 0, 1, 1], [0] * 5, [1, 0, 1, 1, 0]),
        (2, 1), 3, (2, 1), "time", "nearest", "voxel",
    )  # fmt: skip

    off = [[0, 0.75], [0, 0.25], [0, 1]]
    on = [[1, 0], [1, 77 / 256], [0, 179 / 256]]
    np.testing.assert_array_equal(frames[:, :, 0], np.stack([off, on], axis=1).astype(np.float32))


def test_shares_of_slices_of_one_length_by_hand():
    # Bins at 0, 40 and 80 µs. 70 µs: ¼ and ¾ of bins 1 and 2; 90 µs: ¾ of bin 2, the rest is bin 3's; 120: unused.
    rasterizer = voxels(3, "duration:40us", (1, 1), sensor=(1, 1))
    stored, num_saturated, num_used = rasterizer.stored(make_events([7, 77, 97, 127], [0] * 4, [0] * 4, [1] * 4))

    assert (stored * rasterizer.scale)[:, 1, 0, 0].tolist() == [1, 0.25, 0.75 + 0.75]
    assert (rasterizer.exact, num_saturated, num_used) == (True, 0, 3)


@compiled
@given(
    sides,
    sides,
    steps_of,
    st.integers(1, 60),
    st.sampled_from(["time", "duration:1500us", "duration:7us"]),
    st.sampled_from(RESIZES),
)
def test_voxels_are_the_formula_within_their_error(sensor, size, steps, num_events, slicing, resize):
    events = random_events(sensor, num_events)
    rasterizer = voxels(steps, slicing, size, resize, sensor)
    expected = resized(formula(events, sensor, steps, slicing), size, resize)
    exactly = resized(formula(events, sensor, steps, slicing, rounded=True), size, resize)

    frames, stored = rasterizer.frames(events), rasterizer.stored(events).frames * rasterizer.scale

    assert np.abs(frames - expected).max() <= num_events / 512 + 1e-6
    np.testing.assert_allclose(frames, exactly, rtol=1e-6, atol=num_events * 2**-24)
    np.testing.assert_allclose(stored, exactly, rtol=0, atol=(0 if rasterizer.exact else rasterizer.scale / 2) + 1e-6)


@compiled
@given(streams, steps_of, st.sampled_from(RESIZES))
def test_the_weight_of_events_is_conserved(times, steps, resize):
    """All bins together hold what one slice of counts holds, to the last part."""
    events = at(times)
    counts = Rasterizer(SENSOR, 1, (4, 4), resize=resize)
    assume(counts.denominator <= 1 << 23)

    np.testing.assert_array_equal(
        voxels(steps, "time", (4, 4), resize).sums(events).sum(0), 256 * counts.sums(events)[0].astype(np.int64)
    )


@compiled
@given(streams, steps_of, st.integers(1, 400))
def test_slices_of_one_length_conserve_what_lies_between_bins(times, steps, each):
    events = at(times)
    inside = int(np.searchsorted(events["t"], events["t"][0] + (steps - 1) * each, "right")) if times else 0

    frames = voxels(steps, f"duration:{each}us").frames(events[:inside])

    assert frames.sum() == inside


@compiled
@given(streams, steps_of, st.integers(1, 400), st.lists(st.integers(0, 40), max_size=3))
def test_slices_and_their_parts_add_up_to_the_whole(times, steps, each, cuts):
    events, rasterizer = at(times), voxels(steps, f"duration:{each}us")
    edges = positions(events["t"], steps, f"duration:{each}us").edges
    added = np.zeros((steps + 1, 2, *SENSOR[::-1]), np.uint64)
    for step in range(steps):
        for part in np.split(events[edges[step] : edges[step + 1]], sorted(cuts)):
            start_us = int(events["t"][0]) + step * each if len(part) else 0
            added[step : step + 2] += rasterizer.weights_of_slice(part, start_us, each)

    np.testing.assert_array_equal(added[:-1], rasterizer.sums(events))


@pytest.mark.parametrize("slicing", ["time", "duration:40us"])
@pytest.mark.parametrize("times", [[9], [9, 9, 9]], ids=["one event", "all at one time"])
@pytest.mark.parametrize("steps", [1, 4])
def test_events_of_one_time_are_in_the_first_bin(steps, times, slicing):
    frames = voxels(steps, slicing).frames(at(times))

    assert frames.sum((1, 2, 3)).tolist() == [len(times)] + [0] * (steps - 1)


def test_one_bin_holds_all_events():
    events = at([0, 3, 900, 1000])

    np.testing.assert_array_equal(
        voxels(1).frames(events), Rasterizer(SENSOR, 1, SENSOR, "time", "nearest").frames(events)
    )


@pytest.mark.parametrize("slicing", ["time", "duration:40us"])
def test_no_events_give_empty_voxels(slicing):
    frames = voxels(4, slicing).frames(np.empty(0, EVENT_DTYPE))

    assert frames.shape == (4, 2, *SENSOR[::-1])
    assert not frames.any()


def test_bins_without_events_around_them_stay_empty():
    assert voxels(5).frames(at([0, 1000])).sum((1, 2, 3)).tolist() == [1, 0, 0, 0, 1]


@pytest.mark.parametrize("slicing", ["count", "events:7"])
def test_slices_that_time_does_not_cut_are_refused(slicing):
    with pytest.raises(ValueError, match=f"voxel shares events between bins in time, which slicing '{slicing}' .*time"):
        voxels(4, slicing)


@pytest.mark.parametrize("span", [(1 << 41) - 1, (1 << 45) + 5, 1 << 52])
def test_long_recordings_are_placed_within_the_error(span):
    events = at(np.linspace(0, span, 100).astype(np.int64))

    np.testing.assert_allclose(
        voxels(7).frames(events), formula(events, SENSOR, 7, "time"), rtol=0, atol=100 / 512 + 1e-6
    )
    assert voxels(7).frames(events).sum() == pytest.approx(100, rel=1e-6)


@pytest.mark.parametrize("span", [2_000_000, (1 << 41) - 1])
def test_places_are_rounded_as_whole_numbers_say(span):
    halfway = [(2 * part + 1) * span // (512 * 3) + off for part in range(0, 768, 7) for off in (0, 1)]
    events = at(sorted([0, *halfway, span]))

    np.testing.assert_array_equal(voxels(4).frames(events), formula(events, SENSOR, 4, "time", rounded=True))


def test_times_that_no_recording_has_are_refused():
    with pytest.raises(ValueError, match=r"at most 2\*\*52 µs, got events of 4503599627370497 µs"):
        voxels(4).frames(at([0, (1 << 52) + 1]))
    with pytest.raises(ValueError, match=r"at most 2\*\*52 µs apart, got slicing 'duration:4503599628s'"):
        voxels(4, "duration:4503599628s")


def test_voxels_beyond_32_bits_do_not_wrap():
    rasterizer = Rasterizer((251, 1), 2, (241, 1), "time", value="voxel")
    weight = int(rasterizer.sums(np.zeros(1, EVENT_DTYPE)).max())
    events = np.zeros((1 << 32) // weight + 3, EVENT_DTYPE)
    events["t"][1:] = 1

    assert int(rasterizer.sums(events)[1].max()) == weight * (len(events) - 1) > 1 << 32


@pytest.mark.parametrize("name", ["dvs128_objects/session1/pencil.aedat", "nmnist_small/Train/0/00193.bin"])
@pytest.mark.parametrize("slicing", ["time", "duration:20000us"])
def test_voxels_of_real_recordings(shared_data, name, slicing):
    recording = read_recording(shared_data / name)
    events = recording.events[:20_000]

    frames = Rasterizer(recording.sensor, 16, (48, 48), slicing, value="voxel").frames(events)

    exactly = formula(events, recording.sensor, 16, slicing, rounded=True)
    np.testing.assert_allclose(frames, resized(exactly, (48, 48), "bilinear"), rtol=1e-5, atol=1e-5)
