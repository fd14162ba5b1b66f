import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import decode_recording

scipy_io = pytest.importorskip("scipy.io", reason="MAT-files are written with scipy: pip install scipy")

EVENTS = make_events(np.array([5, 6, 1000]), np.array([1, 300, 2]), np.array([4, 200, 3]), np.array([0, 1, 1]))
T, X, Y, P = (EVENTS[field] for field in "txyp")


def mat(compressed=True, **variables):
    file = io.BytesIO()
    scipy_io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


def decode(data, sensor=None):
    return decode_recording(data, "r.mat", sensor)


@pytest.mark.parametrize(
    "data",
    [
        mat(t=T, x=X, y=Y, p=P),
        mat(False, ts=T * 1.0, x=X * 1.0, y=Y * 1.0, pol=P * 2.0 - 1, more="text"),
        mat(ts=T[:, None], x=X[:, None].astype("u1") * 0 + X[:, None], y=Y[:, None], pol=P[:, None]),
        mat(TD={"x": X * 1.0, "y": Y * 1.0, "p": P * 2.0 - 1, "ts": T * 1.0}),
        mat(events=np.stack([T, X, Y, P], 1) * 1.0, fps=np.array([[30.0]])),
        mat(events=np.stack([X, Y, P, T / 1e6])),
    ],
)
def test_every_layout_gives_the_same_events(data):
    decoded = decode(data)

    np.testing.assert_array_equal(decoded.events, EVENTS)
    assert (decoded.sensor, decoded.sensor_from, decoded.format) == ((304, 240), "guess", "matlab")


def big_endian():
    """t, x, y, p as MATLAB wrote them on a Sun, small elements and all."""

    def element(kind, data):
        if len(data) <= 4:
            return struct.pack(">HH", len(data), kind) + data.ljust(4, b"\0")
        return struct.pack(">II", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")

    def matrix(name, kind, values):
        flags, shape = struct.pack(">II", 6, 0), struct.pack(">ii", 3, 1)
        parts = element(6, flags) + element(5, shape) + element(1, name) + element(kind, values)
        return element(14, parts)

    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI"
    t, xy = struct.pack(">3h", 5, 6, 1000), struct.pack(">3H", 1, 300, 2)
    y, p = bytes([4, 200, 3]), struct.pack(">3d", -1, 1, 1)
    return header + matrix(b"t", 3, t) + matrix(b"x", 4, xy) + matrix(b"y", 2, y) + matrix(b"polarity", 9, p)


def test_elements_by_hand():
    np.testing.assert_array_equal(decode(big_endian()).events, EVENTS)


def test_a_file_is_told_by_its_signature(tmp_path):
    (tmp_path / "recording").write_bytes(mat(t=T, x=X, y=Y, p=P))

    assert read_recording(tmp_path / "recording", sensor=(640, 480)).sensor == (640, 480)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no MATLAB", "starts with b'no MATLAB', not with 'MATLAB 5.0 MAT-file'; save t, x, y, p"),
        (mat(t=T[:0], x=X[:0], y=Y[:0], p=P[:0]), "holds no events"),
        (mat(t=T, x=X, y=Y), r"holds t \(1, 3\), x \(1, 3\), y \(1, 3\); expected t, x, y and p, or one table"),
        (mat(t=T, x=X[1:], y=Y, p=P), "expected four columns of one length"),
        (mat(t=T, x=X * 1.5, y=Y, p=P), r"event 0 has x = 1\.5"),
        (mat(t=T, x=X, y=Y, p=np.array(["a", "b", "c"])), r"holds t \(1, 3\), x \(1, 3\), y \(1, 3\); expected t"),
        (mat(a=np.zeros((3, 4)), b=np.zeros((3, 4))), r"holds a \(3, 4\), b \(3, 4\)"),
        (mat(False, t=T, x=X, y=Y, p=P)[:-20], "cannot be read as a MAT-file, it may be damaged"),
    ],
)
def test_what_cannot_be_used_is_refused(data, message):
    with pytest.raises(RecordingError, match=message) as refusal:
        decode(data)
    assert str(refusal.value).startswith("r.mat: ")


@given(st.sampled_from([mat(t=T, x=X, y=Y, p=P), mat(False, TD={"x": X, "y": Y, "p": P, "ts": T})]), st.data())
def test_damage_raises_nothing_else(whole, data):
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in bytes(changed), whole[: data.draw(st.integers(1, len(whole) - 1))]:
        try:
            decoded = decode(damaged)
        except RecordingError as error:
            assert str(error).startswith("r.mat: ")  # noqa: PT017
        else:
            assert len(decoded.events) > 0
