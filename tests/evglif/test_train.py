import csv
import dataclasses
import io
import json
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from evglif import train as training
from evglif.checkpoint import read_checkpoint
from evglif.data import LoaderConfig
from evglif.models import MODELS
from evglif.recipe import Recipe, recipe_names, recipe_path
from evglif.train import parse_arguments, train
from evglif.training.learner import Means
from evglif.training.losses import LossConfig
from evglif.training.machine import Machine
from evglif.training.optim import OptimConfig
from evglif.training.watch import Watch
from tests.helpers.spots import small_recipe


def test_a_run_learns_and_writes_what_it_promises(run):
    results = json.loads((run / "results.json").read_text())
    assert results["best"]["test"]["accuracy"] == 1.0
    assert (results["num_train"], results["num_validation"]) == (24, 8)
    assert results["recipe"]["optim"]["lr"] == 0.01
    assert {entry.name for entry in run.iterdir()} >= {"best.pt", "last.pt", "curves.png", "confusion.png"}
    with (run / "metrics.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file) if row["train_loss"]]
    assert len(losses) == 10
    assert losses[-1] < 0.7 * losses[0]


def test_best_is_the_epoch_of_the_highest_validation_accuracy_and_then_of_the_lowest_loss(run):
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["validation_accuracy"]]
    reached = [(float(row["validation_accuracy"]), -float(row["validation_loss"])) for row in rows]
    metrics = read_checkpoint(run / "best.pt").metrics
    assert metrics["epoch"] == reached.index(max(reached)) + 1
    assert metrics["validation_accuracy"] == max(reached)[0]
    assert read_checkpoint(run / "last.pt").metrics["epoch"] == 10


def test_one_seed_fixes_everything(cache_path, tmp_path):
    def weights(name, seed):
        recipe = dataclasses.replace(small_recipe(epochs=1), seed=seed)
        train(recipe, cache_path, tmp_path / name, progress=False)
        return read_checkpoint(tmp_path / name / "last.pt").model.state_dict()

    first, again, other = weights("a", 1), weights("b", 1), weights("c", 2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_log_gets_one_line_per_epoch(cache_path, tmp_path, capsys):
    train(small_recipe(epochs=2), cache_path, tmp_path / "run")
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert re.search(r": train [\d.]+, [\d.]+%; validation [\d.]+, [\d.]+%; \d+ samples/s; \d+ s left$", lines[0])
    assert "test accuracy, epoch of best validation" in printed.out
    assert printed.err == ""


def test_a_finished_run_says_so_and_stays_as_it_is(run, cache_path, capsys):
    before = (run / "last.pt").read_bytes()
    results = train(small_recipe(), cache_path, run)
    assert results == json.loads((run / "results.json").read_text())
    told = capsys.readouterr().out
    assert "holds this run, finished after 10 epochs; pass --overwrite to begin anew\nnext: " in told
    assert (run / "last.pt").read_bytes() == before


def test_another_run_is_not_overwritten_unasked(run, cache_path):
    before = (run / "last.pt").read_bytes()
    recipe = dataclasses.replace(small_recipe(epochs=7), optim=OptimConfig(name="adam", lr=0.02))
    differences = r"optim\.lr is 0\.01 there and 0\.02 here, epochs is 10 there and 7 here"
    said = f"holds another run: {differences}; choose another --out, or pass --overwrite"
    with pytest.raises(FileExistsError, match=said):
        train(recipe, cache_path, run, progress=False)
    assert (run / "last.pt").read_bytes() == before


def test_files_of_a_run_without_its_state_are_not_touched(cache_path, tmp_path):
    (tmp_path / "best.pt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds best\.pt but no state\.pt to go on from"):
        train(small_recipe(), cache_path, tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_the_saved_recipe_is_that_of_the_run(run, cache_path):
    arguments = ["--recipe", str(run / "recipe.yaml"), "--data", str(cache_path), "--out", str(run), "--quiet"]
    recipe, rest = parse_arguments(arguments)
    assert recipe.model["neuron"]["name"] == "glif"
    assert recipe.model["steps"] == 3
    assert train(recipe, **rest)["best"]["test"]["accuracy"] == 1.0


def test_the_test_split_by_epoch_is_reported_beside_and_never_chosen_by(cache_path, tmp_path):
    results = train(tracked(), cache_path, tmp_path / "run", progress=False)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        accuracies = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    by_epoch = results["test_by_epoch"]
    assert by_epoch["mean_of_last"] == {"epochs": 3, "accuracy": pytest.approx(sum(accuracies) / 3)}
    best = by_epoch["best_epoch_chosen_on_the_test_split"]
    assert (best["epoch"], best["accuracy"]) == (accuracies.index(max(accuracies)) + 1, max(accuracies))
    assert accuracies[2] == results["last"]["test"]["accuracy"]
    train(dataclasses.replace(tracked(), track_test=False), cache_path, tmp_path / "blind", progress=False)
    seen, blind = (read_checkpoint(tmp_path / name / "best.pt").model.state_dict() for name in ("run", "blind"))
    assert all(torch.equal(seen[name], blind[name]) for name in seen)


def tracked():
    return dataclasses.replace(small_recipe(epochs=3), model={"name": "7b-widenet", "width": 2}, track_test=True)


def test_without_validation_only_the_last_epoch_is_kept(cache_path, tmp_path):
    recipe = dataclasses.replace(small_recipe(epochs=1), loader=LoaderConfig(batch_size=8, validation=0.0))
    results = train(recipe, cache_path, tmp_path / "run", progress=False)
    assert (results["num_train"], results["num_validation"]) == (32, 0)
    assert "best" not in results
    assert results["last"]["test"]["num_samples"] == 8
    assert not (tmp_path / "run" / "best.pt").exists()


def test_overwriting_removes_the_run_and_nothing_else(cache_path, tmp_path):
    recipe = small_recipe(epochs=1)
    train(recipe, cache_path, tmp_path, progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "best.pt").write_text("to be replaced")
    train(recipe, cache_path, tmp_path, overwrite=True, progress=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert read_checkpoint(tmp_path / "best.pt").metrics["epoch"] == 1


def test_ctrl_c_leaves_the_finished_epochs(cache_path, tmp_path):
    out = tmp_path / "run"
    options = ["--model.width", "2", "--epochs", "100000", "--loader.batch_size", "32", "--precision", "fp32"]
    command = [sys.executable, "-m", "evglif.train", "--data", str(cache_path), "--out", str(out), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (out / "last.pt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, error.splitlines()[-1:]) == (
        130,
        ["interrupted: the same command goes on after the last whole epoch"],
    )
    assert read_checkpoint(out / "last.pt").metrics["epoch"] >= 1
    assert not (out / "results.json").exists()


def test_a_recipe_that_does_not_fit_the_data_leaves_no_folder(cache_path, tmp_path):
    recipe = Recipe(model={"name": "7b-widenet", "num_classes": 10})
    with pytest.raises(ValueError, match=r"classes: the model has 10, the data in .* have 2"):
        train(recipe, cache_path, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_the_command_line_overrides_a_recipe():
    arguments = ["--recipe", "digits", "--data", "a.h5", "--out", "run", "--quiet"]
    recipe, rest = parse_arguments([*arguments, "--optim.lr", "0.5", "--model.neuron", "plif", "--epochs", "3"])
    packaged, _ = parse_arguments(arguments)
    assert parse_arguments([*arguments, "--neuron", "lif"])[0].model["neuron"] == "lif"
    assert (recipe.optim.lr, recipe.model["neuron"], recipe.epochs) == (0.5, "plif", 3)
    assert recipe.model["width"] == packaged.model["width"]
    assert (rest["overwrite"], rest["progress"]) == (False, False)


def test_the_printed_recipe_is_a_recipe_file(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--recipe", "digits", "--epochs", "3", "--print-config"])
    assert ended.value.code is None
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    again, _ = parse_arguments(["--recipe", str(tmp_path / "mine.yaml"), "--data", "a.h5", "--out", "run"])
    first, _ = parse_arguments(["--recipe", "digits", "--epochs", "3", "--data", "a.h5", "--out", "run"])
    assert again == first


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="--data must be given"):
        parse_arguments(["--recipe", "digits"])


def test_a_file_is_no_folder_for_a_run(cache_path, tmp_path):
    (tmp_path / "notes").write_text("kept")
    with pytest.raises(ValueError, match=r"notes is a file; give a folder"):
        train(small_recipe(), cache_path, tmp_path / "notes", progress=False)
    assert (tmp_path / "notes").read_text() == "kept"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read(name):
    recipe, _ = parse_arguments(["--recipe", name, "--data", "a.h5", "--out", "run"])
    assert recipe.model["name"] in MODELS


def test_the_cifar10dvs_recipe_is_the_papers():
    recipe, _ = parse_arguments(["--recipe", "cifar10dvs", "--data", "a.h5", "--out", "run"])
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.momentum) == ("sgd", 0.01, 0.9)
    assert (recipe.optim.weight_decay, recipe.optim.cosine_period) == (0.0, 64)
    assert (recipe.epochs, recipe.loader.batch_size, recipe.augment.crop_padding) == (200, 32, 4)
    assert (recipe.model["width"], recipe.model["init"]) == (64, "cifar10dvs")


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match=r"no recipe 'sifar'; choose one of .*digits"):
        recipe_path("sifar")


def test_errors_of_the_command_line_are_one_line(tmp_path, monkeypatch, capsys):
    arguments = ["train", "--recipe", "digits", "--data", str(tmp_path / "no.h5"), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", arguments)
    assert training.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no.h5" in error


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Recipe, {"epochs": 0}, "got 0"),
        (Recipe, {"precision": "int8"}, "'int8'"),
        (Recipe, {"ema": 1.0}, "ema is a decay between 0 and 1, or none, got 1.0"),
        (Recipe, {"seed": -1}, "got -1"),
        (Recipe, {"epochs": 2, "optim": OptimConfig(warmup=2)}, "warmup of 2 epochs leaves nothing of 2"),
        (Machine, {"devices": 0}, "devices must be at least 1, got 0"),
        (Machine, {"accelerator": "tpu"}, "'tpu'"),
        (Machine, {"log": "paper"}, "'paper'"),
    ],
)
def test_wrong_values_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_tensorboard_is_asked_for_by_name_only_where_it_is_installed(monkeypatch):
    monkeypatch.setattr("evglif.training.machine.find_spec", lambda _: None)
    assert not Machine().tensorboard
    with pytest.raises(ValueError, match=r"not installed; pip install 'evglif\[tensorboard\]'"):
        Machine(log="tensorboard")


def test_a_terminal_gets_a_bar_with_figures_that_stays(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    watch, means = Watch(epochs=2, shown=True), Means()
    with watch.epoch(1, num_samples=8):
        means.add(0.5, 3, 4)
        watch.batch(means)
        watch.figures({"epoch": 1, "train_loss": 0.25, "train_accuracy": 0.875, "samples_per_second": 100.0})
    assert "epoch 1/2" in terminal.getvalue()
    last = terminal.getvalue().splitlines()[-1]
    assert last.rstrip().endswith("train 0.2500, 87.5%]")  # a shorter line is filled up with blanks


def test_fp16_is_for_gpus(cache_path, tmp_path):
    recipe = dataclasses.replace(small_recipe(), precision="fp16")
    with pytest.raises(ValueError, match="precision fp16 is for GPUs; choose bf16 or fp32"):
        train(recipe, cache_path, tmp_path / "run", progress=False, machine=Machine(accelerator="cpu"))
    assert not (tmp_path / "run").exists()


def test_all_that_a_recipe_can_ask_for_runs_together(cache_path, tmp_path):
    recipe = Recipe(
        model={"name": "7b-widenet", "width": 2},
        optim=OptimConfig(name="adamw", lr=0.01, decay_norms=False, warmup=1, clip=1.0, accumulate=2),
        loss=LossConfig("tet", label_smoothing=0.1),
        loader=LoaderConfig(batch_size=8, validation=0.25),
        epochs=2,
        ema=0.5,
        precision="bf16",
        channels_last=True,
    )
    results = train(recipe, cache_path, tmp_path / "run", progress=False, machine=Machine("cpu", data_on_device=True))
    assert results["last"]["epoch"] == 2
    assert results["last"]["train_loss"] < 1.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("overwrite: true\nepochs: 1", "overwrite cannot stand in one"),
        ("out: elsewhere\nneuron: lif", "neuron, out cannot stand in one"),
        ("- epochs", "it holds list, not named values"),
    ],
)
def test_a_recipe_says_nothing_of_where_a_run_goes(cache_path, tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"mine.yaml is no recipe: {said}"):
        parse_arguments(["--recipe", str(tmp_path / "mine.yaml"), "--data", str(cache_path), "--out", "run"])
