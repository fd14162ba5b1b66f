"""Damaged files: whatever happened to a recording, reading it gives events or our own error, nothing else.

EVGLIF_FUZZ=2000 runs so many damages of every file instead of a few.
"""

import os

import numpy as np
import pytest

from preprocessing.events import RecordingError
from preprocessing.readers import SUFFIXES, decode_recording

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


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_noise_is_read_or_refused(suffix):
    rng = np.random.default_rng(7)
    for _ in range(NUM_DAMAGES):
        only_our_error(rng.bytes(int(rng.integers(1, 2000))), f"noise{suffix}")
