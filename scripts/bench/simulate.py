"""Pictures to events: the compiled camera against its NumPy twin, and against sorting the same events.

Both record CIFAR-10 images (random ones, where the shared data are not there) with the default camera, on one core.
First their events are compared, byte by byte. Then they take turns, and medians are printed with the ratio. The last
line is a limit: np.sort of the recordings' (time, address) keys, which whoever simulates pixel by pixel has to do.

Example:
    OPENBLAS_NUM_THREADS=1 .venv/bin/python scripts/bench/simulate.py --images 20 --repeats 9
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import numba
import numpy as np
from numpy.typing import NDArray

from preprocessing.simulate import simulate_dvs

CIFAR = Path(__file__).parents[2].parent / "shared/data/cifar10_10k.npz"


def main() -> None:
    options = parse_options()
    images, origin = pictures(options.images)
    recordings = [simulate_dvs(image, seed) for seed, image in enumerate(images)]
    num_events = sum(len(events) for events in recordings)
    for seed, image in enumerate(images):
        assert recordings[seed].tobytes() == simulate_dvs(image, seed, compiled=False).tobytes()
    print(f"events agree on {len(images)} {origin}, {num_events:,} events")

    keys = [shuffled(events["t"] << 15 | events["y"].astype(np.int64) << 8) for events in recordings]
    seconds = interleaved(
        {
            "picture → events, NumPy twin": lambda i: simulate_dvs(images[i], i, compiled=False),
            "picture → events, ours": lambda i: simulate_dvs(images[i], i),
            "np.sort of the keys alone": lambda i: np.sort(keys[i]),
        },
        len(images),
        options.repeats,
    )
    for name, each in seconds.items():
        print(f"{name:32s}{num_events / each / 1e6:8.2f} M events/s {each / len(images) * 1e3:8.1f} ms a picture")
    ours = seconds["picture → events, ours"]
    print(f"ratio ours / NumPy twin: {seconds['picture → events, NumPy twin'] / ours:.1f}")
    print(f"ratio ours / sorting alone: {seconds['np.sort of the keys alone'] / ours:.2f}")
    print(
        f"{platform.machine()} {cpu_name()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"numba {numba.__version__}, {datetime.now(UTC):%Y-%m-%d}, median of {options.repeats}"
    )


def parse_options() -> argparse.Namespace:
    description, _, example = (__doc__ or "").partition("Example:")
    parser = argparse.ArgumentParser(
        description=description, epilog="Example:" + example, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20, help="pictures, spread over the classes")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each, of which the median counts")
    return parser.parse_args()


def pictures(count: int) -> tuple[NDArray[np.generic], str]:
    """So many CIFAR-10 images, spread over the classes, and what they are called."""
    if CIFAR.exists():
        images = np.load(CIFAR)["images"]
        return images[:: len(images) // count][:count], "CIFAR-10 images"
    return np.random.default_rng(0).random((count, 12, 12)), "random images"


def shuffled(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(keys)


def interleaved(jobs: dict[str, Callable[[int], object]], num_pictures: int, repeats: int) -> dict[str, float]:
    """Seconds of each job for all pictures, from each picture's median; jobs take turns, so that a busy machine
    slows all of them."""
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in range(num_pictures)] for name in jobs}
    for _ in range(repeats):
        for i in range(num_pictures):
            for name, job in jobs.items():
                start = perf_counter()
                job(i)
                seconds[name][i].append(perf_counter() - start)
    return {name: sum(median(runs) for runs in each) for name, each in seconds.items()}


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
