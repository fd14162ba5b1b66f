import gzip
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.datasets.stills.idx import read_idx
from preprocessing.events import RecordingError


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "images-idx3-ubyte"


@given(shape=st.tuples(*[st.integers(0, 5)] * 3), packed=st.booleans())
def test_arrays_come_back(file, shape, packed):
    array = np.arange(prod(shape), dtype=np.uint8).reshape(shape)
    file.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    np.testing.assert_array_equal(read_idx(file, 3), array)


WHOLE = idx(np.zeros((2, 3, 3), np.uint8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"begins with b''"),
        (b"<html>", "begins with b'<htm', an idx file of this kind with"),
        (idx(np.zeros(4, np.uint8)), r"begins with b'\\x00\\x00\\x08\\x01'"),
        (WHOLE[:10], "cut short or damaged"),
        (WHOLE[:-1], "has 17 bytes of values, its header says 2 × 3 × 3; it is cut short or damaged: fetch it again"),
        (WHOLE + b"\0", "has 19 bytes of values"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "its header says 4294967295 × 4294967295 × 4294967295"),
        (gzip.compress(WHOLE)[:-9], "cannot be read"),
        (gzip.compress(WHOLE)[:-8] + bytes(8), "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path, data, message):
    (tmp_path / "labels").write_bytes(data)
    with pytest.raises(RecordingError, match=message) as error:
        read_idx(tmp_path / "labels", 3)
    assert str(error.value).startswith(str(tmp_path / "labels"))


@given(data=st.binary(max_size=40))
def test_any_bytes_are_an_array_or_refused(file, data):
    file.write_bytes(data)
    try:
        array = read_idx(file, 3)
    except RecordingError:
        return
    assert idx(array) == data


def test_zeros_that_unpack_to_a_thousand_times_their_size(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(bytes(100_000_000), 1))
    with pytest.raises(RecordingError, match=r"images\.gz: would take 9[5-6](\.\d)? MB, and is 4\d\d kB itself"):
        read_idx(path, 3)
