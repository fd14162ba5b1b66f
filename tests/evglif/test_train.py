import csv
import dataclasses
import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import small_recipe

from evglif import build_model
from evglif import train as training
from evglif.augment import AugmentConfig
from evglif.checkpoint import read_checkpoint
from evglif.data import LoaderConfig
from evglif.optim import OptimConfig
from evglif.recipe import Recipe, recipe_names, recipe_path
from evglif.task import ClassificationTask
from evglif.train import parse_arguments, train


def test_a_run_learns_and_writes_what_it_promises(run):
    results = json.loads((run / "results.json").read_text())
    assert results["best"]["test"]["accuracy"] == 1.0
    assert (results["num_train"], results["num_validation"]) == (24, 8)
    assert results["recipe"]["optim"]["lr"] == 0.01
    assert {entry.name for entry in run.iterdir()} >= {"best.pt", "last.pt", "curves.png", "confusion.png"}
    with (run / "metrics.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file) if row["train_loss"]]
    assert len(losses) == 10
    assert losses[-1] < losses[0] / 2


def test_best_is_the_epoch_of_the_highest_validation_accuracy_and_then_of_the_lowest_loss(run):
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["validation_accuracy"]]
    reached = [(float(row["validation_accuracy"]), -float(row["validation_loss"])) for row in rows]
    metrics = read_checkpoint(run / "best.pt").metrics
    assert metrics["epoch"] == reached.index(max(reached))
    assert metrics["validation_accuracy"] == max(reached)[0]
    assert read_checkpoint(run / "last.pt").metrics["epoch"] == 9


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
    assert "validation_accuracy" in lines[0]
    assert "test accuracy, best validation epoch" in printed.out
    assert printed.err == ""


def test_a_run_is_not_overwritten_unasked(run, cache_path):
    before = (run / "last.pt").read_bytes()
    with pytest.raises(FileExistsError, match="already holds a run; choose another --out or pass --overwrite"):
        train(small_recipe(), cache_path, run, progress=False)
    assert (run / "last.pt").read_bytes() == before


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
    assert read_checkpoint(tmp_path / "best.pt").metrics["epoch"] == 0


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
        ["interrupted; last.pt and best.pt hold the epochs up to here"],
    )
    assert read_checkpoint(out / "last.pt").metrics["epoch"] >= 0
    assert not (out / "results.json").exists()


def test_a_recipe_that_does_not_fit_the_data_leaves_no_folder(cache_path, tmp_path):
    recipe = Recipe(model={"name": "7b-widenet", "num_classes": 10})
    with pytest.raises(ValueError, match=r"classes: the model has 10, the data in .* have 2"):
        train(recipe, cache_path, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_the_run():
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=4)
    torch.nn.init.constant_(model.head.bias, torch.nan)
    task = ClassificationTask(model, 1.0, OptimConfig(), AugmentConfig(), epochs=1)
    batch = torch.zeros(2, 3, 2, 16, 16, dtype=torch.uint16), torch.tensor([0, 1])
    with pytest.raises(FloatingPointError, match=r"the loss became nan in epoch 0, step 0; lower --optim\.lr"):
        task.training_step(batch, 0)


def test_the_command_line_overrides_a_recipe():
    arguments = ["--recipe", "digits", "--data", "a.h5", "--out", "run", "--quiet"]
    recipe, rest = parse_arguments([*arguments, "--optim.lr", "0.5", "--model.neuron", "plif", "--epochs", "3"])
    packaged, _ = parse_arguments(arguments)
    assert (recipe.optim.lr, recipe.model["neuron"], recipe.epochs) == (0.5, "plif", 3)
    assert recipe.model["width"] == packaged.model["width"]
    assert (rest["overwrite"], rest["progress"]) == (False, False)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read(name):
    recipe, _ = parse_arguments(["--recipe", name, "--data", "a.h5", "--out", "run"])
    assert recipe.model["name"] == "7b-widenet"


def test_the_cifar10dvs_recipe_is_the_papers():
    recipe, _ = parse_arguments(["--recipe", "cifar10dvs", "--data", "a.h5", "--out", "run"])
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.momentum) == ("sgd", 0.01, 0.9)
    assert (recipe.optim.weight_decay, recipe.optim.cosine_period) == (0.0, 64)
    assert (recipe.epochs, recipe.loader.batch_size, recipe.augment.crop_padding) == (200, 32, 4)
    assert (recipe.model["width"], recipe.model["init"]) == (64, "cifar10dvs")


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="no recipe 'cifar'; choose one of cifar10dvs, digits"):
        recipe_path("cifar")


def test_errors_of_the_command_line_are_one_line(tmp_path, monkeypatch, capsys):
    arguments = ["train", "--recipe", "digits", "--data", str(tmp_path / "no.h5"), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", arguments)
    assert training.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no.h5" in error


@pytest.mark.parametrize(("options", "message"), [({"epochs": 0}, "got 0"), ({"precision": "int8"}, "'int8'")])
def test_wrong_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)
