import json

import numpy as np
import pytest
import torch
from torch import nn

from evglif import build_model, save_checkpoint
from evglif.checkpoint import read_checkpoint
from evglif.data import FrameDataset, LoaderConfig, data_spec
from evglif.evaluate import evaluate_checkpoint, evaluate_model, main, names_of
from evglif.evaluation.comparison import compare
from evglif.evaluation.firing import count_spikes
from evglif.evaluation.tables import comparison_text
from evglif.neurons import SpikingNeuron
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets.stills.pictures import Pictures


@pytest.fixture(scope="module")
def checkpoint_path(cache_path, tmp_path_factory):
    """A network as it begins, for the cache of two sides."""
    return untrained(cache_path, tmp_path_factory.mktemp("first") / "model.pt", seed=0)


def untrained(cache_path, path, seed, **options):
    """A network with random weights whose norms have seen the data, so that some neurons fire and some do not."""
    torch.manual_seed(seed)
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=4, num_classes=2, init="cifar", **options)
    with FrameCache(cache_path) as cache:
        save_checkpoint(path, acquainted(model, cache), data_spec(cache))
    return path


def acquainted(model, cache):
    """The model with the norms' statistics of the first samples."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(np.stack([cache[index] for index in range(8)])))
    return model


@pytest.fixture
def dataset(cache_path):
    with FrameCache(cache_path) as cache:
        yield FrameDataset(cache, cache.indices("test"))


def logits_of(model, dataset):
    """``[T, B, K]`` of all samples at once."""
    cache = dataset.cache
    with torch.no_grad():
        frames = torch.from_numpy(np.stack([cache[int(index)] for index in dataset.indices]))
        return model(frames, per_step=True)


@pytest.mark.parametrize("batch_size", [3, 8])
def test_every_sample_is_classified_by_its_time_mean(checkpoint_path, dataset, batch_size):
    model = read_checkpoint(checkpoint_path).model
    result = evaluate_model(model, dataset, LoaderConfig(batch_size=batch_size))
    mean, labels = logits_of(model, dataset).mean(0), dataset.labels
    assert result.predictions.indices.tolist() == dataset.indices.tolist()
    assert result.predictions.labels.tolist() == labels.tolist()
    assert result.predictions.predicted.tolist() == mean.argmax(1).tolist()
    np.testing.assert_allclose(result.predictions.confidence, mean.softmax(1).amax(1), rtol=1e-5)
    assert result.loss == pytest.approx(torch.nn.functional.cross_entropy(mean, labels).item(), rel=1e-5)
    assert result.top5 is None


def test_a_decision_after_t_steps_knows_no_later_step(checkpoint_path, dataset):
    model = read_checkpoint(checkpoint_path).model
    result = evaluate_model(model, dataset, LoaderConfig(batch_size=5))
    logits = logits_of(model, dataset)
    expected = [(logits[:t].mean(0).argmax(1) == dataset.labels).float().mean().item() for t in (1, 2, 3)]
    assert result.accuracy_by_step == pytest.approx(expected)
    assert result.accuracy_by_step[-1] == result.accuracy


def test_top_5_counts_the_five_largest_logits(dataset):
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=2, num_classes=7, neuron="lif").eval()
    result = evaluate_model(model, dataset, LoaderConfig(batch_size=3))
    ranks = logits_of(model, dataset).mean(0).argsort(1, descending=True)[:, :5]
    assert result.top5 == pytest.approx((ranks == dataset.labels[:, None]).any(1).float().mean().item())


def test_firing_is_counted_over_all_samples(checkpoint_path, dataset):
    model = read_checkpoint(checkpoint_path).model
    result = evaluate_model(model, dataset, LoaderConfig(batch_size=3))
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(lambda _, __, spikes, name=name: seen.update({name: spikes}))
    logits_of(model, dataset)
    assert list(result.layers) == list(seen)
    for name, spikes in seen.items():
        layer, of_neurons = result.layers[name], spikes.sum((0, 1))
        assert layer.num_neurons == of_neurons.numel()
        assert layer.rate == pytest.approx(spikes.mean().item())
        assert layer.by_step == pytest.approx(spikes.flatten(1).mean(1).tolist())
        assert layer.silent == pytest.approx((of_neurons == 0).float().mean().item())
    assert result.spikes == pytest.approx(sum(spikes.sum().item() for spikes in seen.values()) / 8)
    assert any(0 < layer.silent < 1 for layer in result.layers.values())


def test_counting_ends_with_its_block():
    model = build_model("7b-widenet", steps=2, size=(16, 16), width=2).eval()
    with count_spikes(model) as firing:
        pass
    model(torch.rand(1, 2, 2, 16, 16))
    assert firing.layers() == {}


def test_a_network_without_spikes_is_evaluated_too(dataset):
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=2, num_classes=2, neuron="relu")
    result = evaluate_model(model, dataset, LoaderConfig(batch_size=8))
    assert (result.layers, result.spikes, result.num_samples) == ({}, 0, 8)


def test_speed_is_that_after_the_first_batch(dataset, monkeypatch):
    clock = iter([100.0, 101.0, 103.0])  # at the end of each of three batches, of 3, 3 and 2 samples
    monkeypatch.setattr("evglif.evaluation.session.time.perf_counter", lambda: next(clock))
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=2, num_classes=2)
    assert evaluate_model(model, dataset, LoaderConfig(batch_size=3)).samples_per_second == pytest.approx(5 / 3)
    clock = iter([100.0])
    assert np.isnan(evaluate_model(model, dataset, LoaderConfig(batch_size=8)).samples_per_second)


def test_an_ann_is_compared_without_a_number_of_spikes(dataset):
    options = {"steps": 3, "size": (16, 16), "width": 2, "num_classes": 2}
    models = {name: build_model("7b-widenet", neuron=name, **options) for name in ("lif", "relu")}
    evaluations = {name: evaluate_model(model, dataset, LoaderConfig(batch_size=8)) for name, model in models.items()}
    lines = comparison_text(evaluations, {"relu": compare(*evaluations.values())}).splitlines()
    assert lines[2].split()[7:9] == ["–", "–"]  # spikes, and samples/s of a single batch


@pytest.fixture(scope="module")
def images_path(tmp_path_factory):
    """A cache of 12 grey pictures of 16×16 px, one frame each."""
    folder = tmp_path_factory.mktemp("images")
    pictures = np.random.default_rng(0).integers(0, 255, (12, 16, 16), np.uint8)
    np.savez(folder / "all.npz", images=pictures, labels=np.arange(12) % 2, split=np.array(["test"] * 12))
    build(Pictures(root=folder / "all.npz"), folder / "images.h5", workers=1)
    return folder / "images.h5"


@pytest.mark.parametrize("encoder", ["direct", "poisson"])
def test_still_images_run_for_the_networks_own_steps(images_path, tmp_path, encoder):
    torch.manual_seed(0)
    options = {"in_channels": 1, "steps": 4, "size": (16, 16), "width": 2, "num_classes": 2, "encoder": encoder}
    with FrameCache(images_path) as cache:
        save_checkpoint(
            tmp_path / "model.pt", acquainted(build_model("7b-widenet", **options), cache), data_spec(cache)
        )
        results = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            results.append(evaluate_checkpoint(read_checkpoint(tmp_path / "model.pt"), cache))
    assert len(results[0].accuracy_by_step) == 4
    assert results[0].loss == results[1].loss
    assert {len(layer.by_step) for layer in results[0].layers.values()} == {4}


def test_an_evaluation_leaves_the_random_numbers_as_they_were(images_path):
    torch.manual_seed(3)
    options = {"in_channels": 1, "steps": 2, "size": (16, 16), "width": 2, "num_classes": 2, "encoder": "poisson"}
    model, state = build_model("7b-widenet", **options), torch.get_rng_state()
    with FrameCache(images_path) as cache:
        evaluate_model(model, FrameDataset(cache, cache.indices("test")), LoaderConfig(batch_size=8))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_logit_that_is_not_finite_names_its_sample(checkpoint_path, dataset):
    model = read_checkpoint(checkpoint_path).model
    seen = 0

    def spoil(_, __, logits):
        nonlocal seen
        seen += logits.shape[1]
        if seen == 6:
            logits[1, 2, 0] = torch.nan
        return logits

    model.register_forward_hook(spoil)
    index = int(dataset.indices[5])
    source = dataset.cache.source(index)
    with pytest.raises(ValueError, match=rf"not finite for sample {index} of .*, {source}; its weights are damaged"):
        evaluate_model(model, dataset, LoaderConfig(batch_size=3))


def test_an_empty_split_is_refused(checkpoint_path, cache_path):
    with (
        FrameCache(cache_path) as cache,
        pytest.raises(
            ValueError,
            match="has no sample in the split validation; choose another with --split: the file has 32 train, 0 "
            "validation, 8 test",
        ),
    ):
        evaluate_checkpoint(read_checkpoint(checkpoint_path), cache, "validation")


def test_checkpoints_are_named_by_what_tells_them_apart(tmp_path):
    paths = [tmp_path / run / "best.pt" for run in ("glif", "plif")]
    assert names_of(paths) == ["glif/best", "plif/best"]
    assert names_of(paths[:1]) == ["best"]
    with pytest.raises(ValueError, match="cannot be compared with itself"):
        names_of([paths[0], paths[0].parent / ".." / "glif" / "best.pt"])


def test_the_command_prints_and_writes_the_figures(checkpoint_path, cache_path, tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert main([str(checkpoint_path), "--data", str(cache_path), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert f"{figures['accuracy']:.2%} of 8 samples (95 % interval" in printed
    assert "accuracy of a decision after t steps" in printed
    assert "features.0.neuron" in printed
    assert np.sum(figures["confusion"]) == 8


def test_models_side_by_side(checkpoint_path, cache_path, tmp_path, capsys):
    other = untrained(cache_path, tmp_path / "other.pt", seed=1, neuron="plif")
    arguments = [str(checkpoint_path), "--compare", str(other), "--data", str(cache_path)]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--json", str(tmp_path / "all.json")]) == 0
    printed, figures = capsys.readouterr().out, json.loads((tmp_path / "all.json").read_text())
    assert list(figures["models"]) == ["model", "other"]
    alone = figures["comparisons"]["other"]
    first, second = (figures["models"][name]["accuracy"] for name in ("model", "other"))
    assert (alone["only_second"] - alone["only_first"]) / 8 == pytest.approx(second - first)
    assert f"{100 * (second - first):+.2f}" in printed
    assert "McNemar" in printed
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"model", "other", "comparison.csv", "steps.png"}


def test_values_need_no_data(checkpoint_path, capsys):
    assert main([str(checkpoint_path), "--values"]) == 0
    assert "α: gate from linear (0) to exponential (1) decay, learnt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --data FILE.h5"),
        (("--values", "--out", "x"), "give --data FILE.h5"),
        (
            ("--data", "{data}", "--split", "validation"),
            "has no sample in the split validation; choose another with --split: the file has ",
        ),
        (("--data", "{data}", "--out", "{file}"), "is a file; give a folder"),
        (("--data", "{data}", "--out", "{file}/below"), "Not a directory"),
        (("--data", "{data}", "--json", "{file}.d/figures.json"), "make it first"),
        (("--data", "{data}", "--device", "tpu9"), "the device 'tpu9' cannot be used here"),
        (("--data", "{data}", "--compare", "{checkpoint}"), "cannot be compared with itself"),
        (("--data", "{data}", "--batch-size", "0"), "batch_size"),
        (
            (
                "--data",
                "{file}",
            ),
            "expected a frame cache",
        ),
    ],
)
def test_what_cannot_be_used_ends_in_one_line(checkpoint_path, cache_path, tmp_path, capsys, arguments, message):
    file = tmp_path / "file"
    file.write_text("mine")
    places = {"data": cache_path, "file": file, "checkpoint": checkpoint_path}
    assert main([str(checkpoint_path), *(argument.format(**places) for argument in arguments)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert file.read_text() == "mine"


def test_a_checkpoint_that_does_not_fit_the_data_is_refused(cache_path, tmp_path, capsys):
    save_checkpoint(tmp_path / "other.pt", build_model("7b-widenet", steps=5, size=(16, 16), width=2, num_classes=2))
    assert main([str(tmp_path / "other.pt"), "--data", str(cache_path)]) == 1
    assert "the model has 5, the data in" in capsys.readouterr().err
