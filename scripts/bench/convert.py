"""How fast recordings are written, by format: against a plain copy of the same bytes, and where it can, against faery.

Every file is read again and compared with the events first. Each time is of one thread, from events in memory to a
file that is safe on the disk; the copy writes the finished bytes in the same way.

Example:
    python -m scripts.bench.convert --recording shared/data/formats/evt2_sample.raw
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from preprocessing.commands import command
from preprocessing.events import Events
from preprocessing.files import replace_durably
from preprocessing.readers import read_recording
from preprocessing.writers import WRITERS, write_recording
from scripts.bench.common import SHARED, in_turns, machine, parser, timed

_REPEATED = 10  # times that the recording follows on itself
_OTHERS = ("evt2", "evt3")  # formats that faery writes, by its names


def long_recording(path: Path) -> tuple[Events, tuple[int, int]]:
    """The events of a recording, again and again, from time 0 on."""
    recording = read_recording(path)
    one = recording.events
    events = np.tile(one, _REPEATED)
    span_us = recording.duration_us + 1
    events["t"] -= one["t"][0]
    events["t"] += np.repeat(np.arange(_REPEATED) * span_us, len(one))
    return events, recording.sensor


def by_faery(path: Path, events: Events, sensor: tuple[int, int], name: str) -> None:
    import faery

    theirs = np.empty(len(events), faery.EVENTS_DTYPE)
    for mine, field in zip("txyp", faery.EVENTS_DTYPE.names, strict=True):
        theirs[field] = events[mine]
    faery.events_stream_from_array(theirs, dimensions=sensor).to_file(path, version=name)


def copied(path: Path, data: bytes) -> None:
    partial_path = path.with_suffix(".partial")
    partial_path.write_bytes(data)
    replace_durably(partial_path, path)


@command("no table was written")
def main() -> None:
    options = parser(__doc__, repeats=5)
    options.add_argument("--recording", type=Path, default=SHARED / "formats/evt2_sample.raw")
    chosen = options.parse_args()
    events, sensor = long_recording(chosen.recording)
    print(machine("numpy", "numba", "h5py", "faery"))
    print(f"{len(events):,} events of {sensor[0]}×{sensor[1]}: {chosen.recording.name}, {_REPEATED} times")
    print(f"{'format':8}{'B/event':>9}{'M events/s':>12}{'copy':>8}{'write/copy':>12}{'faery/write':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for name, writer in WRITERS.items():
            try:
                writer.check(events, sensor)
            except ValueError as error:
                print(f"{name:8}  {error}")
                continue
            path = Path(folder) / f"out{writer.SUFFIXES[0]}"
            write_recording(path, events, sensor, writer)
            if not np.array_equal(read_recording(path).events, events):
                raise ValueError(f"{name}: what was written is read as something else")
            data = path.read_bytes()
            jobs: dict[str, Callable[[], object]] = {
                "write": partial(write_recording, path, events, sensor, writer),
                "copy": partial(copied, path, data),
            }
            if name in _OTHERS and find_spec("faery"):
                jobs["faery"] = partial(by_faery, path, events, sensor, name)
            seconds = in_turns({job: partial(timed, run) for job, run in jobs.items()}, chosen.repeats)
            peer = f"{seconds['faery'] / seconds['write']:.1f}×" if "faery" in seconds else ""
            rates = {job: len(events) / taken / 1e6 for job, taken in seconds.items()}
            print(
                f"{name:8}{len(data) / len(events):>9.1f}{rates['write']:>12.1f}{rates['copy']:>8.1f}"
                f"{seconds['write'] / seconds['copy']:>11.2f}×{peer:>13}"
            )


if __name__ == "__main__":
    sys.exit(main())
