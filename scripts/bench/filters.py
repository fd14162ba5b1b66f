"""Event filters: the compiled loops against NumPy twins, on the same events in the same run, one core.

The events are those of real recordings of a DVS128, and uniform noise on a 640×480 sensor, which has no order in
space for a processor's cache to use. The twins do the same with array operations only: sorts and searches. First they
must keep the same events. Then they take turns, and medians of their processor time are printed with the ratios; a
plain copy of the events, which every filter but crop has to make, is the limit.

Example:
    .venv/bin/python -m scripts.bench.filters --repeats 7
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from preprocessing.commands import command
from preprocessing.events import Events, make_events
from preprocessing.events.filters import Crop, Filter, Hot, Noise, Refractory
from preprocessing.readers import read_recording
from scripts.bench.common import SHARED, in_turns, machine, parser, timed

Sensor = tuple[int, int]


@command("no figures were kept")
def main() -> None:
    options = parser(__doc__, repeats=7)
    options.add_argument("files", nargs="*", type=Path, help="recordings; default: ten objects")
    chosen = options.parse_args()
    files = chosen.files or sorted((SHARED / "dvs128_objects").glob("*/*.aedat"))
    if files:
        recordings = [read_recording(path) for path in files]
        compare(f"{len(files)} recordings", [(r.events, r.sensor) for r in recordings], chosen.repeats)
    compare("noise, 640×480", [(noise_events(1_000_000), (640, 480))], chosen.repeats)
    print(f"{machine('numpy', 'numba')}, median of {chosen.repeats}")


def compare(title: str, streams: list[tuple[Events, Sensor]], repeats: int) -> None:
    pairs: dict[str, tuple[Filter, Callable[[Events, Sensor], Events]]] = {
        "crop:100ms-1.3s": (Crop(100_000, 1_300_000), crop_numpy),
        "refractory:1ms": (Refractory(1000), refractory_numpy),
        "noise:10ms": (Noise(10_000), noise_numpy),
        "hot:1.5": (Hot(1.5), hot_numpy),
    }
    num_events = sum(len(events) for events, _ in streams)
    jobs = {"copy": job(lambda events, _: events.view("u1").copy(), streams)}
    kept = {}
    for spec, (ours, twin) in pairs.items():
        for events, sensor in streams:
            np.testing.assert_array_equal(ours(events, sensor), twin(events, sensor))
        kept[spec] = sum(len(ours(*stream)) for stream in streams) / num_events
        jobs[spec] = job(ours, streams)
        jobs[f"{spec}, NumPy"] = job(twin, streams)
    seconds = in_turns(jobs, repeats)
    print(f"{title}, {num_events:,} events: the same events are kept")
    print(f"  {'copy':<16}{num_events / seconds['copy'] / 1e6:12,.0f} M events/s")
    for spec in pairs:
        speed, twin_speed = (num_events / seconds[name] / 1e6 for name in (spec, f"{spec}, NumPy"))
        ratio = f"{speed / twin_speed:8,.0f} × NumPy ({twin_speed:,.1f})"
        print(f"  {spec:<16}{speed:12,.0f} M events/s{ratio}, keeps {kept[spec]:.1%}")


def job(filter_: Callable[[Events, Sensor], Events], streams: list[tuple[Events, Sensor]]) -> Callable[[], float]:
    """Processor time to filter one stream after the other; nothing is kept, as in a build."""

    def run() -> None:
        for events, sensor in streams:
            filter_(events, sensor)

    return lambda: timed(run, process_time)


def noise_events(num: int) -> Events:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 2_000_000, num))
    return make_events(t, rng.integers(0, 640, num), rng.integers(0, 480, num), rng.random(num) < 0.5)


def pixels(events: Events, sensor: Sensor) -> NDArray[np.int64]:
    pixel: NDArray[np.int64] = events["y"].astype(np.int64) * sensor[0] + events["x"]
    return pixel


def crop_numpy(events: Events, _: Sensor) -> Events:
    since = events["t"] - events["t"][0]
    inside: Events = events[(since >= 100_000) & (since < 1_300_000)]
    return inside


def refractory_numpy(events: Events, sensor: Sensor) -> Events:
    """Sorted by pixel and time, each pixel steps from a kept event to its next; all pixels step at once."""
    pixel = pixels(events, sensor)
    order = np.argsort(pixel, kind="stable")
    since = events["t"][order] - events["t"][0]
    longest = int(since.max()) + 1001
    key = pixel[order] * longest + since
    at = np.flatnonzero(np.diff(pixel[order], prepend=-1))
    keep = np.zeros(len(events), np.bool_)
    while len(at):
        keep[order[at]] = True
        next_at = np.searchsorted(key, key[at] + 1000)
        inside = next_at < len(key)
        at, next_at = at[inside], next_at[inside]
        at = next_at[pixel[order[next_at]] == pixel[order[at]]]
    return events[keep]


def noise_numpy(events: Events, sensor: Sensor) -> Events:
    """For each of the 8 neighbours in turn, look for its last event in the list sorted by pixel and place."""
    num, (width, height) = len(events), sensor
    pixel, place = pixels(events, sensor), np.arange(len(events))
    order = np.argsort(pixel, kind="stable")
    key = pixel[order] * num + order
    keep = np.zeros(num, np.bool_)
    for dx, dy in ((dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dx or dy):
        x, y = events["x"].astype(np.int64) + dx, events["y"].astype(np.int64) + dy
        neighbour = y * width + x
        before = np.searchsorted(key, neighbour * num + place) - 1
        last = order[before]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (before >= 0)
        keep |= inside & (pixel[last] == neighbour) & (events["t"] - events["t"][last] < 10_000)
    return events[keep]


def hot_numpy(events: Events, sensor: Sensor) -> Events:
    pixel = pixels(events, sensor)
    counts = np.bincount(pixel)
    usual = np.quantile(counts[counts > 0], 0.99, method="inverted_cdf")
    return events[counts[pixel] <= 1.5 * usual]


if __name__ == "__main__":
    sys.exit(main())
