"""Damaged HDF5 files: whatever became of their trees, heaps and links, they are read or refused, and in time.

The process that reads them is held to seconds here, so that one that goes in circles doesn't take the test along.
"""

import io
from collections import Counter

import h5py
import numpy as np
import pytest

from preprocessing import apart
from preprocessing.events import RecordingError
from preprocessing.readers import decode_recording
from tests.preprocessing.readers.test_fuzz import MADE

T = np.arange(4000) * 9
COLUMNS = {"t": T, "x": T % 30, "y": T % 20, "p": T % 2}


def chunked(place, **options):
    """Columns in forty chunks, whose places stand in a tree, among groups."""
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as made:
        for i in range(30):
            made.create_group(f"other/g{i}/h{i}")
        for name, values in COLUMNS.items():
            made.create_dataset(
                place + name, data=values.astype("i4"), chunks=(100,), compression="gzip", maxshape=(None,)
            )
        made["width"], made["height"] = 30, 20
    return file.getvalue()


FILES = {
    "earliest.h5": chunked("events/", libver="earliest"),
    "latest.h5": chunked("events/", libver="latest"),
    "searched_earliest.h5": chunked("camera/left/", libver="earliest"),
    "searched_latest.h5": chunked("camera/left/", libver="latest"),
    **{name: data for name, data in MADE.items() if name.endswith(("h5", "hdf5", "v73.mat"))},
}


def damaged(data, rng):
    """A copy with flipped bits, other bytes, or words of eight bytes, as addresses are, put to other places."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        reach = len(changed) if rng.random() < 0.6 else min(len(changed), 3000)
        at, how, length = int(rng.integers(0, reach)), rng.integers(0, 6), int(rng.integers(1, 9))
        if how == 0:
            changed[at] ^= 1 << int(rng.integers(0, 8))
        elif how == 1:
            changed[at : at + length] = rng.bytes(length)
        elif how == 2:
            changed[at : at + length] = (b"\xff" if rng.random() < 0.5 else b"\0") * length
        elif how == 3:
            del changed[at:]
        elif how == 4:
            start, target = (int(i) * 8 for i in rng.integers(0, max(len(changed) // 8, 1), 2))
            changed[target : target + 8] = changed[start : start + 8]
        else:
            changed[at] = int(rng.integers(0, 16))
        if not changed:
            break
    return bytes(changed)


@pytest.mark.parametrize("number", [120, pytest.param(12_000, marks=pytest.mark.exhaustive)])
def test_damaged_files_are_read_or_refused_in_time(monkeypatch, number):
    monkeypatch.setattr("preprocessing.limits._SECONDS", 0.5)
    rng, found = np.random.default_rng(number), Counter()
    names = list(FILES)
    for i in range(number):
        name = names[i % len(names)]
        try:
            recording = decode_recording(damaged(FILES[name], rng), name)
        except RecordingError as error:
            assert str(error).startswith(f"{name}: ")  # noqa: PT017
            assert "please report" not in str(error), error  # noqa: PT017
            found[type(error.__cause__).__name__ if isinstance(error.__cause__, apart.StoppedError) else "refused"] += 1
        else:
            assert (np.diff(recording.events["t"]) >= 0).all()
            found["read"] += 1
    print(dict(found))
    assert min(found["read"], found["refused"]) > number // 10
