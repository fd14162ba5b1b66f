"""Neurons against an oracle that was computed from the papers' equations by other code."""

import numpy as np
import pytest
import torch

from evglif.neurons import GLIF, PLIF, GLIFf
from evglif.neurons.glif import glif_coefficients
from evglif.recurrence import BACKENDS, spiking_recurrence

GLIF_CASES = ["glif", *(f"simplex_{code:03b}" for code in range(8))]


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request, monkeypatch):
    monkeypatch.setenv("EVGLIF_BACKEND", request.param)


@pytest.fixture
def oracle(golden):
    with np.load(golden) as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays.files}


def parameters_of(oracle, case):
    prefix = f"{case}/param/"
    return {name.removeprefix(prefix): value for name, value in oracle.items() if name.startswith(prefix)}


def assert_same_run(oracle, case, trace, current):
    torch.testing.assert_close(trace.membrane, oracle[f"{case}/u"], rtol=0, atol=1e-12)
    assert torch.equal(trace.spikes, oracle[f"{case}/s"])
    (trace.spikes * oracle["loss_weight"]).sum().backward()
    torch.testing.assert_close(current.grad, oracle[f"{case}/grad_x"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", GLIF_CASES)
def test_glif_membranes_spikes_and_gradients(oracle, case):
    parameters = {name: value.clone().requires_grad_() for name, value in parameters_of(oracle, case).items()}
    current = oracle["x"].clone().requires_grad_()
    assert_same_run(oracle, case, spiking_recurrence(current, glif_coefficients(**parameters), trace=True), current)
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, oracle[f"{case}/grad/{name}"], rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("code", [f"{code:03b}" for code in range(8)])
def test_a_binary_gate_code_is_the_simplex_neuron(oracle, code):
    case = f"simplex_{code}"
    neuron = GLIF(channels=5, steps=16, gates=code).double()
    parameters = parameters_of(oracle, case)
    neuron.set_values(**{name: parameters[name] for name in ("tau_exp", "tau_lin", "v_th", "v_re", "g")})
    current = oracle["x"].clone().requires_grad_()
    assert_same_run(oracle, case, neuron.trace(current), current)


@pytest.mark.parametrize(("case", "kind"), [("glif", GLIF), ("glif_f", GLIFf)])
def test_the_neurons_themselves_with_gradients_of_their_values(oracle, case, kind):
    neuron, parameters = kind(channels=5, steps=16).double(), parameters_of(oracle, case)
    neuron.set_values(**parameters)
    current = oracle["x"].clone().requires_grad_()
    assert_same_run(oracle, case, neuron.trace(current), current)
    assert set(neuron.values()) == set(parameters)
    for name, x in neuron.values().items():
        through_the_sigmoid = oracle[f"{case}/grad/{name}"] * x * (1 - x)  # x = σ(x_p)
        learnt = neuron.get_parameter(f"logits.{name}")
        torch.testing.assert_close(learnt.grad, through_the_sigmoid, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("case", ["glif", "glif_f"])
def test_pieces_of_a_run(oracle, case):
    neuron = (GLIF if case == "glif" else GLIFf)(channels=5, steps=16).double()
    neuron.set_values(**parameters_of(oracle, case))
    current, state, spikes = oracle["x"].clone().requires_grad_(), None, []
    for piece in current.split([1, 6, 9]):
        some, state = neuron.advance(piece, state)
        spikes.append(some)
    assert torch.equal(torch.cat(spikes), oracle[f"{case}/s"])
    (torch.cat(spikes) * oracle["loss_weight"]).sum().backward()
    torch.testing.assert_close(current.grad, oracle[f"{case}/grad_x"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("case", "v_reset", "detached"), [("plif", 0.0, True), ("plif_attached", 0.0, False), ("plif_vreset", -0.2, True)]
)
def test_plif_membranes_spikes_and_gradients(oracle, case, v_reset, detached):
    neuron = PLIF(v_reset=v_reset)
    neuron.double().detach_reset = detached
    torch.nn.init.constant_(neuron.a, oracle[f"{case}/param/a"].item())
    current = oracle["x"].clone().requires_grad_()
    assert_same_run(oracle, case, neuron.trace(current), current)
    torch.testing.assert_close(neuron.a.grad, oracle[f"{case}/grad/a"].view(1), rtol=0, atol=1e-9)
