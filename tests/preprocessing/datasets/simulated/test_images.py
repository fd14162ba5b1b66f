import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets import Images
from preprocessing.datasets.simulated import base as simulated
from preprocessing.readers import read_recording


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)


def folder(root, *names):
    """Image files of these names, each with its own picture."""
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(root / name)
    return root


def npz(path, **arrays):
    np.savez(path, **{"images": np.stack([picture(seed) for seed in range(6)]), "labels": [0, 1] * 3, **arrays})
    return path


def found(listing):
    return {s.name: (listing.classes[s.label], s.split) for s in listing.sources}


def simulate(dataset, workers=1):
    """Make all recordings and give the content of each."""
    sources = dataset.listing().sources
    dataset.prepare(sources, workers)
    return {source.name: source.path.read_bytes() for source in sources}


@pytest.fixture
def photos(tmp_path):
    return folder(tmp_path / "photos", "cat/1.png", "cat/2.bmp", "dog/1.png")


def test_classes_in_folders_are_held_out_from_by_image(tmp_path):
    photos = folder(tmp_path / "photos", *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(10)))
    listing = Images(tmp_path / "dvs", photos, test_fraction=0.2).listing()

    assert listing.classes == ("cat", "dog")
    assert Counter(found(listing).values()) == {(name, s): n for name in listing.classes for s, n in SHARES}
    assert found(Images(tmp_path / "dvs", photos, test_fraction=0.2, seed=1).listing()) != found(listing)
    assert not (tmp_path / "dvs").exists()


SHARES = (("train", 8), ("test", 2))


def test_split_folders(tmp_path):
    photos = folder(tmp_path / "photos", "Train/cat/1.png", "val/cat/2.png", "test/dog/1.jpg", "more/cat/1.png")
    listing = Images(tmp_path / "dvs", photos).listing()

    assert found(listing) == {
        "Train/cat/1.aedat": ("cat", "train"),
        "val/cat/2.aedat": ("cat", "validation"),
        "test/dog/1.aedat": ("dog", "test"),
    }
    assert listing.left_out == (("more", "not the folder of a split"),)


def test_what_is_left_out_and_why(tmp_path):
    photos = folder(tmp_path / "photos", "cat/1.png", "cat/1.jpg", "cat/sub/2.png", "loose.png")
    (photos / "cat" / "notes.txt").touch()
    (photos / "empty").mkdir()
    listing = Images(tmp_path / "dvs", photos).listing()

    reasons = dict(listing.left_out)
    assert list(found(listing)) == ["cat/1.aedat"]
    assert sorted(reasons) == ["cat/1.png", "cat/notes.txt", "cat/sub", "empty", "loose.png"]
    assert reasons["cat/1.png"] == "another image has the recording cat/1.aedat; rename it"
    assert reasons["cat/notes.txt"].startswith(".txt is no image; images are .bmp")
    assert reasons["cat/sub"] == "a folder inside a class"
    assert reasons["empty"] == "a class without images"
    assert reasons["loose.png"] == "not in a class's folder"
    assert listing.notes == ("class 'cat' has a single image, which is used for training: it is not tested",)


def test_images_in_an_npz_file(tmp_path):
    names = Images(tmp_path / "dvs", npz(tmp_path / "a.npz", classes=["cat", "dog"])).listing()
    assert [s.name for s in names.sources[:2]] == ["cat/000000.aedat", "dog/000001.aedat"]
    assert Counter(found(names).values()) == {(c, s): n for c in ("cat", "dog") for s, n in (("train", 2), ("test", 1))}

    numbers = Images(tmp_path / "dvs", npz(tmp_path / "b.npz", labels=[7, 3] * 3)).listing()
    assert numbers.classes == ("3", "7")
    assert numbers.sources[0].name == "7/000000.aedat"

    words = npz(tmp_path / "c.npz", labels=["dog", "cat"] * 3, split=["train", "validation", "test"] * 2)
    assert found(Images(tmp_path / "dvs", words).listing())["validation/cat/000001.aedat"] == ("cat", "validation")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((6, 4))}, r"\[N, H, W\] or \[N, H, W, 3\], got \[6, 4\]"),
        ({"images": np.full((6, 4, 4), 200)}, "got int64 from 200 to 200"),
        ({"images": np.full((6, 4, 4), 2.0)}, "got float64 from 2 to 2"),
        ({"labels": [0, 1]}, r"6 images, but labels has the shape \[2\]"),
        ({"classes": ["cat"]}, "labels from 0 to 1, but 1 classes"),
        ({"classes": ["cat", "../dog"]}, "classes name folders"),
        ({"labels": ["a", "b"] * 3, "classes": ["a", "c"]}, r"labels \['b'\] are not among the classes"),
        ({"split": ["train", "exam"] * 3}, r"split has \['exam'\]; expected train, validation, test"),
        ({"labels": np.array([None] * 6)}, "cannot be read as an .npz file of plain arrays"),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        Images(tmp_path / "dvs", npz(tmp_path / "a.npz", **arrays)).listing()


def test_what_is_no_npz_file_says_so(tmp_path):
    (tmp_path / "a.npz").write_text("no arrays")
    np.savez(tmp_path / "b.npz", pictures=[1])

    with pytest.raises(ValueError, match=r"a\.npz: cannot be read"):
        Images(tmp_path / "dvs", tmp_path / "a.npz").listing()
    with pytest.raises(ValueError, match="expected arrays images and labels, found neither"):
        Images(tmp_path / "dvs", tmp_path / "b.npz").listing()
    with pytest.raises(FileNotFoundError, match=r"no such folder or \.npz file; --images names it"):
        Images(tmp_path / "dvs", tmp_path / "c.npz").listing()


def test_recordings_are_real_files_and_kept(tmp_path, photos):
    dataset = Images(tmp_path / "dvs", photos)
    first = simulate(dataset)
    times = {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")}

    assert read_recording(dataset.root / "cat" / "1.aedat").sensor == (128, 128)
    assert len(set(first.values())) == 3
    assert simulate(dataset) == first
    assert {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")} == times


def test_a_changed_image_has_a_new_recording(tmp_path, photos):
    dataset = Images(tmp_path / "dvs", photos)
    before, known = simulate(dataset), {s.name: s.identity() for s in dataset.listing().sources}
    Image.fromarray(picture(99)).save(photos / "cat" / "1.png")
    after = simulate(dataset)

    assert [name for name in before if before[name] != after[name]] == ["cat/1.aedat"]
    assert [s.name for s in dataset.listing().sources if s.identity() != known[s.name]] == ["cat/1.aedat"]


def test_an_interrupted_build_leaves_no_stale_recording(tmp_path, photos, monkeypatch):
    dataset = Images(tmp_path / "dvs", photos)
    simulate(dataset)
    Image.fromarray(picture(99)).save(photos / "cat" / "1.png")
    with monkeypatch.context() as patch:
        patch.setattr(simulated, "run_tasks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate(dataset)

    assert not (dataset.root / "cat" / "1.aedat").exists()
    assert simulate(dataset) == simulate(Images(tmp_path / "elsewhere", photos))


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("changed", [{"theta": 0.4}, {"seed": 1}, {"picture_px": 100}, {"path_px": 1.0}])
def test_other_settings_make_other_recordings(tmp_path, photos, changed):
    before = simulate(Images(tmp_path / "dvs", photos))
    other = simulate(Images(tmp_path / "dvs", photos, **changed))

    assert all(before[name] != other[name] for name in before)
    assert other == simulate(Images(tmp_path / "elsewhere", photos, **changed))
    assert simulate(Images(tmp_path / "dvs", photos)) == before


def test_a_part_by_other_settings_leaves_no_others_behind(tmp_path, photos):
    simulate(Images(tmp_path / "dvs", photos))
    other = Images(tmp_path / "dvs", photos, theta=0.4)
    other.prepare(other.listing().sources[:1], workers=1)

    assert [path.name for path in (tmp_path / "dvs").glob("*/*")] == ["1.aedat"]


def test_worker_processes_make_the_same_recordings(tmp_path, photos):
    alone, together = (simulate(Images(tmp_path / f"{workers}", photos), workers) for workers in (1, 2))

    assert alone == together


def test_recordings_of_others_are_not_replaced(tmp_path, photos):
    mine = tmp_path / "dvs" / "cat" / "1.aedat"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    with pytest.raises(FileExistsError, match=r"1\.aedat is there and not simulated; choose another --root"):
        simulate(Images(tmp_path / "dvs", photos))
    assert mine.read_text() == "mine"
    with pytest.raises(ValueError, match="lies in the images' folder"):
        Images(photos / "dvs", photos)


def test_a_stamp_has_no_say_on_files_elsewhere(tmp_path, photos):
    dataset = Images(tmp_path / "dvs", photos)
    simulate(dataset)
    stamp = json.loads((dataset.root / simulated.STAMP).read_text())
    others = [tmp_path / "absolute.aedat", tmp_path / "relative.aedat"]
    for path, name in zip(others, (str(others[0]), "../relative.aedat"), strict=True):
        path.touch()
        stamp["recordings"][name] = "made up"
    (dataset.root / simulated.STAMP).write_text(json.dumps(stamp))

    simulate(Images(tmp_path / "dvs", photos, theta=0.4))
    assert all(path.exists() for path in others)


def test_a_build_leaves_out_what_is_no_image(tmp_path, photos):
    (photos / "dog" / "2.png").write_text("no image")
    Image.new("L", (8, 8), 128).save(photos / "dog" / "3.png")
    dataset, out = Images(tmp_path / "dvs", photos, noise_hz=0), tmp_path / "a.h5"
    build(dataset, out, steps=2, size=(8, 8), workers=1)

    with FrameCache(out) as cache:
        assert cache.classes == ("cat", "dog")
        assert len(cache) == 3
        reasons = dict(cache.left_out)
    assert reasons["dog/2.aedat"].startswith("2.png: cannot be read as an image")
    assert reasons["dog/3.aedat"].endswith("gave not a single event")
    assert build(dataset, out, steps=2, size=(8, 8), workers=1).up_to_date
    Image.fromarray(picture(99)).save(photos / "dog" / "2.png")
    assert not build(dataset, out, steps=2, size=(8, 8), workers=1).up_to_date
