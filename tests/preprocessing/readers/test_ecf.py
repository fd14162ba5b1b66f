import io

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.events import RecordingError
from preprocessing.readers import decode_recording, ecf

CD = np.dtype({"names": ["x", "y", "p", "t"], "formats": ["<u2", "<u2", "<i2", "<i8"]}, align=True)


def words(*values, size=2):
    return b"".join(value.to_bytes(size, "little") for value in values)


def chunk(num, form, times, *columns, first=1000):
    return words(num << 2 | form, size=4) + words(first, size=8) + bytes(times) + b"".join(columns)


# two events at once, one 3 µs later, one 0x123 + 2 µs later
TIMES = (0x02, 0x31, 0xF3, 0xF2, 0xF1, 0x21)
T = [1000, 1000, 1003, 1003 + 0x123 + 2]
X, Y, P = [5, 7, 10, 300], [9, 9, 9, 200], [1, 1, 0, 1]
ROWS = words(9 << 5 | 3, 200 << 5 | 1)
BY_HAND = {
    # 5 with the second and the fifth of the next five columns, then 300
    0: chunk(4, 0, TIMES, ROWS, words(5 << 5 | 0b01001, 300 << 5), bytes([0x82, 0x01, 0x81])),
    # 12 bits each, 0x00b 0x00f 0x014 0x259
    1: chunk(4, 1, TIMES, ROWS, words(0x00BF, 0x0014, 0x0259)),
    # 24 bits each, 0x00900b 0x00900f 0x009014 0x0c8259
    2: chunk(4, 2, TIMES, words(0x00900B0F, 0x00909014, 0x000C8259, size=4)),
}


def recording(chunks, num_events, size, dtype=CD, others=(), **attributes):
    """The bytes of an HDF5 file as Metavision writes it."""
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk((size,))
        for number in (*others, ecf.FILTER):
            layout.set_filter(number, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((num_events,))
        group = h5py.h5g.create(written.id, b"CD")
        column = h5py.h5d.create(group, b"events", h5py.h5t.py_create(dtype), space, layout)
        for number, data in enumerate(chunks):
            column.write_direct_chunk((number * size,), data)
        written.attrs.update(attributes)
    return file.getvalue()


def decode(data):
    return decode_recording(data, "r.hdf5")


@pytest.mark.parametrize("form", BY_HAND)
def test_chunks_by_hand(form):
    decoded = decode(recording([BY_HAND[form]], 4, 4, geometry="1280x720"))

    assert decoded.events.tolist() == list(zip(T, X, Y, map(bool, P), strict=True))
    assert (decoded.sensor, decoded.sensor_from) == ((1280, 720), "file")


def test_long_runs_have_lengths_of_two_bytes():
    num = 400
    times = [0x0F, 44, 1, 0x1F, 100, 0]  # 300 events, then 100 a µs later
    rows = words(6 << 5 | 31, num)
    data = chunk(num, 0, times, rows, words(*([1 << 5 | 31] * 66 + [8 << 5 | 0b11100])), bytes([0xFF, 144, 1]))
    events = decode(recording([data], num, num)).events

    assert events["t"].tolist() == [1000] * 300 + [1001] * 100
    assert events["x"].tolist() == [1, 2, 3, 4, 5, 6] * 66 + [8, 9, 10, 11]
    assert set(events["y"].tolist()) == {6}
    assert events["p"].all()


def test_the_last_chunk_is_cut_to_the_events():
    later = chunk(4, 2, (0x04,), words(0x00900B0F, 0x00909014, 0x000C8259, size=4), first=2000)
    events = decode(recording([BY_HAND[0], later], 6, 4)).events

    assert events["t"].tolist() == [*T, 2000, 2000]
    assert events["x"].tolist() == [*X, *X[:2]]


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([BY_HAND[0][:-1]], "event 0: a chunk of 28 bytes ends before its 4 events"),
        ([BY_HAND[1][:-1]], "ends before its 4 events"),
        ([BY_HAND[2][:-1]], "ends before its 4 events"),
        ([BY_HAND[0][:7]], "a chunk of 7 bytes ends before its 4 events"),
        ([chunk(5, 0, TIMES)], "a chunk of 4 events announces 5"),
        ([chunk(4, 0, [0x05])], "ends before its 4 events"),
        ([], "announces 64 bytes, but 0 are in the file"),
    ],
)
def test_damaged_chunks_are_refused(chunks, message):
    with pytest.raises(RecordingError, match=rf"^r\.hdf5: /CD/events.*{message}"):
        decode(recording(chunks, 4, 4))


def test_with_other_filters_the_plug_in_is_asked_for_and_no_tool_that_needs_it():
    data = recording([BY_HAND[0]], 4, 4, others=(h5py.h5z.FILTER_SHUFFLE,))

    with pytest.raises(RecordingError, match=r"ECF and more \(36559\): install its plug-in") as refusal:
        decode(data)
    assert "h5repack" not in str(refusal.value)


@given(st.sampled_from(sorted(BY_HAND)), st.data())
def test_damage_raises_nothing_else(form, data):
    whole = BY_HAND[form]
    changed = bytearray(whole)
    for _ in range(3):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(1, len(whole)))
    try:
        decoded = decode(recording([bytes(changed[:kept])], 4, 4))
    except RecordingError as error:
        assert str(error).startswith("r.hdf5: ")  # noqa: PT017
    else:
        assert len(decoded.events) == 4
