"""Recordings in HDF5: read by the process apart, as this package does, against reading them in place.

Apart is the way that can be ended when a damaged file sends HDF5 in circles, and that is held to its bounds of memory.
Both give the same events, which is checked first. Then they take turns; of a busy machine the shortest time of each
tells what they cost. What h5py takes to give the columns alone stands beside them.

Example:
    .venv/bin/python -m scripts.bench.hdf5 --events 2000000
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from preprocessing.commands import command
from preprocessing.events import AS_IS, Recording
from preprocessing.readers import hdf5
from scripts.bench.common import machine, parser, timed

PACKINGS = {"plain": {}, "gzip": {"compression": "gzip", "chunks": (65536,)}}
FIELDS = "txyp"


@command("no figures were kept")
def main() -> None:
    parsing = parser(__doc__, repeats=50)
    parsing.add_argument("--events", type=int, default=2_000_000, help="of a recording; default: 2,000,000")
    options = parsing.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in PACKINGS:
            path = written(Path(folder) / f"{name}.h5", options.events, name)
            check(path)
            measure(name, path, options.repeats)
    print(f"{machine('numpy', 'h5py')}, shortest of {options.repeats}")


def written(path: Path, num_events: int, packing: str) -> Path:
    rng = np.random.default_rng(0)
    columns = {
        "t": np.cumsum(rng.integers(0, 3, num_events)).astype("u4"),
        "x": rng.integers(0, 640, num_events).astype("u2"),
        "y": rng.integers(0, 480, num_events).astype("u2"),
        "p": rng.integers(0, 2, num_events).astype("u1"),
    }
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(f"events/{name}", data=values, **PACKINGS[packing])
    return path


def apart(path: Path) -> Recording:
    return hdf5.decode_file(path, str(path))


def in_place(path: Path) -> Recording:
    read = hdf5.read_file(os.fspath(path), path.stat().st_size, None, str(path), AS_IS)
    return hdf5._recording(read, None, str(path), AS_IS)


def columns_alone(path: Path) -> list[np.ndarray]:
    with h5py.File(path) as file:
        return [file[f"events/{name}"][:] for name in FIELDS]


def check(path: Path) -> None:
    expected = dict(zip(FIELDS, columns_alone(path), strict=True))
    for way in (apart, in_place):
        found = way(path).events
        for name in FIELDS:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{way.__name__}, {name}")


def measure(name: str, path: Path, repeats: int) -> None:
    ways: list[Callable[[Path], object]] = [apart, in_place, columns_alone]
    turns = [[timed(partial(way, path)) for way in ways] for _ in range(repeats + 1)][1:]
    here, there, alone = (min(each) * 1e3 for each in zip(*turns, strict=True))
    print(
        f"{name:6s} apart {here:6.1f} ms, in place {there:6.1f} ms: {here / there:.2f} × (columns alone {alone:.1f} ms)"
    )


if __name__ == "__main__":
    sys.exit(main())
