import io
import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from evglif.data import data_spec
from preprocessing.build import build, main
from preprocessing.cache import FrameCache
from preprocessing.datasets import CIFAR10DVS, NMNIST, Digits, Folder
from preprocessing.events import RecordingError, make_events
from preprocessing.files import BusyError, exclusive
from preprocessing.frames.rasterize import Rasterizer
from preprocessing.readers import aedat2, atis, read_recording
from tests.helpers import ROOT, aedat4

SMALL = {"steps": 4, "size": (12, 8), "workers": 1}
HEADER = aedat2.encode(make_events(*np.zeros((4, 1), int)))[:-8]


def events(num=50, seed=0, duration_us=1000, side=128):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, side, (2, num))
    t = np.sort(rng.integers(0, duration_us, num))
    t[[0, -1]] = 0, duration_us - 1
    return make_events(t, x, y, rng.random(num) < 0.5)


def recording(*arguments):
    return aedat2.encode(events(*arguments))


def words(*pairs):
    return HEADER + np.array(pairs, ">u4").tobytes()


def make(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def root(tmp_path):
    names = [f"{split}/{name}/{i}.aedat" for split in ("train", "test") for name in ("box", "mug") for i in range(2)]
    return make(tmp_path / "recordings", {name: recording(50 + i, i) for i, name in enumerate(names)})


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "frames.h5"


def test_file_holds_the_frames_of_every_recording(root, out):
    result = build(Folder(root), out, slicing="time", **SMALL)
    assert (result.path, result.up_to_date) == (out, False)
    cache = FrameCache(out)
    rasterizer = Rasterizer((128, 128), 4, (12, 8), "time")
    assert len(cache) == 8
    for i in range(8):
        recorded = read_recording(root / cache.source(i))
        np.testing.assert_array_equal(cache.stored([i])[0], rasterizer.stored(recorded.events)[0])
        assert cache.num_events[i] == len(recorded.events)
        assert cache.duration_us[i] == recorded.duration_us == 999
        split, name, _ = cache.source(i).split("/")
        assert i in cache.indices(split)
        assert cache.classes[cache.labels[i]] == name
    assert (cache.sensor, cache.scale, cache.left_out) == ((128, 128), rasterizer.scale, ())
    asked = {"steps": 4, "size": [12, 8], "slicing": "time", "resize": "bilinear", "transpose": False}
    assert asked.items() <= cache.config.items()
    assert str(root.parent).encode() not in out.read_bytes()


def test_worker_processes_give_the_same_file(root, out):
    make(root, {"train/box/bad.aedat": b""})
    build(Folder(root), out, **SMALL)
    build(Folder(root), out.with_name("two.h5"), **{**SMALL, "workers": 2})
    assert out.read_bytes() == out.with_name("two.h5").read_bytes()


def test_second_build_does_nothing(root, out, monkeypatch):
    build(Folder(root), out, **SMALL)
    before = what_writing_changes(out)
    monkeypatch.setattr("preprocessing.building.local.make_samples", None)
    result = build(Folder(root), out, **SMALL)
    assert result.up_to_date
    assert "up to date" in str(result)
    assert what_writing_changes(out) == before


def what_writing_changes(path):
    """All of a file's status but the time of the last access, which reading it moves on."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@pytest.mark.parametrize(
    "change",
    [{"steps": 5}, {"size": (8, 12)}, {"slicing": "time"}, {"limit": 4}, {"force": True}],
    ids=lambda change: next(iter(change)),
)
def test_other_options_build_anew(root, out, change):
    build(Folder(root), out, **SMALL)
    inode = out.stat().st_ino
    assert not build(Folder(root), out, **{**SMALL, **change}).up_to_date
    assert out.stat().st_ino != inode
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    "files",
    [{"train/box/new.aedat": recording()}, {"train/box/0.aedat": recording(99)}, {"train/box/note.txt": b""}],
    ids=["more", "longer", "more to leave out"],
)
def test_changed_folder_builds_anew(root, out, files):
    build(Folder(root), out, **SMALL)
    make(root, files)
    assert not build(Folder(root), out, **SMALL).up_to_date


def test_recording_changed_without_a_change_of_size_builds_anew(root, out):
    build(Folder(root), out, **SMALL)
    (root / "train/box/0.aedat").write_bytes(recording(50, 99))
    assert not build(Folder(root), out, **SMALL).up_to_date
    assert build(Folder(root), out, **SMALL).up_to_date


def archive(root, seed):
    with zipfile.ZipFile(root / "Train.zip", "w") as file:
        file.writestr("Train/3/1.bin", atis.encode(events(60, seed, 1000, 34)))
    return NMNIST(root)


def test_member_of_an_archive_changed_without_a_change_of_size_builds_anew(tmp_path, out):
    build(archive(tmp_path, 0), out, **SMALL)
    assert build(archive(tmp_path, 0), out, **SMALL).up_to_date
    assert not build(archive(tmp_path, 1), out, **SMALL).up_to_date


def test_same_recordings_elsewhere_are_the_same(root, out, tmp_path):
    build(Folder(root), out, **SMALL)
    root.rename(tmp_path / "moved")
    assert build(Folder(tmp_path / "moved"), out, **SMALL).up_to_date


BAD = {
    "empty": (b"", "empty"),
    "header only": (HEADER, "no events"),
    "cut": (recording()[:-3], "byte"),
    "text": (b"Dear diary,\nnothing happened.\n", "read as AEDAT-1.0"),
    "outside": (words((5 << 16, 1)), "event 0"),
    "backwards": (words((0, 90_000), (0, 5)), "event 1"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_recording_is_left_out_and_the_rest_is_built(root, out, bad):
    data, reason = BAD[bad]
    make(root, {"train/box/bad.aedat": data})
    text = str(build(Folder(root), out, **SMALL))
    cache = FrameCache(out)
    assert len(cache) == 8
    [(source, why)] = cache.left_out
    assert source == "train/box/bad.aedat"
    assert reason in why
    assert "left out  1" in text
    assert f"  {source}: {why}" in text


@pytest.mark.parametrize("bad", BAD)
def test_strict_stops_at_a_bad_recording(root, out, bad):
    make(root, {"train/box/bad.aedat": BAD[bad][0]})
    with pytest.raises(RecordingError, match=r"train/box/bad\.aedat: .*\(strict\)"):
        build(Folder(root), out, strict=True, **SMALL)
    assert list(out.parent.glob("*")) == []


def test_strict_is_not_answered_by_a_file_that_left_something_out(root, out):
    make(root, {"train/box/bad.aedat": b""})
    build(Folder(root), out, **SMALL)
    before = out.read_bytes()
    with pytest.raises(RecordingError):
        build(Folder(root), out, strict=True, **SMALL)
    assert out.read_bytes() == before


def test_strict_stops_at_what_lies_there_unused(root, out):
    (root / "train" / "pen").mkdir()
    with pytest.raises(RecordingError, match="train/pen: a class without recordings"):
        build(Folder(root), out, strict=True, **SMALL)


def test_only_the_first_ten_left_out_are_shown_and_all_are_kept(root, out):
    make(root, {f"train/box/bad{i:02}.aedat": b"" for i in range(15)})
    text = str(build(Folder(root), out, **SMALL))
    assert len(FrameCache(out).left_out) == 15
    assert "left out  15, all listed in the file" in text
    assert "bad09" in text
    assert "bad10" not in text


def test_class_and_split_without_samples_are_told_loudly(root, out):
    make(root, {f"test/{name}/{i}.aedat": b"" for name in ("box", "mug") for i in range(2)})
    make(root, {"train/mug/0.aedat": b"", "train/mug/1.aedat": b""})
    text = str(build(Folder(root), out, **SMALL))
    assert "WARNING: no test samples at all" in text
    assert "WARNING: no train samples of mug" in text
    assert "no validation" not in text


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train/box/1", "train/box/2", "test/mug/1"], "the training samples here are of one class, 'box'"),
        (["test/box/1", "test/mug/1"], "the training samples here are none"),
    ],
)
def test_what_cannot_be_trained_on_is_not_advised(tmp_path, out, names, found):
    make(tmp_path / "few", {f"{name}.aedat": recording(60) for name in names})
    told = str(build(Folder(tmp_path / "few"), out, **SMALL))
    assert f"next      no training yet: it takes samples of two classes or more, and {found}" in told
    assert "evglif.train" not in told


def test_the_next_command_is_one_for_a_shell(root, tmp_path):
    out = tmp_path / "$c$ 1.h5"
    assert f"next      python -m evglif.train --data '{out}'" in str(build(Folder(root), out, **SMALL))


def test_nothing_usable(tmp_path, out):
    make(tmp_path / "bad", {"a/1.aedat": b"", "a/2.doc": b""})
    with pytest.raises(ValueError, match=r"none of 1 recordings can be used: a/2\.doc: .*; a/1\.aedat: .*empty"):
        build(Folder(tmp_path / "bad"), out, **SMALL)
    assert list(out.parent.glob("*")) == []
    (tmp_path / "bad" / "a" / "1.aedat").unlink()
    with pytest.raises(ValueError, match=r"bad: nothing to build: a/2\.doc: .*; --root names"):
        build(Folder(tmp_path / "bad"), out, **SMALL)
    for number in range(3, 9):
        (tmp_path / "bad" / "a" / f"{number}.doc").touch()
    with pytest.raises(ValueError, match=r"nothing to build: a/2\.doc: .*; a/4\.doc: .*; and 5 more; --root"):
        build(Folder(tmp_path / "bad"), out, **SMALL)


def test_errors_of_a_build_are_one_line_and_name_the_nearest(tmp_path, capsys):
    make(tmp_path / "bad", {"a/1.aedat": b"", "b/1.aedat": b"", "b/2.aedat": b""})
    (tmp_path / "none").mkdir()
    for root in ("bad", "none"):
        assert main(["folder", "--root", str(tmp_path / root), "--out", str(tmp_path / "x.h5")]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "\\n" not in said
    with pytest.raises(SystemExit):
        main(["foldr", "--root", str(tmp_path)])
    assert capsys.readouterr().err.endswith("did you mean folder?\n")


def test_windows_are_samples_on_the_side_of_their_recording(tmp_path, out):
    at = np.array([0, 400, 999, 1000, 3500, 3999, 4100])
    gap = make_events(at, at % 100, at % 90, at % 2 == 0)
    files = {f"a/{i}.aedat": recording(200, i, 2500) for i in range(4)}
    make(tmp_path / "long", {**files, "a/gap.aedat": aedat2.encode(gap), "a/short.aedat": recording(20, 0, 999)})
    build(Folder(tmp_path / "long", window="1ms", test_fraction=0.3), out, **SMALL)
    cache = FrameCache(out)
    sources = [cache.source(i) for i in range(len(cache))]
    assert sources[:2] == ["a/0.aedat@0us", "a/0.aedat@1000us"]
    assert sources[8:] == ["a/gap.aedat@0us", "a/gap.aedat@1000us", "a/gap.aedat@3000us"]
    assert cache.num_events[8:].tolist() == [3, 1, 2]
    assert cache.duration_us[8:].tolist() == [999, 0, 499]
    assert (cache.config["window_us"], cache.config["hop_us"]) == (1000, 1000)
    assert cache.left_out == (
        ("a/gap.aedat@2000us", "no events in this part"),
        ("a/short.aedat", "998 µs long, shorter than the window of 1000 µs"),
    )
    test = {sources[i].partition("@")[0] for i in cache.indices("test")}
    train = {sources[i].partition("@")[0] for i in cache.indices("train")}
    assert test
    assert not test & train


def test_fewer_events_than_steps_are_counted(tmp_path, out):
    make(tmp_path / "few", {"a/1.aedat": recording(3), "a/2.aedat": recording(4), "a/3.aedat": recording(5)})
    assert "flagged   1 samples with fewer events than the 4 time steps" in str(
        build(Folder(tmp_path / "few"), out, **SMALL)
    )


def test_different_sensors_are_refused_unless_stated(tmp_path, out):
    small, large = (atis.encode(events(200, 0, 1000, side)) for side in (34, 120))
    make(tmp_path / "mixed", {"a/1.bin": small, "a/2.bin": large})
    with pytest.raises(
        ValueError, match=r"a/1\.bin \(34×34, guessed .*\) and a/2\.bin \(128×128, guessed .*\).*--sensor"
    ):
        build(Folder(tmp_path / "mixed"), out, **SMALL)
    build(Folder(tmp_path / "mixed", sensor="128x128"), out, **SMALL)
    assert FrameCache(out).sensor == (128, 128)


def npz(num=50, side=30, **columns):
    file, made = io.BytesIO(), events(num, side=side)
    np.savez(file, **{**{name: made[name] for name in "txyp"}, **columns})
    return file.getvalue()


def test_a_guessed_sensor_is_told_and_kept(tmp_path, out):
    make(tmp_path / "r", {"a/1.npz": npz(), "a/2.npz": npz(60)})
    told = str(build(Folder(tmp_path / "r"), out, **SMALL))
    guess = "34×34, GUESSED from a/1.npz: the smallest usual one that holds all; state it with --sensor WxH"
    assert f"sensor    {guess}\n" in told
    cache = FrameCache(out)
    assert (cache.sensor, cache.sensor_from, cache.sensor_of) == ((34, 34), "guess", "a/1.npz")
    assert (data_spec(cache).sensor_from, data_spec(cache).sensor_of) == ("guess", "a/1.npz")

    told = str(build(Folder(tmp_path / "r", sensor="34x34"), out, **SMALL))
    assert "sensor    34×34, as asked for\n" in told
    assert FrameCache(out).sensor_from == "asked"


def test_a_recording_that_states_the_sensor_confirms_the_guess(tmp_path, out):
    stated = b"34 34\n5 1 2 1\n6 3 4 0\n"
    make(tmp_path / "r", {"a/1.npz": npz(), "a/2.txt": stated, "a/3.npz": npz(60)})
    build(Folder(tmp_path / "r"), out, **SMALL)
    assert (FrameCache(out).sensor_from, FrameCache(out).sensor_of) == ("file", "a/2.txt")


def test_what_looks_like_no_camera_is_built_and_told(tmp_path, out):
    make(tmp_path / "r", {"a/1.npz": npz(2000, p=np.zeros(2000, int)), "a/2.npz": npz(2000), "a/3.aedat": recording(9)})
    make(tmp_path / "r", {"a/3.aedat": recording(2000)[len(HEADER) :][:6]})
    told = str(build(Folder(tmp_path / "r", sensor="128x128"), out, **SMALL))
    cache = FrameCache(out)
    assert len(cache) == 3
    one, two = (warning for warning in cache.warnings if "times are taken for" not in warning[1])
    assert one == ("a/1.npz", "this looks like no camera's recording: all of its 2,000 events are OFF")
    assert two == (
        "a/3.aedat",
        "it has no header: only its suffix and a length that six divides say that it is AEDAT-1.0 of a DVS128",
    )
    for source, text in cache.warnings:
        assert f"WARNING: {source}: {text}" in told


def test_limit_keeps_classes_and_splits(root, out):
    build(Folder(root), out, limit=4, **SMALL)
    cache = FrameCache(out)
    assert [cache.source(i) for i in range(len(cache))] == [
        f"{split}/{name}/0.aedat" for split in ("train", "test") for name in ("box", "mug")
    ]


def test_saturated_bins_are_counted(tmp_path, out):
    at_one_pixel = make_events(*np.zeros((4, 70_000), int))
    make(tmp_path / "hot", {"a/1.aedat": aedat2.encode(at_one_pixel)})
    build(Folder(tmp_path / "hot"), out, steps=1, size=(128, 128), workers=1)
    assert FrameCache(out).num_saturated == 1
    assert FrameCache(out).stored([0]).max() == 65535


def test_reference_orientation_is_the_transpose(tmp_path, out):
    make(tmp_path / "c", {"bird/cifar10_bird_0.aedat": recording(500)})
    build(CIFAR10DVS(tmp_path / "c"), out, steps=4, workers=1)
    reference = FrameCache(out)[0]
    build(CIFAR10DVS(tmp_path / "c", orientation="sensor"), out, steps=4, workers=1)
    np.testing.assert_array_equal(reference, FrameCache(out)[0].swapaxes(-1, -2))
    assert FrameCache(out).labels.tolist() == [2]


def test_both_editions_of_a_recording_show_the_same_upright_picture(tmp_path, out):
    """The other edition holds the bits of the addresses, of which readers of the original one take the complement."""
    picture = np.zeros((128, 128), int)
    picture[10:30, 60:70], picture[30:34, 20:70] = 3, 1
    row, column = (places.repeat(picture[picture > 0]) for places in np.nonzero(picture))
    t, on = np.arange(len(row)), np.arange(len(row)) % 3 == 0
    bits = zip(t.tolist(), (127 - row).tolist(), (127 - column).tolist(), on.tolist(), strict=True)
    aedat4_file = aedat4.HEADER + aedat4.events_packet(*(aedat4.event(*values) for values in bits))
    make(tmp_path / "original", {"bird/cifar10_bird_0.aedat": aedat2.encode(make_events(t, row, column, on))})
    make(tmp_path / "aedat4", {"bird/cifar10_bird_0.aedat4": aedat4_file})
    for edition in ("original", "aedat4"):
        data = CIFAR10DVS(tmp_path / edition, orientation="upright")
        build(data, out, steps=1, size=(128, 128), workers=1, force=True)
        np.testing.assert_array_equal(FrameCache(out)[0][0].sum(0), picture)
        assert FrameCache(out).config["options"]["edition"] == edition
    build(CIFAR10DVS(tmp_path / "aedat4"), out, steps=4, workers=1)
    of_aedat4 = FrameCache(out)[0]
    build(CIFAR10DVS(tmp_path / "original"), out, steps=4, workers=1)
    np.testing.assert_array_equal(of_aedat4, FrameCache(out)[0])


def test_members_of_an_archive_are_built_in_place(tmp_path, out):
    with zipfile.ZipFile(tmp_path / "Train.zip", "w") as archive:
        archive.writestr("Train/3/1.bin", atis.encode(events(60, 0, 1000, 34)))
        archive.writestr("Train/4/2.bin", b"1234567")
    build(NMNIST(tmp_path), out, **SMALL)
    cache = FrameCache(out)
    assert (len(cache), cache.source(0), cache.classes[cache.labels[0]]) == (1, "Train.zip/Train/3/1.bin", "3")
    assert [source for source, _ in cache.left_out] == ["Test", "Train.zip/Train/4/2.bin"]


def test_digits_from_nothing_to_frames(tmp_path, out):
    result = build(Digits(tmp_path / "digits"), out, limit=20, steps=2, size=(16, 16), workers=1)
    cache = FrameCache(out)
    assert [len(cache.indices(split)) for split in ("train", "test")] == [10, 10]
    assert sorted(cache.labels) == sorted([*range(10)] * 2)
    assert "WARNING" not in str(result)
    assert build(Digits(tmp_path / "digits"), out, limit=20, steps=2, size=(16, 16), workers=1).up_to_date


@pytest.mark.parametrize("content", ["text", "hdf5"])
def test_file_that_is_no_frame_cache_is_not_replaced(root, out, content):
    out.parent.mkdir()
    if content == "text":
        out.write_text("my thesis")
    else:
        h5py.File(out, "w").close()
    before = out.read_bytes()
    with pytest.raises(ValueError, match="not replaced without --force"):
        build(Folder(root), out, **SMALL)
    assert out.read_bytes() == before
    build(Folder(root), out, force=True, **SMALL)
    assert len(FrameCache(out)) == 8


def test_damaged_frame_cache_is_built_anew(root, out):
    build(Folder(root), out, **SMALL)
    whole = out.read_bytes()
    out.write_bytes(whole[:-200])
    build(Folder(root), out, **SMALL)
    assert out.read_bytes() == whole


def test_leftovers_of_a_killed_build_go_even_if_nothing_is_to_be_done(root, out):
    build(Folder(root), out, **SMALL)
    make(out.parent, {".frames.h5.rows": b"frames", ".frames.h5.journal": b"", ".frames.h5.partial": b"half"})
    assert build(Folder(root), out, **SMALL).up_to_date
    assert list(out.parent.iterdir()) == [out]


def test_external_events_are_counted_and_said(tmp_path, out):
    make(tmp_path / "sync", {"a/1.aedat": words((0, 1), (0x8000, 2), (0, 3), (0x8000, 4), (0x8000, 5))})
    text = str(build(Folder(tmp_path / "sync"), out, **SMALL))
    assert FrameCache(out).num_special == 3
    assert FrameCache(out).num_events.tolist() == [2]
    assert "special   3 records that are no events of the sensor, not used" in text


def test_second_build_at_the_same_time_is_refused(root, out):
    lock = out.parent / ".frames.h5.lock"
    with exclusive(lock, f"building {out}"), pytest.raises(BusyError, match=r"building .*frames\.h5"):
        build(Folder(root), out, **SMALL)


def run(*arguments):
    command = [sys.executable, "-m", "preprocessing.build", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_command_prints_what_it_made_and_what_comes_next(root, out):
    done = run("folder", "--root", root, "--out", out, "--size", "16x12", "--steps", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all classes           4           4" in done.stdout
    assert "frames    2 × 2 × 12 × 16, value = stored × " in done.stdout
    assert f"python -m evglif.train --data {out}" in done.stdout
    assert FrameCache(out).size == (16, 12)


def test_command_defaults_are_those_of_the_function(root, out, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert main(["folder", "--root", "recordings"]) == 0
    build(Folder(root), out)
    assert (root.parent / "data" / "folder.h5").read_bytes() == out.read_bytes()


def test_command_fails_on_a_missing_folder_and_in_strict_mode(root, out, capsys):
    assert main(["nmnist", "--root", str(root / "nowhere"), "--out", str(out)]) == 1
    assert f"error: {root}/nowhere: nothing of this data set is there" in capsys.readouterr().err
    make(root, {"train/box/bad.aedat": b""})
    assert main(["folder", "--root", str(root), "--out", str(out), "--strict"]) == 1
    assert "error: train/box/bad.aedat" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DATASET"),
        (["coco"], "invalid choice: 'coco'"),
        (["folder"], "--root"),
        (["digits", "--size", "0"], "expected a width or width and height in px, 48 or 64x48, got '0'"),
        (["digits", "--steps", "none"], "expected a whole number from 1, got 'none'"),
        (["digits", "--workers", "0"], "expected a whole number from 1, got '0'"),
        (["cifar10dvs", "--split", "mine"], "choose reference, numeric or random:SEED"),
        (["folder", "--root", ".", "--window", "long"], "'long'"),
    ],
)
def test_command_wrongly_used(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("dataset", ["cifar10dvs", "folder", "nmnist", "digits"])
def test_help_has_an_example(dataset, capsys):
    with pytest.raises(SystemExit) as stop:
        main([dataset, "--help"])
    assert stop.value.code == 0
    assert f"python -m preprocessing.build {dataset} --" in capsys.readouterr().out


def test_real_recordings_over_two_days(shared_data, out):
    objects = Folder(shared_data / "dvs128_objects", splits="train=session1,test=session2", window="1.3s")
    build(objects, out, steps=2)
    cache = FrameCache(out)
    assert cache.classes == ("box", "cutter", "mug", "pencil", "scissors")
    assert [len(cache.indices(split)) for split in ("train", "validation", "test")] == [128, 0, 71]
    assert cache.left_out == ()


def test_real_nmnist(shared_data, out):
    build(NMNIST(shared_data / "nmnist_small"), out, limit=40, **SMALL)
    cache = FrameCache(out)
    assert set(cache.labels[cache.indices("train")]) == set(cache.labels[cache.indices("test")]) == set(range(10))
    assert cache.sensor == (34, 34)
    assert cache.left_out == ()


def test_a_pipe_is_never_replaced_by_a_cache(root, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for force in ([], ["--force"]):
        assert main(["folder", "--root", str(root), "--out", str(pipe), *force]) == 1
        assert f"{pipe} is a device, pipe or socket, and is not replaced by a file" in capsys.readouterr().err
    assert pipe.is_fifo()
