import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import rasterize, read_recording
from preprocessing.events import EVENT_DTYPE, make_events
from preprocessing.rasterize import RESIZES, Rasterizer
from preprocessing.tables import area_matrix, axis_table, bilinear_matrix

compiled = settings(deadline=None, max_examples=50)  # the first call compiles
sides = st.tuples(st.integers(1, 40), st.integers(1, 40))


def random_events(sensor, num_events, seed=0):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 10_000, num_events))
    x, y = rng.integers(0, sensor[0], num_events), rng.integers(0, sensor[1], num_events)
    return make_events(t, x, y, rng.integers(0, 2, num_events))


def independent_frames(events, sensor, steps, size, resize="bilinear"):
    """Counts per slice of equal count, resized by torch, all in float64."""
    counts = np.zeros((steps, 2, sensor[1], sensor[0]))
    per_slice = len(events) // steps
    step = np.minimum(np.arange(len(events)) // max(per_slice, 1), steps - 1) if per_slice else steps - 1
    np.add.at(counts, (step, events["p"].astype(int), events["y"], events["x"]), 1)
    resized = torch.nn.functional.interpolate(torch.from_numpy(counts), size[::-1], mode=resize)
    return resized.numpy()


@compiled
@given(sides, sides, st.integers(1, 6), st.integers(0, 60), st.sampled_from(RESIZES))
def test_frames_are_counts_per_slice_resized_as_torch_does(sensor, size, steps, num_events, resize):
    events = random_events(sensor, num_events)
    rasterizer = Rasterizer(sensor, steps, size, resize=resize)
    expected = independent_frames(events, sensor, steps, size, resize)

    stored, num_saturated = rasterizer.stored(events)

    np.testing.assert_allclose(rasterizer.frames(events), expected, rtol=1e-6, atol=1e-9)
    error = 1e-9 if rasterizer.exact else rasterizer.scale / 2 + 1e-9
    np.testing.assert_allclose(stored * rasterizer.scale, expected, rtol=0, atol=error)
    assert num_saturated == 0


@compiled
@given(sides, sides, st.sampled_from(["count", "time"]), st.booleans(), st.integers(0, 60))
def test_the_kernel_equals_its_numpy_twin(sensor, size, slicing, transpose, num_events):
    events = random_events(sensor, num_events)
    rasterizer = Rasterizer(sensor, 4, size, slicing, transpose=transpose)

    sums = rasterizer.sums(events)

    np.testing.assert_array_equal(sums, rasterizer.sums(events, compiled=False))
    assert sums.shape == (4, 2, size[1], size[0])


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
    table = axis_table(*bilinear_matrix(128, 48))
    rasterizer = Rasterizer((128, 128))

    assert (table.denominator, table.bins.shape) == (6, (1, 128))
    assert table.weights[0, :8].tolist() == [1, 5, 0, 3, 3, 0, 5, 1]
    assert (rasterizer.exact, rasterizer.scale) == (True, 1 / 36)


@pytest.mark.parametrize("matrix", [bilinear_matrix, area_matrix])
@pytest.mark.parametrize(("num_pixels", "num_bins"), [(128, 48), (34, 48), (5, 7), (1, 3), (3, 1), (240, 180)])
def test_weights_of_a_bin_add_up_to_one(matrix, num_pixels, num_bins):
    table = axis_table(*matrix(num_pixels, num_bins))

    sums = np.bincount(table.bins.ravel(), table.weights.ravel(), num_bins)
    np.testing.assert_array_equal(sums, table.denominator)


def test_transposing_swaps_the_axes():
    events = random_events((30, 20), 500)
    swapped = make_events(events["t"], events["y"], events["x"], events["p"])

    transposed = Rasterizer((30, 20), 4, (7, 9), transpose=True).frames(events)

    np.testing.assert_array_equal(transposed, Rasterizer((20, 30), 4, (7, 9)).frames(swapped))


def test_no_events_give_empty_frames():
    frames = rasterize(np.empty(0, EVENT_DTYPE))

    assert frames.shape == (16, 2, 48, 48)
    assert not frames.any()


def test_fewer_events_than_slices_leave_the_early_ones_empty():
    frames = rasterize(random_events((4, 4), 3), (4, 4), steps=5, size=(4, 4))

    assert frames.sum((1, 2, 3)).tolist() == [0, 0, 0, 0, 3]


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize(("x", "y"), [(30, 0), (0, 20), (65535, 65535)])
def test_an_event_outside_the_sensor_is_named(is_compiled, x, y):
    events = random_events((30, 20), 10)
    events["x"][6], events["y"][6] = x, y

    with pytest.raises(ValueError, match=rf"event 6 at \({x}, {y}\) lies outside the 30×20 sensor"):
        Rasterizer((30, 20), 4).sums(events, compiled=is_compiled)


def test_a_damaged_polarity_stays_in_its_frame():
    events = random_events((4, 4), 1)
    events.view(np.uint8)[-1] = 255

    assert rasterize(events, (4, 4), 1, (4, 4))[0, 1].sum() == 1


def test_bins_that_overflow_are_cut_off_and_counted():
    events = np.zeros(70_000, EVENT_DTYPE)
    events["p"][:3] = True

    stored, num_saturated = Rasterizer((2, 2), 1, (2, 2)).stored(events)

    assert stored.dtype == np.uint16
    assert stored[0, :, 0, 0].tolist() == [65535, 3]
    assert num_saturated == 1


def test_sums_beyond_32_bits_do_not_wrap():
    rasterizer = Rasterizer((251, 1), 1, (241, 1))
    events = np.zeros(rasterizer.denominator, EVENT_DTYPE)
    weight = int(rasterizer._tables[1][:, 0].max())
    repeats = (1 << 32) // (weight * len(events)) + 1

    sums = rasterizer.sums(np.tile(events, repeats))

    assert int(sums.max()) == weight * len(events) * repeats > 1 << 32


def test_inexact_values_are_rounded_to_the_nearest():
    rasterizer = Rasterizer((34, 34), 1, (48, 48))
    events = random_events((34, 34), 400)
    stored, _ = rasterizer.stored(events)

    assert (rasterizer.exact, rasterizer.scale) == (False, 1 / 256)
    np.testing.assert_array_equal(stored, np.floor(rasterizer.sums(events) / rasterizer.denominator * 256 + 0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slicing": "events"}, "unknown slicing 'events'; choose one of count, time"),
        ({"resize": "cubic"}, "unknown resize 'cubic'; choose one of bilinear"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"size": (0, 48)}, r"size is \(width, height\), each at least 1 px, got \(0, 48\)"),
        ({"sensor": (128,)}, r"sensor is \(width, height\), each at least 1 px, got \(128,\)"),
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
    stored, num_saturated = rasterizer.stored(recording.events)
    error = 1e-9 if rasterizer.exact else rasterizer.scale / 2 + 1e-9
    np.testing.assert_allclose(stored * rasterizer.scale, expected, rtol=0, atol=error)
    assert num_saturated == 0
