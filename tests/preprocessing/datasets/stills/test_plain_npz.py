"""Image archives of any kind: read, or refused with a line; in no more memory than a multiple of the file."""

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from preprocessing.datasets.stills.labelled_images import read_labelled_images
from tests.helpers.fuzzing import apart

IMAGES = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([0, 1, 0])


def saved(folder, save=np.savez, **arrays):
    save(folder / "images.npz", **{"images": IMAGES, "labels": LABELS, **arrays})
    return folder / "images.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    turned = np.asfortranarray(IMAGES)
    found = read_labelled_images(saved(tmp_path, save, images=turned, labels=LABELS.astype(">i2")))
    np.testing.assert_array_equal(found.images, IMAGES)
    assert found.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": np.array([[[None]]])}, "images is of type object; expected numbers or texts"),
        ({"labels": np.array([0, "a", None])}, "labels is of type object"),
        ({"images": np.array(3.0)}, r"images have the shape \[N, H, W\]"),
        ({"images": IMAGES.astype(complex)}, "images is of type complex128"),
        ({"images": IMAGES.astype("M8[s]")}, "images is of type datetime64"),
        ({"images": IMAGES > 9}, "images are uint8 .* got bool"),
        ({"images": np.full((3, 4, 5), np.nan)}, "images are uint8 .* or float"),
        ({"labels": np.array(0)}, r"labels has the shape \[\]"),
        ({"labels": LABELS[:2]}, r"3 images, but labels has the shape \[2\]"),
        ({"labels": LABELS * 1.5}, "labels are names, or whole numbers, got float64"),
        ({"labels": LABELS - 1, "classes": np.array(["a", "b"])}, "labels from -1 to 0, but 2 classes"),
        ({"classes": np.array("a")}, r"classes are names, one after the other, got <U1 \[\]"),
        ({"classes": np.array([0.5, 1.5])}, "classes are names, one after the other, got float64"),
        ({"split": np.array([b"train"] * 3)}, "split has"),
        ({"split": np.array("train")}, r"split has the shape \[\]"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, arrays, said):
    with pytest.raises(ValueError, match=rf"images\.npz: .*{said}"):
        read_labelled_images(saved(tmp_path, **arrays))


def test_an_encrypted_file_is_refused(tmp_path):
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + flags] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"images\.npz: .*encrypted"):
        read_labelled_images(path)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    path = saved(tmp_path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.npy", archive.read("labels.npy"))
    with pytest.raises(ValueError, match="two arrays of one name"):
        read_labelled_images(path)


def test_an_array_that_announces_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "images.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 1 << 20, 4)}
        )
    with pytest.raises(ValueError, match=r"images announces \(1099511627776, 1048576, 4\) of uint8, but holds 0 bytes"):
        read_labelled_images(path)


def read(path):
    try:
        read_labelled_images(Path(path))
    except ValueError:
        return Counter(refused=1)
    return Counter()


def test_a_small_file_that_unpacks_to_gigabytes_asks_for_no_memory(tmp_path):
    path = tmp_path / "images.npz"
    shape = {"descr": "|u1", "fortran_order": False, "shape": (192, 1024, 1024)}
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, shape)
        for _ in range(192):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 300_000
    with pytest.raises(
        ValueError, match=r"unpack to .* more than 100 times as many; where this is meant, save it unpack"
    ):
        read_labelled_images(path)
    found = apart(f"tests.preprocessing.datasets.stills.test_plain_npz:read({str(path)!r})")
    assert found["refused"] == 1
    assert found["megabytes"] < 50
