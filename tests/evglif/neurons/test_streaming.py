"""A run in pieces of any length is the whole run: spikes, membranes and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evglif.neurons import GLIF, IF, LIF, PLIF, GLIFf
from evglif.recurrence import BACKENDS

STEPS, CHANNELS = 8, 3
NEURONS = {
    "glif": lambda: GLIF(CHANNELS, STEPS, init="cifar"),
    "glif per layer": lambda: GLIF(CHANNELS, STEPS, "layer", init="cifar"),
    "simplex 011": lambda: GLIF(CHANNELS, STEPS, gates="011", init="cifar"),
    "glif_f": lambda: GLIFf(CHANNELS, STEPS, init="cifar"),
    "plif": PLIF,
    "plif attached": lambda: PLIF(v_reset=-0.5, detach_reset=False),
    "plif soft": lambda: PLIF(v_reset=None),
    "lif": LIF,
    "if": IF,
}


@pytest.fixture(autouse=True, params=["reference", "cpu"], scope="module")
def backend(request):
    """Not every backend for hundreds of examples: kernels for GPUs are slow where they are interpreted."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("EVGLIF_BACKEND", request.param)
        yield


def current_of(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (1.5 * torch.randn(STEPS, 2, CHANNELS, 4, generator=generator, dtype=torch.float64)).to(dtype)


def in_pieces(neuron, current, lengths):
    state, spikes = None, []
    for piece in current.split(lengths):
        some, state = neuron.advance(piece, state)
        spikes.append(some)
    return torch.cat(spikes), state


splits = st.lists(st.integers(1, STEPS), min_size=1, max_size=STEPS).map(
    lambda lengths: [n for i, n in enumerate(lengths) if sum(lengths[: i + 1]) < STEPS]
)
splits = splits.map(lambda lengths: [*lengths, STEPS - sum(lengths)])


@pytest.mark.parametrize("make", NEURONS.values(), ids=NEURONS)
@settings(max_examples=25)
@given(
    lengths=splits, seed=st.integers(0, 2**31), dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16])
)
def test_any_split_gives_the_spikes_of_the_whole_run(make, lengths, seed, dtype):
    neuron, current = make(), current_of(seed, dtype)
    whole = neuron.trace(current)
    spikes, state = in_pieces(neuron, current, lengths)
    assert torch.equal(spikes, whole.spikes)
    assert torch.equal(spikes, neuron(current))
    assert torch.equal(state.membrane, whole.state.membrane)
    assert torch.equal(state.spikes, whole.state.spikes)
    assert (state.step, state.membrane.dtype, spikes.dtype) == (STEPS, torch.float32, dtype)


@pytest.mark.parametrize("make", NEURONS.values(), ids=NEURONS)
@settings(max_examples=25)
@given(lengths=splits, seed=st.integers(0, 2**31))
def test_any_split_gives_the_gradients_of_the_whole_run(make, lengths, seed):
    neuron, weight = make().double(), current_of(seed + 1)
    gradients = []
    for run in (neuron, lambda current: in_pieces(neuron, current, lengths)[0]):
        current = current_of(seed).requires_grad_()
        gradients.append(torch.autograd.grad((run(current) * weight).sum(), [current, *neuron.roles()["primitives"]]))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("make", NEURONS.values(), ids=NEURONS)
def test_steps_one_by_one(make, name):
    neuron, current, state, spikes = make(), current_of(0, torch.float32), None, []
    neuron.backend = name
    for step in current:
        fired, state = neuron.step(step, state)
        spikes.append(fired)
    assert torch.equal(torch.stack(spikes), neuron(current))
    assert 0 < torch.stack(spikes).mean() < 1


def test_a_detached_state_cuts_the_past_off():
    neuron = LIF(decay=0.5)
    first, second = current_of(0)[:4].requires_grad_(), current_of(0)[4:].requires_grad_()
    _, state = neuron.advance(first)
    joined, _ = neuron.advance(second, state)
    assert torch.autograd.grad(joined.sum(), first)[0].abs().sum() > 0
    apart, _ = neuron.advance(second, state.detach())
    assert torch.equal(apart, joined)
    assert torch.autograd.grad(apart.sum(), first, allow_unused=True)[0] is None


def test_after_the_last_step_a_neuron_with_gains_per_step_says_so():
    neuron, current = GLIF(CHANNELS, STEPS), current_of(0, torch.float32)
    _, state = neuron.advance(current)
    with pytest.raises(ValueError, match=r"steps 9 to 10 were asked for, g\^t has 8; begin from rest.*state.at\(0\)"):
        neuron.advance(current[:2], state)
    with pytest.raises(ValueError, match="steps 8 to 9 were asked for"):
        neuron.advance(current[:2], state.at(7))
    with pytest.raises(ValueError, match="steps 0 to 1 were asked for"):
        neuron.advance(current[:2], state.at(-1))


def test_g_can_begin_again_or_hold_its_last_value_on_demand():
    neuron = GLIF(1, 2, gates="010")
    neuron.set_values(g=torch.tensor([[0.25], [0.75]]), tau_lin=0, v_th=1)
    one = torch.ones(1, 1)
    state = neuron.advance(one.expand(2, 1, 1))[1]  # U = 1/4 + 3/4 = 1
    assert neuron.step(one, state.at(0))[1].membrane.item() == pytest.approx(1.25)
    assert neuron.step(one, state.at(1))[1].membrane.item() == pytest.approx(1.75)


@pytest.mark.parametrize("make", [PLIF, LIF, IF])
def test_neurons_without_gains_per_step_go_on_for_ever(make):
    neuron, current = make(), current_of(0, torch.float32)
    spikes, state = in_pieces(neuron, torch.cat([current] * 3), [STEPS, 2 * STEPS])
    assert torch.equal(spikes, neuron(torch.cat([current] * 3)))
    assert state.step == 3 * STEPS


def test_a_state_of_another_shape_is_refused_with_both_shapes():
    current = current_of(0, torch.float32)
    _, state = LIF().advance(current)
    with pytest.raises(ValueError, match=r"state of shape \(1, 3, 4\), got \(2, 3, 4\); begin from rest"):
        LIF().advance(current[:, :1], state)
