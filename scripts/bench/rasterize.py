"""Recordings to frames: this package against a NumPy look-up pipeline, on the same files in the same run.

Both start from AEDAT-2.0 files and end with [16, 2, 48, 48] frames, on one core, the files in the page cache. Ours
reads, checks every record (address, time, whole records) and rasterizes. The peer does no checks: np.fromfile, a
table from address to bin and weight, and np.bincount per slice. First their frames are compared. Then they take
turns, and medians are printed with the ratio.

Example:
    .venv/bin/python scripts/bench/rasterize.py ../shared/data/dvs128_objects/session1/*.aedat --repeats 15
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import numba
import numpy as np
from numpy.typing import NDArray

from preprocessing.rasterize import Rasterizer
from preprocessing.readers import aedat2, read_recording
from preprocessing.simulate import simulate_dvs

OBJECTS = Path(__file__).parents[2].parent / "shared/data/dvs128_objects"
RASTERIZER = Rasterizer((128, 128), steps=16, size=(48, 48))


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or sorted(OBJECTS.glob("*/*.aedat")) or simulated_files(Path(folder))
        recordings = [read_recording(path) for path in files]
        num_events = sum(len(recording.events) for recording in recordings)
        peer = NumpyPipeline()

        for path in files:
            ours = RASTERIZER.frames(read_recording(path).events)
            np.testing.assert_allclose(ours, peer.frames(path), rtol=1e-6, atol=0)
        print(f"frames agree on {len(files)} files, {num_events:,} events")

        seconds = interleaved(
            {
                "file → frames, NumPy bincount": lambda: [peer.frames(path) for path in files],
                "file → frames, ours": lambda: [RASTERIZER.frames(read_recording(path).events) for path in files],
                "events → frames, ours": lambda: [RASTERIZER.sums(r.events) for r in recordings],
                "events → frames, NumPy twin": lambda: [RASTERIZER.sums(r.events, compiled=False) for r in recordings],
            },
            options.repeats,
        )
    for name, each in seconds.items():
        print(f"{name:32s}{num_events / each / 1e6:8.1f} M events/s")
    ratio = seconds["file → frames, NumPy bincount"] / seconds["file → frames, ours"]
    print(f"ratio file → frames, ours / NumPy bincount: {ratio:.2f}")
    print(
        f"{platform.machine()} {cpu_name()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"numba {numba.__version__}, {datetime.now(UTC):%Y-%m-%d}, median of {options.repeats}"
    )


def parse_options() -> argparse.Namespace:
    description, _, example = (__doc__ or "").partition("Example:")
    parser = argparse.ArgumentParser(
        description=description, epilog="Example:" + example, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="AEDAT-2.0 files of a DVS128; default: ten objects")
    parser.add_argument("--repeats", type=int, default=15, help="runs of each, of which the median counts")
    return parser.parse_args()


def simulated_files(folder: Path) -> list[Path]:
    """A few handwritten digits in front of the simulated camera, where no recordings are at hand."""
    from sklearn.datasets import load_digits

    files = [folder / f"{i}.aedat" for i in range(10)]
    for i, path in enumerate(files):
        path.write_bytes(aedat2.encode(simulate_dvs(load_digits().images[i] / 16, seed=i)))
    return files


class NumpyPipeline:
    """What one writes by hand: one table from the 15 bits of an address to bin and weight, then bincount."""

    def __init__(self) -> None:
        address = np.arange(1 << 15)
        x, y, is_on = 127 - (address >> 1 & 127), 127 - (address >> 8 & 127), address & 1 == 0
        bins, weights = (table[0][y * 128 + x] for table in RASTERIZER._tables)
        self.bins = bins.astype(np.intp) + 48 * 48 * is_on
        self.weights = weights / RASTERIZER.denominator

    def frames(self, path: Path) -> NDArray[np.float32]:
        records = np.fromfile(path, ">u4", offset=header_bytes(path)).reshape(-1, 2)
        address = records[:, 0].astype(np.uint16)
        bins, weights = self.bins[address], self.weights[address]
        frames = np.empty((16, 2 * 48 * 48), np.float32)
        for j in range(16):
            start = j * (len(bins) // 16)
            stop = len(bins) if j == 15 else start + len(bins) // 16
            frames[j] = np.bincount(bins[start:stop], weights[start:stop], 2 * 48 * 48)
        return frames.reshape(16, 2, 48, 48)


def header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        start = 0
        while file.readline().startswith(b"#"):
            start = file.tell()
    return start


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each job; they take turns, so that a busy machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = perf_counter()
            job()
            seconds[name].append(perf_counter() - start)
    return {name: median(each) for name, each in seconds.items()}


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
