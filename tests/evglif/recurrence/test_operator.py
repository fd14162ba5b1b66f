import dataclasses

import pytest
import torch

from evglif.recurrence import BACKENDS, Coefficients, State, spiking_recurrence


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request, monkeypatch):
    """Every test here holds for every backend."""
    monkeypatch.setenv("EVGLIF_BACKEND", request.param)


def constants(**values):
    names = ("decay", "leak", "gain", "hard_reset", "soft_reset", "threshold")
    neutral = dict(zip(names, (1.0, 0.0, 1.0, 0.0, 0.0, 1.0), strict=True))
    return Coefficients(**{name: torch.tensor([value]) for name, value in {**neutral, **values}.items()})


def one_neuron(*currents):
    return torch.tensor(currents).view(-1, 1, 1)


def test_a_trajectory_computed_by_hand():
    coefficients = constants(decay=0.5, leak=0.25, gain=2.0, hard_reset=0.25, soft_reset=0.5, threshold=1.0)
    trace = spiking_recurrence(one_neuron(1.0, 0.5, 0.25, 1.0), coefficients, trace=True)
    # U1 = 0 - 1/4 + 2·1                                        = 1.75,    fires
    # U2 = 0.875 - 1/4 + 2·1/2 - (0.25·1.75 + 0.5)              = 0.6875
    # U3 = 0.34375 - 1/4 + 2·1/4                                = 0.59375
    # U4 = 0.296875 - 1/4 + 2·1                                 = 2.046875, fires
    assert trace.membrane.flatten().tolist() == [1.75, 0.6875, 0.59375, 2.046875]
    assert trace.spikes.flatten().tolist() == [1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(("strict", "expected"), [(True, 0.0), (False, 1.0)])
def test_exactly_at_the_threshold(strict, expected):
    assert spiking_recurrence(one_neuron(1.0), constants(), strict=strict).item() == expected


def test_a_run_in_pieces_gives_the_same_spikes_and_membranes():
    torch.manual_seed(0)
    current = torch.randn(10, 3, 4, 5)
    coefficients = constants(decay=0.8, leak=0.1, hard_reset=0.4, soft_reset=0.3)
    whole = spiking_recurrence(current, coefficients, trace=True)
    state: State | float = 0.0
    spikes, membranes = [], []
    for piece in current.split(3):
        part = spiking_recurrence(piece, coefficients, initial=state, trace=True)
        spikes.append(part.spikes)
        membranes.append(part.membrane)
        state = part.state
    assert torch.equal(torch.cat(spikes), whole.spikes)
    assert torch.equal(torch.cat(membranes), whole.membrane)
    assert torch.equal(state.membrane, whole.state.membrane)


def draw_coefficients(channels):
    generator = torch.Generator().manual_seed(1)
    draws = [torch.rand(channels, generator=generator, dtype=torch.float64) for _ in range(6)]
    return Coefficients(*(draw.requires_grad_() for draw in draws))


@pytest.mark.parametrize("detach_reset", [False, True])
def test_the_final_state_comes_without_the_trace(detach_reset):
    torch.manual_seed(0)
    current = torch.randn(4, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    coefficients = draw_coefficients(3)
    weights = torch.randn(3, 2, 3, 5, dtype=torch.float64)
    results = []
    for option in ("trace", "final"):
        run = spiking_recurrence(current, coefficients, "arctan", detach_reset=detach_reset, **{option: True})
        spikes, state = (run.spikes, run.state) if option == "trace" else run
        loss = (spikes[1] * weights[0]).sum() + (state.membrane * weights[1]).sum() + (state.spikes * weights[2]).sum()
        results.append([*state, spikes, *torch.autograd.grad(loss, [current, *vars(coefficients).values()])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_final_state_is_in_the_dtypes_of_membrane_and_spikes(dtype):
    spikes, state = spiking_recurrence(torch.ones(2, 1, 3).to(dtype), constants(), final=True)
    assert (spikes.dtype, state.membrane.dtype, state.spikes.dtype) == (dtype, torch.float32, dtype)
    assert torch.equal(state.spikes, spikes[-1])


def test_gain_per_step_acts_on_its_own_step():
    gain = torch.tensor([[1.0], [10.0], [100.0]])
    coefficients = dataclasses.replace(constants(threshold=1e9), gain=gain)
    trace = spiking_recurrence(one_neuron(1.0, 1.0, 1.0), coefficients, trace=True)
    assert trace.membrane.flatten().tolist() == [1.0, 11.0, 111.0]


def test_channels_have_their_own_coefficients():
    coefficients = dataclasses.replace(constants(), threshold=torch.tensor([0.5, 1.5]))
    assert spiking_recurrence(torch.ones(1, 1, 2, 3), coefficients)[0, 0].tolist() == [[1.0] * 3, [0.0] * 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_keep_their_state_in_fp32(dtype):
    torch.manual_seed(0)
    current = torch.randn(6, 2, 3, 4).to(dtype)
    coefficients = constants(decay=0.9, hard_reset=0.9)
    trace = spiking_recurrence(current, coefficients, trace=True)
    assert (trace.spikes.dtype, trace.membrane.dtype) == (dtype, torch.float32)
    assert torch.equal(trace.membrane, spiking_recurrence(current.float(), coefficients, trace=True).membrane)


def test_autocast_does_not_touch_the_state():
    current = torch.rand(4, 2, 3)
    coefficients = constants(decay=0.9, hard_reset=0.9)
    expected = spiking_recurrence(current, coefficients, trace=True).membrane
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(spiking_recurrence(current, coefficients, trace=True).membrane, expected)


def test_detach_reset_cuts_the_gradient_through_the_spike():
    def gradient(detach):
        current = one_neuron(1.2, 0.1).requires_grad_()
        coefficients = constants(soft_reset=1.0)
        spiking_recurrence(current, coefficients, detach_reset=detach, trace=True).membrane[1].sum().backward()
        return current.grad[0].item()

    assert gradient(detach=True) == 1.0
    assert gradient(detach=False) == 0.0  # 1 through the decay, -1 through the soft reset of the spike


def test_the_initial_state_gets_a_gradient():
    membrane = torch.full((1, 1), 0.3, requires_grad=True)
    state = State(membrane, torch.zeros(1, 1))
    trace = spiking_recurrence(one_neuron(0.1), constants(decay=0.5), initial=state, trace=True)
    trace.membrane.sum().backward()
    assert membrane.grad.item() == 0.5


@pytest.mark.parametrize(
    ("current", "change", "message"),
    [
        (torch.rand(4, 2), {}, r"\[T, B, C, …\].*\(4, 2\)"),
        (torch.rand(0, 2, 3), {}, r"T ≥ 1"),
        (torch.ones(4, 2, 3, dtype=torch.int32), {}, "floating point, got torch.int32"),
        (torch.rand(4, 2, 3), {"decay": torch.ones(2)}, "decay has 2 channels, the current has 3"),
        (torch.rand(4, 2, 3), {"gain": torch.ones(5, 3)}, "5 time steps, the current has 4"),
    ],
)
def test_what_does_not_fit_is_named(current, change, message):
    with pytest.raises(ValueError, match=message):
        spiking_recurrence(current, dataclasses.replace(constants(), **change))


def test_coefficients_of_a_wrong_shape_are_named():
    with pytest.raises(ValueError, match=r"coefficient leak must be \[C\] or \[1\], got shape \(2, 3\)"):
        dataclasses.replace(constants(), leak=torch.ones(2, 3))


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="unknown backend 'tpu'"):
        spiking_recurrence(one_neuron(1.0), constants(), backend="tpu")


def num_spikes(current, coefficients, backend="reference"):
    return spiking_recurrence(current, coefficients, "arctan", backend=backend).sum()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # which torch's forward mode uses
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_forward_mode_is_refused_as_it_would_give_nothing_for_a_spike(backend):
    current, coefficients = torch.randn(4, 2, 3), Coefficients(*[torch.full((3,), 0.5)] * 6)
    with pytest.raises(ValueError, match=r"reverse mode only.*vjp with the backend reference"):
        torch.func.jvp(lambda x: num_spikes(x, coefficients, backend), (current,), (torch.ones_like(current),))


def test_function_transforms_of_the_reference_are_those_of_autograd():
    current, coefficients = torch.randn(5, 4, 2, 3), Coefficients(*[torch.full((3,), 0.5)] * 6)
    leaf = current.clone().requires_grad_()
    torch.stack([num_spikes(run, coefficients) for run in leaf]).sum().backward()
    of_each = torch.func.vmap(torch.func.grad(lambda x: num_spikes(x, coefficients)))(current)
    torch.testing.assert_close(of_each, leaf.grad)
    assert leaf.grad.abs().sum() > 0
