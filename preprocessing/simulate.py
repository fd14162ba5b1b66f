"""A simulated event camera in front of a moving picture: labelled images to recordings.

Every pixel remembers a log intensity L. When log(I + dark) has moved away from it by the pixel's threshold θ, the
pixel sends an event, ON for brighter and OFF for darker, and L moves by θ towards it, as often as needed:

    ON  while log(I(t) + dark) − L ≥ θ_on        OFF while log(I(t) + dark) − L ≤ −θ_off

Thresholds differ a little from pixel to pixel, and noise events come at random. The picture follows the protocol
of CIFAR10-DVS: enlarged, and moved smoothly along a closed loop of four diagonal paths, several times over.

Sources: Lichtsteiner et al., IEEE J. Solid-State Circuits 43(2), 2008 (the pixel); Li et al., Frontiers in
Neuroscience 11:309, 2017 (the protocol).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import Events, make_events

SENSOR = (128, 128)


@dataclass(frozen=True)
class CameraSettings:
    """The camera and the movement of the picture in front of it.

    Attributes:
        theta_on: threshold of ON events, in natural log units.
        theta_off: threshold of OFF events.
        theta_spread: standard deviation of a pixel's thresholds, relative to them.
        noise_hz: rate of noise events per pixel and polarity.
        dark: light that a black pixel still sees, where white is 1: what bounds the contrast.
        background: intensity around the picture, from 0 to 1.
        picture_px: longer side of the enlarged picture on the sensor, with a border of background that is one
            of the picture's own pixels wide, so that its edges are no sharper than its inside.
        path_px: how far each of the four diagonal paths leads along x and along y.
        num_loops: how often the picture goes around.
        duration_us: length of the recording.
        step_us: the light is computed this often and taken as linear in between.

    Raises:
        ValueError: a value outside its range.
    """

    theta_on: float = 0.4
    theta_off: float = 0.4
    theta_spread: float = 0.03
    noise_hz: float = 0.1
    dark: float = 0.15
    background: float = 0.0
    picture_px: int = 100
    path_px: float = 2.8
    num_loops: int = 6
    duration_us: int = 1_300_000
    step_us: int = 2_000

    def __post_init__(self) -> None:
        positive = ("theta_on", "theta_off", "dark", "picture_px", "duration_us", "step_us")
        for name in (*positive, "theta_spread", "noise_hz", "path_px", "num_loops"):
            value = getattr(self, name)
            if not (value > 0 if name in positive else value >= 0):
                raise ValueError(f"{name} must be {'positive' if name in positive else 'at least 0'}, got {value}")
        if not 0 <= self.background <= 1:
            raise ValueError(f"background is an intensity from 0 to 1, got {self.background}")
        if self.picture_px > SENSOR[0]:
            raise ValueError(f"picture_px is at most the sensor's {SENSOR[0]} px, got {self.picture_px}")
        if self.duration_us % self.step_us:
            raise ValueError(f"duration_us {self.duration_us} is no multiple of step_us {self.step_us}")


_DEFAULT = CameraSettings()


def simulate_dvs(image: NDArray[np.generic], seed: int, settings: CameraSettings = _DEFAULT) -> Events:
    """Record a picture with the simulated camera.

    Args:
        image: ``[H0, W0]``, uint8 from 0 to 255, or floats from 0 to 1.
        seed: fixes the thresholds, the memories at the start and the noise.
        settings: the camera and the movement.

    Returns:
        Events ``[N]`` of the 128×128 sensor, sorted by time. The same arguments give the same events.

    Raises:
        ValueError: an image of another type, shape or range.
    """
    from preprocessing.kernels.camera import watch

    rng = np.random.default_rng(seed)
    thresholds = _thresholds(settings, rng)
    memory = thresholds.min(axis=0) * rng.uniform(-0.5, 0.5, thresholds.shape[1:]).astype(np.float32)
    scene, places = _log_scene(_intensities(image), settings), _places(settings)
    keys = np.empty(1 << 16, np.int64)
    while (num_events := watch(scene, places, settings.step_us, thresholds, memory, keys)) > len(keys):
        keys = np.empty(num_events, np.int64)
    keys = np.sort(np.concatenate([keys[:num_events], _noise_keys(settings, rng)]))
    return make_events(keys >> 15, keys >> 1 & 127, keys >> 8 & 127, keys & 1)


def _thresholds(settings: CameraSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Thresholds ``[2, 128, 128]`` of every pixel, OFF and ON; none below half of the nominal one."""
    nominal = np.array([settings.theta_off, settings.theta_on], np.float32)[:, None, None]
    spread = 1 + settings.theta_spread * rng.standard_normal((2, *SENSOR), np.float32)
    thresholds: NDArray[np.float32] = (nominal * spread.clip(0.5)).astype(np.float32)
    return thresholds


def _noise_keys(settings: CameraSettings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Noise events, as ``kernels.watch`` writes them: a Poisson process at every pixel and polarity."""
    num_addresses = 2 * SENSOR[0] * SENSOR[1]
    num_events = rng.poisson(settings.noise_hz * num_addresses * settings.duration_us * 1e-6)
    t = rng.integers(0, settings.duration_us, num_events)
    return t << 15 | rng.integers(0, num_addresses, num_events)


def _intensities(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """The picture as floats from 0 to 1."""
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"a picture has the shape [height, width], got {list(image.shape)}")
    if image.dtype == np.uint8:
        return image.astype(np.float64) / 255
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"a picture is uint8 (0 to 255) or float (0 to 1), got {image.dtype}")
    values = image.astype(np.float64)
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"a float picture lies in [0, 1], got {values.min():g} to {values.max():g}; rescale it")
    return values


def _log_scene(values: NDArray[np.float64], settings: CameraSettings) -> NDArray[np.float32]:
    """Log light ``[128 + 2·margin]²``: the enlarged picture on its background, with room for the movement."""
    values = np.pad(values, 1, constant_values=settings.background)
    enlarge = settings.picture_px / max(values.shape)
    rows, columns = (max(1, round(side * enlarge)) for side in values.shape)
    picture = _enlarged(_enlarged(values, rows).T, columns).T
    side = SENSOR[0] + 2 * _margin(settings)
    scene = np.full((side, side), settings.background)
    top, left = (side - rows) // 2, (side - columns) // 2
    scene[top : top + rows, left : left + columns] = picture
    light: NDArray[np.float32] = np.log(scene + settings.dark).astype(np.float32)
    return light


def _enlarged(values: NDArray[np.float64], num_rows: int) -> NDArray[np.float64]:
    """Bilinear resizing of the rows, pixel centres at halves."""
    position = ((np.arange(num_rows) + 0.5) * len(values) / num_rows - 0.5).clip(0, len(values) - 1)
    low = position.astype(np.int64)
    part = (position - low)[:, None]
    return (1 - part) * values[low] + part * values[np.minimum(low + 1, len(values) - 1)]


def _margin(settings: CameraSettings) -> int:
    return int(np.ceil(settings.path_px)) + 1


def _places(settings: CameraSettings) -> NDArray[np.float64]:
    """Where in the scene the sensor's corner lies ``[steps + 1, (y, x)]``, px: a diamond, walked at even speed."""
    num_steps = settings.duration_us // settings.step_us
    turn = np.arange(num_steps + 1) * settings.step_us * settings.num_loops / settings.duration_us % 1
    corners = np.linspace(0, 1, 5)
    swing = [np.interp(turn, corners, corner) for corner in ([0, 1, 0, -1, 0], [-1, 0, 1, 0, -1])]
    return _margin(settings) + settings.path_px * np.stack(swing, axis=1)
