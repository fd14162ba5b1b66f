"""SEW blocks and a PLIF network against SpikingJelly's: what version 2.0.0 gave once, and live where it is there.

Weights and inputs are sines of their index, so that they are the same everywhere.
"""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from evglif import PLIF, build_model
from evglif.layers import CONNECTS, ConvSpike, SEWBlock

# Spikes [3, 1, 2, 4, 4] of its BasicBlock, and the gradient of Σ spikes² by the first four inputs.
RECORDED_BLOCK = {
    "add": (
        "111121101100110122211112200000000001111112112211111211112222100111000001111021122110121110022111",
        [0.6953906942, 1.8550027231, 3.8071463726, 4.586395727],
    ),
    "and": (
        "000010000000000011100001100000000000000001001100000100001111000000000000000010011000010000011000",
        [-0.7341308899, -0.4638092867, 0.1948947517, 0.6170971759],
    ),
    "iand": (
        "111100001100000100001110000000000001111100110000000000000000100111000001110001100000000000000111",
        [2.4819281251, 1.8999849063, 1.0868504846, 0.9831067557],
    ),
}

# Share of votes [2, 10] of its CIFAR10DVSNet of four channels.
RECORDED_VOTES = [
    [0.2, 0.3, 0.3, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2],
    [0.1, 0.1, 0.0, 0.1, 0.0, 0.1, 0.1, 0.0, 0.1, 0.0],
]


def wave(shape, pace):
    values = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (torch.sin(values * pace) + torch.sin(values * pace * 0.37 + 1)).view(shape)


def fill(module, gain=2):
    """Set what is learnt, in its order; linear layers lose their bias, and τ differs between neurons."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.bias = None
    with torch.no_grad():
        for index, (name, parameter) in enumerate(module.double().named_parameters()):
            values = wave(parameter.shape, 1.1 + 0.1 * index)
            if parameter.dim() > 1:
                values *= gain / parameter[0].numel() ** 0.5
            elif name.endswith("weight"):
                values = 1.5 + 0.2 * values
            elif not name.endswith("bias"):
                values = torch.full(parameter.shape, 0.1 * index - 0.5)
            parameter.copy_(values)
    return module


def our_block(connect, channels=2):
    units = (ConvSpike(channels, PLIF(), nn.BatchNorm2d(channels)) for _ in range(2))
    return fill(SEWBlock(*units, connect))


def our_network():
    """In eval mode, with the norms' first statistics."""
    return fill(build_model("plif-cifar10dvs", width=4, steps=2), gain=8).eval()


def spikes():
    return (wave((3, 1, 2, 4, 4), 0.9) > 0).double()


def frames():
    """``[B, T, C, H, W]``."""
    return 4 * wave((1, 2, 2, 128, 128), 1.3).clamp(0)


def run_block(block):
    x = spikes().requires_grad_()
    y = block(x)
    y.square().sum().backward()
    return y.detach(), x.grad


@pytest.mark.parametrize("connect", CONNECTS)
def test_a_sew_block_gives_the_recorded_spikes(connect):
    digits, gradient = RECORDED_BLOCK[connect]
    y, of_x = run_block(our_block(connect))
    assert y.flatten().tolist() == [int(digit) for digit in digits]
    assert of_x.flatten()[:4].tolist() == pytest.approx(gradient, abs=1e-9)


def test_a_plif_network_gives_the_recorded_votes():
    with torch.no_grad():
        votes = our_network()(frames(), per_step=True)
    torch.testing.assert_close(votes, torch.tensor(RECORDED_VOTES, dtype=torch.float64).unsqueeze(1))


def theirs(module, function, gain=2, **options):
    """A module of SpikingJelly with its PLIF neurons, over several steps."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    plif = {"spiking_neuron": neuron.ParametricLIFNode, "detach_reset": True, "surrogate_function": surrogate.ATan(2.0)}
    made = getattr(module, function)(**options, **plif)
    functional.set_step_mode(made, "m")
    return fill(made, gain)


@pytest.fixture
def no_torchvision(monkeypatch):
    """In torchvision's place the one function that SpikingJelly's network takes from it: how weights are downloaded."""
    utils = ModuleType("torchvision.models.utils")
    utils.load_state_dict_from_url = torch.hub.load_state_dict_from_url
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, utils.__name__, utils)


@pytest.mark.usefixtures("no_torchvision")
@pytest.mark.parametrize("connect", CONNECTS)
def test_a_sew_block_is_spikingjellys(connect):
    sew_resnet = pytest.importorskip("spikingjelly.activation_based.model.sew_resnet", exc_type=ImportError)
    expected, of_expected = run_block(theirs(sew_resnet, "BasicBlock", inplanes=2, planes=2, cnf=connect.upper()))
    y, of_x = run_block(our_block(connect))
    assert expected.unique().numel() > 1
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(of_x, of_expected, rtol=0, atol=1e-10)


def test_a_plif_network_is_spikingjellys():
    nets = pytest.importorskip("spikingjelly.activation_based.model.parametric_lif_net", exc_type=ImportError)
    network = theirs(nets, "CIFAR10DVSNet", gain=8, channels=4).eval()
    with torch.no_grad():
        expected = network(frames().transpose(0, 1))
        votes = our_network()(frames(), per_step=True)
    assert expected.unique().numel() > 2
    torch.testing.assert_close(votes, expected, rtol=0, atol=1e-12)
