"""Whole numbers of a chip: how they are made, and that sinabs simulates the same."""

import numpy as np
import pytest
import torch

from deploy.chips.integers import in_integers, simulate
from deploy.chips.layers import INPUT, Layer, Source, chip_layers
from deploy.chips.target import read_chip
from deploy.export import export
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import example_frames
from evglif import save_checkpoint
from evglif.nir import load_nir
from tests.helpers.checkpoints import lively

pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")
SPECK = read_chip("speck2f")
EVENTS = {"encoder": "frames", "in_channels": 2}


def one(weight, bias=0.0, reset="subtract"):
    """A single neuron behind a single weight."""
    shape = (1, 1, 1)
    return Layer(
        "a", (Source(INPUT),), np.full((1, 1, 1, 1), weight), np.full(1, bias), (1, 1), (0, 0), shape, shape, reset
    )


def test_the_largest_of_weights_and_thresholds_fills_its_bits():
    assert (in_integers(one(0.5), SPECK).weight.item(), in_integers(one(0.5), SPECK).threshold) == (127, 254)
    assert in_integers(one(-0.5), SPECK).weight.item() == -128
    small = in_integers(one(1e-4), SPECK)
    assert (small.threshold, small.weight.item()) == (32767, 3)
    assert in_integers(one(0.5, bias=2.0), SPECK).bias.item() == 127


@pytest.mark.parametrize(
    ("reset", "spikes"),
    [("subtract", [0, 2, 0, 1]), ("zero", [0, 2, 0, 0])],
)
def test_a_neuron_fires_as_often_as_its_threshold_goes_into_it(reset, spikes):
    """W = 50.8 → 127, θ = 127/0.4 → 318: membranes 254, 254 + 508 = 762, …"""
    layer = one(0.4, reset=reset)
    made = {"a": in_integers(layer, SPECK)}
    assert (made["a"].weight.item(), made["a"].threshold) == (127, 318)
    given = torch.tensor([2.0, 4.0, 1.0, 1.0]).view(1, 4, 1, 1, 1)
    membranes, expected = 0.0, []
    for x in given.flatten().tolist():
        membranes += 127 * x
        fired = membranes // 318
        membranes = membranes - 318 * fired if reset == "subtract" else (0.0 if fired else membranes)
        expected.append(fired)
    assert expected == spikes
    assert simulate([layer], made, given).item() == sum(spikes) / 4
    once = simulate([layer], made, given, once=True).item()
    assert once == (3 if reset == "subtract" else 1) / 4


def test_a_membrane_stops_at_its_lower_end():
    layer = one(-0.5)
    bounded, free = in_integers(layer, SPECK, lowest=-1.0), in_integers(layer, SPECK)
    assert (bounded.lowest, free.lowest) == (-bounded.threshold, -32768)
    given = torch.tensor([9.0, -3.0]).view(1, 2, 1, 1, 1)
    assert simulate([layer], {"a": bounded}, given).item() == 0
    again = torch.tensor([9.0, -5.0]).view(1, 2, 1, 1, 1)
    assert simulate([layer], {"a": bounded}, again).item() == 0.5
    assert simulate([layer], {"a": free}, again).item() == 0


NETWORKS = {
    "convolutions and linear layers": ("plif-cifar10dvs", {"pooling": "average"}),
    "a head of several layers": ("cifarnet", EVENTS),
    "a reset to nothing": ("plif-mnist", {"pooling": "average", "reset": "hard", **EVENTS}),
}


@pytest.mark.parametrize(("name", "options"), NETWORKS.values(), ids=NETWORKS)
def test_layers_of_a_chip_are_those_of_the_network(name, options):
    """Without rounding, and with inputs so small that no neuron would fire twice, both give the same."""
    model = lively(name, "if", **options)
    layers = chip_layers(model)
    frames = example_frames(model, 8)
    made = {each.name: in_integers(each, SPECK) for each in layers if each.reset}
    exact = {
        key: type(each)(
            each.layer, *(torch.from_numpy(v).float() for v in (each.layer.weight, each.layer.bias)), 1.0, -1e9
        )
        for key, each in made.items()
    }
    spikes = {name: module for name, module in model.named_modules() if name in made}
    assert list(spikes) == list(made)
    first, shape = layers[0], (len(frames), *layers[0].output)
    fired = {}
    hooks = [module.register_forward_hook(lambda _, __, o, n=n: fired.update({n: o})) for n, module in spikes.items()]
    with torch.no_grad():
        model(frames)
    for hook in hooks:
        hook.remove()
    once = frames[:, :1]
    ours = simulate(layers[:1], exact, once).view(shape).clamp(max=1)
    assert (ours != fired[first.name][0]).float().mean() < 1e-3
    assert 0.02 < fired[first.name][0].mean() < 0.98
    assert simulate(layers, made, frames).shape == (len(frames), model.spec.num_classes)


@pytest.mark.parametrize("lowest", [-1.0, -8.0])
@pytest.mark.parametrize(("name", "options"), NETWORKS.values(), ids=NETWORKS)
def test_sinabs_simulates_the_same(name, options, lowest):
    """Its own neurons and sum pools with our whole numbers: every spike count of the last layer with neurons."""
    pytest.importorskip("sinabs")
    from sinabs.activation import MembraneReset, MembraneSubtract
    from sinabs.layers import IAFSqueeze, SumPool2d

    model = lively(name, "if", **options)
    layers = [layer for layer in chip_layers(model) if layer.reset]
    made = {layer.name: in_integers(layer, SPECK, lowest) for layer in layers}
    frames = example_frames(model, 6)
    x, steps = frames.flatten(0, 1), frames.shape[1]
    for layer in layers:
        numbers, (source,) = made[layer.name], layer.sources
        conv = torch.nn.Conv2d(*numbers.weight.shape[1::-1], numbers.weight.shape[2:], layer.stride, layer.padding)
        conv.weight.data, conv.bias.data = numbers.weight, numbers.bias
        neuron = IAFSqueeze(
            batch_size=len(frames),
            spike_threshold=torch.tensor(numbers.threshold),
            min_v_mem=numbers.lowest,
            reset_fn=MembraneSubtract() if layer.reset == "subtract" else MembraneReset(),
        )
        with torch.no_grad():
            pooled = SumPool2d(source.pool)(x) if source.pool > 1 else x
            x = neuron(conv(pooled.reshape(len(x), *layer.input)))
    expected = x.view(len(frames), steps, -1).mean(1)
    got = simulate(layers, made, frames)
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert expected.std(0).max() > 0.1


def test_an_imported_network_is_laid_out_by_the_names_of_its_file(tmp_path):
    save_checkpoint(tmp_path / "a.pt", lively("plif-cifar10dvs", "if", pooling="average", reset="hard"))
    model = load_nir(export(tmp_path / "a.pt", ExportOptions("nir", budget=0.1))[0])
    assert [layer.name for layer in chip_layers(model)][:2] == ["features.0.neuron", "features.2.neuron"]


@pytest.mark.parametrize(
    ("name", "neuron", "options", "message"),
    [
        (
            "plif-mnist",
            "lif",
            {"pooling": "average", **EVENTS},
            "features.0.neuron: its membrane leaks, .* --neuron if",
        ),
        ("plif-mnist", "simplex-000", {"pooling": "average", **EVENTS}, "features.0.neuron: its membrane leaks"),
        ("plif-mnist", "if", EVENTS, "pools by the maximum, .* model.pooling: average"),
        ("plif-mnist", "if", {"pooling": "average"}, "takes still images, where a chip takes events"),
        ("plif-mnist", "relu", {"pooling": "average", **EVENTS}, "has no spiking neurons; train with --neuron if"),
        ("resnet18", "if", EVENTS, "adds up currents, where a core has one convolution"),
        ("ms-resnet18", "if", EVENTS, "adds up currents, where a core|takes currents, where only neurons do"),
        ("7b-widenet", "if", {}, "adds up spikes that were pooled and others"),
    ],
)
def test_what_no_chip_of_this_kind_has_is_said(name, neuron, options, message):
    with pytest.raises(ValueError, match=message):
        chip_layers(lively(name, neuron, **options))
