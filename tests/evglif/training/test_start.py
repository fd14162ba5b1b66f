"""A training that begins with the weights of another: what it says, what it remembers, and how it goes on."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import evglif.evaluate
import evglif.train
from evglif import save_pretrained
from evglif.checkpoint import read_checkpoint, save_checkpoint
from evglif.pretrained.facts import run_facts
from evglif.provenance import digest
from evglif.recipe import to_yaml
from evglif.train import train
from evglif.training.start import Start
from preprocessing.build import build
from preprocessing.datasets.recordings.folder import Folder
from tests.helpers.spots import small_recipe, spot


def recipe(epochs=2, **options):
    return replace(small_recipe(epochs), model={"name": "7b-widenet", "width": 2, "init": "cifar"}, **options)


@pytest.fixture(scope="module")
def first(cache_path, tmp_path_factory):
    """The run that the others begin with."""
    out = tmp_path_factory.mktemp("first") / "run"
    train(recipe(), cache_path, out, progress=False)
    return out / "last.pt"


@pytest.fixture(scope="module")
def other_task(tmp_path_factory):
    """Three places in place of two sides, of other recordings, in five time steps in place of three."""
    from preprocessing.readers import aedat2

    root = tmp_path_factory.mktemp("other")
    generator = np.random.default_rng(1)
    for split, count in (("train", 4), ("test", 2)):
        for place in range(3):
            folder = root / split / f"place{place}"
            folder.mkdir(parents=True)
            for number in range(count):
                low = 10 + 40 * place
                (folder / f"{number}.aedat").write_bytes(aedat2.encode(spot(generator, low, low + 20)))
    build(Folder(root), root / "other.h5", steps=5, size=(16, 16), workers=1)
    return root / "other.h5"


def test_another_task_begins_with_it_and_says_what_did_not_fit(first, other_task, tmp_path, capsys):
    start = Start(first, freeze=("features.0",))
    train(recipe(1), other_task, tmp_path / "run", start=start)
    told = capsys.readouterr().out
    assert "head.weight: [2, 4] there, [3, 4] here (another shape)" in told
    assert "layers interpolated over the recording: 3 → 5 steps" in told
    assert "frozen: features.0" in told
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    began = results["began_with"]
    assert (began["digest"], began["frozen"]) == (digest(read_checkpoint(first).model), ["features.0"])
    assert {each["name"] for each in began["left"]} == {"head.weight", "head.bias"}
    frozen, source = (read_checkpoint(each).model.features[0] for each in (tmp_path / "run" / "last.pt", first))
    assert torch.equal(frozen.conv.weight, source.conv.weight)
    assert torch.equal(frozen.norm.running_mean, source.norm.running_mean)


def test_it_remembers_what_was_learnt_from_before(first, other_task, cache_path, tmp_path, capsys):
    train(recipe(1), other_task, tmp_path / "second", progress=False, start=Start(first))
    second = read_checkpoint(tmp_path / "second" / "last.pt")
    before = read_checkpoint(first).seen
    assert set(before.trained) < set(second.seen.trained)
    assert [origin.digest for origin in second.origins] == [digest(read_checkpoint(first).model)]
    train(recipe(1), cache_path, tmp_path / "third", start=Start(tmp_path / "second" / "last.pt"))
    told = capsys.readouterr().out
    assert "WARNING: validation split: " in told  # it comes back to samples that the first of all had learnt from
    assert "was trained on" in told or "the epoch was chosen by" in told
    assert len(read_checkpoint(tmp_path / "third" / "last.pt").origins) == 2


def test_a_test_split_that_it_had_learnt_from_gives_no_test_accuracy(recordings, tmp_path, capsys):
    """The same recordings under another split, as a second run meets what the first was trained on."""
    pool = tmp_path / "pool"
    for number, path in enumerate(sorted(recordings.glob("*/*/*.aedat"))):
        (pool / path.parent.name).mkdir(parents=True, exist_ok=True)
        (pool / path.parent.name / f"{number}.aedat").write_bytes(path.read_bytes())
    for seed in (0, 1):
        folder = Folder(pool, test_fraction=0.5, seed=seed)
        build(folder, tmp_path / f"{seed}.h5", steps=3, size=(16, 16), workers=1)
    train(recipe(1), tmp_path / "0.h5", tmp_path / "first", progress=False)
    results = train(recipe(1), tmp_path / "1.h5", tmp_path / "second", start=Start(tmp_path / "first" / "last.pt"))
    test = results["last"]["test"]
    assert 0 < test["num_learnt_from"] < test["num_samples"]
    told = capsys.readouterr().out
    assert f"NO TEST ACCURACY, {test['num_learnt_from']} of these samples were learnt from" in told
    assert "  test accuracy" not in told
    _, facts = run_facts(tmp_path / "second")
    assert not any(each.is_test for each in facts.accuracies)
    assert "were learnt from: no test accuracy" in facts.accuracies[0].name


def test_a_start_that_fails_touches_no_run(first, cache_path, tmp_path):
    train(recipe(1), cache_path, tmp_path / "run", progress=False)
    before = {each.name: each.read_bytes() for each in (tmp_path / "run").glob("*.*")}
    with pytest.raises(ValueError, match="to freeze"):
        train(recipe(1), cache_path, tmp_path / "run", overwrite=True, start=Start(first, freeze=("no",)))
    assert {each.name: each.read_bytes() for each in (tmp_path / "run").glob("*.*")} == before


def test_weights_whose_samples_nobody_knows_make_no_test_accuracy(first, other_task, tmp_path, capsys):
    save_checkpoint(tmp_path / "silent.pt", read_checkpoint(first).model)
    train(recipe(1), other_task, tmp_path / "run", start=Start(tmp_path / "silent.pt"))
    printed = capsys.readouterr().out
    assert "nobody knows the samples" in printed
    assert "call this no test accuracy" in printed
    assert evglif.evaluate.main([str(tmp_path / "run" / "last.pt"), "--data", str(other_task)]) == 0
    assert "of which nobody knows the samples" in capsys.readouterr().err


def interrupted_after(number, monkeypatch):
    """End a training after so many epochs, as a kill would."""
    from evglif.training.run import Run

    save, done = Run.save, []

    def save_and_end(self, *arguments):
        save(self, *arguments)
        done.append(1)
        if len(done) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", save_and_end)


def test_a_run_that_was_stopped_ends_in_the_same_weights(first, other_task, tmp_path, monkeypatch):
    start = Start(first, freeze=("features.0", "features.1"))
    train(recipe(3, ema=0.5), other_task, tmp_path / "whole", progress=False, start=start)
    with monkeypatch.context() as patch:
        interrupted_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(3, ema=0.5), other_task, tmp_path / "stopped", progress=False, start=start)
    train(recipe(3, ema=0.5), other_task, tmp_path / "stopped", progress=False, start=start)
    whole, stopped = (read_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "stopped"))
    assert digest(whole.model) == digest(stopped.model)
    assert whole.origins == stopped.origins


def test_a_run_that_began_otherwise_is_another_run(first, cache_path, tmp_path):
    train(recipe(1), cache_path, tmp_path / "run", progress=False, start=Start(first))
    for start in (None, Start(first, init_neurons="fresh"), Start(first, freeze=("features.0",))):
        with pytest.raises(FileExistsError, match=r"holds another run: init\.(weights|neurons|freeze) is "):
            train(recipe(1), cache_path, tmp_path / "run", progress=False, start=start)


def test_the_command_takes_a_folder_of_weights(first, cache_path, tmp_path, monkeypatch, capsys):
    save_pretrained(read_checkpoint(first), tmp_path / "weights")
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe(1)))
    line = ["--recipe", tmp_path / "recipe.yaml", "--data", cache_path, "--out", tmp_path / "run"]
    line += ["--init-from", tmp_path / "weights", "--freeze", "features.0", "features.1", "--init-neurons", "fresh"]
    monkeypatch.setattr(sys, "argv", ["evglif.train", *map(str, line)])
    assert evglif.train.main() == 0
    assert "frozen: features.0, features.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--freeze", "features.0"], "name them by --init-from"),
        (["--init-from", "none.pt"], "no checkpoint at none.pt"),
        (["--init-from", "FIRST", "--freeze", "features.77"], "no layer 'features.77' to freeze"),
        (["--init-from", "FIRST", "--init-neurons", "old"], "unknown init_neurons 'old'"),
    ],
)
def test_what_cannot_be_begun_with_is_told_and_leaves_nothing(
    first, cache_path, tmp_path, monkeypatch, capsys, arguments, said
):
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe(1)))
    line = ["--recipe", tmp_path / "recipe.yaml", "--data", cache_path, "--out", tmp_path / "run"]
    line += [str(first) if each == "FIRST" else each for each in arguments]
    monkeypatch.setattr(sys, "argv", ["evglif.train", *map(str, line)])
    assert evglif.train.main() == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / "state.pt").exists()
