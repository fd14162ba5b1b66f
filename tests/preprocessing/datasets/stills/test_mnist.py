import gzip

import numpy as np
import pytest

from preprocessing.build import build, main
from preprocessing.cache import FrameCache
from preprocessing.datasets import MNIST, FashionMNIST
from preprocessing.events import RecordingError

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 28, 28)).astype(np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 0], np.uint8)


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def put(root, dot="-", packed=False, labels=LABELS):
    """Six training and three test images."""
    root.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", slice(6)), ("t10k", slice(6, None))):
        for what, kind, array in (("images", "idx3", IMAGES[rows]), ("labels", "idx1", labels[rows])):
            name = f"{part}-{what}{dot}{kind}-ubyte"
            data = idx(array)
            (root / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return root


@pytest.mark.parametrize("form", [{}, {"dot": "."}, {"packed": True}], ids=["plain", "dotted", "packed"])
def test_images_and_labels_of_both_splits(tmp_path, form):
    build(MNIST(put(tmp_path / "data", **form)), tmp_path / "a.h5", workers=1)
    cache = FrameCache(tmp_path / "a.h5")
    assert (cache.kind, cache.shape, cache.dtype, cache.scale) == ("images", (1, 1, 28, 28), np.uint8, 1 / 255)
    assert cache.classes == tuple("0123456789")
    assert cache.labels.tolist() == LABELS.tolist()
    assert cache.splits == ("train",) * 6 + ("test",) * 3
    assert (cache.source(5), cache.source(6)) == ("train/000005", "test/000000")
    np.testing.assert_array_equal(cache.stored(range(9))[:, 0, 0], IMAGES)


def test_where_torchvision_keeps_them_is_found(tmp_path):
    put(tmp_path / "data" / "MNIST" / "raw")
    assert len(MNIST(tmp_path / "data").listing().sources) == 9


def test_the_way_it_is_stored_makes_no_other_cache(tmp_path):
    for name, form in (("a", {}), ("b", {"packed": True})):
        build(MNIST(put(tmp_path / name, **form)), tmp_path / f"{name}.h5", workers=1)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_changed_pixel_builds_anew(tmp_path):
    root = put(tmp_path / "data")
    build(MNIST(root), tmp_path / "a.h5", workers=1)
    assert build(MNIST(root), tmp_path / "a.h5", workers=1).up_to_date
    path = root / "train-images-idx3-ubyte"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert not build(MNIST(root), tmp_path / "a.h5", workers=1).up_to_date


def test_garments_have_names(tmp_path):
    listing = FashionMNIST(put(tmp_path)).listing()
    assert [listing.classes[s.label] for s in listing.sources[:3]] == ["dress", "trouser", "coat"]


def test_missing_files_say_where_they_are_to_be_had(tmp_path, capsys):
    (put(tmp_path / "data") / "t10k-labels-idx1-ubyte").unlink()
    assert main(["fashion-mnist", "--root", str(tmp_path / "data")]) == 1
    told = capsys.readouterr().err
    assert "expected its four idx files" in told
    assert "--download fetches it" in told
    assert "t10k-labels-idx1-ubyte.gz  http://fashion-mnist.s3-website" in told


def test_files_that_do_not_go_together_are_refused(tmp_path):
    put(tmp_path, labels=LABELS + 1)
    with pytest.raises(RecordingError, match="train-labels-idx1-ubyte: has the label 10, expected 0 to 9"):
        MNIST(tmp_path).listing()
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:5]))
    with pytest.raises(RecordingError, match="5 labels, but 6 images in train-images-idx3-ubyte"):
        MNIST(tmp_path).listing()
    put(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES[6:, :20]))
    with pytest.raises(RecordingError, match="training and test images have different sizes"):
        MNIST(tmp_path).listing()
