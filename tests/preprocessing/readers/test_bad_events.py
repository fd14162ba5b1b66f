"""A few events that cannot be, in every format: dropped and counted, up to the share that may be."""

import io

import h5py
import numpy as np
import pytest

from preprocessing.events import Reading, RecordingError, make_events
from preprocessing.readers import aedat2, aedat31, atis, decode_recording

SENSOR = (100, 90)
NUM = 2000
RNG = np.random.default_rng(0)
EVENTS = make_events(np.arange(NUM) * 50, RNG.integers(0, 100, NUM), RNG.integers(0, 90, NUM), np.arange(NUM) % 2)
BAD = 700


def with_bad(**fields):
    events = EVENTS.copy()
    for name, value in fields.items():
        events[name][BAD] = value
    return events


def columns(**changed):
    """The columns as signed numbers, in which one event can be anything."""
    found = {name: EVENTS[name].astype(np.int64) for name in "txyp"}
    for name, value in changed.items():
        found[name] = found[name].astype(np.result_type(found[name], np.asarray(value)))
        found[name][BAD] = value
    return found


def npz(**changed):
    file = io.BytesIO()
    np.savez(file, **columns(**changed))
    return file.getvalue()


def npy(**changed):
    file = io.BytesIO()
    np.save(file, np.stack([*columns(**changed).values()], 1))
    return file.getvalue()


def hdf5(**changed):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        for name, values in columns(**changed).items():
            written[name] = values
    return file.getvalue()


def text(line=None, **changed):
    lines = [" ".join(map(str, row)) for row in zip(*columns(**changed).values(), strict=True)]
    lines[BAD] = line or lines[BAD]
    return "\n".join(lines).encode()


def dvs128(at, byte):
    """A DVS128's file with another byte in the record of the bad event."""
    data = bytearray(aedat2.encode(EVENTS))
    data[len(data) - 8 * (NUM - BAD) + at] = byte
    return bytes(data)


def davis(column):
    words = np.empty((NUM, 2), ">u4")
    x, y = 239 - EVENTS["x"].astype(np.uint32), 179 - EVENTS["y"].astype(np.uint32)
    x[BAD] = column
    words[:, 0] = y << 22 | x << 12 | EVENTS["p"].astype(np.uint32) << 11
    words[:, 1] = EVENTS["t"]
    return b"#!AER-DAT2.0\r\n# AEChip: DAVIS240C\r\n" + words.tobytes()


def dat(place=None, polarity=None):
    words = EVENTS["x"].astype("<u8") | EVENTS["y"].astype("<u8") << 14 | EVENTS["p"].astype("<u8") << 28
    words[BAD] = words[BAD] if place is None else place
    words[BAD] |= (polarity or 0) << 28
    header = b"% Data file containing CD events.\n% Version 2\n% Width 100\n% Height 90\n\x0c\x08"
    return header + (words << 32 | EVENTS["t"].astype("<u8")).tobytes()


CASES = {
    "aedat2, an address of 17 bits": (dvs128(1, 1), "r.aedat", (128, 128)),
    "aedat2, a time that is late": (dvs128(6, 0), "r.aedat", (128, 128)),
    "aedat2, a column of a DAVIS": (davis(500), "r.aedat", (240, 180)),
    "aedat3.1, a place": (aedat31.encode(with_bad(x=120), (128, 128)).replace(b"DVS128", b"100x90"), "r.aedat", SENSOR),
    "atis, a place": (atis.encode(with_bad(x=120)), "r.bin", SENSOR),
    "dat, a place": (dat(place=120), "r.dat", SENSOR),
    "dat, a polarity": (dat(polarity=4), "r.dat", SENSOR),
    "npz, one row too high": (npz(y=90), "r.npz", SENSOR),
    "npz, a negative place": (npz(x=-1), "r.npz", SENSOR),
    "npz, a place beyond 16 bits": (npz(x=1 << 20), "r.npz", SENSOR),
    "npz, a polarity": (npz(p=7), "r.npz", SENSOR),
    "npz, a late event": (npz(t=50 * BAD - 20_000), "r.npz", SENSOR),
    "npy, a late event": (npy(t=50 * BAD - 20_000), "r.npy", SENSOR),
    "npy, a polarity": (npy(p=7), "r.npy", SENSOR),
    "hdf5, a place": (hdf5(y=200), "r.h5", SENSOR),
    "hdf5, a late event": (hdf5(t=0), "r.h5", SENSOR),
    "text, a place": (text(x=70_000), "r.txt", SENSOR),
    "text, a polarity": (text(p=5), "r.txt", SENSOR),
    "text, a damaged line": (text(line="35000 1#2 3 1"), "r.txt", SENSOR),
}


@pytest.mark.parametrize("case", CASES)
def test_one_bad_event_does_not_cost_the_recording(case):
    data, name, sensor = CASES[case]

    read = decode_recording(data, name, sensor)

    assert (read.num_dropped, read.sensor) == (1, sensor)
    assert read.events.tolist() == np.delete(EVENTS, BAD).tolist()
    assert read.doubts == ("1 of 2,000 events are bad and were dropped",)


@pytest.mark.parametrize("case", [case for case in CASES if "npy" not in case])  # has a message of its own
@pytest.mark.parametrize("share", [0, 0.0004])
def test_more_than_the_share_lose_it(case, share):
    data, name, sensor = CASES[case]
    said = r"; 1 of 2,000 events are bad, no more than 0\.04 % may be \(--drop-bad\)$" if share else r"[^)]$|\)$"

    with pytest.raises(RecordingError, match=said) as refusal:
        decode_recording(data, name, sensor, Reading(drop_bad=share))
    assert ("--drop-bad" in str(refusal.value)) == (share > 0)


def test_bad_events_of_all_kinds_count_together():
    file = io.BytesIO()
    x, y, t = (EVENTS[name].astype(np.int64) for name in "xyt")
    x[5], y[900], t[1500] = -4, 500, 0
    np.savez(file, t=t, x=x, y=y, p=EVENTS["p"])

    assert decode_recording(file.getvalue(), "r.npz", SENSOR, Reading(drop_bad=0.0015)).num_dropped == 3
    with pytest.raises(RecordingError, match="3 of 2,000 events are bad"):
        decode_recording(file.getvalue(), "r.npz", SENSOR, Reading(drop_bad=0.001))


def test_a_place_beyond_all_sensors_does_not_decide_the_sensor():
    assert decode_recording(npz(x=5000), "r.npz").sensor == (128, 128)
    with pytest.raises(RecordingError, match="events reach"):
        decode_recording(npz(x=5000), "r.npz", how=Reading(drop_bad=0))
