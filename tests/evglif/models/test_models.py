import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from evglif import build_model
from evglif.layers import norm_spike
from evglif.models import MODELS, model_from_spec, spec_from_dict, spec_to_dict
from evglif.neurons import GLIF, NEURONS, NeuronSpec, ReLU, SpikingNeuron
from tests.helpers.networks import NARROW, awake, inputs, narrow

# As published for GLIF; for PLIF by hand from Table S1: convolutions, norms, linear layers, one τ a layer; for VGGs by
# hand from the codes of TET and NDA, and for QKFormer from its log, without the biases of convolutions before norms.
VGG_CONVOLUTIONS = 9 * (2 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 3 * 512 * 512)
VGG_CHANNELS = 64 + 128 + 2 * 256 + 4 * 512
QKFORMER_BIASES = 3 * 128 + 3 * 256  # of what mixes heads, and of the two units behind each attention
NUM_PARAMETERS = {
    ("7b-widenet", ()): 1_302_858,
    ("7b-widenet", (("stem_kernel", 1),)): 1_236_298,
    ("resnet18", ()): 11_355_264,
    ("resnet18", (("num_classes", 100), ("steps", 4))): 11_265_024,
    ("resnet19", ()): 12_758_784,
    ("resnet34", ()): 21_890_304,
    ("ms-resnet18", ()): 11_739_584,
    ("cifarnet", ()): 45_033_088,
    ("plif-mnist", ()): 128 * 9 * (1 + 128) + 2 * 128 * 2 + 128 * 7 * 7 * 2048 + 2048 * 100 + 4,
    ("plif-cifar10", ()): 256 * 9 * (3 + 5 * 256) + 6 * 256 * 2 + 256 * 8 * 8 * 2048 + 2048 * 100 + 8,
    ("plif-cifar10dvs", ()): 128 * 9 * (2 + 3 * 128) + 4 * 128 * 2 + 128 * 8 * 8 * 512 + 512 * 100 + 6,
    ("plif-cifar10dvs", (("hidden", 2048),)): 128 * 9 * (2 + 3 * 128) + 4 * 256 + 128 * 64 * 2048 + 2048 * 100 + 6,
    ("vggsnn", ()): VGG_CONVOLUTIONS + 2 * VGG_CHANNELS + 512 * 3 * 3 * 10 + 10,
    ("vgg11", ()): VGG_CONVOLUTIONS + 2 * VGG_CHANNELS + 512 * 10 + 10,
    ("qkformer", ()): 1_504_138 - QKFORMER_BIASES,
    ("plif-dvs128gesture", ()): 128 * 9 * (2 + 4 * 128) + 5 * 128 * 2 + 128 * 4 * 4 * 512 + 512 * 110 + 7,
}

# The papers' own strings: GLIF, appendix A.2, and PLIF, Table S1; later networks in the same manner.
NOTATION = {
    "7b-widenet": "c64k3s1-BN-GLIF-{SEW Block (c64)}*4-APk2s2-c128k3s1-BN-GLIF-{SEW Block (c128)-APk2s2}*3-FC10",
    "plif-mnist": "{c128k3s1-BN-PLIF-MPk2s2}*2-DP-FC2048-PLIF-DP-FC100-PLIF-APk10s10",
    "plif-cifar10": "{{c256k3s1-BN-PLIF}*3-MPk2s2}*2-DP-FC2048-PLIF-DP-FC100-PLIF-APk10s10",
    "plif-cifar10dvs": "{c128k3s1-BN-PLIF-MPk2s2}*4-DP-FC512-PLIF-DP-FC100-PLIF-APk10s10",
    "plif-dvs128gesture": "{c128k3s1-BN-PLIF-MPk2s2}*5-DP-FC512-PLIF-DP-FC110-PLIF-APk10s10",
    "vgg11": "c64k3s1-BN-LIF-APk2s2-c128k3s1-BN-LIF-APk2s2-{c256k3s1-BN-LIF}*2-APk2s2-{c512k3s1-BN-LIF}*4-GAP-FC10",
    "qkformer": "c16k3s1-BN-LIF-c32k3s1-BN-MPk3s2-LIF-Down (c128s4)-QKTA Block (c128)-Down (c256s2)-SSA Block (c256)"
    "-GAP-FC10",
}


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def weights(model):
    """Shapes of what is learnt outside of neurons, in their order."""
    of_neurons = {id(p) for module in model.modules() if isinstance(module, SpikingNeuron) for p in module.parameters()}
    return [(path, *p.shape) for path, p in model.named_parameters() if id(p) not in of_neurons]


def test_the_table_of_parameters_names_every_network():
    assert {name for name, _ in NUM_PARAMETERS} == set(MODELS) == set(NARROW)


@pytest.mark.parametrize(("name", "options"), NUM_PARAMETERS, ids=str)
def test_parameters_are_as_many_as_published(name, options):
    assert num_parameters(build_model(name, **dict(options))) == NUM_PARAMETERS[name, options]


@pytest.mark.parametrize("name", NOTATION)
def test_the_notation_is_the_papers(name):
    assert build_model(name).notation() == NOTATION[name]


@pytest.mark.parametrize("name", MODELS)
def test_one_step_gives_logits_and_reaches_every_parameter(name):
    model = narrow(name, steps=1, num_classes=7)
    logits = model(inputs(model, batch=3))
    assert logits.shape == (3, 7)
    logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("name", "steps", "size"),
    [
        ("7b-widenet", 3, (33, 20)),
        ("resnet18", 3, (7, 4)),
        ("cifarnet", 3, (9, 5)),
        ("plif-cifar10dvs", 3, (17, 16)),
        ("vggsnn", 3, (17, 9)),
        ("qkformer", 3, (33, 7)),
    ],
)
def test_any_number_of_steps_and_size(name, steps, size):
    model = narrow(name, steps=steps, size=size, num_classes=4)
    assert model(inputs(model)).shape == (2, 4)
    per_step = model(inputs(model), per_step=True)
    assert per_step.shape == (steps, 2, 4)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_mean_over_time(name):
    model = awake(narrow(name, steps=3))
    x = inputs(model)
    per_step = model(x, per_step=True)
    assert len(per_step[:, :, 0].unique()) > 1
    torch.testing.assert_close(model(x), per_step.mean(0))


def test_samples_of_a_batch_do_not_touch_each_other():
    model = awake(narrow("7b-widenet", steps=3))
    frames = inputs(model, batch=5)
    with torch.no_grad():
        logits = model(frames)
        assert not torch.equal(logits[2], logits[3])
        torch.testing.assert_close(logits[3:4], model(frames[3:4]))


@pytest.mark.parametrize("name", MODELS)
def test_the_ann_twin_has_the_same_weighted_sums_and_norms(name):
    spiking, twin = narrow(name), narrow(name, "relu")
    assert weights(spiking) == weights(twin)
    assert len(list(twin.parameters())) == len(weights(twin))
    assert sum(isinstance(module, ReLU) for module in twin.modules()) == sum(
        isinstance(module, SpikingNeuron) for module in spiking.modules()
    )
    assert twin(inputs(twin)).shape == (2, twin.spec.num_classes)


@pytest.mark.parametrize("neuron", NEURONS)
def test_any_neuron_fits_into_a_network(neuron):
    model = narrow("resnet18", neuron, repeats=(1,), widths=(4,), strides=(1,))
    assert model(inputs(model)).isfinite().all()


@pytest.mark.parametrize("neuron", ["plif", "lif", "if", "relu"])
def test_networks_without_values_per_step_run_for_any_number_of_steps(neuron):
    model = narrow("7b-widenet", neuron, steps=4).eval()
    assert model.steps is None
    assert model(torch.rand(2, 7, 2, 16, 16), per_step=True).shape == (7, 2, 10)


def test_frames_of_another_shape_are_refused_with_both_shapes():
    model = narrow("7b-widenet", steps=4, size=(16, 24))
    for wrong in ((1, 5, 2, 24, 16), (1, 4, 2, 16, 24), (4, 2, 24, 16), (1, 4, 3, 24, 16)):
        expected = rf"\[B, 4, 2, 24, 16\], got \[{', '.join(map(str, wrong))}\]"
        with pytest.raises(ValueError, match=expected):
            model(torch.rand(wrong))


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_network_without_data_has_the_shapes_of_one_with_data(neuron):
    with torch.device("meta"):
        model = build_model("7b-widenet", neuron, steps=4, width=4, num_classes=5)
        logits = model(torch.empty(2, 4, 2, 48, 48))
    assert logits.is_meta
    assert logits.shape == (2, 5)


def test_neuron_options_may_stand_among_the_models():
    spec = build_model("7b-widenet", "glif", steps=2, width=4, sharing="layer", gates="101", init="cifar").spec
    assert spec.neuron == NeuronSpec("glif", sharing="layer", gates="101", init="cifar")
    model = build_model("7b-widenet", {"name": "glif", "gates": "010"}, steps=2, width=4)
    assert {m.values()["beta"][0].item() for m in model.modules() if isinstance(m, GLIF)} == {1.0}


@pytest.mark.parametrize("name", MODELS)
def test_a_specification_survives_json(name):
    channels = narrow(name).spec.in_channels
    spec = narrow(name, "plif", tau=3.0, norm="tdbn", mean=(0.4,) * channels, std=(2.0,) * channels).spec
    assert spec_from_dict(json.loads(json.dumps(spec_to_dict(spec)))) == spec


def test_weights_depend_on_torchs_seed_and_on_nothing_else():
    first = narrow("resnet18").state_dict()
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 (the old global generator is meant)
    narrow("cifarnet", "plif")
    again = narrow("resnet18").state_dict()
    other = narrow("resnet18", seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_specification_is_not_shared_between_models():
    spec = narrow("plif-mnist").spec
    first, second = model_from_spec(spec), model_from_spec(spec)
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


@pytest.mark.parametrize("name", MODELS)
def test_every_convolution_is_called_once_with_all_time_steps(name):
    model, calls = narrow(name, steps=5), {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, x, __, path=path: calls.setdefault(path, []).append(len(x[0])))
    model(inputs(model, batch=3))
    first, *others = calls.values()
    assert first == [3 if model.spec.encoder == "direct" else 15]
    assert all(lengths == [15] for lengths in others)


@pytest.mark.parametrize("name", MODELS)
def test_every_norm_before_a_neuron_goes_through_norm_spike(name, monkeypatch):
    model, met = narrow(name), []

    def counted(current, norm, neuron, *arguments, **options):
        met.append((norm, neuron))
        return norm_spike(current, norm, neuron, *arguments, **options)

    monkeypatch.setattr("evglif.layers.units.norm_spike", counted)
    monkeypatch.setattr("evglif.layers.blocks.norm_spike", counted)
    model(inputs(model))
    neurons = [module for module in model.modules() if isinstance(module, SpikingNeuron)]
    # A membrane shortcut's neuron follows an addition, a voting layer's a linear layer, others a maximum or an
    # attention's sums: no norm can fold there.
    others = ("MSBlock", "LinearSpike", "PooledConvSpike", "TokenSelection", "SelfAttention")
    without = sum(type(module).__name__ in others for module in model.modules())
    assert len({id(neuron) for _, neuron in met}) == len(met) == len(neurons) - without


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "unknown model 'resnet'; choose one of 7b-widenet"),
        ("7b-widenet", {"depth": 3}, "no option depth; it has connect"),
        ("7b-widenet", {"size": (15, 48)}, r"16×16 px or more, got \(15, 48\)"),
        ("7b-widenet", {"size": 48}, r"size must hold 2 whole numbers from 1, got 48"),
        ("7b-widenet", {"steps": 0}, "steps must be a whole number from 1, got 0"),
        ("7b-widenet", {"width": "8"}, "width must be a whole number from 1, got '8'"),
        ("7b-widenet", {"norm": "group"}, "'group'"),
        ("7b-widenet", {"stem_kernel": 5}, "got 5"),
        ("7b-widenet", {"connect": "or"}, "connect is one of add, and, iand; got 'or'"),
        ("7b-widenet", {"neuron": {"name": "glif", "leak": 1}}, "no option leak"),
        ("7b-widenet", {"neuron": "lfi"}, "unknown neuron 'lfi'; choose one of glif"),
        ("7b-widenet", {"init": "imagenet"}, "unknown init 'imagenet'; choose one of cifar, imagenet-t4"),
        ("7b-widenet", {"tau": "2"}, "tau must be of type int or float, got '2'"),
        ("7b-widenet", {"strict": "no"}, "strict must be of type bool, got 'no'"),
        ("7b-widenet", {"neuron": "simplex-101", "gates": "111"}, "simplex-101 has the gates '101', got '111'"),
        ("7b-widenet", {"encoder": "rate"}, "encoder is one of frames, direct, poisson, latency; got 'rate'"),
        ("7b-widenet", {"mean": (0.5,), "std": (1.0,)}, r"one number for each of 2 channels.* got \(0.5,\)"),
        ("resnet18", {"mean": (0.5,) * 3, "std": (1.0, 0.0, 1.0)}, "std is positive"),
        ("resnet18", {"mean": (0.5,) * 3, "std": (1.0,) * 3, "encoder": "poisson"}, "leave mean and std out"),
        ("resnet18", {"widths": (8, 8)}, r"one number per stage, got \(2, 2, 2, 2\), \(8, 8\)"),
        ("resnet18", {"strides": 2}, "strides must hold whole numbers from 1, got 2"),
        ("resnet18", {"hidden": -1}, "hidden must be a whole number from 0, got -1"),
        ("resnet18", {"block": "sew"}, "block is one of basic, ms; got 'sew'"),
        ("resnet34", {"size": (31, 32)}, r"32×32 px or more, got \(31, 32\)"),
        ("cifarnet", {"hidden": (8,)}, r"hidden must hold 2 whole numbers from 1, got \(8,\)"),
        ("plif-mnist", {"stages": ()}, r"stages must hold whole numbers from 1, got \(\)"),
        ("plif-mnist", {"dropout": 1.0}, r"a share in \[0, 1\), got 1.0"),
        ("plif-dvs128gesture", {"size": (31, 31)}, r"32×32 px or more, got \(31, 31\)"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, **options)
