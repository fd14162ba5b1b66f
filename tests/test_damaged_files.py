"""Damaged files of our own formats: each is read, or refused with one kind of error that names it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evglif import build_model, save_checkpoint
from evglif.checkpoint import DataSpec, read_checkpoint
from evglif.provenance import Seen
from evglif.recipe import read_recipe, to_yaml
from evglif.results import RESULTS
from evglif.training.run import STATE, Run, State
from preprocessing.cache import CacheError, FrameCache
from preprocessing.cache.contents import Doubt, LeftOut, Outcome, Row
from preprocessing.cache.writer import write_cache
from preprocessing.datasets.stills.labelled_images import read_labelled_images
from tests.helpers.fuzzing import apart, outcomes
from tests.helpers.spots import small_recipe

DATA = DataSpec(("left", "right"), 1 / 36, (128, 96), {"steps": 2, "size": [16, 16]}, "f" * 64)
EPOCH = {"epoch": 1, "train_loss": 0.7, "validation_loss": 0.6, "validation_accuracy": 0.5, "lr": 0.1}
NUM_DAMAGES = 60


def cache(folder):
    path = folder / "frames.h5"
    generator = np.random.default_rng(0)
    left_out, warnings = (LeftOut("b.aedat", "empty"),), (Doubt("0.aedat", "its clock was set back"),)
    rows = tuple(Row(n % 2, ("train", "validation", "test")[n % 3], f"{n}.aedat", 10, 100) for n in range(6))
    outcome = Outcome("0.aedat", rows, left_out, (128, 96), 1 / 36, warnings=warnings)
    frames = generator.integers(0, 300, (6, 2, 2, 4, 5)).astype(np.uint16)
    write_cache(path, {"steps": 2, "size": [5, 4]}, ["a", "b"], [(outcome, frames)], scratch="x")
    return path


def network():
    return build_model("7b-widenet", steps=2, size=(16, 16), width=1, num_classes=2, neuron="lif")


def nothing_seen():
    nothing = np.arange(3)
    return Seen(nothing, nothing, nothing)


def checkpoint(folder):
    save_checkpoint(folder / "best.pt", network(), DATA, EPOCH, nothing_seen())
    return folder / "best.pt"


def run_in(folder):
    return Run(folder, DATA, {"seed": 0}, nothing_seen)


def state(folder):
    weight = torch.ones(3)
    optimizer = {"state": {0: {"momentum_buffer": weight}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    run_in(folder).save(State([EPOCH], {"model": {"w": weight}, "optimizer": optimizer}), network())
    return folder / STATE


def results(folder):
    figures = {"accuracy": 0.5, "num_samples": 4, "confusion": [[1, 1], [1, 1]]}
    last = {**EPOCH, "test": figures}
    plain = {"data": "x.h5", "model": "m", "neuron": "n", "training_seconds": 1.5, "recipe": {"epochs": 1}}
    run_in(folder).finish({**plain, "last": last})
    return folder / RESULTS


def recipe(folder):
    (folder / "mine.yaml").write_text(to_yaml(small_recipe()))
    return folder / "mine.yaml"


def images(folder):
    names = {"labels": np.array(["a", "b", "a"]), "split": np.array(["train", "test", "train"])}
    np.savez(folder / "images.npz", images=np.zeros((3, 4, 5), np.uint8), **names)
    return folder / "images.npz"


def read_cache(path):
    found = FrameCache(path)
    assert len(found.sources) == len(found.stored(range(len(found)))) == len(found.labels)


FORMATS = {
    "cache": (cache, read_cache, (CacheError,), False),
    "checkpoint": (checkpoint, read_checkpoint, (ValueError,), True),
    "state": (state, lambda path: run_in(path.parent).former(), (ValueError, FileExistsError), True),
    "results": (results, lambda path: run_in(path.parent).results(), (ValueError,), False),
    "recipe": (recipe, lambda path: read_recipe(str(path)), (ValueError,), False),
    "images": (images, read_labelled_images, (ValueError,), True),
}
"""What makes a file, what reads it, the kind of error that is ours, and whether it is a zip archive."""


def fuzz(name, folder, first, num):
    make, read, errors, is_zip = FORMATS[name]
    path = make(Path(folder))
    read(path)
    return outcomes(read, path, errors, range(first, first + num), is_zip)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    found = fuzz(name, tmp_path, 0, NUM_DAMAGES)
    assert found["refused"] > NUM_DAMAGES / 4
    assert found.total() == NUM_DAMAGES


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FORMATS)
def test_ten_thousand_damaged_files_are_read_or_refused_in_little_memory(name, tmp_path):
    found = apart(f"tests.test_damaged_files:fuzz({name!r}, {str(tmp_path)!r}, 1000, 10_000)")
    print(name, found)
    assert found["read"] + found["refused"] == 10_000
    assert found["megabytes"] < 500
