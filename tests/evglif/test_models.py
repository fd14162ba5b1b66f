import json

import pytest
import torch

from evglif import build_model
from evglif.models import spec_from_dict, spec_to_dict
from evglif.neurons import GLIF, NeuronSpec


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("stem_kernel", "expected"), [(3, 1_302_858), (1, 1_236_298)])
def test_7b_widenet_has_the_published_number_of_parameters(stem_kernel, expected):
    assert num_parameters(build_model("7b-widenet", steps=16, stem_kernel=stem_kernel)) == expected


@pytest.mark.parametrize(
    ("steps", "size", "num_classes", "neuron"),
    [(1, (16, 16), 2, "glif"), (3, (33, 20), 7, "plif"), (2, (34, 34), 10, "lif")],
)
def test_any_steps_size_and_number_of_classes(steps, size, num_classes, neuron):
    model = build_model("7b-widenet", neuron, steps=steps, size=size, num_classes=num_classes, width=4)
    frames = torch.rand(3, steps, 2, size[1], size[0])
    assert model(frames).shape == (3, num_classes)
    assert model(frames, per_step=True).shape == (steps, 3, num_classes)


def test_logits_are_the_mean_over_time_and_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=4, size=(16, 16), width=8, init="cifar")
    frames = torch.poisson(torch.full((4, 4, 2, 16, 16), 2.0))
    logits = model(frames)
    torch.testing.assert_close(logits, model(frames, per_step=True).mean(0))
    logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_samples_of_a_batch_do_not_touch_each_other():
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=8, init="cifar").eval()
    frames = torch.poisson(torch.full((5, 3, 2, 16, 16), 2.0))
    with torch.no_grad():
        torch.testing.assert_close(model(frames)[3:4], model(frames[3:4]))


def test_neuron_options_may_stand_among_the_models():
    spec = build_model("7b-widenet", "glif", steps=2, width=4, sharing="layer", gates="101", init="cifar").spec
    assert spec.neuron == NeuronSpec("glif", sharing="layer", gates="101", init="cifar")
    model = build_model("7b-widenet", {"name": "glif", "gates": "010"}, steps=2, width=4)
    assert {m.values()["beta"][0].item() for m in model.modules() if isinstance(m, GLIF)} == {1.0}


def test_a_specification_survives_json():
    spec = build_model("7b-widenet", "plif", steps=3, size=(24, 32), width=4, norm="tdbn").spec
    assert spec_from_dict(json.loads(json.dumps(spec_to_dict(spec)))) == spec


def test_frames_of_another_shape_are_refused_with_both_shapes():
    model = build_model("7b-widenet", steps=4, size=(16, 24), width=4)
    with pytest.raises(ValueError, match=r"\[B, 4, 2, 24, 16\], got \[1, 5, 2, 24, 16\]"):
        model(torch.rand(1, 5, 2, 24, 16))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "unknown model 'resnet'; choose one of 7b-widenet"),
        ("7b-widenet", {"depth": 3}, "no option depth; it has connect"),
        ("7b-widenet", {"size": (15, 48)}, r"16×16 px or more, got \(15, 48\)"),
        ("7b-widenet", {"steps": 0}, "steps must be at least 1, got 0"),
        ("7b-widenet", {"norm": "group"}, "'group'"),
        ("7b-widenet", {"stem_kernel": 5}, "got 5"),
        ("7b-widenet", {"neuron": {"name": "glif", "leak": 1}}, "no option leak"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, **options)
