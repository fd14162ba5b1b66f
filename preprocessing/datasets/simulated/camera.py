"""A simulated event camera in front of a moving picture: labelled images to recordings.

Every pixel remembers a log intensity L. When log(I + dark) has moved away from it by the pixel's threshold θ, the
pixel sends an event, ON for brighter and OFF for darker, is blind for its refractory time, and then remembers
what it sees:

    ON  while log(I(t) + dark) − L ≥ θ_on        OFF while log(I(t) + dark) − L ≤ −θ_off

Thresholds differ from pixel to pixel, and noise events come at random. The picture follows the protocol of
CIFAR10-DVS: enlarged by bicubic interpolation, shown on a monitor, and moved smoothly along a closed loop of four
diagonal paths, six times over, before a DVS128.

The default settings come from three places. *The protocol*: resizing, loops, duration (the mean span of
CIFAR10-DVS is 1.298 s). *The camera*: thresholds of 0.2 with a deviation of a tenth as measured on DVS128 pixels;
noise and refractory time as in the DVS128 recordings that this was tried on, where the median pixel sends 0.05 to
0.2 events/s and one interval in twenty is below 0.25 ms; a monitor's gamma of 2.2. *Chosen*: size and path of the
picture, which no figure fixes (its rim stays out of view), and ``dark``, the only value that was calibrated: with
0.055, CIFAR-10 images give as many events as the recordings of CIFAR10-DVS have in the mean, 205,072. How the
number spreads over images, and where and when the events come, was fitted to nothing. A real monitor refreshes
sixty times a second, and the pixels of a real camera keep their thresholds; here each recording draws its own.

Sources: Lichtsteiner et al., IEEE J. Solid-State Circuits 43(2), 2008 (the pixel, its mismatch); Li et al.,
Frontiers in Neuroscience 11:309, 2017 (the protocol).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import EVENT_DTYPE, Events
from preprocessing.frames.pictures import RESIZINGS, intensities, resized

SENSOR = (128, 128)

_EVENTS_EXPECTED = 1 << 19


@dataclass(frozen=True)
class CameraSettings:
    """The camera and the movement of the picture in front of it.

    Attributes:
        theta_on: threshold of ON events, in natural log units.
        theta_off: threshold of OFF events.
        theta_spread: standard deviation of a pixel's thresholds, relative to them.
        refractory_us: how long a pixel is blind after an event.
        noise_hz: rate of noise events per pixel and polarity.
        gamma: of the monitor: a picture's value v shines with v^gamma, where white is 1.
        dark: light that a black pixel still sees: what bounds the contrast.
        background: the picture's value around it, from 0 to 1.
        resizing: how the picture is enlarged, "bicubic" or "bilinear".
        picture_px: longer side of the enlarged picture on the sensor, with a border of background that is one
            of the picture's own pixels wide, so that its edges are no sharper than its inside. Of a larger picture
            the sensor sees the middle.
        path_px: how far each of the four diagonal paths leads along x and along y.
        num_loops: how often the picture goes around.
        duration_us: length of the recording.
        step_us: the light is computed this often and taken as linear in between. Where a loop is a whole number
            of steps, it is computed for one loop only.

    Raises:
        ValueError: a value outside its range.
    """

    theta_on: float = 0.2
    theta_off: float = 0.2
    theta_spread: float = 0.1
    refractory_us: int = 250
    noise_hz: float = 0.05
    gamma: float = 2.2
    dark: float = 0.055
    background: float = 0.5
    resizing: str = "bicubic"
    picture_px: int = 148
    path_px: float = 2.8
    num_loops: int = 6
    duration_us: int = 1_298_304
    step_us: int = 6_762

    def __post_init__(self) -> None:
        positive = ("theta_on", "theta_off", "gamma", "dark", "picture_px", "duration_us", "step_us")
        for name in (*positive, "theta_spread", "refractory_us", "noise_hz", "path_px", "num_loops"):
            value = getattr(self, name)
            if not (value > 0 if name in positive else value >= 0):
                raise ValueError(f"{name} must be {'positive' if name in positive else 'at least 0'}, got {value}")
        if not 0 <= self.background <= 1:
            raise ValueError(f"background is an intensity from 0 to 1, got {self.background}")
        if self.resizing not in RESIZINGS:
            raise ValueError(f"resizing is one of {', '.join(RESIZINGS)}, got {self.resizing!r}")
        if self.duration_us % self.step_us:
            raise ValueError(f"duration_us {self.duration_us} is no multiple of step_us {self.step_us}")


_DEFAULT = CameraSettings()


def simulate_dvs(
    image: NDArray[np.generic], seed: int, settings: CameraSettings = _DEFAULT, compiled: bool = True
) -> Events:
    """Record a picture with the simulated camera.

    Args:
        image: ``[H, W]`` or ``[H, W, 3]`` (red, green, blue, of which the camera sees the luma), uint8 from 0 to
            255, or floats from 0 to 1.
        seed: fixes the thresholds, the memories at the start and the noise.
        settings: the camera and the movement.
        compiled: False takes the NumPy twin of the compiled loop; the events are the same.

    Returns:
        Events ``[N]`` of the 128×128 sensor, sorted by time. The same arguments give the same events.

    Raises:
        ValueError: an image of another type, shape or range.
    """
    rng = np.random.default_rng(seed)
    thresholds = _thresholds(settings, rng)
    memory = thresholds.min(axis=0) * rng.uniform(-0.5, 0.5, thresholds.shape[1:]).astype(np.float32)
    scene, (places, num_rounds) = _log_scene(intensities(image), settings), _path(settings)
    watch = _watch_compiled if compiled else _watch_numpy
    keys = watch(scene, places, num_rounds, settings.step_us, settings.refractory_us, thresholds, memory)
    keys = np.concatenate([keys, _noise_keys(settings, rng)])
    keys.sort()
    return _events(keys, compiled)


def _events(keys: NDArray[np.int64], compiled: bool) -> Events:
    """Take keys ``t << 15 | y << 8 | x << 1 | p`` apart."""
    events = np.empty(len(keys), EVENT_DTYPE)
    t, x, y, p = (events[name] for name in ("t", "x", "y", "p"))
    if compiled:
        from preprocessing.kernels.camera import split_keys

        split_keys(keys, t, x, y, p)
    else:
        t[:], x[:], y[:], p[:] = keys >> 15, keys >> 1 & 127, keys >> 8 & 127, keys & 1
    return events


def _thresholds(settings: CameraSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Thresholds ``[2, 128, 128]`` of every pixel, OFF and ON; none below half of the nominal one."""
    nominal = np.array([settings.theta_off, settings.theta_on], np.float32)[:, None, None]
    spread = 1 + settings.theta_spread * rng.standard_normal((2, *SENSOR), np.float32)
    thresholds: NDArray[np.float32] = (nominal * spread.clip(0.5)).astype(np.float32)
    return thresholds


def _noise_keys(settings: CameraSettings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Noise events, as keys: a Poisson process at every pixel and polarity."""
    num_addresses = 2 * SENSOR[0] * SENSOR[1]
    num_events = rng.poisson(settings.noise_hz * num_addresses * settings.duration_us * 1e-6)
    t = rng.integers(0, settings.duration_us, num_events)
    return t << 15 | rng.integers(0, num_addresses, num_events)


def _log_scene(values: NDArray[np.float64], settings: CameraSettings) -> NDArray[np.float32]:
    """Log light ``[128 + 2·margin]²``: the enlarged picture on its background, with room for the movement."""
    values = np.pad(values, 1, constant_values=settings.background)
    enlarge = settings.picture_px / max(values.shape)
    rows, columns = (max(1, round(side * enlarge)) for side in values.shape)
    side = SENSOR[0] + 2 * _margin(settings)
    top, left = (side - rows) // 2, (side - columns) // 2
    picture = resized(values, (rows, columns), settings.resizing)[max(-top, 0) :, max(-left, 0) :][:side, :side]
    scene = np.full((side, side), settings.background, np.float64)
    scene[max(top, 0) : max(top, 0) + len(picture), max(left, 0) : max(left, 0) + picture.shape[1]] = picture
    light: NDArray[np.float32] = np.log(scene**settings.gamma + settings.dark).astype(np.float32)
    return light


def _margin(settings: CameraSettings) -> int:
    return int(np.ceil(settings.path_px)) + 1


def _path(settings: CameraSettings) -> tuple[NDArray[np.float64], int]:
    """Where in the scene the sensor's corner lies ``[steps + 1, (y, x)]``, px, in one round, and how many there are.

    A diamond, walked at even speed. A round is one loop, or the whole recording if loops are no whole steps.
    """
    num_steps = settings.duration_us // settings.step_us
    num_rounds = settings.num_loops if settings.num_loops and num_steps % settings.num_loops == 0 else 1
    steps = np.arange(num_steps // num_rounds + 1)
    turn = steps * settings.step_us * settings.num_loops / settings.duration_us % 1
    corners = np.linspace(0, 1, 5)
    swing = [np.interp(turn, corners, corner) for corner in ([0, 1, 0, -1, 0], [-1, 0, 1, 0, -1])]
    return _margin(settings) + settings.path_px * np.stack(swing, axis=1), num_rounds


def _watch_compiled(
    scene: NDArray[np.float32],
    places: NDArray[np.float64],
    num_rounds: int,
    step_us: int,
    refractory_us: int,
    thresholds: NDArray[np.float32],
    memory: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Run the compiled loop; same arguments as ``_watch_numpy`` and the same keys, in another order."""
    from preprocessing.kernels.camera import watch

    keys = np.empty(_EVENTS_EXPECTED, np.int64)
    arguments = scene, places, num_rounds, step_us, refractory_us, thresholds, memory
    while (num_events := watch(*arguments, keys)) > len(keys):
        keys = np.empty(num_events, np.int64)
    return keys[:num_events]


def _watch_numpy(
    scene: NDArray[np.float32],
    places: NDArray[np.float64],
    num_rounds: int,
    step_us: int,
    refractory_us: int,
    thresholds: NDArray[np.float32],
    memory: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Lead the sensor along the path over the scene, step by step; arguments as of ``kernels.camera.watch``.

    Returns:
        Events as keys ``t << 15 | y << 8 | x << 1 | p``, in the order of their steps.
    """
    off, on = thresholds
    rows, columns = np.mgrid[: memory.shape[0], : memory.shape[1]]
    light = np.stack([_look(scene, place, memory.shape) for place in places])
    low, high = light[0] + memory - off, light[0] + memory + on
    awake_from = np.zeros(memory.shape, np.int64)
    keys = [np.empty(0, np.int64)]
    period = len(places) - 1
    for k in range(period * num_rounds):
        before, after = light[k % period], light[k % period + 1]
        while (crossed := (awake_from <= k) & ((after >= high) | (after <= low))).any():
            y, x = rows[crossed], columns[crossed]
            level = np.where(after[y, x] >= high[y, x], high[y, x], low[y, x])
            part = ((level - before[y, x]) / (after[y, x] - before[y, x])).astype(np.float64)
            t = ((k + part) * step_us).astype(np.int64)
            keys.append(t << 15 | y << 8 | x << 1 | (after[y, x] >= high[y, x]))
            if refractory_us > 0:
                end = part + refractory_us / step_us
                skipped = end.astype(np.int64)
                awake_from[y, x] = k + skipped
                j, rest = (k + skipped) % period, (end - skipped).astype(np.float32)
                level = light[j, y, x] + rest * (light[j + 1, y, x] - light[j, y, x])
            low[y, x], high[y, x] = level - off[y, x], level + on[y, x]
    return np.concatenate(keys)


def _look(scene: NDArray[np.float32], place: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """What the sensor sees with its corner at ``place``: the scene, bilinear between its pixels."""
    top, left = int(place[0]), int(place[1])
    down, right = np.float32(place[0] - top), np.float32(place[1] - left)
    up, across = np.float32(1) - down, np.float32(1) - right
    height, width = shape
    upper, lower = (scene[top + i : top + i + height, left : left + width + 1] for i in (0, 1))
    above: NDArray[np.float32] = across * upper[:, :-1] + right * upper[:, 1:]
    below: NDArray[np.float32] = across * lower[:, :-1] + right * lower[:, 1:]
    light: NDArray[np.float32] = up * above + down * below
    return light
