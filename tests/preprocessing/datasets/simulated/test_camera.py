from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from sklearn.datasets import load_digits

from preprocessing.datasets.simulated.camera import CameraSettings, _path, _watch_compiled, _watch_numpy, simulate_dvs
from preprocessing.datasets.simulated.digits import CAMERA
from preprocessing.events import check_events
from preprocessing.readers import aedat2, decode_recording

QUIET = replace(CAMERA, noise_hz=0, theta_spread=0)
DIGITS = load_digits().images / 16


def edge(left=0.0, right=1.0):
    """A picture whose right half has another intensity."""
    return np.repeat([[left] * 16 + [right] * 16], 32, axis=0)


def test_a_digits_recording_can_be_used():
    events = simulate_dvs(DIGITS[0], seed=0, settings=CAMERA)

    check_events(events, (128, 128), "digit")
    assert 15_000 < len(events) < 60_000
    assert 0.45 < events["p"].mean() < 0.55
    assert events["t"][0] >= 0
    assert 1_290_000 < events["t"][-1] <= 1_300_000


def test_cifar_images_give_the_events_of_cifar10_dvs(shared_data):
    """205,072 in the mean over 1.298 s: what the default settings were calibrated to, on other images than these."""
    images = np.load(shared_data / "cifar10_10k.npz")["images"][7::125]
    recordings = [simulate_dvs(image, seed) for seed, image in enumerate(images)]
    counts = np.array([len(events) for events in recordings])
    on_shares = [events["p"].mean() for events in recordings]

    assert counts.mean() == pytest.approx(205_072, rel=0.1)
    assert 0.25 < counts.std() / counts.mean() < 0.6
    assert 0.48 < min(on_shares) < max(on_shares) < 0.52
    assert np.mean([np.ptp(events["t"]) for events in recordings]) == pytest.approx(1_298_000, rel=0.001)


def test_the_recordings_of_the_digits_stay_what_they_were():
    """Accuracies that were measured with them hold as long as this does."""
    events = simulate_dvs(DIGITS[0].astype(np.float32), 0, CAMERA)

    assert sha256(events.tobytes()).hexdigest()[:16] == "c0f1bb371fd012ad"


def random_scene(seed, sensor, num_steps):
    generator = np.random.default_rng(seed)
    scene = generator.normal(0, 0.5, (sensor[0] + 6, sensor[1] + 6)).astype(np.float32)
    places = generator.uniform(0, 4, (num_steps + 1, 2))
    places[-1] = places[0]
    thresholds = generator.uniform(0.05, 0.3, (2, *sensor)).astype(np.float32)
    return scene, places, thresholds, (thresholds.min(axis=0) * generator.uniform(-0.5, 0.5, sensor)).astype(np.float32)


@pytest.mark.parametrize("num_rounds", [1, 3])
@pytest.mark.parametrize("refractory_us", [0, 30, 1_000, 4_321])
@pytest.mark.parametrize("sensor", [(1, 1), (5, 17), (16, 128)])
def test_the_compiled_loop_equals_its_numpy_twin(sensor, refractory_us, num_rounds):
    for seed in range(4):
        scene, places, thresholds, memory = random_scene(seed, sensor, num_steps=9)
        arguments = scene, places, num_rounds, 1_000, refractory_us, thresholds, memory
        expected = np.sort(_watch_numpy(*arguments))

        assert len(expected) > 0
        np.testing.assert_array_equal(np.sort(_watch_compiled(*arguments)), expected)


def test_recordings_are_the_same_without_numba():
    image = np.random.default_rng(0).random((8, 8))

    assert simulate_dvs(image, 3).tobytes() == simulate_dvs(image, 3, compiled=False).tobytes()


def test_the_light_of_one_loop_serves_all():
    """The same path walked as one long round."""
    scene, _, thresholds, memory = random_scene(0, (8, 8), 1)
    places, num_rounds = _path(CameraSettings(path_px=1.9))
    whole = np.concatenate([places[:-1]] * num_rounds + [places[:1]])

    loops = _watch_compiled(scene, places - 1, num_rounds, 6_762, 250, thresholds, memory)
    np.testing.assert_array_equal(_watch_compiled(scene, whole - 1, 1, 6_762, 250, thresholds, memory), loops)
    assert num_rounds == 6


def test_a_pixel_is_blind_after_an_event():
    image = np.random.default_rng(0).random((16, 16))
    events = simulate_dvs(image, 0, CameraSettings(noise_hz=0, refractory_us=3_000))
    pixel = events["y"].astype(int) * 128 + events["x"]
    order = np.lexsort((events["t"], pixel))
    intervals = np.diff(events["t"][order])[np.diff(pixel[order]) == 0]

    assert len(intervals) > 10_000
    assert intervals.min() >= 2_999  # two times cut to whole µs


def test_the_rim_of_a_large_picture_is_out_of_view():
    white = np.ones((32, 32))
    settings = CameraSettings(noise_hz=0, background=0)

    assert len(simulate_dvs(white, 0, settings)) == 0
    assert len(simulate_dvs(white, 0, replace(settings, picture_px=120))) > 10_000


def test_the_camera_sees_the_luma_of_colours():
    colours = np.random.default_rng(0).random((8, 8, 3))
    grey = colours @ [0.299, 0.587, 0.114]

    assert simulate_dvs(colours, 0).tobytes() == simulate_dvs(grey, 0).tobytes()


def test_the_seed_alone_decides():
    first, again, other = (simulate_dvs(DIGITS[3], seed) for seed in (1, 1, 2))

    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_every_digit_can_be_told_by_its_edges():
    """The events of a recording lie where its own picture has edges, more than any other digit's."""
    slopes = [np.hypot(*np.gradient(np.kron(np.pad(digit, 1), np.ones((10, 10))))) for digit in DIGITS[:10]]

    for i, digit in enumerate(DIGITS[:10]):
        events = simulate_dvs(digit, seed=i, settings=CAMERA)
        counts = np.zeros((128, 128))
        np.add.at(counts, (events["y"], events["x"]), 1)
        alike = [np.corrcoef(counts[14:114, 14:114].ravel(), slope.ravel())[0, 1] for slope in slopes]
        assert np.argmax(alike) == i


@pytest.mark.parametrize(("turned", "expected"), [(False, [1, 1, 0, 0]), (True, [1, 0, 0, 1])])
def test_the_picture_goes_round_on_four_diagonals(turned, expected):
    """The sensor's view goes right, right, left, left and down, up, up, down: over an edge to bright and back."""
    picture = edge().T if turned else edge()
    events = simulate_dvs(picture, 0, replace(QUIET, num_loops=1, path_px=8))
    middle = events[(abs(events["x"].astype(int) - 64) < 20) & (abs(events["y"].astype(int) - 64) < 20)]
    quarter = middle["t"] // (QUIET.duration_us // 4)

    assert [middle["p"][quarter == part].mean() for part in range(4)] == pytest.approx(expected, abs=0.05)


def test_on_and_off_events_follow_log_contrast():
    """A pixel that goes over an edge of known contrast and back crosses a known number of thresholds."""
    settings = replace(QUIET, num_loops=1, path_px=12, theta_on=0.2, theta_off=0.4, dark=0.1)
    events = simulate_dvs(edge(), 0, settings)
    at_edge = events[(events["x"] == 64) & (events["y"] == 64)]
    contrast = np.log(1.1 / 0.1)

    num_on, num_off = at_edge["p"].sum(), (~at_edge["p"]).sum()
    assert num_on == pytest.approx(contrast / 0.2, abs=1)
    assert num_off == pytest.approx(contrast / 0.4, abs=1)


def test_a_uniform_scene_is_silent_without_noise():
    assert len(simulate_dvs(np.zeros((8, 8)), 0, QUIET)) == 0


def test_noise_comes_at_its_rate_everywhere():
    events = simulate_dvs(np.zeros((8, 8)), 0, replace(QUIET, noise_hz=1.0))
    expected = 1.3 * 2 * 128 * 128

    assert abs(len(events) - expected) < 5 * np.sqrt(expected)
    assert abs(events["p"].mean() - 0.5) < 0.02
    assert abs(events["x"].mean() - 63.5) < 1
    assert abs(events["y"].mean() - 63.5) < 1


def test_mismatch_makes_pixels_differ():
    """Along a straight edge every row sees the same light; without mismatch only the starting memory differs."""
    spread = replace(QUIET, theta_spread=0.2, theta_on=0.1, theta_off=0.1)
    counts = [
        np.bincount(simulate_dvs(edge(), 0, settings)["y"], minlength=128)[40:88].std()
        for settings in (replace(spread, theta_spread=0), spread)
    ]

    assert counts[1] > 2 * counts[0]


def test_smaller_thresholds_send_more_events():
    few, many = (
        len(simulate_dvs(DIGITS[1], 0, replace(QUIET, theta_on=theta, theta_off=theta))) for theta in (0.4, 0.1)
    )

    assert many > 3 * few


def test_recordings_may_be_of_any_length():
    settings = replace(QUIET, theta_on=0.01, theta_off=0.01)

    assert len(simulate_dvs(DIGITS[1], 0, settings)) > 1 << 19  # more than fit into the first buffer


def test_bytes_and_floats_are_the_same_picture():
    picture = (DIGITS[2] * 255).astype(np.uint8)

    assert simulate_dvs(picture, 5).tobytes() == simulate_dvs(picture / 255, 5).tobytes()


def test_pictures_need_not_be_square():
    events = simulate_dvs(np.repeat([[0.0, 1.0] * 10], 10, axis=0), 0, QUIET)

    assert np.ptp(events["x"].astype(int)) > 90
    assert np.ptp(events["y"].astype(int)) < 70


def test_recordings_survive_their_file():
    events = simulate_dvs(DIGITS[4], 0)

    np.testing.assert_array_equal(decode_recording(aedat2.encode(events), "d.aedat").events, events)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2, 4)), r"shape \[height, width\] or .*, got \[2, 2, 4\]"),
        (np.zeros((0, 2)), r"got \[0, 2\]"),
        (np.full((2, 2), 16.0), "lies in \\[0, 1\\], got 16 to 16; rescale it"),
        (np.array([[0, np.nan]]), "lies in"),
        (np.zeros((2, 2), np.int64), "uint8 .* or float .*, got int64"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        simulate_dvs(image, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"theta_on": 0}, "theta_on must be positive, got 0"),
        ({"noise_hz": -1}, "noise_hz must be at least 0, got -1"),
        ({"background": 2.0}, "background is an intensity from 0 to 1, got 2.0"),
        ({"refractory_us": -1}, "refractory_us must be at least 0, got -1"),
        ({"gamma": 0}, "gamma must be positive, got 0"),
        ({"resizing": "magic"}, "resizing is one of bicubic, bilinear, got 'magic'"),
        ({"step_us": 11}, "duration_us 1298304 is no multiple of step_us 11"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CameraSettings(**settings)
