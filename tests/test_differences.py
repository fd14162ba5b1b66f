"""Frames made otherwise than those of the training are refused, or told of, wherever a checkpoint meets a cache."""

import re

import pytest

from deploy import export, profile
from evglif import evaluate
from evglif.checkpoint import DataSpec
from evglif.differences import DECISIVE, differences
from preprocessing.build import build
from preprocessing.datasets.recordings.folder import Folder

COMMANDS = {
    "evaluate": (evaluate.main, ["--data"]),
    "evaluate --compare": (evaluate.main, ["--compare", "again.pt", "--data"]),
    "export --data": (export.main, ["--out", "m.onnx", "--data"]),
    "export --calibration": (export.main, ["--out", "m.onnx", "--precision", "int8", "--calibration"]),
    "profile": (profile.main, ["--data"]),
}
VOXEL = "scale 0.00390625 here, 0.25 there; slicing time here, count there; value voxel here, count there"
MADE = {
    "value": ({"value": "binary"}, "value binary here, count there"),
    "value, voxel": ({"value": "voxel", "slicing": "time"}, VOXEL),
    "value, signed": ({"value": "signed"}, "value signed here, count there"),
    "slicing": ({"slicing": "time"}, "slicing time here, count there"),
    "resize": ({"resize": "area"}, "scale 0.015625 here, 0.25 there; resize area here, bilinear there"),
    "filters": ({"filters": ("hot:3",)}, "filters hot:3 here, none there"),
}


@pytest.fixture(scope="module")
def caches(recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for name, (options, _) in MADE.items():
        build(Folder(recordings), folder / f"{name}.h5", steps=3, size=(16, 16), workers=1, **options)
    return folder


@pytest.fixture
def checkpoint(run, tmp_path, monkeypatch):
    for name in ("model.pt", "again.pt"):
        (tmp_path / name).write_bytes((run / "best.pt").read_bytes())
    monkeypatch.chdir(tmp_path)
    return "model.pt"


@pytest.mark.parametrize("made", [name for name in MADE if name != "filters"])
@pytest.mark.parametrize("command", COMMANDS)
def test_frames_that_mean_something_else_are_refused_unless_they_are_meant(
    command, made, checkpoint, caches, tmp_path, capsys
):
    main, options = COMMANDS[command]
    arguments = [checkpoint, *options, str(caches / f"{made}.h5")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert re.match(f"error: .*{re.escape(MADE[made][1])}", error)
    assert not (tmp_path / "m.onnx").exists()
    asked = re.search(r"add (--accept [\w ]+) if this is meant", error)[1].split()
    if command.startswith("export"):
        return  # whether logits agree on such frames is another question
    assert main([*arguments, *asked]) == 0
    assert f"WARNING: {'model: ' if 'evaluate' in command else ''}" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_other_filters_are_told_of(command, checkpoint, caches, capsys):
    main, options = COMMANDS[command]
    main([checkpoint, *options, str(caches / "filters.h5")])
    assert "was built otherwise than the data that the model learnt from: filters hot:3 here, none there" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_said_of_the_same_data(command, checkpoint, cache_path, capsys):
    main, options = COMMANDS[command]
    assert main([checkpoint, *options, str(cache_path)]) == 0
    assert "WARNING" not in capsys.readouterr().err


def spec(sensor=(128, 128), **config):
    made = {"kind": "events", "steps": 3, "size": [16, 16], "window_us": None, "hop_us": None, **config}
    return DataSpec(("a", "b"), 0.25, sensor, made, "")


def test_every_setting_that_decides_what_a_bin_means_is_compared():
    other = spec(
        (346, 260),
        value="binary",
        slicing="time",
        resize="area",
        transpose=True,
        half_turn=True,
        options={"edition": "aedat4"},
    )
    other = DataSpec(other.classes, 1.0, other.sensor, other.preprocessing, "")
    assert {each.name for each in differences(other, spec(options={"edition": "original"}))} == set(DECISIVE)


def test_equal_settings_in_other_words_are_equal():
    assert differences(spec(slicing="duration:50ms"), spec(slicing="duration:0.05s")) == []
    assert differences(spec(slicing="duration:50ms"), spec(slicing="duration:5ms")) != []


def test_other_windows_are_told_of_and_not_decisive():
    (found,) = differences(spec(window_us=1_300_000), spec())
    assert (found.name, found.here, found.learnt) == ("window_us", "1300000 µs", "none, whole recordings")
    assert found.name not in DECISIVE


def test_of_data_that_nobody_knows_nothing_is_said():
    unknown = DataSpec(("a", "b"), 0.25, (128, 128), {}, "")
    assert differences(spec(value="binary"), unknown) == []
