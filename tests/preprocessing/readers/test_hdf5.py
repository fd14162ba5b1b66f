import io
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.cache import FORMAT
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import decode_recording

EVENTS = make_events(np.array([5, 6, 1000]), np.array([1, 300, 2]), np.array([4, 200, 3]), np.array([0, 1, 1]))
T, X, Y, P = (EVENTS[field] for field in "txyp")


def hdf5(contents, **attributes):
    """The bytes of a file with these datasets, and these attributes of its root."""
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        for name, values in contents.items():
            written[name] = values
        written.attrs.update(attributes)
    return file.getvalue()


def decode(data, sensor=None):
    return decode_recording(data, "r.h5", sensor)


def group(place="events/", **columns):
    return {f"{place}{name}": values for name, values in columns.items()}


TABLE = np.stack([T, X, Y, P], 1)
SECONDS = np.stack([X, Y, 1.5e9 + T / 1e6, P * 2.0 - 1], 1)
COMPOUND = EVENTS[["x", "y", "p", "t"]].astype([("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")])
DSEC = group(t=T.astype("u4"), x=X, y=Y, p=P.astype("u1"))


@pytest.mark.parametrize(
    ("data", "sensor"),
    [
        (hdf5(DSEC), (304, 240)),
        (hdf5({**DSEC, "t_offset": 0, "ms_to_idx": np.arange(4)}), (304, 240)),
        (hdf5({**DSEC, "events/width": 1280, "events/height": 720}), (1280, 720)),
        (hdf5(group("", t=T, x=X.astype("i8"), y=Y, p=P * 2 - 1), width=640, height=480), (640, 480)),
        (hdf5(group(ts=T / 1e6, xs=X.astype("i2"), ys=Y.astype("i2"), ps=P), sensor_resolution=(260, 346)), (346, 260)),
        (hdf5(group("", ts=T / 1e6, xs=X, ys=Y, ps=P), sensor_resolution=(346, 260, 2)), (346, 260)),
        (hdf5({"events": COMPOUND}), (304, 240)),
        (hdf5({"events": TABLE.astype("u4")}), (304, 240)),  # v2e
        (hdf5({"events": np.stack([T, X, Y, np.where(P, 1, -1)], 1).astype("u4")}), (304, 240)),
        (hdf5({"events": TABLE.T * 1.0}), (304, 240)),
        (hdf5(group("camera/dvs/", t=T * 1.0, x=X * 1.0, y=Y * 1.0, p=P * 2.0 - 1)), (304, 240)),
        (hdf5(group(t=T[:, None], x=X[:, None], y=Y[None], p=np.where(P, 1, -1).astype("u1"))), (304, 240)),
        (b"MATLAB 7.3 MAT-file, ".ljust(512) + hdf5(group("TD/", ts=T[None], x=X[None], y=Y[None], p=P)), (304, 240)),
        (hdf5({"CD/events": COMPOUND, "EXT_TRIGGER/events": np.zeros(2)}), (304, 240)),
    ],
)
def test_every_layout_gives_the_same_events(data, sensor):
    decoded = decode(data)

    np.testing.assert_array_equal(decoded.events, EVENTS)
    assert (decoded.sensor, decoded.format, decoded.source) == (sensor, "hdf5", "r.h5")


def test_a_table_of_seconds_as_in_mvsec():
    decoded = decode(hdf5({"davis/left/events": SECONDS, "davis/right/events": SECONDS[1:]}))

    assert (decoded.events["t"] - 1_500_000_000_000_000).tolist() == T.tolist()
    np.testing.assert_array_equal(decoded.events[["x", "y", "p"]], EVENTS[["x", "y", "p"]])
    assert decoded.warnings[-1] == "events are read from /davis/left/events alone, not from /davis/right/events"


def test_a_long_table_is_read_in_blocks_of_one_order():
    t = np.arange((1 << 20) + 3)
    table = np.stack([t % 128, t % 34, t / 1e6 + 0.5e-3, t % 2], 1)

    expected = make_events(t + 500, t % 128, t % 34, t % 2)
    np.testing.assert_array_equal(decode(hdf5({"events": table})).events, expected)
    np.testing.assert_array_equal(decode(hdf5({"events": table.T})).events, expected)


def test_what_is_our_mistake_is_not_called_the_files(monkeypatch):
    def mistaken(*_):
        raise TypeError("unsupported operand")

    monkeypatch.setattr("preprocessing.apart.call", lambda *_, **__: mistaken())
    with pytest.raises(RecordingError, match=r"evglif failed .* please report it \(TypeError: unsupported") as error:
        decode(hdf5(DSEC))
    assert "damaged" not in str(error.value)


def test_a_file_is_told_by_its_signature(tmp_path):
    (tmp_path / "recording").write_bytes(hdf5(DSEC))

    assert len(read_recording(tmp_path / "recording").events) == 3


def test_the_offset_of_the_times_is_added():
    decoded = decode(hdf5({**DSEC, "t_offset": np.int64(50_000_000_000)}))

    assert decoded.events["t"].tolist() == [50_000_000_005, 50_000_000_006, 50_000_001_000]


@pytest.mark.parametrize("first", [0, 1_600_000_000_000_000])  # s · 10^6 falls below the µs at some of the first
def test_seconds_are_rounded_to_us(first):
    times = first + np.arange(1000)
    zero = np.zeros(1000, int)

    assert decode(hdf5(group(ts=times / 1e6, xs=zero, ys=zero, ps=zero))).events["t"].tolist() == times.tolist()


@pytest.mark.parametrize("options", [{}, {"chunks": (1000,)}, {"chunks": (1 << 19,), "compression": "gzip"}])
def test_blocks_are_put_together_in_order(options):
    t = np.arange((1 << 20) + 3)
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        for name, values in zip("txyp", (t, t % 128, t % 34, t % 2), strict=True):
            written.create_dataset(f"events/{name}", data=values, **options)

    np.testing.assert_array_equal(decode(file.getvalue()).events, make_events(t, t % 128, t % 34, t % 2))


def test_the_caller_may_turn_a_resolution_whose_order_is_not_known():
    data = hdf5(group(t=T, x=Y, y=X, p=P), sensor_resolution=(346, 260))

    assert decode(data, (260, 346)).sensor == (260, 346)
    with pytest.raises(RecordingError, match=r"346×260.* but 100×100 was asked for"):
        decode(data, (100, 100))


def packed(**options):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        written.create_dataset("events", data=EVENTS, chunks=True, **options)
    return file.getvalue()


def test_what_dsec_is_packed_with_is_read():
    hdf5plugin = pytest.importorskip("hdf5plugin")

    np.testing.assert_array_equal(decode(packed(**hdf5plugin.Blosc(cname="zstd"))).events, EVENTS)


def test_a_missing_plugin_is_named(monkeypatch):
    blosc = packed(**pytest.importorskip("hdf5plugin").Blosc())
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda _: False)
    monkeypatch.setattr("preprocessing.apart.call", here)

    with pytest.raises(RecordingError, match=r"/events is packed with Blosc \(32001\): pip install 'evglif\[hdf5\]'"):
        decode(blosc)
    with pytest.raises(RecordingError, match=r"/events is packed with an HDF5 filter \(2\): install its plug-in where"):
        decode(packed(shuffle=True))


def here(function, *arguments, data, **_):
    """What ``apart.call`` does, by this process."""
    return function(io.BytesIO(data), *arguments)


def announcing(size, **options):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        for name in "txyp":
            written.create_dataset(name, (size,), "u1", **options)
    return file.getvalue()


def virtual():
    layout = h5py.VirtualLayout((3,), EVENTS.dtype)
    layout[:] = h5py.VirtualSource("/etc/other.h5", "events", (3,))
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        written.create_virtual_dataset("events", layout)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (hdf5(group(t=T[:0], x=X[:0], y=Y[:0], p=P[:0])), "holds no events"),
        (hdf5({}, format=FORMAT), "this is a frame cache, built from recordings; expected a recording"),
        (hdf5({"frames": np.zeros(3)}), r"holds no events that can be read \(/: frames\); expected t, x, y and p"),
        (hdf5(group(t=T, x=X, y=Y)), "/: events; events: t, x, y"),
        (hdf5(group(t=T, ts=T, x=X, y=Y, p=P)), "holds no events that can be read"),
        (hdf5(group(t=T[1:], x=X, y=Y, p=P)), "the columns of /events differ in length"),
        (hdf5(group(t=5, x=1, y=1, p=1)), r"/events/\w has the shape \(\); expected one dimension, or a table"),
        (hdf5(group(t=T, x=X * 1.5, y=Y, p=P)), "event 0 has x = 1.5, which no event can have"),
        (hdf5(group(t=["5", "6", "7"], x=X, y=Y, p=P)), r"t is of object; expected integers \(µs\) or floats \(s\)"),
        (hdf5(group(t=T, x=X.astype(int) - 2, y=Y, p=P)), "event 0 has x = -1"),
        (hdf5(group(t=T, x=X, y=Y, p=P * 3)), "event 1 has p = 3"),
        (hdf5(group(t=T, x=X, y=Y, p=np.array([-1, 0, 1]))), "the polarities -1 and 0"),
        (hdf5(group(t=T * 1e6 + 0.5, x=X, y=Y, p=P)), "if they are µs, write them as integers"),
        (hdf5(group(t=T[::-1] * 1000, x=X, y=Y, p=P)), "time runs backwards at event 1"),
        (hdf5(DSEC, width=240, height=180), r"event 1 at \(300, 200\) lies outside the 240×180 sensor"),
        (announcing(10**12), "announces 1000000000000 bytes, but 0 are in the file"),
        (announcing(10**12, chunks=(1000,)), "announces 1000000000000 bytes, but 0 are in the file"),
        (hdf5({"events": np.zeros((3, 5))}), r"holds no events that can be read \(/: events\)"),
        (hdf5({"events": TABLE[::-1]}), "no order of columns fits"),
        (hdf5({**group("a/", t=T, x=X, y=Y, p=P), "b/events": TABLE}), "holds events at /a, /b/events; copy one"),
        (virtual(), "lies in other files; copy it into one"),
        (hdf5(DSEC)[:-100], "cannot be read as HDF5, it may be damaged"),
        (b"no HDF5", "cannot be read as HDF5"),
    ],
)
def test_what_cannot_be_used_is_refused(data, message):
    with pytest.raises(RecordingError, match=message) as refusal:
        decode(data)
    assert str(refusal.value).startswith("r.h5: ")


@given(st.sampled_from([hdf5(DSEC), hdf5({"events": COMPOUND}), packed(compression="gzip")]), st.data())
def test_damage_raises_nothing_else(whole, data):
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    raises_nothing_else(bytes(damaged))
    raises_nothing_else(whole[: data.draw(st.integers(1, len(whole) - 1))])


@given(st.binary(max_size=60), st.integers(0, 100))
def test_arbitrary_bytes_raise_nothing_else(data, kept):
    raises_nothing_else(hdf5(DSEC)[: kept + 1] + data)


def raises_nothing_else(data):
    try:
        decoded = decode(data)
    except RecordingError as error:
        assert str(error).startswith("r.h5: ")  # noqa: PT017
    else:
        assert len(decoded.events) > 0
