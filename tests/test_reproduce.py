"""The commands that train what stands in the papers' tables."""

import csv
import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evglif.models import spec_from_dict
from evglif.recipe import read_recipe, recipe_names, recipe_path
from evglif.studies.paired import spread
from evglif.studies.runs import find_runs
from evglif.studies.space import parse_dimension, with_settings
from preprocessing.build import _parser as build_parser
from preprocessing.build import build
from preprocessing.datasets.stills.pictures import Pictures
from scripts.reproduce import activity, parts, study
from scripts.reproduce.__main__ import plan
from scripts.reproduce.runs import FILES, NARROW
from scripts.reproduce.tables import TABLES
from tests.helpers import ROOT

ROWS = {f"{name}: {row.label}": row for name, table in TABLES.items() for row in table.rows}


def reproduce(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.reproduce", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)


def test_every_row_names_a_network_that_can_be_built_in_full_and_narrow():
    for label, row in ROWS.items():
        model = {**read_recipe(row.recipe).model, **row.model}
        assert spec_from_dict(model).name == model["name"], label
        narrow = {**model, **NARROW[model["name"]], "size": (16, 16)}
        assert spec_from_dict(narrow).steps == spec_from_dict(model).steps, label


def test_every_recipe_of_a_row_has_a_data_set():
    assert {row.recipe for row in ROWS.values()} == set(FILES)


def test_rows_of_a_table_differ():
    for table in TABLES.values():
        assert len({row.label for row in table.rows}) == len(table.rows)
        assert len({(row.recipe, str(row.model)) for row in table.rows}) == len(table.rows)


@pytest.fixture(scope="module")
def figure(cache_path, tmp_path_factory):
    """Figure 7 of PLIF, quick, on recordings of a spot on the left or on the right."""
    out = tmp_path_factory.mktemp("reproduced")
    arguments = ("plif-figure7", "--quick", "--epochs", 2, "--events", cache_path, "--out", out)
    done = reproduce(*arguments, "--rows", "CIFAR10-DVS, PLIF")
    assert done.returncode == 0, done.stderr
    return out, arguments


def test_a_quick_table_says_what_was_trained_on_what(figure, cache_path):
    out, _ = figure
    with (out / "plif-figure7.csv").open(newline="") as file:
        head, *rows = list(csv.reader(file))
    what = f"{cache_path.stem} 16×16, narrow plif-cifar10dvs, T=3, plif, tau"
    assert [row[0].partition(", pooling")[0] for row in rows] == [f"{what} 2.0", f"{what} 16.0"]
    assert head[1:4] == ["best validation epoch", "last epoch", "best test epoch"]
    assert all(0 <= float(figure) <= 100 for row in rows for figure in row[1:4])
    text = (out / "plif-figure7.md").read_text()
    assert text.startswith(f"# plif-figure7, quick: narrow networks on {cache_path.stem} 16×16\n")
    assert "chosen on the test split" in text
    assert "CIFAR" not in text
    assert (out / "plif-figure7.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", TABLES)
def test_quick_rows_are_trained_once_and_named_by_their_data(name, tmp_path, cache_path):
    options = Namespace(quick=True, seeds=[0], images=None, events=cache_path, out=tmp_path, epochs=1)
    planned = list(plan(TABLES[name], TABLES[name].rows, options))
    labels, folders = [row.label for row, _ in planned], [jobs[0].out for _, jobs in planned]
    assert len(set(labels)) == len(set(folders)) == len(planned)
    assert all(label.startswith((f"{cache_path.stem} 16×16", "digits-images 8×8")) for label in labels)
    assert not any(row.paper for row, _ in planned)


def test_the_same_network_under_several_names_is_one_run(tmp_path, cache_path):
    options = Namespace(quick=True, seeds=[0], images=None, events=cache_path, out=tmp_path, epochs=1)
    assert len(list(plan(TABLES["plif-table5"], TABLES["plif-table5"].rows, options))) < len(TABLES["plif-table5"].rows)


def test_runs_that_are_done_are_not_done_again(figure):
    out, arguments = figure
    states = {path: path.stat().st_mtime_ns for path in out.rglob("state.pt")}
    assert len(states) == 2
    assert reproduce(*arguments, "--rows", "CIFAR10-DVS, PLIF").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in states} == states


def test_rows_without_data_are_left_out_with_the_command_that_builds_them(tmp_path):
    done = reproduce("glif-table3", "--data", tmp_path, "--out", tmp_path)
    assert done.returncode == 1
    assert "left out GLIF, 7B-wideNet, T=16: no" in done.stderr
    assert "python -m preprocessing.build cifar10dvs" in done.stderr


def test_recordings_are_no_images(cache_path, tmp_path):
    done = reproduce("glif-table1", "--quick", "--images", cache_path, "--events", cache_path, "--out", tmp_path)
    assert done.returncode == 1
    assert f"--images {cache_path} holds events" in done.stderr


def test_unknown_rows_are_refused():
    done = reproduce("glif-table3", "--rows", "ResNet-50")
    assert done.returncode == 1
    assert "no row of glif-table3 has ResNet-50; --list shows them" in done.stderr


def test_a_smaller_budget_is_said_beside_the_papers_values(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    split = np.where(np.arange(40) < 30, "train", "test")
    np.savez(tmp_path / "mnist.npz", images=pictures, labels=np.arange(40) % 10, split=split)
    build(Pictures(tmp_path / "mnist.npz"), tmp_path / "mnist.h5")
    small = ("epochs=1", "model.width=4", "model.hidden=8", "lr=0.001")
    arguments = (
        "--rows",
        "MNIST",
        "--data",
        tmp_path,
        "--out",
        tmp_path,
        *(word for each in small for word in ("--set", each)),
    )
    done = reproduce("plif-tableS2", *arguments)
    assert done.returncode == 0, done.stderr
    said = "MNIST, other than in the paper: epochs 1 (1024), model.width 4 (default), model.hidden 8 (default)."
    assert said in (tmp_path / "plif-tableS2.md").read_text()
    assert "| MNIST | 99.63 |" in done.stdout
    refused = reproduce("plif-tableS2", "--set", "lr=0.1,0.2")
    assert refused.returncode == 1
    assert "--set lr=0.1,0.2: expected one value, as in optim.lr=VALUE" in refused.stderr
    assert "leave one of them out" in reproduce("plif-tableS2", "--quick", "--set", "lr=0.1").stderr


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_says_how_its_data_are_built(name):
    assert "#   python -m preprocessing.build " in recipe_path(name).read_text()


def test_parts_change_what_they_name_and_nothing_else():
    recipe = read_recipe("digits")
    for name in parts.PARTS:
        assert parts.changed(recipe, name) != recipe, name
    both = parts.changed(recipe, "smoothing+ema")
    assert (both.loss.label_smoothing, both.ema) == (0.1, 0.98)
    assert replace(both, ema=None, loss=recipe.loss) == recipe == parts.changed(recipe, parts.PLAIN)
    with pytest.raises(ValueError, match="unknown part 'dropout'; choose of crop, tet"):
        parts.changed(recipe, "tet+dropout")


def test_gains_of_parts_are_those_over_the_same_seed():
    accuracies = {parts.PLAIN: [(0.80, 0.5), (0.90, 0.6)], "tet": [(0.83, 0.7), (0.91, 0.7)]}
    _, plain, tet = parts.table(accuracies).splitlines()
    assert plain.split() == ["plain", "85.0", "±", "7.1", "55.0", "±", "7.1"]
    assert tet.split() == ["tet", "87.0", "±", "5.7", "+2.0", "±", "1.0", "70.0", "±", "0.0"]


def test_a_study_tunes_every_setting_alike_and_compares_them_at_their_rates(tmp_path, cache_path, capsys):
    arguments = ["--data", str(cache_path), "--out", str(tmp_path), "--settings", "glif", "lif", "--epochs", "1"]
    arguments += ["--widths", "4", "4", "4"]
    assert study.main([*arguments, "--seeds", "0", "1", "--tune-by", "1", "--lr", "0.0001", "0.02"]) == 0
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())["settings"]
    assert ["glif" in found[0]["setting"], "lif" in found[1]["setting"]] == [True, True]
    for name, setting in zip(("glif", "lif"), found, strict=True):
        assert sorted(setting["accuracy_by_seed"]) == ["0", "1"]
        lr = read_recipe(str(tmp_path / name / "best.yaml")).optim.lr
        assert all(f"lr={lr:g}," in folder for folder in setting["runs"])
        tuned = [run for run in find_runs([tmp_path / name]) if run.recipe.seed == 0]
        assert sorted(run.recipe.optim.lr for run in tuned) == [0.0001, 0.02]
        reached = {run.recipe.optim.lr: run.best["validation_accuracy"] for run in tuned}
        assert reached[lr] == max(reached.values())
    assert capsys.readouterr().out.count("chosen by validation") == 4
    assert study.main([*arguments, "--seeds", "0", "--lr", "0.0001", "0.02"]) == 0  # fewer than are there
    again = json.loads((tmp_path / "comparison" / "comparison.json").read_text())["settings"]
    assert [list(setting["accuracy_by_seed"]) for setting in again] == [["0"], ["0"]]


@pytest.mark.exhaustive
def test_settings_of_a_study_are_counted_and_timed(tmp_path, cache_path, capsys):
    arguments = ["--data", str(cache_path), "--out", str(tmp_path), "--settings", "lif", "--epochs", "1"]
    arguments += ["--widths", "4", "4", "4"]
    assert study.main([*arguments, "--seeds", "0", "1", "--lr", "0.02"]) == 0
    capsys.readouterr()
    assert activity.main([str(tmp_path / "lif"), "--data", str(cache_path), "--repeats", "2"]) == 0
    head, row, *_ = capsys.readouterr().out.splitlines()
    assert head.startswith("setting  seeds   accuracy, %")
    found = [run.test["accuracy"] for run in find_runs([tmp_path / "lif"])]
    assert row.startswith("lif")
    assert f" {spread(found)}  " in row
    events, onnx, ratio = map(float, row.split()[-3:])
    assert ratio == pytest.approx(events / onnx, rel=0.1)
    assert activity.main([str(tmp_path / "lif"), "--data", str(cache_path), "--seeds", "0", "7"]) == 1
    assert "has 1 runs of these seeds" in capsys.readouterr().err


@pytest.mark.parametrize("name", study.SETS)
def test_a_study_without_its_frames_says_how_they_are_built(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert study.main([name, "--settings", "lif"]) == 1
    told = capsys.readouterr().err.strip()
    _, _, words = told.partition("this builds it: python -m preprocessing.build ")
    assert words == f"{study.SETS[name].build} --out data/study/{name}.h5"
    assert build_parser().parse_args(words.split()).out == Path(f"data/study/{name}.h5")
    assert not list(tmp_path.iterdir())


def test_a_study_of_nothing_is_refused(capsys):
    assert study.main(["--settings", "lif"]) == 1
    assert "name a set, digits, nmnist," in capsys.readouterr().err


def test_every_setting_of_the_study_can_be_trained():
    plain = study.recipe(1)
    for name, values in study.SETTINGS.items():
        settings = {each.name: each.values[0] for each in map(parse_dimension, values)}
        spec = spec_from_dict({**with_settings(plain, settings).model, "size": (16, 16), "steps": 2})
        assert name.startswith(spec.neuron.name), name
