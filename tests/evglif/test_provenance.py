import json
import re

import numpy as np
import pytest

from evglif.checkpoint import read_checkpoint
from evglif.evaluate import main
from evglif.provenance import Seen, familiar, rows_of_split
from evglif.train import train
from evglif.validation import split_training
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets import Pictures
from preprocessing.datasets.recordings.folder import Folder
from tests.helpers.spots import SIDES, small_recipe


@pytest.fixture(scope="module")
def pool(recordings, tmp_path_factory):
    """All recordings of the two sides, without a split of their own."""
    root = tmp_path_factory.mktemp("pool")
    for side in SIDES:
        (root / side).mkdir()
        for number, path in enumerate(sorted(recordings.glob(f"*/{side}/*.aedat"))):
            (root / side / f"{number}.aedat").write_bytes(path.read_bytes())
    return root


def split_by(seed, pool, out, **options):
    build(Folder(pool, test_fraction=0.5, seed=seed, **options), out, steps=3, size=(16, 16), workers=1)
    return out


@pytest.fixture(scope="module")
def two_splits(pool, tmp_path_factory):
    """A run on one split of the pool, that split's cache, and the cache of another split."""
    folder = tmp_path_factory.mktemp("splits")
    first, second = (split_by(seed, pool, folder / f"{seed}.h5") for seed in (0, 1))
    train(small_recipe(epochs=2), first, folder / "run", progress=False)
    return folder / "run" / "best.pt", first, second


def names(cache, indices):
    return {cache.sources[index] for index in indices.tolist()}


def test_samples_are_known_again_under_another_split(two_splits):
    checkpoint, first, second = two_splits
    with FrameCache(first) as cache:
        learnt_from = names(cache, cache.indices("train"))
        known = familiar(cache, cache.indices("test"), read_checkpoint(checkpoint).seen)
        assert known.new.all()
        assert known.warnings() == []
    with FrameCache(second) as cache:
        indices = cache.indices("test")
        known = familiar(cache, indices, read_checkpoint(checkpoint).seen)
        assert names(cache, indices[~known.new]) == names(cache, indices) & learnt_from
        assert 0 < known.chosen.sum() < (~known.new).sum() < len(indices)


def test_an_evaluation_counts_them_and_calls_it_no_test_accuracy(two_splits, tmp_path, capsys):
    checkpoint, first, second = two_splits
    assert main([str(checkpoint), "--data", str(first)]) == 0
    captured = capsys.readouterr()
    assert "NO TEST ACCURACY" not in captured.out + captured.err
    assert main([str(checkpoint), "--data", str(second), "--json", str(tmp_path / "e.json")]) == 0
    captured = capsys.readouterr()
    figures = json.loads((tmp_path / "e.json").read_text())
    assert 0 < figures["num_learnt_from"] < figures["num_samples"] == 20
    assert f"NO TEST ACCURACY: the model has learnt from {figures['num_learnt_from']} of these" in captured.out
    assert "of these 20 samples: this is no test accuracy" in captured.err
    assert figures["accuracy_on_new_samples"] is not None
    assert main([str(checkpoint), "--data", str(second), "--split", "train"]) == 0  # nobody calls that a test
    assert "NO TEST ACCURACY" not in capsys.readouterr().out


def test_other_windows_of_a_recording_are_told_by_its_name(two_splits, pool, tmp_path):
    checkpoint, _, _ = two_splits
    out = split_by(1, pool, tmp_path / "windows.h5", window="20ms")
    with FrameCache(out) as cache:
        indices = cache.indices("test")
        known = familiar(cache, indices, read_checkpoint(checkpoint).seen)
    assert known.new.all()
    assert 0 < known.named.sum() < len(indices)
    assert "have the name of a recording that the model has learnt from" in known.warnings()[0]


def test_an_image_is_known_by_its_name_and_its_pixels(tmp_path):
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (20, 4, 4), dtype=np.uint8), np.arange(20) % 2
    for name in ("one", "other"):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels)
        build(Pictures(tmp_path / f"{name}.npz"), tmp_path / f"{name}.h5", workers=1)
        images = images.copy()
        images[3] += 1
    with FrameCache(tmp_path / "one.h5") as one, FrameCache(tmp_path / "other.h5") as other:
        every = np.arange(20)
        seen = Seen.of(one, every[:12], every[12:])
        assert familiar(one, every, seen).chosen.sum() == 8
        changed = familiar(other, every, seen)
        assert changed.new.sum() == 1
        assert other.sources[int(np.flatnonzero(changed.new)[0])] == "all/000003"


def test_what_was_learnt_from_lies_in_the_checkpoint(two_splits):
    checkpoint, first, _ = two_splits
    seen = read_checkpoint(checkpoint).seen
    with FrameCache(first) as cache:
        assert len(seen.trained) + len(seen.chosen) == len(cache.indices("train"))
        assert len(seen.recordings) == len(cache.indices("train"))


def test_a_checkpoint_without_it_is_evaluated_and_nothing_is_claimed(two_splits, tmp_path):
    import torch

    checkpoint, _, second = two_splits
    content = torch.load(checkpoint, weights_only=True)
    del content["seen"]
    torch.save(content, tmp_path / "older.pt")
    assert read_checkpoint(tmp_path / "older.pt").seen is None
    assert main([str(tmp_path / "older.pt"), "--data", str(second), "--json", str(tmp_path / "e.json")]) == 0
    assert json.loads((tmp_path / "e.json").read_text())["num_learnt_from"] is None


def test_the_validation_split_of_a_model_is_the_one_that_its_training_cut_off(run, cache_path):
    recipe, seen = small_recipe(), read_checkpoint(run / "best.pt").seen
    with FrameCache(cache_path) as cache:
        parts = split_training(cache, recipe.loader.validation, recipe.seed)
        assert len(parts.validation) == 8
        assert rows_of_split(cache, "validation", seen).tolist() == parts.validation.tolist()
        assert rows_of_split(cache, "test", seen).tolist() == cache.indices("test").tolist()
        with pytest.raises(ValueError, match=r"no sample in the split validation.* has 32 train, 0 validation"):
            rows_of_split(cache, "validation", None)


def test_a_run_is_evaluated_on_the_samples_that_its_epoch_was_chosen_by(run, cache_path, capsys):
    assert main([str(run / "best.pt"), "--data", str(cache_path), "--split", "validation"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"accuracy +\d+\.\d\d% of 8 samples", printed.out)
    assert "the epoch was chosen by 8 of these 8 samples: this is no test accuracy" in printed.err
