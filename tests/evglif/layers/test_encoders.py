import pytest
import torch
from torch import nn

from evglif.layers import ENCODERS, encode
from tests.helpers.networks import awake, inputs, narrow

STILL = ("resnet18", "ms-resnet18", "cifarnet", "plif-cifar10")


def repeated(model, images):
    """Features of a network that gets the image as a frame of every step, its first convolution worked out T times."""
    model.features[0].repeat = 1
    return model.features(images.transpose(0, 1).expand(model.spec.steps, -1, -1, -1, -1))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", STILL)
def test_direct_coding_equals_the_image_at_every_step(name, training):
    once, every = (awake(narrow(name, steps=4, **({"dropout": 0.0} if "plif" in name else {}))) for _ in range(2))
    images = inputs(once, batch=3)
    features = once.train(training).features(once.time_major(images))
    torch.testing.assert_close(features, repeated(every.train(training), images), rtol=1e-4, atol=1e-5)
    assert features.abs().sum() > 0


def test_direct_coding_changes_the_unbiased_variance_and_no_other_statistic():
    """n values make a variance with n − 1; the same ones T times over, one with T·n − 1."""
    once, every = (narrow("resnet18", steps=4) for _ in range(2))
    images, norms = inputs(once, batch=3), [model.features[0].norm.norm for model in (once, every)]
    once(images)
    repeated(every, images)
    torch.testing.assert_close(norms[0].running_mean, norms[1].running_mean)
    num_values, momentum = 3 * 8 * 8, norms[0].momentum
    unbiased = [(norm.running_var - (1 - momentum)) / momentum for norm in norms]
    factor = (num_values / (num_values - 1)) / (4 * num_values / (4 * num_values - 1))
    torch.testing.assert_close(unbiased[0], factor * unbiased[1], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(unbiased[0], unbiased[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("encoder", "convolved"), [("direct", 3), ("poisson", 15), ("latency", 15)])
def test_the_first_convolution_takes_a_still_image_once(encoder, convolved):
    model, calls = narrow("resnet18", steps=5, encoder=encoder), []
    model.features[0].conv.register_forward_hook(lambda _, x, __: calls.append(len(x[0])))
    assert model(inputs(model, batch=3)).shape == (3, 10)
    assert calls == [convolved]


def test_a_still_image_may_lack_the_time_dimension():
    model = narrow("resnet18").eval()
    images = inputs(model)
    assert torch.equal(model(images), model(images[:, 0]))
    with pytest.raises(ValueError, match=r"\[B, 1, 3, 8, 8\], got \[2, 4, 3, 8, 8\]"):
        model(images.expand(2, 4, 3, 8, 8))


def test_images_are_normalised_within_the_network():
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    model = narrow("resnet18", mean=mean, std=std)
    image = torch.tensor([0.6, 0.2, 2.3]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 8, 8)
    assert model.time_major(image)[0, 0, :, 0, 0].tolist() == pytest.approx([1.0, 0.0, 1.0])


def test_poisson_fires_as_often_as_the_pixel_is_bright():
    torch.manual_seed(0)
    image = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).view(1, 1, 1, 1, 5)
    steps = 4000
    code = encode("poisson", image, steps)
    assert code.shape == (steps, 1, 1, 1, 5)
    assert set(code.unique().tolist()) == {0, 1}
    bound = 5 * (image * (1 - image) / steps).sqrt()  # five standard deviations
    assert ((code.mean(0, keepdim=True) - image).abs() <= bound).all()
    lagged = (code[1:] * code[:-1]).mean(0)
    assert abs(lagged[..., 2].item() - 0.25) < 0.04, "steps must be drawn one by one"


def test_poisson_cuts_values_outside_of_0_to_1():
    assert encode("poisson", torch.tensor([-1.0, 7.0]).view(1, 1, 1, 1, 2), 3).flatten(1).tolist() == [[0, 1]] * 3


def test_latency_fires_once_and_earlier_for_brighter_pixels():
    image = torch.tensor([1.0, 0.75, 0.5, 0.01, 0.0]).view(1, 1, 1, 1, 5)
    code = encode("latency", image, 5).view(5, 5)
    assert code.tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert encode("latency", image, 1).flatten().tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders_leave_the_image_as_it_was(encoder):
    image = torch.rand(1, 2, 3, 4, 4)
    before = image.clone()
    encode(encoder, image, 3)
    assert torch.equal(image, before)


def test_an_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="'rate'; choose one of direct, poisson, latency"):
        encode("rate", torch.rand(1, 1, 1, 2, 2), 3)


def test_gradients_reach_the_first_convolution_through_every_step():
    model = narrow("resnet18", "relu", steps=3).train()
    model(inputs(model)).sum().backward()
    conv = model.features[0].conv
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.grad.abs().sum() > 0
