import pickle
import pickletools
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing.datasets.stills.plain_pickle import PlainArray, load_plain


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which is how CIFAR was published."""

    def save_bytes(self, data):
        self.write(b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}  # noqa: RUF012


class Calls:
    """Asks to be made by calling a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("dtype", [np.uint8, "<i4", ">u2", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers_come_back(dtype, order):
    array = np.asarray(np.arange(12).reshape(3, 4), dtype, order=order)
    content = load_plain(pickle.dumps({b"data": array, b"labels": [1, 2]}, protocol=3))
    assert content[b"labels"] == [1, 2]
    assert isinstance(content[b"data"], PlainArray)
    np.testing.assert_array_equal(content[b"data"].values, array)


def test_texts_of_python_2_are_bytes(tmp_path):
    with (tmp_path / "batch").open("wb") as file:
        Python2Pickler(file, protocol=2).dump({b"data": np.arange(300, dtype=np.uint8), b"filenames": [b"a.png"]})
    data = (tmp_path / "batch").read_bytes()
    assert {"SHORT_BINSTRING", "BINSTRING"} <= {opcode.name for opcode, _, _ in pickletools.genops(data)}
    content = load_plain(data)
    np.testing.assert_array_equal(content[b"data"].values, np.arange(300, dtype=np.uint8))
    assert content[b"filenames"] == [b"a.png"]


@pytest.mark.parametrize(
    ("hostile", "asks_for"),
    [
        (Calls(exec, "open('made', 'w')"), "builtins.exec"),
        (Calls(np.load, "made"), "numpy.load"),
        (Calls(np.ndarray, (1 << 40,)), "it calls numpy.ndarray"),
        (Calls(getattr, "a", "upper"), "builtins.getattr"),
        (np.array([{}], object), "an array of 'O8'"),
        (np.zeros(2, "U3"), "an array of 'U3'"),
        (np.zeros(2, [("a", "u1")]), "an array of 'V1'"),
    ],
    ids=["exec", "load", "huge", "getattr", "objects", "texts", "fields"],
)
def test_hostile_pickles_are_refused_and_do_nothing(hostile, asks_for, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"no pickle of plain arrays and lists .*{asks_for}"):
        load_plain(pickle.dumps({"data": hostile}, protocol=3))
    assert not (tmp_path / "made").exists()


def test_an_array_larger_than_its_bytes_is_refused():
    data = pickle.dumps(np.zeros(4, np.uint8), protocol=3)
    with pytest.raises(ValueError, match="cannot reshape"):
        load_plain(data.replace(b"K\x04\x85", b"K\x05\x85"))


@given(st.binary(max_size=60))
@example(b"")
@example(pickle.dumps([1, 2, 3])[:-1])
def test_other_bytes_are_refused_or_plain(data):
    try:
        content = load_plain(data)
    except ValueError:
        return
    assert isinstance(content, bool | int | float | str | bytes | bytearray | list | tuple | dict | set | None)


BATCH = pickle.dumps({b"data": np.arange(48, dtype=np.uint8).reshape(2, 24), b"labels": [1, 2]}, protocol=3)


@given(place=st.integers(0, len(BATCH) - 1), byte=st.integers(0, 255))
def test_a_damaged_batch_is_refused_or_plain(place, byte):
    damaged = bytearray(BATCH)
    damaged[place] = byte
    try:
        content = load_plain(bytes(damaged))
    except ValueError:
        return
    arrays = [value for value in content.values() if isinstance(value, PlainArray)] if type(content) is dict else []
    assert all(array.values.dtype.kind in "uif" for array in arrays)


@pytest.mark.parametrize("protocol", range(6))
def test_every_instruction_of_plain_data_is_passed_over(protocol):
    content = [{"a": [1, -2, 2**40, 2**100, 1.5, True, None, "x" * 300, "é", (), (1,), (1, 2, 3, 4)]}, "y" * 70_000]
    content += [list(range(1000)), [str(i) for i in range(400)]]
    assert load_plain(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02]r\x00\x00\x00\x10.",
        b"\x80\x02]q\x00U\x02abr\x40\x00\x00\x10.",
        b"(lp268435456\n.",
        b"\x80\x02]\xffr\x00\x00\x00\x10.",
    ],
    ids=["binary", "behind a text", "text", "unknown instruction"],
)
def test_places_beyond_its_size_are_refused(data):
    """The first of them made Python take 4 GB."""
    with pytest.raises(ValueError, match=r"byte \d+ (puts an object to the place 268435\d+|is 0xff)"):
        load_plain(data)
