"""What a format cannot hold is refused by name before anything is written."""

from pathlib import Path

import numpy as np
import pytest

from preprocessing.events import make_events
from preprocessing.writers import WRITERS, BoundsError, write_recording, writer_for


def events_at(*times):
    zeros = np.zeros(len(times), int)
    return make_events(np.array(times), zeros, zeros, zeros)


@pytest.mark.parametrize(
    ("name", "sensor", "message"),
    [
        ("aedat2", (34, 34), "AEDAT-2.0 holds recordings of sensors that jAER names, .*; this one has 34×34"),
        ("aedat4", (40_000, 10), "AEDAT-4.0 holds sensors of up to 32768×32768 px, this one has 40000×10"),
        ("evt2", (2049, 10), "EVT 2.0 holds sensors of up to 2048×2048"),
        ("evt3", (10, 2049), "EVT 3.0 holds sensors of up to 2048×2048"),
    ],
)
def test_a_sensor_beyond_the_addresses(name, sensor, message, tmp_path):
    with pytest.raises(BoundsError, match=message):
        write_recording(tmp_path / "out", events_at(0), sensor, WRITERS[name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "times", "message"),
    [
        (
            "aedat2",
            (-1, 5),
            r"AEDAT-2.0 holds times from 0 µs to below 2\^32 µs, these run from -1 to 5: .*--from-zero",
        ),
        ("aedat2", (0, 1 << 32), r"run from 0 to 4294967296: choose another"),
        ("aedat4", (-1,), "AEDAT-4.0 holds times from 0 µs"),
        ("evt2", (0, 1 << 34), r"EVT 2.0 holds times from 0 µs to below 2\^34 µs"),
        ("evt2", (-1,), "EVT 2.0 holds times from 0 µs"),
        ("evt3", (1 << 24,), r"EVT 3.0 begins with a time below 2\^24 µs, this one begins at 16777216: .*--from-zero"),
        ("evt3", (0, 1 << 34), r"EVT 3.0 holds times from 0 µs to below 2\^34 µs"),
        ("hdf5", (-7, (1 << 32) - 7), r"DSEC's layout holds recordings that last less than 2\^32 µs, .* 4294967296"),
        ("csv", (10**18,), "CSV holds times from -999999999999999999 µs to below 1000000000000000000"),
    ],
)
def test_times_beyond_its_clock(name, times, message, tmp_path):
    with pytest.raises(BoundsError, match=message):
        write_recording(tmp_path / "out", events_at(*times), (128, 128), WRITERS[name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("events", "message"),
    [
        (events_at(5, 4), "time runs backwards at event 1, from 5 µs to 4"),
        (events_at(), "holds no events"),
        (
            make_events(np.array([0]), np.array([128]), np.array([0]), np.array([0])),
            r"event 0 at \(128, 0\) lies outside",
        ),
    ],
)
def test_events_that_no_recording_has(name, events, message, tmp_path):
    with pytest.raises(ValueError, match=f"^cannot write {WRITERS[name].TITLE}: {message}"):
        write_recording(tmp_path / "out", events, (128, 128), WRITERS[name])
    assert list(tmp_path.iterdir()) == []


def test_the_format_is_told_by_name_or_suffix():
    assert writer_for(Path("a.raw")).NAME == "evt3"
    assert writer_for(Path("a.raw"), "evt2").NAME == "evt2"
    assert writer_for(Path("A.HDF5")).NAME == "hdf5"
    with pytest.raises(ValueError, match=r"a\.bin: nothing is written as '\.bin'; end it in \.aedat, "):
        writer_for(Path("a.bin"))
    with pytest.raises(ValueError, match=r"a\.npz: a file of EVT 2.0 ends in \.raw; name it so"):
        writer_for(Path("a.npz"), "evt2")
    with pytest.raises(ValueError, match=r"unknown format 'evt4'; choose one of aedat2, aedat4"):
        writer_for(Path("a.raw"), "evt4")
