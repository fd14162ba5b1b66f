from collections import Counter

import numpy as np
import pytest
from PIL import Image

from preprocessing.build import build, main
from preprocessing.cache import FrameCache
from preprocessing.datasets import Pictures

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3)).astype(np.uint8)


def folder(root, *names):
    for image, name in zip(COLOURS, names, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return root


def npz(path, **arrays):
    np.savez(path, **{"images": COLOURS, "labels": [0, 1] * 10, **arrays})
    return path


def test_pictures_of_the_size_stay_as_they_are(tmp_path):
    photos = folder(tmp_path / "photos", "train/cat/1.png", "train/dog/1.bmp", "test/cat/2.png", "val/dog/2.png")
    build(Pictures(photos, size=(5, 6)), tmp_path / "a.h5", workers=1)
    cache = FrameCache(tmp_path / "a.h5")
    assert cache.classes == ("cat", "dog")
    assert cache.sources == ("train/cat/1.png", "train/dog/1.bmp", "val/dog/2.png", "test/cat/2.png")
    assert cache.splits == ("train", "train", "validation", "test")
    np.testing.assert_array_equal(cache.stored(range(4))[:, 0].transpose(0, 2, 3, 1), COLOURS[[0, 1, 3, 2]])
    np.testing.assert_allclose(cache[0][0, 0], COLOURS[0, :, :, 0] / 255, rtol=1e-6)


def test_without_splits_a_share_of_each_class_is_held_out(tmp_path):
    sources = Pictures(npz(tmp_path / "a.npz"), test_fraction=0.3).listing().sources
    assert Counter((s.label, s.split) for s in sources) == {(c, s): n for c in (0, 1) for s, n in SHARES}
    again = Pictures(npz(tmp_path / "a.npz"), test_fraction=0.3, seed=1).listing().sources
    assert [s.split for s in again] != [s.split for s in sources]


SHARES = (("train", 7), ("test", 3))


@pytest.mark.parametrize(
    ("images", "channels"),
    [(COLOURS, 3), (COLOURS[..., 0], 1), (COLOURS[..., 0] / 255, 1)],
    ids=["rgb", "grey", "float"],
)
def test_arrays_in_an_npz_file(tmp_path, images, channels):
    split = ["train", "validation", "test", "train"] * 5
    build(Pictures(npz(tmp_path / "a.npz", images=images, split=split)), tmp_path / "a.h5", workers=1)
    cache = FrameCache(tmp_path / "a.h5")
    assert (cache.channels, cache.size) == (channels, (5, 6))
    assert sorted(cache.splits) == sorted(split)
    expected = COLOURS if channels == 3 else COLOURS[..., :1]
    np.testing.assert_array_equal(cache.stored(range(20))[:, 0].transpose(0, 2, 3, 1), expected)


def of_folder(root, **options):
    listing = Pictures(root, **options).listing()
    return listing.pictures.size, listing.pictures.channels


def test_size_and_channels_are_by_default_as_the_pictures_are(tmp_path):
    photos = folder(tmp_path / "colour", "cat/1.png", "dog/1.png")
    assert of_folder(photos) == ((5, 6), 3)
    assert of_folder(photos, channels=1) == ((5, 6), 1)
    assert of_folder(photos, size=(4, 3)) == ((4, 3), 3)
    (tmp_path / "grey" / "cat").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(COLOURS[i, ..., 0]).save(tmp_path / "grey" / "cat" / f"{i}.png")
    assert of_folder(tmp_path / "grey") == ((5, 6), 1)
    assert of_folder(tmp_path / "grey", size=(4, 3)) == ((4, 3), 1)
    Image.fromarray(COLOURS[3]).save(tmp_path / "grey" / "cat" / "3.png")
    assert of_folder(tmp_path / "grey") == ((5, 6), 3)
    (tmp_path / "grey" / "cat" / "4.png").write_bytes(b"no picture")
    build(Pictures(tmp_path / "grey"), tmp_path / "a.h5", workers=1)
    cache = FrameCache(tmp_path / "a.h5")
    assert (len(cache), cache.size, cache.channels, len(cache.left_out)) == (4, (5, 6), 3, 1)


def test_turned_pictures_count_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    (tmp_path / "cat").mkdir()
    Image.fromarray(COLOURS[0]).save(tmp_path / "cat" / "1.jpg", exif=exif)
    assert of_folder(tmp_path) == ((6, 5), 3)


def test_pictures_of_several_sizes_need_one(tmp_path, capsys):
    photos = folder(tmp_path / "photos", "cat/1.png", "cat/2.png")
    Image.fromarray(COLOURS[0, :4]).save(photos / "cat" / "3.png")
    assert main(["pictures", "--root", str(photos), "--out", str(tmp_path / "a.h5")]) == 1
    told = capsys.readouterr().err
    assert "its pictures differ in size, 5×6 (cat/1.png), 5×4 (cat/3.png); say what they are brought to" in told
    (tmp_path / "broken" / "cat").mkdir(parents=True)
    (tmp_path / "broken" / "cat" / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of its 1 pictures can be read \(cat/1\.png: "):
        Pictures(tmp_path / "broken").listing()
    assert main(["pictures", "--root", str(photos), "--size", "4x3", "--out", str(tmp_path / "a.h5")]) == 0
    assert FrameCache(tmp_path / "a.h5").size == (4, 3)
    assert main(["pictures", "--root", str(tmp_path / "none")]) == 1
    assert "no such folder or .npz file; --root names it" in capsys.readouterr().err


def test_what_is_no_picture_is_left_out(tmp_path):
    photos = folder(tmp_path / "photos", "cat/1.png", "cat/2.png", "dog/1.png")
    (photos / "cat" / "3.png").write_text("no picture")
    (photos / "notes.txt").touch()
    result = build(Pictures(photos, size=(5, 6)), tmp_path / "a.h5", workers=1)
    reasons = dict(FrameCache(tmp_path / "a.h5").left_out)
    assert reasons["cat/3.png"].startswith("cannot be read as an image")
    assert "notes.txt" in reasons
    assert "class 'dog' has a single image" in str(result)
    with pytest.raises(ValueError, match="test fraction must be between 0 and 1, got 2"):
        Pictures(photos, test_fraction=2)


def test_real_images_are_kept_to_the_last_bit(shared_data, tmp_path):
    path = shared_data / "cifar10_10k.npz"
    build(Pictures(path), tmp_path / "a.h5", workers=1, limit=300)
    cache = FrameCache(tmp_path / "a.h5")
    with np.load(path) as file:
        images, labels, classes = file["images"], file["labels"], tuple(file["classes"])
    rows = [int(name.partition("/")[2]) for name in cache.sources]
    assert (len(cache), cache.classes) == (300, classes)
    assert set(Counter(cache.labels.tolist()).values()) == {30}
    assert cache.labels.tolist() == labels[rows].tolist()
    np.testing.assert_array_equal(cache.stored(range(300))[:, 0].transpose(0, 2, 3, 1), images[rows])
    training = cache.stored(cache.indices("train"))[:, 0] / 255
    np.testing.assert_allclose(cache.mean, training.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(cache.std, training.std((0, 2, 3)), rtol=1e-12)
