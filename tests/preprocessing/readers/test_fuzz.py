"""Damaged files: whatever happened to a recording, reading it gives events or our own error, nothing else.

EVGLIF_FUZZ=2000 runs so many damages of every file instead of a few.
"""

import io
import os

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from preprocessing.events import RecordingError
from preprocessing.readers import SUFFIXES, decode_recording
from tests.preprocessing.readers.test_ecf import BY_HAND
from tests.preprocessing.readers.test_ecf import recording as metavision

FILES = [
    "formats/aedat2_davis240_boxes.aedat",
    "formats/aedat2_dvs128_walking.aedat",
    "formats/aedat31_tiny_synthetic.aedat",
    "formats/aedat4_davis_sample.aedat4",
    "formats/aedat4_dvs128_gesture.aedat4",
    "formats/es_dvs.es",
    "formats/evt2_sample.raw",
    "formats/evt3_sample.raw",
    "formats/ncaltech101_faces_easy_0001.bin",
    "formats/ncars_sample.dat",
    "formats/rpg_slider_depth_first130k.txt",
    "dvs_gesture_clips/3.bs2",
    "dvs128_objects/session1/mug.aedat",
    "nmnist_small/Train/0/00193.bin",
]
T = np.arange(40) * 9
X, Y, P = T % 30, T % 20, T % 2


def written(save, *arguments, **options):
    file = io.BytesIO()
    save(file, *arguments, **options)
    return file.getvalue()


def hdf5(file, userblock=0, **contents):
    with h5py.File(file, "w", userblock_size=userblock) as made:
        for name, values in contents.items():
            made[name.replace("_", "/")] = values


MATLAB = b"MATLAB 7.3 MAT-file".ljust(512)
MADE = {
    "v2e.h5": written(hdf5, events=np.stack([T, X, Y, P], 1).astype("u4")),
    "mvsec.hdf5": written(hdf5, davis_left_events=np.stack([X, Y, 0.5 + T / 1e6, P * 2.0 - 1], 1)),
    "columns.h5": written(hdf5, t=T[:, None], x=X[None] * 1.0, y=Y, p=np.where(P, 1, -1).astype("u1")),
    "v73.mat": MATLAB + written(hdf5, 512, TD_ts=T[None], TD_x=X[None], TD_y=Y[None], TD_p=P[None])[512:],
    "v5.mat": written(savemat, {"t": T, "x": X, "y": Y, "p": P}),
    "v7.mat": written(savemat, {"TD": {"ts": T, "x": X, "y": Y, "p": P}}, do_compression=True),
    "columns.npz": written(np.savez_compressed, t=T[:, None] * 1.0, x=X[None], y=Y, p=P),
    "table.npy": written(np.save, np.stack([T / 1e6, X, Y, P])),
    "numpy.txt": written(np.savetxt, np.stack([T / 1e6, X, Y, P], 1)),
    "pandas.csv": b",p,t,x,y,note\n" + b"".join(b"%d,True,%d.0,%d,9,a dog\n" % (t, t, t % 30) for t in range(40)),
    "ecf.hdf5": metavision([BY_HAND[0], BY_HAND[1]], 8, 4, geometry="640x480"),
}
NUM_DAMAGES = int(os.environ.get("EVGLIF_FUZZ", "12"))
LONGEST = 60_000


def damaged(data, rng):
    """A copy that is cut, has bits flipped, bytes overwritten, moved or put in, mostly near its start."""
    changed = bytearray(data[: LONGEST if rng.random() < 0.9 else None])
    for _ in range(rng.integers(1, 4)):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 400)
        at, how = int(rng.integers(0, reach)), rng.integers(0, 5)
        length = int(rng.integers(1, 9))
        if how == 0:
            del changed[at:]
        elif how == 1:
            changed[at] ^= 1 << int(rng.integers(0, 8))
        elif how == 2:
            changed[at : at + length] = rng.bytes(length)
        elif how == 3:
            changed[at : at + length] = b"\xff" * length
        else:
            del changed[at : at + length]
        if not changed:
            break
    return bytes(changed)


def only_our_error(data, source):
    try:
        recording = decode_recording(data, source)
    except RecordingError as error:
        assert str(error).startswith(f"{source}: ")  # noqa: PT017
    else:
        assert len(recording.events) > 0
        assert (np.diff(recording.events["t"]) >= 0).all()
        assert recording.events["x"].max() < recording.sensor[0]
        assert recording.events["y"].max() < recording.sensor[1]


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_recording_is_read_or_refused(shared_data, name):
    data, rng = (shared_data / name).read_bytes(), np.random.default_rng(len(name))
    for _ in range(NUM_DAMAGES):
        only_our_error(damaged(data, rng), name)


@pytest.mark.parametrize("name", MADE)
def test_a_damaged_file_of_columns_is_read_or_refused(name):
    assert len(decode_recording(MADE[name], name).events) in (8, 40)
    rng = np.random.default_rng(len(name))
    for _ in range(NUM_DAMAGES):
        only_our_error(damaged(MADE[name], rng), name)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_noise_is_read_or_refused(suffix):
    rng = np.random.default_rng(7)
    for _ in range(NUM_DAMAGES):
        only_our_error(rng.bytes(int(rng.integers(1, 2000))), f"noise{suffix}")
