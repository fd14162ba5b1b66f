"""``python -m deploy.profile CHECKPOINT --chip NAME``."""

import json
from dataclasses import replace

import pytest

from deploy.chips.report import on_chip
from deploy.chips.target import read_chip
from deploy.profile import main
from evglif import save_checkpoint
from evglif.checkpoint import Checkpoint
from evglif.data import data_spec
from evglif.train import train
from preprocessing.cache import FrameCache
from tests.helpers.checkpoints import lively
from tests.helpers.spots import small_recipe

pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")
MODEL = {"name": "cifarnet", "neuron": "if", "width": 4, "hidden": [8, 8]}


@pytest.fixture(scope="module")
def trained(cache_path, tmp_path_factory):
    """A network that tells left from right by IF neurons."""
    out = tmp_path_factory.mktemp("if") / "run"
    train(replace(small_recipe(epochs=8), model=MODEL), cache_path, out, progress=False)
    return out / "last.pt"


def test_places_and_accuracy_are_printed_and_written(trained, cache_path, tmp_path, capsys):
    figures = tmp_path / "chip.json"
    arguments = [str(trained), "--chip", "speck2f", "--data", str(cache_path), "--json", str(figures)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Speck 2f: every layer has a core\n")
    assert "Accuracy on 8 samples: " in printed
    assert "Frames hold fractions of events" in printed
    found = json.loads(figures.read_text())
    assert found["fits"]
    assert len({row["core"] for row in found["places"]}) == len(found["places"]) == 5
    assert found["accuracy"]["num_samples"] == 8
    assert found["accuracy"]["checkpoint"] >= 0.75
    assert found["accuracy"]["chip"] >= 0.5
    assert abs(found["accuracy"]["rounded"] - found["accuracy"]["checkpoint"]) <= 0.25


def test_without_data_nothing_is_counted(tmp_path, capsys):
    save_checkpoint(tmp_path / "a.pt", lively("plif-cifar10dvs", "if", pooling="average"))
    assert main([str(tmp_path / "a.pt"), "--chip", "speck2f"]) == 0
    assert "Accuracy in whole numbers: add --data FILE.h5." in capsys.readouterr().out


def test_what_does_not_fit_is_listed_with_what_to_change(tmp_path, capsys):
    model = lively("cifarnet", "if", encoder="frames", in_channels=2, width=64, size=(32, 32))
    save_checkpoint(tmp_path / "a.pt", model)
    assert main([str(tmp_path / "a.pt"), "--chip", "speck2f"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Speck 2f: 1 of 5 layers fit\n")
    assert "To change:\n- features.1.neuron: its weights take 131,072 words, at most 65,536: fewer channels" in printed


def test_data_are_needed_for_everything_else(trained, capsys):
    assert main([str(trained)]) == 1
    assert "--data must be given" in capsys.readouterr().err


def test_an_empty_split_is_refused(cache_path):
    model = lively("plif-cifar10dvs", "if", pooling="average", num_classes=2, size=(16, 16))
    with FrameCache(cache_path) as cache:
        checkpoint = Checkpoint(model, data_spec(cache), {})
        with pytest.raises(ValueError, match="no sample in the split validation; choose another with --split"):
            on_chip(checkpoint, read_chip("speck2f"), cache, "validation", 4)
