import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evglif.compare import main as compare
from evglif.evaluation.report import write_json
from evglif.recipe import read_recipe, to_yaml
from evglif.runs import main as runs
from evglif.studies import trials
from evglif.studies.runs import read_run
from evglif.sweep import main as sweep
from tests.helpers.spots import small_recipe


@pytest.fixture(scope="module")
def study(tmp_path_factory, cache_path):
    """A sweep of two learning rates, two seeds each."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(to_yaml(small_recipe(epochs=2)))
    assert sweep(command(folder, cache_path)) == 0
    return folder


def command(folder, cache_path, *more):
    known = ["--recipe", str(folder / "small.yaml"), "--data", str(cache_path), "--out", str(folder / "out")]
    return [*known, "--set", "lr=0.0001,0.02", "--set", "model.width=4", "--seeds", "0", "1", *more]


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_setting_of_the_best_validation_is_chosen(study):
    found = {row["optim.lr"]: float(row["validation_accuracy"]) for row in rows(study / "out" / "sweep.csv")}
    assert set(found) == {"0.0001", "0.02"}
    best = max(found, key=found.get)
    assert read_recipe(str(study / "out" / "best.yaml")).optim.lr == float(best)
    folders = sorted(path.name for path in (study / "out" / "runs").iterdir())
    assert folders[0] == "optim.lr=0.0001,model.width=4,seed=0"
    assert len(folders) == 4
    for lr, mean in found.items():
        results = [json.loads((study / "out" / "runs" / name / "results.json").read_text()) for name in folders]
        ours = [each["best"]["validation_accuracy"] for each in results if each["recipe"]["optim"]["lr"] == float(lr)]
        assert mean == pytest.approx(sum(ours) / 2)
    assert (study / "out" / "sweep.png").stat().st_size > 5000


def test_test_accuracy_plays_no_part_and_is_shown_of_the_chosen_alone(study, cache_path, capsys):
    assert sweep(command(study, cache_path)) == 0
    printed = capsys.readouterr().out
    assert printed.count("test accuracy") == 1
    assert "seed 0:" not in printed  # all are finished, and none is told anew
    assert "\\n" not in printed


def test_what_is_finished_is_not_trained_again_and_more_seeds_add_to_it(study, cache_path, capsys, monkeypatch):
    trained = []
    monkeypatch.setattr(trials, "train", recording(trials.train, trained))
    before = {path: path.stat().st_mtime_ns for path in (study / "out" / "runs").rglob("last.pt")}
    arguments = command(study, cache_path)
    assert sweep([*arguments[: arguments.index("--seeds")], "--seeds", "0", "1", "2"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sum(new for new in trained) == 2
    told = [line for line in capsys.readouterr().out.splitlines() if "seed 2: validation" in line]
    assert [line.partition(" ")[0] for line in told] == ["[3/6]", "[6/6]"]  # runs are counted, not settings


def recording(train, trained):
    def run(recipe, data, folder, **rest):
        trained.append(not (folder / "results.json").exists())
        return train(recipe, data, folder, **rest)

    return run


def test_runs_are_listed(study, capsys, tmp_path):
    assert runs([str(study / "out"), "--sort", "validation", "--csv", str(tmp_path / "runs.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["run", "network", "neuron", "seed"]
    shown = [float(line.split()[5]) for line in lines[1:5]]
    assert shown == sorted(shown, reverse=True)
    assert "optim.lr=0.02" in "".join(lines)
    assert {row["neuron"] for row in rows(tmp_path / "runs.csv")} == {"glif"}


def test_runs_are_compared_over_seeds_and_samples(study, capsys, tmp_path):
    assert compare([str(study / "out"), "--by", "lr", "--out", str(tmp_path / "report")]) == 0
    first, second = json.loads((tmp_path / "report" / "comparison.json").read_text())["settings"]
    assert first["setting"] == "optim.lr=0.0001"
    gaps = [second["accuracy_by_seed"][seed] - first["accuracy_by_seed"][seed] for seed in first["accuracy_by_seed"]]
    assert second["difference"] == pytest.approx(sum(gaps) / len(gaps))
    assert second["num_shared_samples"] == 8
    assert 0 < second["p_over_samples"] <= 1
    assert {row["setting"] for row in rows(tmp_path / "report" / "comparison.csv")} == {
        first["setting"],
        second["setting"],
    }
    assert "± " in capsys.readouterr().out


def test_runs_in_any_order_keep_their_figures(study, tmp_path):
    given = sorted((study / "out" / "runs").glob("*seed=[01]"), key=lambda folder: folder.name[::-1])
    assert [folder.name[-1] for folder in given] == ["0", "0", "1", "1"]  # settings take turns
    assert compare([*map(str, given), "--by", "lr", "--out", str(tmp_path)]) == 0
    for row in rows(tmp_path / "comparison.csv"):
        results = json.loads((Path(row["run"]) / "results.json").read_text())
        assert f"{row['setting']}," in row["run"]
        assert float(row["accuracy"]) == pytest.approx(results["best"]["test"]["accuracy"])
        assert float(row["loss"]) == pytest.approx(results["best"]["test"]["loss"], rel=1e-4)


def test_settings_begin_with_the_neuron(study):
    names = list(read_run(study / "out" / "runs" / "optim.lr=0.02,model.width=4,seed=0").settings)
    assert names[:2] == ["data", "model.neuron"]
    assert {"model.width", "optim.lr"} <= set(names[2:])


def test_settings_are_told_by_what_their_neurons_take(study, cache_path, tmp_path):
    known = ["--recipe", str(study / "small.yaml"), "--data", str(cache_path), "--set", "epochs=1", "--no-pages"]
    layer = ["--set", "neuron=glif", "--set", "model.sharing=layer,channel", "--out", str(tmp_path / "glif")]
    assert sweep([*known, *layer]) == 0
    assert sweep([*known, "--set", "neuron=lif", "--set", "model.sharing=layer", "--out", str(tmp_path / "lif")]) == 0
    folders = [str(tmp_path / "glif"), str(tmp_path / "lif")]
    for by in ([], ["--by", "neuron", "sharing"], ["--by", "neuron", "model.neuron.sharing"]):
        assert compare([*folders, *by, "--out", str(tmp_path / "report")]) == 0
        settings = json.loads((tmp_path / "report" / "comparison.json").read_text())["settings"]
        assert [each["setting"] for each in settings] == [
            "model.neuron=glif,model.sharing=channel",
            "model.neuron=glif,model.sharing=layer",
            "model.neuron=lif",
        ]


def test_runs_may_go_without_pages_and_get_them_later(study, cache_path, tmp_path):
    known = ["--recipe", str(study / "small.yaml"), "--data", str(cache_path), "--out", str(tmp_path)]
    arguments = [*known, "--set", "lr=0.02", "--set", "epochs=1"]
    shown = ["confusion.png", "curves.png", "report.html"]
    folder = tmp_path / "runs" / "optim.lr=0.02,epochs=1,seed=0"
    for more, there in ((["--no-pages"], []), (["--no-pages"], []), ([], shown)):
        assert sweep([*arguments, *more]) == 0
        assert [each for each in shown if (folder / each).is_file()] == there


def test_a_seed_that_stands_twice_is_no_group(study, capsys):
    assert compare([str(study / "out"), "--by", "neuron"]) == 1
    assert "seed 0 stands twice in model.neuron=glif" in capsys.readouterr().err


def test_two_processes_share_out_the_runs(cache_path, tmp_path):
    (tmp_path / "small.yaml").write_text(to_yaml(small_recipe(epochs=1)))
    done = subprocess.run(
        [sys.executable, "-m", "evglif.sweep", *command(tmp_path, cache_path, "--jobs", "2")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(": validation ") == 4
    assert len(list((tmp_path / "out" / "runs").rglob("results.json"))) == 4


def test_a_setting_that_diverges_is_left_out_and_not_tried_again(cache_path, tmp_path, capsys, monkeypatch):
    tried = []

    def train(recipe, _, folder, **__):
        tried.append(recipe.optim.lr)
        if recipe.optim.lr == 5.0:
            folder.mkdir(parents=True)
            raise FloatingPointError("the loss is NaN")
        metrics = {"best": {"epoch": 1, "validation_accuracy": 0.5}, "training_seconds": 1.0}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(to_yaml(recipe))
        (folder / "metrics.csv").write_text("epoch,validation_loss,validation_accuracy\n1,0.5,0.5\n")
        what = {"data": "d", "model": "m", "neuron": "n", "last": {}, "recipe": recipe.to_dict()}
        write_json(folder / "results.json", {**what, **metrics})
        return metrics

    monkeypatch.setattr(trials, "train", train)
    (tmp_path / "small.yaml").write_text(to_yaml(small_recipe(epochs=1)))
    arguments = ["--recipe", str(tmp_path / "small.yaml"), "--data", str(cache_path), "--out", str(tmp_path / "out")]
    for _ in range(2):
        assert sweep([*arguments, "--set", "lr=5.0,0.02"]) == 0
        printed = capsys.readouterr().out
        assert "diverged" in printed
        assert "chosen by validation: optim.lr=0.02" in printed
    assert tried.count(5.0) == 1


def test_seeds_of_a_recipe_as_it_is_are_told_without_a_picture(study, cache_path, tmp_path, capsys):
    known = ["--recipe", str(study / "small.yaml"), "--data", str(cache_path), "--out", str(tmp_path / "out")]
    assert sweep([*known, "--seeds", "0", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 setting, 2 runs of each;")
    assert "sweep.png" not in printed
    assert not (tmp_path / "out" / "sweep.png").exists()


def test_one_run_has_no_deviation_to_tell(study, cache_path, tmp_path, capsys):
    known = ["--recipe", str(study / "small.yaml"), "--data", str(cache_path), "--out", str(tmp_path / "out")]
    assert sweep([*known, "--set", "lr=0.02", "--set", "epochs=1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 setting, 1 run of each;")
    assert "%, of one run\n" in printed
    assert "±" not in printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing to try"),
        (["--set", "lr=0.1", "--set", "optim.lr=0.2"], "twice"),
        (["--set", "neuron=glif,tanh"], "unknown neuron 'tanh'"),
        (["--set", "loader.validation=0,0.25"], "nothing to choose by"),
        (["--set", "lr=0.1,0.2", "--seeds", "1", "1"], "different ones"),
        (["--set", "lr=0.1..0.2"], "--random N"),
        (["--set", "lr=0.1..0.2", "--optuna", "2", "--jobs", "2"], "one setting after the other"),
    ],
)
def test_nothing_is_trained_where_the_study_cannot_be(study, cache_path, tmp_path, capsys, arguments, told):
    known = ["--recipe", str(study / "small.yaml"), "--data", str(cache_path), "--out", str(tmp_path / "out")]
    assert sweep([*known, *arguments]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_optuna_goes_on_where_it_was_stopped(cache_path, tmp_path, capsys, monkeypatch):
    pytest.importorskip("optuna", exc_type=ImportError)
    (tmp_path / "small.yaml").write_text(to_yaml(small_recipe(epochs=1)))
    known = ["--recipe", str(tmp_path / "small.yaml"), "--data", str(cache_path), "--out", str(tmp_path / "out")]
    arguments = [*known, "--set", "lr=log:1e-4..1e-1", "--set", "model.width=2,4"]
    wanted, stopped = trials.train, []

    def stop(recipe, *_, **__):
        stopped.append(recipe.optim.lr)
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "train", stop)
    assert sweep([*arguments, "--optuna", "2"]) == 130
    monkeypatch.setattr(trials, "train", wanted)
    assert sweep([*arguments, "--optuna", "2"]) == 0
    tried = [float(row["optim.lr"]) for row in rows(tmp_path / "out" / "sweep.csv")]
    assert len(tried) == 2
    assert stopped[0] in tried
    assert sweep([*known, "--set", "lr=0.1..0.2", "--optuna", "2"]) == 1
    assert "holds a study of" in capsys.readouterr().err
