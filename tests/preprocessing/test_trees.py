"""HDF5 of anybody's making as plain values, or one error that says what is wrong with it."""

from collections import Counter

import h5py
import numpy as np
import pytest

from preprocessing.trees import DEEPEST, read_tree
from tests.helpers.bombs import hdf5_chunk, hdf5_in_circles, hdf5_inflates, hdf5_unallocated
from tests.helpers.fuzzing import outcomes


def made(path):
    with h5py.File(path, "w") as file:
        file["version"] = "1.0"
        file.create_dataset("group/numbers", data=np.arange(6.0).reshape(2, 3), compression="gzip")
        file["group/one"] = 7
        file["group/pairs"] = [["a", "b"], ["b", "ü"]]
        file.create_group("group/empty")
    return path


def test_groups_numbers_and_text_come_back(tmp_path):
    found = read_tree(made(tmp_path / "a.h5"))
    assert found["version"] == "1.0"
    assert set(found["group"]) == {"numbers", "one", "pairs", "empty"}
    np.testing.assert_array_equal(found["group"]["numbers"], np.arange(6.0).reshape(2, 3))
    assert found["group"]["one"].shape == ()
    assert found["group"]["one"] == 7
    assert found["group"]["pairs"] == [["a", "b"], ["b", "ü"]]
    assert found["group"]["empty"] == {}


def soft(file):
    file["bad"] = h5py.SoftLink("/version")


def external(file):
    file["bad"] = h5py.ExternalLink("/etc/passwd", "/")


def elsewhere(file):
    file.create_dataset("bad", (5,), "u1", external=[("/etc/passwd", 0, 5)])


def virtual(file):
    layout = h5py.VirtualLayout((5,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (5,))
    file.create_virtual_dataset("bad", layout)


def large(file):
    file.create_dataset("bad", (1 << 40,), "u1")


def references(file):
    file.create_dataset("bad", data=file.ref, dtype=h5py.ref_dtype)


def deep(file):
    file.create_group("/".join("a" * (DEEPEST + 1)))


def circle(file):
    file["group/bad"] = file["group"]


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (soft, "/bad is a link to another place"),
        (external, "/bad is a link to another place"),
        (elsewhere, "/bad lies in other files"),
        (virtual, "/bad lies in other files"),
        (large, "/bad and what comes before it would take 1.1 TB"),
        (references, "/bad holds .*; expected numbers or text"),
        (deep, "nested more than 8 deep"),
        (circle, "nested more than 8 deep"),
    ],
)
def test_what_lies_elsewhere_or_has_no_end_is_refused(tmp_path, add, message):
    with h5py.File(made(tmp_path / "a.h5"), "r+") as file:
        add(file)
    with pytest.raises(ValueError, match=message):
        read_tree(tmp_path / "a.h5")


@pytest.mark.parametrize("bomb", [hdf5_unallocated, hdf5_chunk, hdf5_inflates, hdf5_in_circles])
def test_small_files_that_would_take_all_memory_are_refused(tmp_path, bomb):
    (tmp_path / "a.h5").write_bytes(bomb())
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read as HDF5: "):
        read_tree(tmp_path / "a.h5")


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file at"):
        read_tree(tmp_path)
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read as HDF5"):
        read_tree(tmp_path / "a.h5")


def test_damaged_files_are_read_or_refused(tmp_path):
    found = outcomes(read_tree, made(tmp_path / "a.h5"), (ValueError,), range(60), is_zip=False)
    assert found.total() == 60
    assert min(Counter(found).values()) > 5
