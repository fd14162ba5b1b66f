"""Voxel grids against counts and a NumPy twin, on the same recordings in the same run, one core.

Recordings of a DVS128 become 16×2×48×48 frames from their files' words, already in memory. The twin begins with decoded
events, which costs it nothing here, and does the same with array operations: the shares of the two bins that each event
lies between, then a bincount, in float64. First the voxels must be the twin's with places rounded to 1/256, and the
twin's without that within 1/512 of each event. Then all take turns, and medians of their processor time are printed
with the ratios.

Example:
    .venv/bin/python -m scripts.bench.voxel --repeats 15
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from preprocessing.commands import command
from preprocessing.events import Events, make_events
from preprocessing.events.records import Records
from preprocessing.frames.rasterize import Rasterizer
from preprocessing.readers.raw import open_raw
from scripts.bench.common import SHARED, in_turns, machine, parser, timed

SENSOR, STEPS = (128, 128), 16
VOXEL = Rasterizer(SENSOR, STEPS, slicing="time", value="voxel")


@command("no figures were kept")
def main() -> None:
    options = parser(__doc__, repeats=15)
    options.add_argument("files", nargs="*", type=Path, help="AEDAT-2.0 files of a DVS128; default: ten objects")
    chosen = options.parse_args()
    files = chosen.files or sorted((SHARED / "dvs128_objects").glob("*/*.aedat"))[:10]
    words = [records_of(path) for path in files] or [Records.from_events(noise_events(300_000), SENSOR)]
    decoded = [make_events(np.asarray(each.t), *each.columns()) for each in words]
    for each, events in zip(words, decoded, strict=True):
        compare(VOXEL.frames(each), events)
    num_events = sum(map(len, words))
    print(f"{len(words)} recordings, {num_events:,} events: voxels agree with NumPy's")
    jobs = {
        "voxel": job(VOXEL.frames, words),
        "count, slicing count": job(Rasterizer(SENSOR, STEPS).frames, words),
        "count, slicing time": job(Rasterizer(SENSOR, STEPS, slicing="time").frames, words),
        "voxel in NumPy": job(twin, decoded),
    }
    seconds = in_turns(jobs, chosen.repeats)
    for name, each_seconds in seconds.items():
        ratio = each_seconds / seconds["voxel"]
        print(f"  {name:22}{num_events / each_seconds / 1e6:8.1f} M events/s   voxel is {ratio:6.2f} ×")
    print(f"{machine('numpy', 'numba')}, median of {chosen.repeats}")


def records_of(path: Path) -> Records:
    raw = open_raw(path.read_bytes(), str(path))
    assert raw is not None, f"{path} is no plain recording of a DVS128"
    return raw.events


def noise_events(num: int) -> Events:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 2_000_000, num))
    return make_events(t, rng.integers(0, 128, num), rng.integers(0, 128, num), rng.random(num) < 0.5)


def job(function: Callable[..., object], each: Sequence[object]) -> Callable[[], float]:
    """Processor time for one recording after the other; nothing is kept, as in a build."""

    def run() -> None:
        for one in each:
            function(one)

    return lambda: timed(run, process_time)


def twin(events: Events, parts: int | None = None) -> NDArray[np.float64]:
    """Voxels ``[T, 2, H, W]``; places in time are rounded to 1 / parts if asked."""
    across, down = VOXEL._axes
    width, height = VOXEL.size
    t, x, y = events["t"], events["x"], events["y"]
    place = (t - t[0]) * ((STEPS - 1) / (t[-1] - t[0]))
    place = place if parts is None else np.floor(place * parts + 0.5) / parts
    before = np.minimum(place.astype(np.int64), STEPS - 2)
    share = place - before
    frame = 2 * height * width
    bins = before * frame + (events["p"] * height + down.bins[0][y]) * width + across.bins[0][x]
    weights = down.weights[0][y] * across.weights[0][x]
    num = STEPS * frame
    own, later = np.bincount(bins, weights * (1 - share), num), np.bincount(bins + frame, weights * share, num)
    return np.asarray(own + later, np.float64).reshape(STEPS, 2, height, width)


def compare(ours: NDArray[np.float32], events: Events) -> None:
    np.testing.assert_allclose(ours, twin(events, parts=256), rtol=1e-5, atol=1e-5)
    counts = Rasterizer(SENSOR, 1).frames(events)[0]
    assert (np.abs(ours - twin(events)) <= counts / 512 + 1e-5).all()
    np.testing.assert_allclose(ours.sum(0), counts, rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    sys.exit(main())
