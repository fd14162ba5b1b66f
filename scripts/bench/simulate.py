"""Pictures to events: the compiled camera against its NumPy twin, and against sorting the same events.

Both record CIFAR-10 images (random ones, where the shared data are not there) with the default camera, on one core.
First their events are compared, byte by byte. Then they take turns, and medians are printed with the ratio. The last
line is a limit: np.sort of the recordings' (time, address) keys, which whoever simulates pixel by pixel has to do.

Example:
    OPENBLAS_NUM_THREADS=1 .venv/bin/python -m scripts.bench.simulate --images 20 --repeats 9
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from preprocessing.commands import command
from preprocessing.datasets.simulated.camera import simulate_dvs
from scripts.bench.common import SHARED, in_turns, machine, parser, timed

CIFAR = SHARED / "cifar10_10k.npz"


@command("no figures were kept")
def main() -> None:
    options = parser(__doc__, repeats=9)
    options.add_argument("--images", type=int, default=20, help="pictures, spread over the classes")
    chosen = options.parse_args()
    images, origin = pictures(chosen.images)
    recordings = [simulate_dvs(image, seed) for seed, image in enumerate(images)]
    num_events = sum(len(events) for events in recordings)
    for seed, image in enumerate(images):
        assert recordings[seed].tobytes() == simulate_dvs(image, seed, compiled=False).tobytes()
    print(f"events agree on {len(images)} {origin}, {num_events:,} events")

    keys = [shuffled(events["t"] << 15 | events["y"].astype(np.int64) << 8) for events in recordings]
    jobs: dict[str, Callable[[int], object]] = {
        "picture → events, NumPy twin": lambda i: simulate_dvs(images[i], i, compiled=False),
        "picture → events, ours": lambda i: simulate_dvs(images[i], i),
        "np.sort of the keys alone": lambda i: np.sort(keys[i]),
    }
    seconds = dict.fromkeys(jobs, 0.0)
    for i in range(len(images)):
        turn = {name: partial(timed, partial(job, i)) for name, job in jobs.items()}
        for name, each in in_turns(turn, chosen.repeats).items():
            seconds[name] += each
    for name, each in seconds.items():
        print(f"{name:32s}{num_events / each / 1e6:8.2f} M events/s {each / len(images) * 1e3:8.1f} ms a picture")
    ours = seconds["picture → events, ours"]
    print(f"ratio ours / NumPy twin: {seconds['picture → events, NumPy twin'] / ours:.1f}")
    print(f"ratio ours / sorting alone: {seconds['np.sort of the keys alone'] / ours:.2f}")
    print(f"{machine('numpy', 'numba')}, median of {chosen.repeats}")


def pictures(count: int) -> tuple[NDArray[np.generic], str]:
    """So many CIFAR-10 images, spread over the classes, and what they are called."""
    if CIFAR.exists():
        images = np.load(CIFAR)["images"]
        return images[:: len(images) // count][:count], "CIFAR-10 images"
    return np.random.default_rng(0).random((count, 12, 12)), "random images"


def shuffled(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(keys)


if __name__ == "__main__":
    sys.exit(main())
