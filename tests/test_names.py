"""Whatever people call their classes and files, every command takes it along, in every terminal."""

import csv
import io
import json
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import deploy.bench
import deploy.export
import deploy.infer
import deploy.profile
import evglif.evaluate
import evglif.models.__main__
import evglif.train
import preprocessing.build
import preprocessing.convert
import preprocessing.inspect
from evglif import plots
from evglif.evaluation.report import write_csv
from evglif.recipe import to_yaml
from preprocessing.cache import FrameCache
from preprocessing.readers import aedat2
from tests.helpers.spots import small_recipe, spot

NAMES = ["-2", "=1+2", "Ba$$ drum", "Löwe 猫", r"\frac{", "a_b^c $x"]
FILE = "=$1$,_{.aedat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings of classes with such names."""
    root = tmp_path_factory.mktemp("$a$ _{")
    generator = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        for recording in (FILE, "2.aedat", "3.aedat"):
            path = root / "recordings" / name / recording
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(aedat2.encode(spot(generator, 10 + 15 * number, 20 + 15 * number)))
    (root / "recipe.yaml").write_text(to_yaml(small_recipe(epochs=1)), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def data(folder):
    out = folder / "$c$.h5"
    arguments = ["folder", "--root", folder / "recordings", "--out", out, "--steps", "3", "--size", "16"]
    assert preprocessing.build.main([*map(str, arguments), "--workers", "1"]) == 0
    return out


def trained(folder, data, monkeypatch, out="run"):
    arguments = ["--recipe", folder / "recipe.yaml", "--data", data, "--out", folder / out]
    monkeypatch.setattr(sys, "argv", ["evglif.train", *map(str, arguments)])
    return evglif.train.main()


@pytest.fixture(scope="module")
def finished(folder, data):
    """A run on them, and its export."""
    with pytest.MonkeyPatch.context() as patch:
        assert trained(folder, data, patch) == 0
    assert deploy.export.main([str(folder / "run" / "last.pt"), "--data", str(data)]) == 0
    return folder / "run"


def test_recordings_are_converted_under_their_names(folder, tmp_path, capsys):
    out = tmp_path / "$b$ _{"
    assert preprocessing.convert.main([str(folder / "recordings"), str(out), "--format", "csv"]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)
    assert len(list(out.rglob("=$1$,_{.csv"))) == len(NAMES)
    assert capsys.readouterr().out.endswith(
        f"{3 * len(NAMES)} of {3 * len(NAMES)} recordings converted, 0 could not be\n"
    )


def is_picture(path):
    with Image.open(path) as image:
        return image.width > 200


def test_training_ends_with_its_results_and_pictures(finished):
    results = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    assert results["last"]["test"]["num_samples"] == len(NAMES)
    assert is_picture(finished / "curves.png")
    assert is_picture(finished / "confusion.png")


def test_names_are_in_the_pictures_letter_for_letter(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plots.confusion, "save", lambda figure, _: figures.append(figure))
    plots.plot_confusion(np.eye(len(NAMES), dtype=int), NAMES, tmp_path / "out.png", "Ba$$")
    labels = figures[0].axes[0].get_yticklabels()
    assert [label.get_text().replace(r"\$", "$") for label in labels] == NAMES
    assert all("$" not in label.get_text().replace(r"\$", "") for label in labels)


@pytest.mark.parametrize("picture", ["curves", "confusion"])
def test_a_picture_that_fails_leaves_the_results_and_is_drawn_again(folder, data, picture, monkeypatch, capsys):
    out = f"failing {picture}"
    with monkeypatch.context() as patch:
        patch.setattr(plots, f"plot_{picture}", fail)
        assert trained(folder, data, patch, out) == 0
    results = (folder / out / "results.json").read_bytes()
    picture = folder / out / f"{picture}.png"
    printed = capsys.readouterr()
    assert f"warning: {picture} could not be drawn: no font; the run is finished" in printed.err
    assert "test accuracy, last epoch (1): " in printed.out
    assert not picture.exists()
    assert trained(folder, data, monkeypatch, out) == 0
    assert is_picture(picture)
    assert (folder / out / "results.json").read_bytes() == results


def fail(*_):
    raise RuntimeError("no font")


def test_an_evaluation_without_its_pictures_has_all_figures(finished, data, tmp_path, monkeypatch, capsys):
    for name in ("confusion", "steps", "reliability", "firing", "values"):
        monkeypatch.setattr(plots, f"plot_{name}", fail)
    figures = tmp_path / "all.json"
    arguments = ["--data", data, "--out", tmp_path / "out", "--json", figures]
    assert evglif.evaluate.main([str(finished / "last.pt"), *map(str, arguments)]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("could not be drawn: no font; all figures are written") == 5
    assert printed.out.endswith(f"written to {tmp_path / 'out'} and {figures}\n")
    assert json.loads(figures.read_bytes())["num_samples"] == len(NAMES)
    assert not list((tmp_path / "out").glob("*.png"))
    with (tmp_path / "out" / "confusion.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head[1:] == [row[0] for row in rows] == ["-2", "'=1+2", *NAMES[2:]]


def test_cells_of_a_table_are_no_formulas(tmp_path):
    texts = ["=1+2", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "a=1", "-2", "+1e3", "-", ""]
    write_csv(tmp_path / "a.csv", texts, [texts, [-2, -0.5, float("nan"), None]])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        head, first, numbers = csv.reader(file)
    assert head == first == [*(f"'{text}" for text in texts[:5]), r"\r=1", "'＝1", "a=1", "-2", "+1e3", "'-", ""]
    assert numbers == ["-2", "-0.5", "", ""]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_every_command_goes_through_every_terminal(folder, data, finished, tmp_path, encoding, monkeypatch):
    recording, checkpoint, model = folder / "recordings" / NAMES[3] / FILE, finished / "last.pt", finished / "last.onnx"
    commands = [
        (preprocessing.build.main, "folder", "--root", folder / "recordings", "--out", tmp_path / "a.h5", "--limit", 8),
        (preprocessing.inspect.main, data, "--picture", tmp_path / "a.png"),
        (preprocessing.inspect.main, data, "--sample", 3, "--picture", tmp_path / "b.png"),
        (preprocessing.inspect.main, recording, "--picture", tmp_path / "c.png", "--gif", tmp_path / "c.gif"),
        (preprocessing.inspect.main, recording, data),
        (evglif.evaluate.main, checkpoint, "--data", data, "--values", "--out", tmp_path / "evaluation"),
        (evglif.models.__main__.main,),
        (lambda _: trained(folder, data, monkeypatch, f"in {encoding}"),),
        (deploy.export.main, checkpoint, "--data", data, "--out", tmp_path / "m.onnx"),
        (deploy.infer.main, model, recording),
        (deploy.bench.main, model, "--repeats", 1, "--batch", 1),
        (deploy.profile.main, checkpoint, "--data", data, "--json", tmp_path / "profile.json"),
    ]
    for main, *arguments in commands:
        code, told = in_terminal(monkeypatch, encoding, main, [str(argument) for argument in arguments])
        assert (code, "error: " in told) == (0, False), told
    assert all(is_picture(tmp_path / name) for name in ("a.png", "b.png", "c.png", "c.gif"))


def in_terminal(monkeypatch, encoding, main, arguments):
    """Run a command with streams of this encoding; its exit status and all it said."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        code = main(arguments)
    return code, stream.buffer.getvalue().decode(encoding)


def test_printed_json_is_json_in_every_terminal(folder, finished, monkeypatch):
    recording = folder / "recordings" / NAMES[3] / FILE
    for main, *arguments in (
        (preprocessing.inspect.main, recording, "--json"),
        (deploy.infer.main, finished / "last.onnx", recording, "--json"),
    ):
        code, told = in_terminal(monkeypatch, "ascii", main, [str(argument) for argument in arguments])
        found = json.loads(told)
        assert code == 0
        assert str(recording) == (found[0]["path"] if isinstance(found, list) else found["recording"])


@pytest.mark.skipif(sys.platform != "linux", reason="needs a system whose names of files are bytes")
def test_names_that_are_no_text_are_built_by_their_codes(folder, tmp_path, capsys):
    for name in (b"caf\xe9", b"\xff"):
        path = tmp_path / "recordings" / os.fsdecode(name)
        path.mkdir(parents=True)
        for recording in (b"1.aedat", b"\xfe.aedat", b"notes\xfd"):
            content = (folder / "recordings" / NAMES[0] / FILE).read_bytes()
            (path / os.fsdecode(recording)).write_bytes(content)
    root, out = tmp_path / "recordings", tmp_path / "out.h5"
    assert preprocessing.build.main(["folder", "--root", str(root), "--out", str(out), "--workers", "1"]) == 0
    with FrameCache(out) as cache:
        assert cache.classes == (r"caf\udce9", r"\udcff")
        assert set(cache.sources) >= {r"caf\udce9/1.aedat", r"\udcff/\udcfe.aedat"}
        assert {source for source, _ in cache.left_out} == {r"caf\udce9/notes\udcfd", r"\udcff/notes\udcfd"}
    unreadable = os.fsdecode(b"none\xfe.aedat")
    assert preprocessing.inspect.main([unreadable]) == 1
    assert r"none\udcfe.aedat" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="needs a system whose names of files are bytes")
def test_a_model_and_a_recording_have_names_that_are_no_text_and_move_the_cursor(folder, finished, tmp_path, capsys):
    place = tmp_path / os.fsdecode(b"caf\xe9\x1b[2J\nerror: none")
    place.mkdir()
    shutil.copy(finished / "last.onnx", place)
    shutil.copy(folder / "recordings" / NAMES[3] / FILE, place / "a.aedat")
    model, recording = str(place / "last.onnx"), str(place / "a.aedat")
    seen = recording.replace("\udce9", r"\udce9").replace("\x1b", r"\x1b").replace("\n", r"\n")
    assert deploy.infer.main([model, recording]) == 0
    assert preprocessing.inspect.main([recording, "--picture", str(place / "a.png")]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{seen}: ")
    assert f"\n{seen}\n  format" in printed.out
    assert not {"\x1b", "\udce9"} & {*printed.out, *printed.err}
    assert is_picture(place / "a.png")
    assert deploy.infer.main([model, recording, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recording"] == recording.replace("\udce9", r"\udce9")
    assert deploy.export.main([str(finished / "last.pt"), "--out", str(place / "b.onnx")]) == 1
    assert "write to names in UTF-8 only" in capsys.readouterr().err
    assert sorted(each.name for each in place.iterdir()) == ["a.aedat", "a.png", "last.onnx"]
