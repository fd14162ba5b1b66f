import os

import pytest

from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets import Folder
from preprocessing.datasets.base import Cut


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(listing):
    return {s.name: (listing.classes[s.label], s.split) for s in listing.sources}


def test_classes_without_splits_are_held_out_from_by_recording(tmp_path):
    make(tmp_path, *(f"{name}/{i}.aedat" for name in ("mug", "box") for i in range(10)), "pen/only.aedat")
    listing = Folder(tmp_path, test_fraction=0.2).listing()
    assert listing.classes == ("box", "mug", "pen")
    splits = {name: [s.split for s in listing.sources if s.name.startswith(name)] for name in listing.classes}
    assert [splits[name].count("test") for name in ("box", "mug", "pen")] == [2, 2, 0]
    assert listing.notes == ("class 'pen' has a single recording, which is used for training: it is not tested",)
    again = Folder(tmp_path, test_fraction=0.2, seed=1).listing()
    assert found(again) != found(listing)


def test_split_folders_in_any_case(tmp_path):
    make(tmp_path, "Train/a/1.bin", "TEST/a/1.bin", "TEST/b/2.BIN", "validation/b.bin", "extra/a/3.bin")
    listing = Folder(tmp_path).listing()
    assert found(listing) == {
        "Train/a/1.bin": ("a", "train"),
        "validation/b.bin": ("b", "validation"),
        "TEST/a/1.bin": ("a", "test"),
        "TEST/b/2.BIN": ("b", "test"),
    }
    assert listing.left_out == (("extra", "not the folder of a split"),)


def test_split_folders_by_name(tmp_path):
    make(tmp_path, "day1/mug.aedat", "day2/mug.aedat", "day2/box.aedat", "day3/box.aedat")
    listing = Folder(tmp_path, splits="train=day2,test=day1").listing()
    assert found(listing) == {
        "day2/box.aedat": ("box", "train"),
        "day2/mug.aedat": ("mug", "train"),
        "day1/mug.aedat": ("mug", "test"),
    }
    assert listing.left_out == ()


def test_what_is_left_out_and_why(tmp_path):
    make(tmp_path, "a/1.aedat", "a/notes.md", "a/.DS_Store", "a/2.mp4", "a/sub/3.aedat", "loose.aedat", ".git/x")
    (tmp_path / "empty").mkdir()
    listing = Folder(tmp_path).listing()
    assert list(found(listing)) == ["a/1.aedat"]
    reasons = dict(listing.left_out)
    assert sorted(reasons) == ["a/2.mp4", "a/notes.md", "a/sub", "empty", "loose.aedat"]
    assert reasons["a/2.mp4"].startswith(".mp4 is not read; readable are .aedat")
    assert reasons["a/sub"] == "a folder inside a class"
    assert reasons["empty"] == "a class without recordings"
    assert reasons["loose.aedat"] == "not in a class's folder"
    assert listing.classes == ("a",)


def test_windows_and_sensor(tmp_path):
    make(tmp_path, "a/1.aedat")
    assert Folder(tmp_path).listing().cut is None
    assert Folder(tmp_path, window="1.3s").listing().cut == Cut(1_300_000, 1_300_000)
    assert Folder(tmp_path, window="1.3s", hop="50ms").listing().cut == Cut(1_300_000, 50_000)
    assert Folder(tmp_path, sensor="240x180").listing().sensor == (240, 180)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": "long"}, "'long'"),
        ({"hop": "1s"}, "hop 1s was given without a window"),
        ({"sensor": "128"}, "sensor '128'; write width and height, e.g. 128x128"),
        ({"splits": "day1,day2"}, "splits 'day1,day2'; write e.g. train=session1"),
        ({"splits": "train=day1,train=day2"}, "each at most once"),
        ({"splits": "training=day1"}, "train, validation, test on the left"),
        ({"test_fraction": 0.0}, "between 0 and 1, got 0.0"),
    ],
)
def test_options_that_cannot_be_meant(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Folder(tmp_path, **options)


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        Folder(tmp_path / "nowhere").listing()
    with pytest.raises(FileNotFoundError, match="day9: no such folder, but --splits takes test from it"):
        Folder(make(tmp_path, "day1/a.bin"), splits="train=day1,test=day9").listing()


def bag(path):
    """A bag of ROS 2 with three events, (5, 1, 2, ON) and so on."""
    from tests.preprocessing.readers import test_rosbag as bags

    path.parent.mkdir(parents=True, exist_ok=True)
    events = [(5, 1, 2, True), (6, 3, 4, False), (9, 5, 6, True)]
    return bags.bag2(path, {"/events": [bags.array(bags.ROS2, events)]})


def test_a_folder_that_is_a_bag_is_a_recording(tmp_path):
    pytest.importorskip("rosbags", reason="bags are written and read with rosbags: pip install 'evglif[ros]'")
    bag(tmp_path / "r" / "train" / "mug" / "first")
    bag(tmp_path / "r" / "test" / "mug")
    make(tmp_path / "r", "train/mug/metadata.yaml")
    listing = Folder(tmp_path / "r").listing()
    assert found(listing) == {"train/mug/first": ("mug", "train"), "test/mug": ("mug", "test")}
    assert [name for name, _ in listing.left_out] == ["train/mug/metadata.yaml"]

    build(Folder(tmp_path / "r"), tmp_path / "frames.h5", steps=1, workers=1)
    cache = FrameCache(tmp_path / "frames.h5")
    assert (cache.num_events.tolist(), cache.sensor, cache.sensor_from) == ([3, 3], (240, 180), "file")
    assert build(Folder(tmp_path / "r"), tmp_path / "frames.h5", steps=1).up_to_date
    time_ns = cache.path.stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "r" / "test" / "mug" / "mug.db3", ns=(time_ns, time_ns))
    assert not build(Folder(tmp_path / "r"), tmp_path / "frames.h5", steps=1, workers=1).up_to_date


def test_a_bag_that_cannot_be_read_is_left_out_by_name(tmp_path):
    pytest.importorskip("rosbags", reason="bags are read with rosbags: pip install 'evglif[ros]'")
    bag(tmp_path / "r" / "mug" / "good")
    (bag(tmp_path / "r" / "mug" / "lost") / "lost.db3").unlink()

    build(Folder(tmp_path / "r"), tmp_path / "frames.h5", steps=1, workers=1)

    [(name, reason)] = FrameCache(tmp_path / "frames.h5").left_out
    assert name == "mug/lost"
    assert reason.startswith("cannot be read as a bag, it may be damaged")
