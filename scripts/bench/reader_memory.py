"""Peak memory over the size of a file, by reader: on recordings, and on small files that unpack to gigabytes.

Each file is read in a process of its own, and measured are this process and the one apart that reads HDF5 and bags,
beyond what they had before it was opened. A recording of N bytes may take a multiple of N; a bomb is refused.

Example:
    python -m scripts.bench.reader_memory --files shared/data/formats
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing import limits
from preprocessing.commands import command
from preprocessing.readers import SUFFIXES
from scripts.bench.common import SHARED, machine
from tests.helpers.bombs import BOMBS

ROOT = Path(__file__).resolve().parents[2]
NUM_EVENTS = 2_000_000

MEASURED = """
import json, resource, sys
from preprocessing import apart
from preprocessing.events import RecordingError
from preprocessing.readers import read_recording

def peak():
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) << 10

path = sys.argv[1]
apart.call(abs, 0)
before = peak()
try:
    outcome = f"{len(read_recording(path).events):,} events"
except RecordingError as error:
    outcome = "refused: " + str(error).partition(": ")[2]
apart._end_helper()
print(json.dumps({"peak": peak() - before, "outcome": outcome}))
"""


@command("no table was written")
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, default=SHARED / "formats", help="folder of recordings to read, too")
    options = parser.parse_args()
    print(machine("numpy", "h5py", "rosbags"))
    print(
        f"a file of N bytes may become {limits.MULTIPLE} N + {limits.FLOOR / 1e6:.0f} MB: once unpacked, once in events"
    )
    print(f"{'file':38s}{'MB':>9s}{'peak, MB':>10s}{'peak / size':>13s}{'peak / allowed':>16s}  outcome")
    with tempfile.TemporaryDirectory(prefix="evglif-") as folder:
        for path in [*recordings(options.files), *written(Path(folder)), *bombs(Path(folder))]:
            report(path)


def report(path: Path) -> None:
    command = [sys.executable, "-c", MEASURED, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    size, peak = path.stat().st_size, found["peak"]
    print(
        f"{path.name:38s}{size / 1e6:9.3f}{peak / 1e6:10.1f}{peak / size:13.1f}{peak / limits.allowed(size):16.2f}  "
        f"{found['outcome'][:60]}",
        flush=True,
    )


def recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)


def written(folder: Path) -> Iterator[Path]:
    """Two million events in the formats of columns, where a file of a data set would be too small to tell."""
    import h5py

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "t": np.cumsum(rng.integers(0, 3, NUM_EVENTS)).astype("u4"),
        "x": rng.integers(0, 640, NUM_EVENTS).astype("u2"),
        "y": rng.integers(0, 480, NUM_EVENTS).astype("u2"),
        "p": rng.integers(0, 2, NUM_EVENTS).astype("u1"),
    }
    for name, packing in {"plain.h5": {}, "gzip.h5": {"compression": "gzip", "shuffle": True}}.items():
        with h5py.File(folder / name, "w") as file:
            for key, values in columns.items():
                file.create_dataset(f"events/{key}", data=values, chunks=(65536,) if packing else None, **packing)
        yield folder / name
    np.savez(folder / "plain.npz", **columns)
    np.savez_compressed(folder / "packed.npz", **columns)
    np.savetxt(folder / "columns.txt", np.stack([*columns.values()], 1)[: NUM_EVENTS // 4], "%d")
    yield from (folder / name for name in ("plain.npz", "packed.npz", "columns.txt"))


def bombs(folder: Path) -> Iterator[Path]:
    for name, make in BOMBS.items():
        path = folder / f"bomb_{name}"
        path.write_bytes(make())
        yield path


if __name__ == "__main__":
    sys.exit(main())
