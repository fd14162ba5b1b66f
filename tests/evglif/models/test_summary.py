import json
import re

import pytest
import torch
from torch import nn

from evglif.models import MODELS
from evglif.models.__main__ import main
from evglif.models.summary import summarise
from tests.helpers.networks import NARROW, narrow


def test_a_network_by_hand():
    """Unit 2 → 4 of 8×8, pooled to 4×4, unit 4 → 4, pooled to 2×2; 16 → 6 features, 6 → 2·3 voters."""
    options = {"width": 4, "stages": (1, 1), "size": (8, 8), "hidden": 6, "votes": 3, "num_classes": 2, "steps": 5}
    summary = summarise(narrow("plif-cifar10dvs", **options))
    rows = [
        (layer.name, layer.shape, layer.num_parameters, layer.num_neurons, layer.num_macs) for layer in summary.layers
    ]
    assert rows == [
        ("c4k3s1-BN-PLIF", (4, 8, 8), 2 * 4 * 9 + 8 + 1, 256, 5 * 2 * 4 * 9 * 64),
        ("MPk2s2", (4, 4, 4), 0, 0, 0),
        ("c4k3s1-BN-PLIF", (4, 4, 4), 4 * 4 * 9 + 8 + 1, 64, 5 * 4 * 4 * 9 * 16),
        ("MPk2s2", (4, 2, 2), 0, 0, 0),
        ("DP", (16,), 0, 0, 0),
        ("FC6-PLIF", (6,), 16 * 6 + 1, 6, 5 * 16 * 6),
        ("DP", (6,), 0, 0, 0),
        ("FC6-PLIF", (6,), 6 * 6 + 1, 6, 5 * 6 * 6),
        ("APk3s3", (2,), 0, 0, 0),
    ]
    assert (summary.num_neurons, summary.macs_per_step) == (332, 4608 + 2304 + 96 + 36)
    assert summary.first_share == 4608 / 7044


def test_what_is_worked_out_once_counts_once():
    """The first convolution of a still image, and the head behind the mean over time."""
    direct = summarise(narrow("cifarnet", steps=4))
    poisson = summarise(narrow("cifarnet", steps=4, encoder="poisson"))
    assert poisson.layers[0].num_macs == 4 * direct.layers[0].num_macs == 4 * 3 * 4 * 9 * 64
    assert poisson.layers[1:] == direct.layers[1:]
    assert direct.layers[-1].num_macs == 8 * 10


@pytest.mark.parametrize("name", NARROW)
def test_sums_are_those_of_the_model(name):
    model = narrow(name)
    summary = summarise(model)
    assert summary.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert summary.layers[-1].shape == (model.spec.num_classes,)


def test_the_model_stays_as_it_was():
    model = narrow("resnet18")
    model.features[0].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    summarise(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())


def test_nothing_is_computed():
    model = narrow("resnet18")
    for parameter in model.parameters():
        nn.init.constant_(parameter, float("nan"))
    assert summarise(model) == summarise(narrow("resnet18"))


def test_a_line_for_every_network(capsys, monkeypatch):
    few = {name: MODELS[name] for name in ("7b-widenet", "plif-mnist")}
    monkeypatch.setattr("evglif.models.registry.MODELS", few)
    assert main(["--steps", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["network", "paper", "input", "T"]
    assert [line.split()[0] for line in lines] == list(few)
    assert " ".join(lines[1].split()) == "plif-mnist PLIF, MNIST 1×28×28 2 13,198,980 127,588 42.4 M 1.1%"


def test_json(capsys):
    assert main(["plif-mnist", "--neuron", "relu", "--json"]) == 0
    [network] = json.loads(capsys.readouterr().out)
    assert (network["name"], network["paper"], network["steps"]) == ("plif-mnist", "PLIF, MNIST", 8)
    assert (network["input"], network["num_parameters"]) == ([1, 28, 28], 13_198_980 - 4)
    assert network["notation"].startswith("{c128k3s1-BN-ReLU-MPk2s2}*2-")
    assert network["layers"][0] == {
        "name": "c128k3s1-BN-ReLU",
        "shape": [128, 28, 28],
        "num_parameters": 128 * 9 + 256,
        "num_neurons": 128 * 28 * 28,
        "num_macs": 128 * 9 * 28 * 28,
    }


def test_one_network_as_text(capsys):
    assert main(["7b-widenet", "--size", "48x48", "--set", "width=32", "--set", "connect=and"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("c32k3s1-BN-GLIF-{SEW Block (c32)}*4-APk2s2-c64k3s1-BN-GLIF-{SEW Block (c64)-APk2s2}*3")
    assert lines[1] == "input 2×48×48, T = 16"
    assert len(lines) == 3 + 1 + 14 + 1
    assert lines[5].split() == ["SEW", "Block", "(c32)", "32×48×48", "20,032", "147,456", "42,467,328"]
    assert lines[-1].split()[0] == "sum"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20"], "unknown model 'resnet20'; choose one of 7b-widenet"),
        (["7b-widenet", "--size", "8"], r"16×16 px or more, got \(8, 8\)"),
        (["7b-widenet", "--set", "width=wide"], "width must be a whole number from 1, got 'wide'"),
        (["7b-widenet", "--set", "depth=3"], "7b-widenet has no option depth; it has connect"),
        (["7b-widenet", "--neuron", "lfi"], r"unknown neuron 'lfi'; .*did you mean lif\?"),
        (["7b-widenet", "--steps", "0"], "expected a whole number from 1, got '0'"),
    ],
)
def test_wrong_usage_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m evglif.models 7b-widenet --size 128 --steps 8 --neuron plif" in capsys.readouterr().out
