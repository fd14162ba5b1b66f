import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import rasterize, read_recording
from preprocessing.events import EVENT_DTYPE, make_events
from preprocessing.events.slicing import slice_edges
from preprocessing.frames.rasterize import RESIZES, VALUES, Rasterizer
from preprocessing.frames.resizing import area, axis_table, bilinear, bilinear_antialias

compiled = settings(deadline=None, max_examples=50)  # the first call compiles
sides = st.tuples(st.integers(1, 40), st.integers(1, 40))


def random_events(sensor, num_events, seed=0):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 10_000, num_events))
    x, y = rng.integers(0, sensor[0], num_events), rng.integers(0, sensor[1], num_events)
    return make_events(t, x, y, rng.integers(0, 2, num_events))


def independent_frames(events, sensor, steps, size, resize="bilinear", slicing="count", value="count"):
    """Counts per slice, resized by torch, all in float64."""
    edges = slice_edges(events["t"], steps, slicing)
    counts = np.zeros((steps, 2, sensor[1], sensor[0]))
    used = events[: edges[-1]]
    step = np.repeat(np.arange(steps), np.diff(edges))
    np.add.at(counts, (step, used["p"].astype(int), used["y"], used["x"]), 1)
    frames = resized(counts, size, resize)
    if value == "binary":
        return (frames > 1e-9).astype(float)  # torch gives 1e-17 where the weight is 0
    if value == "signed":
        balance = frames[:, 1] - frames[:, 0]
        return np.stack([np.maximum(-balance, 0), np.maximum(balance, 0)], 1)
    return frames


def resized(counts, size, resize):
    rows, columns = (axis(*sides, resize) for sides in zip(counts.shape[2:], size[::-1], strict=True))
    return np.einsum("tcyx,vy,ux->tcvu", counts, rows, columns)


def axis(num_pixels, num_bins, resize):
    """What a unit at every pixel gives, two columns wide: torch 2.13 gets a single one wrong with antialias."""
    if resize == "sum":
        return np.arange(num_pixels) * num_bins // num_pixels == np.arange(num_bins)[:, None]
    units = torch.eye(num_pixels, dtype=torch.float64)[:, None, :, None].expand(-1, 1, -1, 2).contiguous()
    mode, antialias = resize.removesuffix("-antialias"), resize.endswith("-antialias")
    return torch.nn.functional.interpolate(units, (num_bins, 2), mode=mode, antialias=antialias)[:, 0, :, 0].T.numpy()


COUNTED = [value for value in VALUES if value != "voxel"]  # for that, see test_voxel
SLICINGS = ["count", "time", "duration:1ms", "events:7"]


@compiled
@given(
    sides,
    sides,
    st.integers(1, 6),
    st.integers(0, 60),
    st.sampled_from(SLICINGS),
    st.sampled_from(RESIZES),
    st.sampled_from(COUNTED),
)
def test_frames_are_counts_per_slice_resized_as_torch_does(sensor, size, steps, num_events, slicing, resize, value):
    events = random_events(sensor, num_events)
    rasterizer = Rasterizer(sensor, steps, size, slicing, resize, value=value)
    expected = independent_frames(events, sensor, steps, size, resize, slicing, value)

    stored, num_saturated, num_used = rasterizer.stored(events)

    np.testing.assert_allclose(rasterizer.frames(events), expected, rtol=1e-6, atol=1e-9)
    error = 1e-9 if rasterizer.exact else rasterizer.scale / 2 + 1e-9
    np.testing.assert_allclose(stored * rasterizer.scale, expected, rtol=0, atol=error)
    assert num_saturated == 0
    assert num_used == slice_edges(events["t"], steps, slicing)[-1]


@pytest.mark.parametrize("slicing", SLICINGS)
@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("value", COUNTED)
def test_every_combination_equals_a_plain_computation(slicing, resize, value):
    events = random_events((50, 37), 3000)
    rasterizer = Rasterizer((50, 37), 3, (16, 24), slicing, resize, value=value)

    expected = independent_frames(events, (50, 37), 3, (16, 24), resize, slicing, value)

    np.testing.assert_allclose(rasterizer.frames(events), expected, rtol=1e-6, atol=1e-9)
    assert expected.any()


@compiled
@given(sides, sides, st.integers(0, 60))
def test_summing_conserves_the_events(sensor, size, num_events):
    assert rasterize(random_events(sensor, num_events), sensor, 3, size, resize="sum").sum() == num_events


@compiled
@given(st.integers(1, 8), st.integers(1, 8), sides, st.integers(0, 60))
def test_averaging_whole_blocks_conserves_the_events(across, down, size, num_events):
    sensor = size[0] * across, size[1] * down

    frames = rasterize(random_events(sensor, num_events), sensor, 3, size, resize="area")

    np.testing.assert_allclose(frames.sum() * across * down, num_events, rtol=1e-6)


def test_weights_without_a_small_common_denominator_are_rounded():
    rasterizer = Rasterizer((346, 260), 2, (47, 45), resize="bilinear-antialias")
    events = random_events((346, 260), 5000)

    expected = independent_frames(events, (346, 260), 2, (47, 45), "bilinear-antialias")

    assert rasterizer._axes[0].denominator > 1 << 31
    assert (rasterizer.denominator, rasterizer.exact) == (1 << 31, False)
    np.testing.assert_allclose(rasterizer.frames(events), expected, rtol=1e-6, atol=5000 * 2**-32)


@compiled
@given(sides, st.integers(1, 6), st.integers(0, 60))
def test_events_are_conserved_at_the_sensors_own_size(sensor, steps, num_events):
    frames = rasterize(random_events(sensor, num_events), sensor, steps, sensor)

    assert frames.sum() == num_events
    assert frames.sum((1, 2, 3))[: steps - 1].tolist() == [num_events // steps] * (steps - 1)


def test_one_event_by_hand():
    # Column 0 of 128 feeds column 0 of 48 with 1/6, row 1 feeds row 0 with 5/6.
    frames = rasterize(make_events(*np.array([[7], [0], [1], [1]])), steps=1)

    expected = np.zeros((1, 2, 48, 48), np.float32)
    expected[0, 1, 0, 0] = 5 / 36
    np.testing.assert_array_equal(frames, expected)
    assert frames.dtype == np.float32


def test_the_dvs128_at_48_px_is_exact_with_one_bin_per_pixel():
    table = axis_table(bilinear(128, 48))
    rasterizer = Rasterizer((128, 128))

    assert (table.denominator, table.bins.shape) == (6, (1, 128))
    np.testing.assert_allclose(table.weights[0, :8] * 6, [1, 5, 0, 3, 3, 0, 5, 1], rtol=1e-15)
    assert (rasterizer.exact, rasterizer.scale) == (True, 1 / 36)


@pytest.mark.parametrize("resize", [bilinear, bilinear_antialias, area])
@pytest.mark.parametrize(("num_pixels", "num_bins"), [(128, 48), (34, 48), (5, 7), (1, 3), (3, 1), (240, 180)])
def test_weights_of_a_bin_add_up_to_one(resize, num_pixels, num_bins):
    table = axis_table(resize(num_pixels, num_bins))

    sums = np.bincount(table.bins.ravel(), table.weights.ravel(), num_bins)
    np.testing.assert_allclose(sums, 1, rtol=1e-14)
    numerators = table.weights * table.denominator
    np.testing.assert_allclose(numerators, np.rint(numerators), rtol=1e-12)


def test_transposing_swaps_the_axes():
    events = random_events((30, 20), 500)
    swapped = make_events(events["t"], events["y"], events["x"], events["p"])

    transposed = Rasterizer((30, 20), 4, (7, 9), transpose=True).frames(events)

    np.testing.assert_array_equal(transposed, Rasterizer((20, 30), 4, (7, 9)).frames(swapped))


@pytest.mark.parametrize("transpose", [False, True])
def test_a_half_turn_turns_the_camera_first(transpose):
    events = random_events((30, 20), 500)
    turned = make_events(events["t"], 29 - events["x"], 19 - events["y"], events["p"])

    frames = Rasterizer((30, 20), 4, (7, 9), transpose=transpose, half_turn=True).frames(events)

    np.testing.assert_array_equal(frames, Rasterizer((30, 20), 4, (7, 9), transpose=transpose).frames(turned))
    if not transpose:
        upright = Rasterizer((30, 20), 4, (30, 20), half_turn=True).frames(events)
        np.testing.assert_array_equal(upright, Rasterizer((30, 20), 4, (30, 20)).frames(events)[..., ::-1, ::-1])


def test_no_events_give_empty_frames():
    frames = rasterize(np.empty(0, EVENT_DTYPE))

    assert frames.shape == (16, 2, 48, 48)
    assert not frames.any()


def test_fewer_events_than_slices_leave_the_early_ones_empty():
    frames = rasterize(random_events((4, 4), 3), (4, 4), steps=5, size=(4, 4))

    assert frames.sum((1, 2, 3)).tolist() == [0, 0, 0, 0, 3]


@pytest.mark.parametrize(("x", "y"), [(30, 0), (0, 20), (65535, 65535)])
def test_an_event_outside_the_sensor_is_named(x, y):
    events = random_events((30, 20), 10)
    events["x"][6], events["y"][6] = x, y

    with pytest.raises(ValueError, match=rf"event 6 at \({x}, {y}\) lies outside the 30×20 sensor"):
        Rasterizer((30, 20), 4).sums(events)


def test_a_damaged_polarity_stays_in_its_frame():
    events = random_events((4, 4), 1)
    events.view(np.uint8)[-1] = 255

    assert rasterize(events, (4, 4), 1, (4, 4))[0, 1].sum() == 1


def test_bins_that_overflow_are_cut_off_and_counted():
    events = np.zeros(70_000, EVENT_DTYPE)
    events["p"][:3] = True

    stored, num_saturated, _ = Rasterizer((2, 2), 1, (2, 2)).stored(events)

    assert stored.dtype == np.uint16
    assert stored[0, :, 0, 0].tolist() == [65535, 3]
    assert num_saturated == 1


def test_sums_beyond_32_bits_do_not_wrap():
    rasterizer = Rasterizer((251, 1), 1, (241, 1))
    events = np.zeros(rasterizer.denominator, EVENT_DTYPE)
    weight = round(rasterizer._axes[0].weights[:, 0].max() * rasterizer.denominator)
    repeats = (1 << 32) // (weight * len(events)) + 1

    sums = rasterizer.sums(np.tile(events, repeats))

    assert int(sums.max()) == weight * len(events) * repeats > 1 << 32


def test_inexact_values_are_rounded_to_the_nearest():
    rasterizer = Rasterizer((34, 34), 1, (48, 48))
    events = random_events((34, 34), 400)
    stored, _, _ = rasterizer.stored(events)

    assert (rasterizer.exact, rasterizer.scale) == (False, 1 / 256)
    np.testing.assert_array_equal(stored, np.floor(rasterizer.sums(events) / rasterizer.denominator * 256 + 0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slicing": "events"}, "unknown slicing 'events'; choose count, time"),
        ({"value": "sum"}, "unknown value 'sum'; choose one of count, binary, signed, voxel"),
        ({"sensor": (5000, 2)}, r"sensor is \(width, height\), each from 1 to 4096 px, got \(5000, 2\)"),
        ({"resize": "cubic"}, "unknown resize 'cubic'; choose one of bilinear"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"size": (0, 48)}, r"size is \(width, height\), each from 1 to 4096 px, got \(0, 48\)"),
        ({"sensor": (128,)}, r"sensor is \(width, height\), each from 1 to 4096 px, got \(128,\)"),
    ],
)
def test_what_cannot_be_done_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        rasterize(np.empty(0, EVENT_DTYPE), **options)


def test_sides_may_be_lists():
    events = random_events((30, 20), 50)

    np.testing.assert_array_equal(rasterize(events, [30, 20], 4, [8, 8]), rasterize(events, (30, 20), 4, (8, 8)))


def test_events_are_not_changed():
    events = random_events((128, 128), 100)
    before = events.copy()
    rasterize(events)

    np.testing.assert_array_equal(events, before)


@pytest.mark.parametrize(
    "name",
    [
        "dvs128_objects/session1/pencil.aedat",
        "dvs128_objects/session2/scissors.aedat",
        "formats/aedat2_dvs128_walking.aedat",
        "nmnist_small/Train/0/00193.bin",
        "dvs_gesture_clips/1.bs2",
        "formats/ncaltech101_faces_easy_0001.bin",
    ],
)
def test_frames_of_real_recordings(shared_data, name):
    recording = read_recording(shared_data / name)
    rasterizer = Rasterizer(recording.sensor)

    expected = independent_frames(recording.events, recording.sensor, 16, (48, 48))

    np.testing.assert_allclose(rasterizer.frames(recording.events), expected, rtol=1e-6, atol=1e-6)
    stored, num_saturated, _ = rasterizer.stored(recording.events)
    error = 1e-9 if rasterizer.exact else rasterizer.scale / 2 + 1e-9
    np.testing.assert_allclose(stored * rasterizer.scale, expected, rtol=0, atol=error)
    assert num_saturated == 0
