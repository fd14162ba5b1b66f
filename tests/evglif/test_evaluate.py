import json

import numpy as np
import pytest
import torch

from evglif import build_model, save_checkpoint
from evglif.checkpoint import read_checkpoint
from evglif.data import FrameDataset, LoaderConfig
from evglif.evaluate import Evaluation, confusion_table, evaluate_checkpoint, evaluate_model, firing_rates, main
from evglif.neurons import SpikingNeuron
from preprocessing.cache import FrameCache


def test_the_confusion_matrix_counts_every_sample(run, cache_path):
    with FrameCache(cache_path) as cache:
        result = evaluate_checkpoint(read_checkpoint(run / "best.pt"), cache, "test", LoaderConfig(batch_size=3))
        model = read_checkpoint(run / "best.pt").model
        indices = cache.indices("test")
        with torch.no_grad():
            logits = model(torch.from_numpy(np.stack([cache[int(index)] for index in indices])))
        expected = np.zeros((2, 2), int)
        for label, predicted in zip(cache.labels[indices], logits.argmax(1), strict=True):
            expected[label, predicted] += 1
    assert result.confusion.tolist() == expected.tolist()
    assert result.num_samples == 8


def test_firing_rates_are_means_over_all_spikes(run, cache_path):
    model = read_checkpoint(run / "best.pt").model
    with FrameCache(cache_path) as cache:
        dataset = FrameDataset(cache, cache.indices("test"))
        result = evaluate_model(model, dataset, LoaderConfig(batch_size=8))
        frames = torch.from_numpy(cache.stored(cache.indices("test")).astype("float32")) * cache.scale
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(lambda _, __, spikes, name=name: seen.update({name: spikes}))
    with torch.no_grad():
        model(frames)
    assert result.firing_rates.keys() == seen.keys()
    for name, spikes in seen.items():
        assert result.firing_rates[name] == pytest.approx(spikes.mean().item())
    assert result.spikes == pytest.approx(sum(spikes.sum().item() for spikes in seen.values()) / 8)


def test_counting_ends_with_its_block():
    model = build_model("7b-widenet", steps=2, size=(16, 16), width=4).eval()
    with firing_rates(model) as rates:
        pass
    model(torch.rand(1, 2, 2, 16, 16))
    assert rates.rates() == {}


def test_the_table_shows_recall():
    table = confusion_table(Evaluation(np.array([[3, 1], [0, 0]])), ("cat", "dog"))
    assert table.splitlines()[1].split() == ["cat", "3", "1", "75.0%"]
    assert table.splitlines()[2].split() == ["dog", "0", "0", "–"]


def test_an_empty_split_is_refused(run, cache_path):
    with FrameCache(cache_path) as cache, pytest.raises(ValueError, match="the split holds no samples"):
        evaluate_checkpoint(read_checkpoint(run / "best.pt"), cache, "validation")


def test_the_command_prints_and_writes_the_figures(run, cache_path, tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert main([str(run / "best.pt"), "--data", str(cache_path), "--json", str(out)]) == 0
    assert "test: 100.00% of 8 samples" in capsys.readouterr().out
    assert json.loads(out.read_text())["confusion"] == [[4, 0], [0, 4]]


def test_a_checkpoint_that_does_not_fit_the_data_is_refused(cache_path, tmp_path, capsys):
    save_checkpoint(tmp_path / "other.pt", build_model("7b-widenet", steps=5, size=(16, 16), width=4, num_classes=2))
    assert main([str(tmp_path / "other.pt"), "--data", str(cache_path)]) == 1
    assert "the model has 5, the data in" in capsys.readouterr().err
