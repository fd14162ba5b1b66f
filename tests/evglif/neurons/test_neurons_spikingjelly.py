"""PLIF against SpikingJelly's ParametricLIFNode: against what version 2.0.0 gave once, and live where it is there."""

import pytest
import torch

from evglif.neurons import PLIF
from evglif.surrogate import Surrogate

CURRENT = [0.9, 1.7, 2.6, -0.4, 2.2, 3.1]
LOSS_WEIGHT = [1.0, -0.5, 0.25, 2.0, -1.0, 0.5]

# (τ₀, V_reset, detach_reset): spikes, V after the reset, gradient of the current and of a, of ParametricLIFNode(τ₀,
# True, 1.0, V_reset, surrogate.ATan(2.0), detach_reset, step_mode="m").double() and the loss sum(LOSS_WEIGHT·spikes).
RECORDED = {
    (2.0, 0.0, True): (
        [0, 1, 1, 0, 1, 1],
        [0.45, 0.0, 0.0, -0.2, 0.0, 0.0],
        [0.0070276003, -0.2368508632, 0.0661983567, -0.1842634198, -0.5, 0.0627265159],
        -0.524732722,
    ),
    (1.6, -0.2, True): (
        [0, 1, 1, 0, 1, 1],
        [0.3625000022, -0.2, -0.2, -0.450000001, -0.2, -0.2],
        [0.0134587482, -0.2967070456, 0.0561505551, -0.1625693985, -0.5867691637, 0.0490724167],
        -0.524937052,
    ),
    (2.5, 0.0, False): (
        [0, 0, 1, 0, 0, 1],
        [0.3600000026, 0.8960000054, 0.0, -0.1600000011, 0.784000006, 0.0],
        [-0.0184106324, -0.1754147749, 0.0463406456, -0.1045123164, -0.2645898684, 0.033439922],
        -0.4067047249,
    ),
    (2.0, None, True): (
        [0, 1, 1, 0, 1, 1],
        [0.45, 0.075, 0.3375, -0.03125, 0.084375, 0.5921875],
        [0.0051650228, -0.2405760182, -0.00745031, -0.1325914529, -0.4391550549, 0.0560395827],
        -0.5139838442,
    ),
    (3.0, None, False): (
        [0, 0, 1, 0, 0, 1],
        [0.2999999996, 0.7666666658, 0.3777777764, 0.118518518, 0.8123456778, 0.5748971175],
        [-0.0015840306, -0.1062563223, 0.0092511116, -0.0650152841, -0.2406386884, 0.0391055435],
        -0.329387782,
    ),
}


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def run(neuron, current, loss_weight, v_reset):
    """Spikes, membrane after the reset, gradients of the current and of a."""
    current = current.clone().requires_grad_()
    trace = neuron.trace(current)
    (trace.spikes * loss_weight).sum().backward()
    after_spike = trace.membrane - neuron.values()["v_th"] if v_reset is None else double(v_reset)
    membrane = torch.where(trace.spikes == 1, after_spike, trace.membrane)
    return trace.spikes, membrane.detach(), current.grad, neuron.a.grad


@pytest.mark.parametrize("options", RECORDED, ids=str)
def test_plif_gives_the_recorded_run(options):
    tau, v_reset, detach_reset = options
    neuron = PLIF(tau, v_reset=v_reset, detach_reset=detach_reset).double()
    results = run(neuron, double(CURRENT).view(-1, 1, 1), double(LOSS_WEIGHT).view(-1, 1, 1), v_reset)
    for ours, theirs in zip(results, RECORDED[options], strict=True):
        torch.testing.assert_close(ours.flatten(), double(theirs).flatten(), rtol=0, atol=1e-9)


# The surrogates that both have, by SpikingJelly's α.
SURROGATES = {"arctan": ("ATan", 2.0), "sigmoid": ("Sigmoid", 4.0)}


@pytest.mark.parametrize("options", RECORDED, ids=str)
@pytest.mark.parametrize("width", [1.0, 0.5])
@pytest.mark.parametrize("name", SURROGATES)
def test_plif_is_spikingjellys_neuron(options, name, width):
    pytest.importorskip("spikingjelly.activation_based", exc_type=ImportError)
    from spikingjelly.activation_based import neuron, surrogate

    tau, v_reset, detach_reset = options
    kind, alpha = SURROGATES[name]
    ours = PLIF(tau, v_reset=v_reset, surrogate=Surrogate(name, width), detach_reset=detach_reset).double()
    smooth = getattr(surrogate, kind)(alpha / width)
    theirs = neuron.ParametricLIFNode(tau, True, 1.0, v_reset, smooth, detach_reset, "m", store_v_seq=True).double()
    generator = torch.Generator().manual_seed(0)
    current, loss_weight = (torch.randn(16, 4, 5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    current = current + 1
    spikes, membrane, of_current, of_a = run(ours, current, loss_weight, v_reset)
    leaf = current.clone().requires_grad_()
    expected = theirs(leaf)
    (expected * loss_weight).sum().backward()
    assert 0.1 < expected.mean() < 0.9
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(membrane, theirs.v_seq.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(of_current, leaf.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(of_a, theirs.w.grad.view(1), rtol=1e-10, atol=0)
