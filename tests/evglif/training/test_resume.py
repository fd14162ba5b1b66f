import csv
import dataclasses
import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from evglif import build_model
from evglif import tensor_files as files
from evglif.augment import AugmentConfig
from evglif.checkpoint import read_checkpoint
from evglif.data import LoaderConfig, data_spec
from evglif.evaluation.epochs import best_row
from evglif.provenance import Seen
from evglif.recipe import Recipe, to_yaml
from evglif.train import train
from evglif.training import run
from evglif.training.machine import Machine
from evglif.training.optim import OptimConfig
from evglif.training.run import BOARD
from preprocessing.cache import FrameCache
from tests.helpers import ROOT
from tests.helpers.spots import small_recipe

NOT_ALIKE = {"seconds", "samples_per_second"}


def recipe(epochs=4):
    """Everything that has a state: momentum, schedule, running statistics, average; and everything that is random."""
    return Recipe(
        model={"name": "7b-widenet", "width": 2},
        optim=OptimConfig(lr=0.05, accumulate=2, warmup=1),
        loader=LoaderConfig(batch_size=8, validation=0.25),
        augment=AugmentConfig(crop_padding=2, flip=True),
        epochs=epochs,
        ema=0.8,
        precision="fp32",
        seed=5,
    )


@pytest.fixture(scope="module")
def never_stopped(cache_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("never") / "stopped"
    train(recipe(), cache_path, out, progress=False)
    return out


def assert_same_run(folder, other):
    for name in ("best.pt", "last.pt"):
        one, two = (read_checkpoint(each / name) for each in (folder, other))
        weights, expected = one.model.state_dict(), two.model.state_dict()
        assert all(torch.equal(weights[key], expected[key]) for key in expected)
        assert without_times(one.metrics) == without_times(two.metrics)
    learnt, expected = (torch.load(each / "state.pt", weights_only=True)["learner"] for each in (folder, other))
    assert alike(learnt, expected)
    with (folder / "metrics.csv").open() as one, (other / "metrics.csv").open() as two:
        assert list(map(without_times, csv.DictReader(one))) == list(map(without_times, csv.DictReader(two)))
    files, expected = ({path.name for path in each.iterdir()} - {BOARD} for each in (folder, other))
    assert files == expected


def alike(one, other):
    """Whether nested tensors and plain values are the same, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def without_times(row):
    return {name: value for name, value in row.items() if name not in NOT_ALIKE}


class Killed(BaseException):
    """Ends a run as nothing in it expects."""


@pytest.fixture
def killed_after(monkeypatch):
    """Makes the run end at its n-th write from now on, before or after the new file takes the old one's place."""
    replace, state = files.replace_file, {}

    def write(path, content):
        state["left"] -= 1
        if state["left"]:
            return replace(path, content)
        path.with_name(f".{path.name}.1.tmp").write_bytes(content[: len(content) // 2])  # as a SIGKILL would leave it
        if state["replaced"]:
            replace(path, content)
        raise Killed

    for module in (files, run):
        monkeypatch.setattr(module, "replace_file", write)
    monkeypatch.setattr("evglif.training.session.plot_run", lambda *_: None)
    return lambda left, replaced: state.update(left=left, replaced=replaced)


def test_a_run_that_ends_at_any_write_comes_to_the_same_weights(never_stopped, cache_path, tmp_path, killed_after):
    kills = 0
    for attempt in range(100):
        killed_after(left=2 + attempt % 4, replaced=attempt % 3 == 0)
        try:
            train(recipe(), cache_path, tmp_path / "run", progress=False)
            break
        except Killed:
            kills += 1
    assert kills >= 4
    for name in ("curves.png", "confusion.png"):
        (tmp_path / "run" / name).touch()
    assert_same_run(tmp_path / "run", never_stopped)


def run_with_kills(cache_path, folder, num_kills, seed):
    """The command line, killed so many times at random moments after its first epoch, then left to its end."""
    file = folder / "recipe.yaml"
    file.write_text(to_yaml(recipe()))
    out, rng = folder / "run", random.Random(seed)
    command = [sys.executable, "-m", "evglif.train", "--recipe", file, "--data", cache_path, "--out", out, "--quiet"]
    for _ in range(num_kills):
        process = subprocess.Popen(list(map(str, command)))
        try:
            before, deadline = changed(out), time.monotonic() + 120
            while changed(out) == before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.09))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    subprocess.run(list(map(str, command)), check=True, timeout=300)
    return out


def changed(out):
    """When the state was last written."""
    return (out / "state.pt").stat().st_mtime_ns if (out / "state.pt").exists() else None


def test_a_run_killed_at_random_moments_comes_to_the_same_weights(never_stopped, cache_path, tmp_path):
    assert_same_run(run_with_kills(cache_path, tmp_path, num_kills=2, seed=0), never_stopped)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(1, 6))
def test_runs_killed_often_come_to_the_same_weights(never_stopped, cache_path, tmp_path, seed):
    assert_same_run(run_with_kills(cache_path, tmp_path, num_kills=4, seed=seed), never_stopped)


def test_a_run_that_goes_on_says_from_where(cache_path, tmp_path, killed_after, capsys):
    killed_after(left=6, replaced=False)
    with pytest.raises(Killed):
        train(small_recipe(epochs=2), cache_path, tmp_path / "run")
    killed_after(left=100, replaced=False)
    train(small_recipe(epochs=2), cache_path, tmp_path / "run")
    assert f"{tmp_path / 'run'}: going on after epoch 1 of 2" in capsys.readouterr().out


def test_a_full_disk_leaves_a_run_that_goes_on(never_stopped, cache_path, tmp_path, monkeypatch):
    replace, calls = files.replace_file, []

    def full(path, content):
        calls.append(path.name)
        if calls.count("state.pt") == 2:
            raise OSError(28, f"no room for {path}")
        replace(path, content)

    with monkeypatch.context() as patch:
        for module in (files, run):
            patch.setattr(module, "replace_file", full)
        with pytest.raises(OSError, match="no room"):
            train(recipe(), cache_path, tmp_path / "run", progress=False)
    assert read_checkpoint(tmp_path / "run" / "last.pt").metrics["epoch"] == 1
    train(recipe(), cache_path, tmp_path / "run", progress=False)
    assert_same_run(tmp_path / "run", never_stopped)


@pytest.mark.parametrize("damage", [lambda content: content[:1000], lambda _: b"hello"])
def test_a_damaged_state_is_refused(never_stopped, cache_path, tmp_path, damage):
    state = tmp_path / "state.pt"
    state.write_bytes(damage((never_stopped / "state.pt").read_bytes()))
    with pytest.raises(ValueError, match=r"state\.pt is not a training state written by evglif, or it is damaged"):
        train(recipe(), cache_path, tmp_path, progress=False)


def test_the_best_epoch_is_the_first_of_highest_accuracy_and_lowest_loss():
    rows = [
        {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}
        for epoch, accuracy, loss in ((1, 0.5, 0.1), (2, 0.9, 0.4), (3, 0.9, 0.3), (4, 0.9, 0.3), (5, 0.8, 0.1))
    ]
    assert best_row(rows)["epoch"] == 3
    assert best_row([{"epoch": 1, "train_loss": 0.2}]) is None


def test_two_trainings_do_not_share_a_folder(cache_path, tmp_path):
    command = [sys.executable, "-m", "evglif.train", "--recipe", str(recipe_file(tmp_path)), "--data", str(cache_path)]
    command += ["--out", str(tmp_path / "run"), "--quiet"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    statuses = [process.returncode for process in both]
    assert 0 in statuses
    for status, error in zip(statuses, said, strict=True):
        assert status == 0 or (status == 1 and "another process is training in" in error)
    assert not (tmp_path / "run" / ".training").exists()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["last"]["epoch"] == recipe().epochs


@pytest.mark.exhaustive
def test_of_two_trainings_at_once_nothing_is_mixed_twenty_times(cache_path, tmp_path):
    alone = None
    for number in range(21):
        command = [sys.executable, "-m", "evglif.train", "--recipe", str(recipe_file(tmp_path)), "--data"]
        command += [str(cache_path), "--out", str(tmp_path / str(number)), "--quiet"]
        both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2 if number else 1)]
        for process in both:
            process.communicate(timeout=300)
        assert 0 in [process.returncode for process in both]
        files = {path.name for path in (tmp_path / str(number)).iterdir()}
        weights = [
            read_checkpoint(tmp_path / str(number) / f"{name}.pt").model.state_dict() for name in ("best", "last")
        ]
        alone = alone or (files, weights)
        assert files == alone[0]
        for ours, theirs in zip(weights, alone[1], strict=True):
            assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def recipe_file(folder):
    (folder / "recipe.yaml").write_text(to_yaml(recipe()))
    return folder / "recipe.yaml"


def test_a_best_checkpoint_that_is_not_the_runs_own_is_noticed(cache_path, tmp_path):
    def of_folder():
        with FrameCache(cache_path) as cache:
            nothing = np.empty(0, np.int64)
            return run.Run(tmp_path, data_spec(cache), {"seed": 0}, lambda: Seen(nothing, nothing, nothing))

    first, second = (build_model("7b-widenet", steps=3, size=(16, 16), width=2, num_classes=2) for _ in range(2))
    rows = [{"epoch": epoch, "validation_accuracy": 1 / epoch, "validation_loss": 0.0} for epoch in (1, 2)]
    of_folder().save(run.State(rows[:1], {}), first)
    resumed = of_folder()
    resumed.former()
    resumed.save(run.State(rows, {}), second)
    assert of_folder().former().history == rows
    best = tmp_path / "best.pt"
    best.write_bytes((tmp_path / "last.pt").read_bytes())
    with pytest.raises(FileExistsError, match=r"best\.pt is not what this run wrote after epoch 1; choose another"):
        of_folder().former()
    best.unlink()
    with pytest.raises(FileExistsError, match=r"best\.pt, of epoch 1, is missing, and the run cannot go on"):
        of_folder().former()


def test_recomputation_changes_nothing_and_may_begin_in_the_middle(never_stopped, cache_path, tmp_path, killed_after):
    killed_after(left=5, replaced=True)
    with pytest.raises(Killed):
        train(recipe(), cache_path, tmp_path / "run", progress=False)
    killed_after(left=100, replaced=True)
    train(dataclasses.replace(recipe(), checkpoint=True), cache_path, tmp_path / "run", progress=False)
    for name in ("curves.png", "confusion.png"):
        (tmp_path / "run" / name).touch()
    assert_same_run(tmp_path / "run", never_stopped)


def test_a_run_goes_on_with_the_threads_that_it_began_with(cache_path, tmp_path, killed_after, capsys):
    killed_after(left=5, replaced=True)
    with pytest.raises(Killed):
        train(recipe(), cache_path, tmp_path, progress=False, machine=Machine(threads=2))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["threads"] == 2
    killed_after(left=100, replaced=True)
    before = torch.get_num_threads()
    train(recipe(), cache_path, tmp_path)
    assert "threads: 2 of" in capsys.readouterr().out
    assert torch.get_num_threads() == before
