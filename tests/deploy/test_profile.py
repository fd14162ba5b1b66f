import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deploy.measuring.energy import Cost, Neurons, Synapses
from deploy.profile import Counter, fan_out, main, multiplications, profile, table
from evglif import GLIF, IF, LIF, PLIF, build_model, save_checkpoint
from evglif.models import MODELS

SMALL = {
    "7b-widenet": {"size": (16, 16), "width": 4},
    "resnet18": {"size": (8, 8), "stem_width": 4, "widths": (4, 4, 6, 8)},
    "resnet19": {"size": (8, 8), "stem_width": 4, "widths": (4, 6, 8)},
    "resnet34": {"size": (32, 32), "stem_width": 4, "widths": (4, 4, 6, 8), "repeats": (1, 2, 1, 1)},
    "ms-resnet18": {"size": (32, 32), "stem_width": 4, "widths": (4, 4, 6, 8)},
    "cifarnet": {"size": (8, 8), "width": 2, "hidden": (8, 6)},
    "plif-mnist": {"size": (8, 8), "width": 4, "hidden": 16},
    "plif-cifar10": {"size": (8, 8), "width": 4, "hidden": 16},
    "plif-cifar10dvs": {"size": (16, 16), "width": 4, "hidden": 16},
    "plif-dvs128gesture": {"size": (32, 32), "width": 4, "hidden": 16},
    "vggsnn": {"size": (8, 8), "widths": (4, 6, 8), "stages": (2, 1)},
    "vgg11": {"size": (8, 8), "widths": (4, 6, 8), "stages": (2, 1)},
    "qkformer": {"size": (32, 32), "width": 16, "heads": 2},
}


def network(name, **options):
    """A narrow network of the registry whose norms have seen data, and frames for it."""
    torch.manual_seed(0)
    options = {**SMALL[name], "steps": 2, "num_classes": 3, "v_th": 0.2, **options}
    model = build_model(name, **options)
    spec = model.spec
    steps = spec.steps if spec.encoder == "frames" else 1
    frames = torch.poisson(torch.full((3, steps, spec.in_channels, *spec.size[::-1]), 0.7))
    frames = frames if spec.encoder == "frames" else frames.clamp(0, 1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(frames)
    return model.eval(), frames


def meetings(conv, x):
    """By the definition of a convolution: how often a weight meets a place inside the map, an input other than zero,
    and the sum of those inputs."""
    (stride, _), (padding, _), (dilation, _) = conv.stride, conv.padding, conv.dilation
    kernel, channels = conv.kernel_size[0], conv.in_channels // conv.groups
    all_places, active, total = 0, 0, 0.0
    for sample, output, row, column in torch.ones_like(conv(x)).nonzero().tolist():
        first = output // (conv.out_channels // conv.groups) * channels
        for channel in range(first, first + channels):
            for i in range(kernel):
                for j in range(kernel):
                    y, z = row * stride - padding + i * dilation, column * stride - padding + j * dilation
                    if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]:
                        value = float(x[sample, channel, y, z])
                        all_places, active, total = all_places + 1, active + (value != 0), total + value
    return all_places, active, total


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 3, "dilation": 2, "padding": 2, "groups": 2},
        {"kernel_size": 5, "padding": 0},
    ],
)
def test_every_meeting_of_a_weight_with_an_input_is_counted_borders_too(options):
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, **options)
    x = torch.poisson(torch.full((2, 2, 5, 6), 0.8))
    places, active, total = meetings(conv, x)
    counter = Counter(conv, of_values=False)
    counter.count(x[:1])
    counter.count(x[1:])
    counted = counter.result("conv", num_samples=2)
    assert (counted.macs, counted.accumulates, counted.n_accumulates) == (places / 2, active / 2, total / 2)
    assert (counted.input, counted.runs) == ("counts", 1)
    assert counted.active == pytest.approx(float((x != 0).float().mean()))


@given(st.integers(1, 9), st.sampled_from([1, 3, 5, 7]), st.integers(1, 3), st.integers(0, 3))
def test_fan_out_is_the_gradient_of_a_convolution_of_ones(side, kernel, stride, padding):
    if side + 2 * padding < kernel:
        return
    conv = nn.Conv2d(1, 3, kernel, stride, padding, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, side, side + 2, requires_grad=True)
    conv(x).sum().backward()
    assert torch.equal(fan_out(conv, x.shape).float(), x.grad[0, 0])


def test_pooled_spikes_count_by_the_spike_and_real_values_not_at_all():
    linear = nn.Linear(2, 5)
    cases = {
        "spikes": (torch.tensor([[1.0, 0.0], [1.0, 1.0]]), 15, 15),
        "counts": (torch.tensor([[0.25, 0.0], [0.75, 2.0]]), 15, 60),
        "values": (torch.tensor([[0.3, 0.0], [1.0, 1.0]]), 0, 0),
    }
    for kind, (x, accumulates, n_accumulates) in cases.items():
        counter = Counter(linear, of_values=False)
        counter.count(x[:1])
        counter.count(x[1:])
        counted = counter.result("fc", num_samples=1)
        assert (counted.input, counted.accumulates, counted.n_accumulates) == (kind, accumulates, n_accumulates)
        assert (counted.macs, counted.runs) == (20, 2)


def test_the_energy_of_a_network_that_fits_on_a_napkin():
    cost = Cost(
        "napkin",
        steps=4,
        num_samples=1,
        synapses=(
            Synapses("stem", "values", 4, 0.5, macs=400, accumulates=0, n_accumulates=0),
            Synapses("conv", "counts", 4, 0.1, macs=4000, accumulates=300, n_accumulates=500),
        ),
        neurons=(Neurons("neuron", 10, 0.1, multiplications=80),),
    )
    assert cost.microjoules() == pytest.approx((480 * 4.6 + 500 * 0.9) * 1e-6)
    assert cost.microjoules(binary=True) == pytest.approx((480 * 4.6 + 300 * 0.9) * 1e-6)
    assert (cost.twin_macs(repeated=False), cost.twin_macs(repeated=True)) == (1100, 4400)
    assert cost.twin_microjoules(repeated=True) == pytest.approx(4400 * 4.6e-6)
    assert cost.membrane_bytes == 40


def test_factors_of_zero_and_one_cost_no_multiplication():
    assert multiplications(IF(), steps=4) == 0
    assert multiplications(LIF(decay=0.5), steps=4) == 4
    assert multiplications(PLIF(), steps=4) == 8
    assert multiplications(GLIF(6, 4), steps=4) == 8
    assert multiplications(GLIF(6, 4, gates="111"), steps=4) == 8
    assert multiplications(GLIF(6, 4, gates="000"), steps=4) == 0


@pytest.mark.parametrize("name", MODELS)
def test_networks_of_the_registry(name):
    model, frames = network(name)
    cost = profile(model, [frames[:2], frames[2:]])
    weights = {layer for layer, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert weights <= {layer.name for layer in cost.synapses}
    stem, inner = cost.synapses[0], cost.synapses[1]
    assert (stem.input, stem.runs) == ("values", 1 if model.spec.encoder == "direct" else 2)
    assert (inner.input, inner.runs) == ("spikes", 2)
    assert 0 < inner.accumulates < inner.macs
    assert all(layer.accumulates <= layer.n_accumulates for layer in cost.synapses)
    assert all(layer.input == "values" and layer.runs == 1 for layer in cost.synapses if layer.name.startswith("head"))
    assert sum(layer.num_neurons for layer in cost.neurons) == cost.membrane_bytes / 4
    assert cost.twin_macs(repeated=False) < cost.twin_macs(repeated=True)
    json.dumps(cost.as_json())
    assert f"ReLU twin run at all {cost.steps} steps" in table(cost)


def test_sew_add_makes_counts_and_the_twin_has_the_same_macs():
    model, frames = network("7b-widenet", steps=3, init="cifar")
    cost = profile(model, [frames])
    assert "counts" in {layer.input for layer in cost.synapses}
    assert cost.n_accumulates > cost.accumulates
    twin = profile(network("7b-widenet", steps=3, neuron="relu")[0], [frames])
    assert twin.neurons == ()
    assert twin.macs == cost.twin_macs(repeated=True)


def sums_of_attention(query, key, value, heads):
    """By its definition, with a loop over heads and places: where key and value fire together, and where a query meets
    such a sum."""
    together = meetings = 0
    width = query.shape[2] // heads
    for q, k, v in zip(*(each.flatten(3).flatten(0, 1) for each in (query, key, value)), strict=True):
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            for i in range(width):
                for j in range(width):
                    pairs = int((v[own][i] * k[own][j]).sum())
                    together += pairs
                    meetings += int(q[own][j].sum()) * (pairs > 0)
    return together + meetings


def test_attention_adds_where_spikes_meet():
    model, frames = network("qkformer", steps=3)
    seen = {}
    for name in ("features.3.attention.selection", "features.5.attention.products"):
        model.get_submodule(name).register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: (inputs, output)})
        )
    layers = {layer.name: layer for layer in profile(model, [frames]).synapses}
    (query, key), let_through = seen["features.3.attention.selection"]
    tokens, num_samples = 4 * 4, len(frames)
    selection = layers["features.3.attention.selection"]
    assert (selection.input, selection.runs, selection.macs) == ("spikes", 3, 3 * 8 * tokens)
    assert selection.accumulates * num_samples == int(query.sum()) + int(let_through.sum()) > 0
    assert 0 < let_through.sum() <= key.sum()
    products = layers["features.5.attention.products"]
    assert (products.input, products.runs, products.macs) == ("spikes", 3, 3 * 2 * 16 * 8 * 2 * 2)
    assert products.accumulates == products.n_accumulates
    expected = sums_of_attention(*seen["features.5.attention.products"][0], heads=2)
    assert products.accumulates * num_samples == pytest.approx(expected)
    assert expected > 0
    twin = profile(network("qkformer", steps=3, neuron="relu")[0], [frames])
    assert {layer.name: layer.macs for layer in twin.synapses} == {name: layer.macs for name, layer in layers.items()}
    assert {layer.input for layer in twin.synapses} == {"values"}


def test_shortcuts_of_membranes_are_values_and_their_norms_one_weight_an_input():
    model, frames = network("ms-resnet18")
    layers = {layer.name: layer for layer in profile(model, [frames]).synapses}
    identity, widened = layers["features.2.shortcut"], layers["features.5.shortcut.conv"]
    assert (identity.input, widened.input) == ("values", "values")
    assert identity.macs == 2 * 4 * 8 * 8
    basic = {layer.name: layer for layer in profile(*_with_batch("resnet18")).synapses}
    assert basic["features.2.shortcut"].input == "spikes"


def _with_batch(name):
    model, frames = network(name)
    return model, [frames]


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint that fits the cache of left and right."""
    save_checkpoint(tmp_path / "sides.pt", network("7b-widenet", steps=3, num_classes=2)[0])
    return str(tmp_path / "sides.pt")


def test_the_command_counts_samples_of_a_cache(checkpoint, cache_path, tmp_path, capsys):
    out = tmp_path / "cost.json"
    assert main([checkpoint, "--data", str(cache_path), "--samples", "5", "--json", str(out)]) == 0
    assert "mean of 5 samples" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["macs"] == written["synapses"][0]["macs"] + written["synapses"][-1]["macs"]
    assert "4.6 pJ" in written["convention"]


def test_what_cannot_be_profiled_is_named(checkpoint, cache_path, tmp_path, capsys):
    assert main([str(tmp_path / "none.pt"), "--data", str(cache_path)]) == 1
    assert "no checkpoint at" in capsys.readouterr().err
    assert main([checkpoint, "--data", str(cache_path), "--split", "validation"]) == 1
    assert "no sample in the split validation" in capsys.readouterr().err
    save_checkpoint(tmp_path / "other.pt", network("7b-widenet", num_classes=2)[0])
    assert main([str(tmp_path / "other.pt"), "--data", str(cache_path)]) == 1
    assert "time steps T: the model has 2" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no sample was given"):
        profile(network("7b-widenet")[0], [])


def test_the_samples_of_validation_are_counted_on_too(run, cache_path, capsys):
    words = ["--data", str(cache_path), "--split", "validation", "--neurobench"]
    assert main([str(run / "best.pt"), *words]) == 0
    assert "mean of 8 samples" in capsys.readouterr().out
