"""Gates at 0 and 1 give the simplex neurons exactly: not to within rounding, but bit for bit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evglif.neurons import GLIF, LIF, GLIFf
from evglif.recurrence import Coefficients, spiking_recurrence


def simplex_coefficients(code, tau_exp, tau_lin, v_th, v_re, g):
    """Each behaviour in its one simple form, chosen by its digit."""
    exponential, timed, hard = (digit == "1" for digit in code)
    one, zero = torch.ones_like(v_th), torch.zeros_like(v_th)
    decay = tau_exp if exponential else one
    return Coefficients(
        decay=decay,
        leak=zero if exponential else tau_lin,
        gain=g if timed else one,
        hard_reset=decay if hard else zero,
        soft_reset=zero if hard else v_re,
        threshold=v_th,
    )


codes = st.sampled_from([f"{code:03b}" for code in range(8)])
values = st.floats(0, 1, width=32)


@given(codes, st.lists(values, min_size=4, max_size=4), st.integers(1, 6), st.integers(0, 2**31))
def test_binary_gates_are_the_simplex_neurons(code, primitives, steps, seed):
    torch.manual_seed(seed)
    neuron = GLIF(channels=3, steps=steps, gates=code)
    neuron.set_values(
        **dict(zip(("tau_exp", "tau_lin", "v_th", "v_re"), primitives, strict=True)), g=torch.rand(steps, 3)
    )
    given_values = {name: value for name, value in neuron.values().items() if name not in ("alpha", "beta", "gamma")}
    current = 2 * torch.randn(steps, 4, 3)
    expected = spiking_recurrence(current, simplex_coefficients(code, **given_values), trace=True)
    trace = neuron.trace(current)
    assert torch.equal(trace.membrane, expected.membrane)
    assert torch.equal(trace.spikes, expected.spikes)


@pytest.mark.parametrize("code", ["000", "011", "101", "110"])
def test_learned_gates_that_reach_their_ends_are_the_simplex_neurons_too(code):
    torch.manual_seed(0)
    simplex, learned = GLIF(2, 5, gates=code), GLIF(2, 5)
    learned.set_values(**{name: float(digit) for name, digit in zip(("alpha", "beta", "gamma"), code, strict=True)})
    current = torch.randn(5, 8, 2)
    assert torch.equal(learned.trace(current).membrane, simplex.trace(current).membrane)


@given(values, st.floats(0.125, 1, width=32), st.sampled_from(["hard", "soft"]), st.integers(0, 2**31))
def test_simplex_101_and_100_are_the_vanilla_lif(decay, v_th, reset, seed):
    torch.manual_seed(seed)
    glif = GLIF(channels=1, steps=6, gates="101" if reset == "hard" else "100")
    glif.set_values(tau_exp=decay, v_th=v_th, v_re=v_th)
    same = glif.values()
    lif = LIF(same["tau_exp"].item(), same["v_th"].item(), reset=reset)
    current = torch.rand(6, 8, 1)
    assert torch.equal(glif.trace(current).membrane, lif.trace(current).membrane)


@given(st.integers(0, 2**31))
def test_glif_f_is_both_ends_of_every_gate_at_once(seed):
    torch.manual_seed(seed)
    neuron = GLIFf(channels=3, steps=4, init="cifar")
    one, ends = (
        neuron.coefficients(),
        {code: GLIF(3, 4, gates=code, init="cifar").coefficients() for code in ("000", "111")},
    )
    assert torch.equal(one.decay, ends["111"].decay)
    assert torch.equal(one.leak, ends["000"].leak)
    assert torch.equal(one.gain, ends["111"].gain)
    assert torch.equal(one.hard_reset, ends["111"].hard_reset)
    assert torch.equal(one.soft_reset, ends["000"].soft_reset)
