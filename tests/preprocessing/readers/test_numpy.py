import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import decode_recording

EVENTS = make_events(np.array([5, 6, 2**33]), np.array([1, 300, 2]), np.array([4, 200, 3]), np.array([0, 1, 1]))
T, X, Y, P = (EVENTS[field] for field in "txyp")


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def structured(**fields):
    array = np.zeros(len(EVENTS), list(fields.items()))
    for name in fields:
        array[name] = EVENTS[name[0]]
    return array


def decode(data, sensor=None, name="r.npy"):
    return decode_recording(data, name, sensor)


@pytest.mark.parametrize(
    "data",
    [
        npy(EVENTS),
        npy(structured(x="<i2", y="<i2", t="<i8", p="?")),
        npy(structured(polarity="u1", timestamp=">u8", y=">u2", x="<i8")),
        npz(t=T, x=X, y=Y, p=P),
        npz(np.savez_compressed, ts=T, xs=X.astype(">i4"), ys=Y.astype("u8"), ps=P * 2 - 1, more=np.zeros(3)),
        npz(timestamp=T / 1e6, x=X, y=Y, pol=P),
        npz(events=EVENTS),
        npz(t=T * 1.0, x=X.astype("f4"), y=Y * 1.0, p=P * 2.0 - 1),
        npz(t=T[:, None], x=X[None], y=Y[:, None], p=P[:, None]),
        npz(t=T, x=X, y=Y, p=np.where(P, 1, -1).astype("u1")),
        npz(t=T, x=X, y=Y, p=np.where(P, 1, -1).astype("u8")),
        npy(np.stack([T, X, Y, P], 1)),
        npy(np.stack([T, X, Y, P])),
        npy(np.stack([X, Y, T * 1.0, P], 1)),
        npy(np.stack([T / 1e6, X, Y, P * 2.0 - 1], 1)),
        npy(np.stack([X, Y, T, P], 1)),
        npy(np.asfortranarray(np.stack([X, Y, P * 2 - 1, T], 1))),
    ],
)
def test_every_layout_gives_the_same_events(data):
    decoded = decode(data)

    np.testing.assert_array_equal(decoded.events, EVENTS)
    assert (decoded.sensor, decoded.format) == ((304, 240), "numpy")


def test_a_file_is_told_by_its_signature(tmp_path):
    path = tmp_path / "recording"
    path.write_bytes(npz(t=T, x=X, y=Y, p=P))

    assert read_recording(path, sensor=(640, 480)).sensor == (640, 480)


def test_blocks_are_put_together_in_order():
    size = (1 << 20) + 3
    t = np.arange(size)

    for data in npz(t=t, x=t % 128, y=t % 34, p=t % 2), npy(np.stack([t, t % 128, t % 34, t % 2], 1)):
        events = decode(data).events
        np.testing.assert_array_equal(events, make_events(t, t % 128, t % 34, t % 2))


@pytest.mark.parametrize("first", [0, 1_600_000_000_000_000])  # s · 10^6 falls below the µs at some of the first
def test_seconds_are_rounded_to_us(first):
    t, zero = first + np.arange(1000), np.zeros(1000, int)

    assert decode(npz(t=t / 1e6, x=zero, y=zero, p=zero)).events["t"].tolist() == t.tolist()


def test_whole_times_as_floats_are_us_unless_the_type_knows_only_such():
    zero, t = np.zeros(3, int), np.array([2**24, 2**24 + 2, 2**24 + 4])

    assert decode(npz(t=t * 1.0, x=zero, y=zero, p=zero)).events["t"].tolist() == t.tolist()
    assert decode(npz(t=t.astype("f4"), x=zero, y=zero, p=zero)).events["t"].tolist() == (t * 10**6).tolist()


def test_any_bits_of_a_float_are_refused_without_a_warning():
    signalling = np.array([0x7F800001] * 3, "<u4").view("<f4")  # a NaN that some operations warn of

    for columns in {"t": signalling, "x": X}, {"t": T, "x": signalling}:
        with pytest.raises(RecordingError, match=r"event 0 has [tx] = nan"):
            decode(npz(**columns, y=Y, p=P))


def test_a_time_beyond_all_floats_is_refused_without_a_warning():
    with pytest.raises(RecordingError, match=r"event 1 has t = 1\.5e\+308"):
        decode(npz(t=np.array([0.5, 1.5e308]), x=X[:2], y=Y[:2], p=P[:2]))


WHOLE = npz(t=T, x=X, y=Y, p=P)


def announcing(shape, data=None):
    """An array whose header has another shape."""
    data = npy(EVENTS) if data is None else data
    header = data.index(b"(3,)")
    text = data[header:].split(b"\n")[0]
    return data.replace(text, text.replace(b"(3,)", shape)[: len(text)].ljust(len(text)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(EVENTS[:0]), "holds no events"),
        (npy(EVENTS)[:-1], r"announces \(3,\) of .* 39 bytes, but holds 38"),
        (announcing(b"(9000000000000,)"), r"announces \(9000000000000,\)"),
        (announcing(b"(-3,)"), "announces"),
        (npy(np.zeros((3, 4))), "more than one order of columns fits .* np.savez"),
        (npy(np.zeros((3, 3), int)), r"an array \(3, 3\)"),
        (npy(np.zeros((1, 4), int)), "more than one order of columns fits"),
        (npy(np.array([[9, 1, 2, 5], [5, 0, 1, 0]])), "no order of columns fits"),
        (npy(np.zeros(3, "f4")).replace(b"<f4", b"|O "), "cannot be read|Python objects"),
        (npz(t=T, x=X, y=Y), "holds the arrays t, x, y; expected t, x, y and p"),
        (npz(t=T, ts=T, x=X, y=Y, p=P), "holds the arrays"),
        (npz(t=T, x=X[1:], y=Y, p=P), "expected four columns of one length"),
        (npz(t=T, x=X * 1.5, y=Y, p=P), r"event 0 has x = 1\.5, which no event can have"),
        (npz(t=T, x=X.astype(str), y=Y, p=P), "x is of <U5; expected whole numbers"),
        (npz(t=T, x=np.where(X == 1, np.nan, X), y=Y, p=P), "event 0 has x = nan"),
        (npz(t=T, x=X, y=Y, p=P.astype("u1") * 254), "event 1 has p = 254"),
        (npz(t=T, x=X, y=Y, p=np.array([255, 0, 1], "u1")), "the polarities -1 and 0"),
        (npz(t=T, x=X.astype(int) - 2, y=Y, p=P), "event 0 has x = -1"),
        (npz(t=T, x=X, y=Y.astype(int) + 65400, p=P), "event 1 has y = 65600"),
        (npz(t=T, x=X, y=Y, p=P * 2), "event 1 has p = 2"),
        (npz(t=T, x=X, y=Y, p=np.array([0, -1, 1])), "the polarities -1 and 0"),
        (npz(t=T.astype("u8") + 2**63, x=X, y=Y, p=P), "event 0 has t = 9223372036854775813"),
        (npz(t=np.array([0, np.nan, 1]), x=X, y=Y, p=P), "event 1 has t = nan"),
        (npz(t=T * 20.0 + 0.5, x=X, y=Y, p=P), "if they are µs, write them as integers"),
        (npz(t=T[::-1], x=X, y=Y, p=P), "time runs backwards"),
        (WHOLE[:-40], "cannot be read as a NumPy file"),
        (npz(t=np.array([None] * 3), x=X, y=Y, p=P), "t: holds Python objects"),
    ],
)
def test_what_cannot_be_used_is_refused(data, message):
    with pytest.raises(RecordingError, match=message) as refusal:
        decode(data)
    assert str(refusal.value).startswith("r.npy: ")


def test_a_member_that_announces_more_than_is_packed_is_refused():
    size = 10**9
    data = bytearray(npz(np.savez_compressed, t=T, x=X, y=Y, p=P))
    start = data.index(b"PK\x01\x02")
    data[start + 24 : start + 28] = size.to_bytes(4, "little")

    with pytest.raises(RecordingError, match=r"t would take 1 GB, and is .* itself: more than 67.1 MB"):
        decode(bytes(data))


@given(st.binary(max_size=60), st.integers(0, 200))
def test_arbitrary_bytes_raise_nothing_else(data, kept):
    for start in npy(EVENTS), WHOLE:
        raises_nothing_else(start[:kept] + data)


@given(st.sampled_from([npy(EVENTS), WHOLE, npy(np.stack([T, X, Y, P], 1))]), st.data())
def test_damage_raises_nothing_else(whole, data):
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    raises_nothing_else(bytes(damaged))
    raises_nothing_else(whole[: data.draw(st.integers(0, len(whole) - 1))])


def raises_nothing_else(data):
    try:
        decoded = decode(data)
    except RecordingError as error:
        assert str(error).startswith("r.npy: ")  # noqa: PT017
    else:
        assert len(decoded.events) > 0


@pytest.mark.parametrize(
    ("width", "stated"), [(np.uint16(346), (346, 260)), (np.array([346]), (346, 260)), (None, None)]
)
def test_an_archive_may_state_its_sensor(width, stated):
    file = io.BytesIO()
    columns = {name: np.array([1]) for name in "txyp"}
    np.savez(file, **columns, height=260, **({} if width is None else {"width": width}))
    recording = decode_recording(file.getvalue(), "r.npz")
    assert recording.sensor_from == ("file" if stated else "guess")
    assert recording.sensor == (stated or (34, 34))


@pytest.mark.parametrize("width", [0, -1, 1 << 17, 3.5, np.arange(3), np.array(["a"])])
def test_a_stated_sensor_that_is_none(width):
    file = io.BytesIO()
    np.savez(file, **{name: np.array([1]) for name in "txyp"}, height=260, width=width)
    with pytest.raises(RecordingError, match=r"^r\.npz: width is .*; expected a number of pixels"):
        decode_recording(file.getvalue(), "r.npz")
