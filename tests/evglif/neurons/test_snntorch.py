import copy
import pickle
import subprocess
import sys
import warnings

import pytest
import snntorch as snn
import torch
from snntorch import functional, spikegen, surrogate, utils
from snntorch.functional import probe
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from evglif import neurons
from evglif.neurons import snntorch as step
from evglif.recurrence import Coefficients
from evglif.recurrence.packing import packed

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "The module snntorch.backprop will be deprecated", DeprecationWarning)
    from snntorch import backprop

# torch warns of its own tracing: of states with a graph behind them, and of autograd functions such as snnTorch's.
traced = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",
    "ignore:.*should not be instantiated:DeprecationWarning",
)

STEPS = 7
WHOLE = {
    "glif": lambda: neurons.GLIF(3, STEPS, init="cifar"),
    "glif-layer": lambda: neurons.GLIF(3, STEPS, sharing="layer", init="cifar"),
    "glif-010": lambda: neurons.GLIF(3, STEPS, gates="010", init="cifar"),
    "glif-f": lambda: neurons.GLIFf(3, STEPS, init="cifar"),
    "plif": neurons.PLIF,
    "plif-reset": lambda: neurons.PLIF(v_reset=-0.5),
    "plif-soft": lambda: neurons.PLIF(v_reset=None),
    "lif": lambda: neurons.LIF(0.9, 0.5),
    "if": neurons.IF,
}


@pytest.fixture
def current():
    return torch.randn(STEPS, 4, 3, 5, generator=torch.Generator().manual_seed(1)).mul(2).requires_grad_()


def sequence(net, inputs):
    """Spikes and membranes of all steps of a network that returns both."""
    step.reset(net)
    spikes, membranes = zip(*(net(x) for x in inputs), strict=True)
    return torch.stack(spikes), torch.stack(membranes)


def fires_as(ours, theirs):
    inputs = torch.rand(STEPS, 8, 6, generator=torch.Generator().manual_seed(0))
    mem, spikes = theirs.reset_mem(), []
    for x in inputs:
        spk, mem = theirs(x, mem)
        spikes.append(spk)
    assert 0.1 < torch.stack(spikes).mean() < 0.9
    return torch.equal(sequence(ours, inputs)[0], torch.stack(spikes))


@pytest.mark.parametrize(("gamma", "mechanism"), [(0, "subtract"), (1, "zero")])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_glif_with_the_gates_of_a_leaky_fires_as_leaky_does(gamma, mechanism, backend):
    ours = step.GLIF(6, STEPS)
    ours.neuron.set_values(alpha=1, beta=0, gamma=gamma, tau_exp=0.875, v_th=0.75, v_re=0.75)
    ours.neuron.backend = backend
    # The sigmoid of a logit is not always the number it came from.
    beta, threshold = (ours.neuron.values()[name][0].item() for name in ("tau_exp", "v_th"))
    assert fires_as(ours, snn.Leaky(beta, threshold, reset_mechanism=mechanism))


def test_lif_and_if_fire_as_leaky_does():
    assert fires_as(step.LIF(0.9, 0.75), snn.Leaky(0.9, 0.75, reset_mechanism="zero"))
    assert fires_as(step.LIF(0.9, 0.75, reset="soft"), snn.Leaky(0.9, 0.75, reset_mechanism="subtract"))
    assert fires_as(step.IF(0.75), snn.Leaky(1.0, 0.75, reset_mechanism="subtract"))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("kind", WHOLE)
def test_one_step_calls_give_the_whole_run_and_its_gradients(kind, backend, current):
    torch.manual_seed(0)
    whole = WHOLE[kind]()
    whole.backend = backend
    stepwise = step.StepNeuron(copy.deepcopy(whole))
    weight, of_membrane = torch.randn_like(current), torch.randn_like(current)
    expected = whole.trace(current)
    ((expected.spikes * weight).sum() + (expected.membrane * of_membrane).sum()).backward()
    grad, current.grad = current.grad, None
    spikes, membranes = sequence(stepwise, current)
    ((spikes * weight).sum() + (membranes * of_membrane).sum()).backward()
    assert torch.equal(spikes, expected.spikes)
    assert torch.equal(membranes, expected.membrane)
    assert 0 < spikes.mean() < 1
    torch.testing.assert_close(current.grad, grad)
    for (name, one), other in zip(whole.named_parameters(), stepwise.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", [step.GLIF, step.GLIFf, step.PLIF, step.LIF, step.IF])
def test_hidden_and_explicit_states_agree(kind, current):
    options = {"channels": 3, "steps": STEPS} if kind in (step.GLIF, step.GLIFf) else {}
    explicit, hidden = kind(**options), kind(**options, init_hidden=True)
    both = kind(**options, init_hidden=True, output=True)
    hidden.load_state_dict(explicit.state_dict())
    both.load_state_dict(explicit.state_dict())
    mem = explicit.reset_mem()
    for x in current:
        spk, mem = explicit(x, mem)
        assert torch.equal(hidden(x), spk)
        assert torch.equal(hidden.mem, mem)
        assert all(torch.equal(*pair) for pair in zip(both(x), (spk, mem), strict=True))


def test_a_membrane_is_not_passed_to_a_neuron_that_keeps_its_own():
    with pytest.raises(TypeError, match="without mem"):
        step.LIF(init_hidden=True)(torch.rand(2, 3), torch.zeros(2, 3))


def test_a_given_membrane_carries_its_spike():
    # U = 0.5·1.5 + 0.25 − S·0.5·1.5 with S = 1[1.5 > 1]
    spk, mem = step.LIF(0.5, 1.0)(torch.full((1, 1), 0.25), torch.full((1, 1), 1.5))
    assert (spk.item(), mem.item()) == (0, 0.25)


def test_only_the_parameters_of_the_wrapped_neuron_are_saved():
    assert list(step.GLIF(3, 4).state_dict()) == [f"neuron.{name}" for name in neurons.GLIF(3, 4).state_dict()]


def test_a_state_dict_carries_over(current):
    torch.manual_seed(0)
    one, other = step.GLIF(3, STEPS, init="cifar"), step.GLIF(3, STEPS)
    one(current[0])
    other.load_state_dict(one.state_dict())
    other.neuron.load_state_dict(one.neuron.state_dict())
    assert torch.equal(sequence(one, current)[0], sequence(other, current)[0])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_in_mid_sequence_goes_on_by_itself(duplicate, current):
    torch.manual_seed(0)
    neuron = step.GLIF(3, STEPS, init="cifar", init_hidden=True)
    whole = neuron.neuron(current)
    for x in current[:3]:
        neuron(x)
    twin = duplicate(neuron)
    assert not twin.mem.requires_grad
    for one in (twin, neuron):  # neither moves the other's counter
        assert torch.equal(torch.stack([one(x) for x in current[3:]]), whole[3:])


def test_reset_reaches_nested_neurons_of_both_packages():
    inner = nn.Sequential(step.GLIF(4, 2, init_hidden=True), nn.Sequential(snn.Leaky(0.5, init_hidden=True)))
    net = nn.Sequential(nn.Linear(3, 4), inner, step.PLIF(init_hidden=True, output=True))
    elsewhere = snn.Leaky(0.5, init_hidden=True)
    elsewhere(torch.ones(1))
    first = []
    for _ in range(3):  # the GLIF has two steps: without a reset the third would raise
        step.reset(net)
        first.append(torch.cat([part.flatten() for _ in range(2) for part in net(torch.ones(5, 3))]))
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])
    step.reset(net)
    assert not inner[1][0].mem.any()
    assert elsewhere.mem.item() == 1  # another network's: left alone


def test_utils_reset_leaves_other_networks_alone_and_reset_is_what_clears_ours():
    net = nn.Sequential(step.LIF(init_hidden=True))
    net(torch.ones(1, 1))
    utils.reset(net)
    assert net[0].mem.item() == 1
    step.reset(net)
    assert net[0].mem.shape == (0,)


def test_a_step_beyond_the_last_conductance_is_an_error(current):
    net = nn.Sequential(step.GLIF(3, STEPS - 1, init_hidden=True))
    for x in current[:-1]:
        net(x)
    with pytest.raises(ValueError, match=r"step 7 of a neuron with 6 time steps: call reset\(net\)"):
        net(current[-1])
    step.reset(net)
    net(current[-1])


def test_other_neurons_run_on_without_end():
    for neuron in (step.PLIF(init_hidden=True), step.IF(init_hidden=True)):
        for _ in range(50):
            assert neuron(torch.rand(2, 3)).shape == (2, 3)


def test_the_batch_may_change_after_a_reset_and_only_then():
    neuron = step.GLIF(3, 4, init_hidden=True)
    neuron(torch.rand(8, 3))
    with pytest.raises(ValueError, match=r"membrane has shape \(8, 3\), the input \(5, 3\); call reset"):
        neuron(torch.rand(5, 3))
    neuron.reset_mem()
    assert neuron(torch.rand(5, 3)).shape == (5, 3)
    neuron.reset_mem()
    assert neuron(torch.rand(0, 3)).shape == neuron(torch.rand(0, 3)).shape == (0, 3)


def test_an_input_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"\[B, C, …\], got shape \(3,\)"):
        step.LIF()(torch.rand(3))


def test_the_gradient_may_be_one_of_snntorchs():
    x = torch.tensor([[0.5, 0.9, 1.2]], requires_grad=True)
    spk, _ = step.LIF(v_th=1.0, spike_grad=surrogate.fast_sigmoid(slope=25))(x)
    spk.sum().backward()
    assert spk.tolist() == [[0, 0, 1]]
    torch.testing.assert_close(x.grad, (25 * (x.detach() - 1).abs() + 1) ** -2)


def test_the_rule_of_firing_stays_the_neurons():
    at_threshold = torch.full((1, 1), 2.0)  # PLIF with τ = 2: U = 1 = V_th
    assert step.PLIF(spike_grad=surrogate.atan())(at_threshold)[0].item() == 1
    assert step.LIF(spike_grad=surrogate.atan())(at_threshold / 2)[0].item() == 0


@pytest.mark.parametrize("spike_grad", [None, surrogate.atan()])
def test_half_types_keep_the_membrane_in_single_precision(spike_grad):
    spk, mem = step.PLIF(spike_grad=spike_grad)(torch.rand(2, 3, dtype=torch.bfloat16))
    assert (spk.dtype, mem.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("spike_grad", [None, surrogate.atan()])
def test_a_membrane_that_is_no_number_never_passes_for_silence(spike_grad):
    assert step.LIF(spike_grad=spike_grad)(torch.full((1, 1), float("nan")))[0].isnan().all()


class AdaptiveLeak(neurons.LIF):
    """A neuron that the module doesn't know: its leak follows its decay."""

    def coefficients(self):
        known = super().coefficients()
        return Coefficients(known.decay, 0.1 * known.decay, known.gain, known.hard_reset, known.decay, known.threshold)


def test_any_neuron_can_be_wrapped(current):
    neuron = AdaptiveLeak(0.8)
    assert torch.equal(sequence(step.StepNeuron(neuron), current)[0], neuron(current))


def network(head=None):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), step.GLIF(4, STEPS, init="cifar", init_hidden=True)),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 9, 2),
        head or step.PLIF(init_hidden=True, output=True),
    )


def task():
    """Bright left or right halves as spike trains ``[T, B, 1, 8, 8]``, and which half."""
    torch.manual_seed(1)
    labels = torch.arange(16) % 2
    images = torch.full((16, 1, 8, 8), 0.1)
    images[labels == 0, ..., :4] = 0.8
    images[labels == 1, ..., 4:] = 0.8
    return spikegen.rate(images, num_steps=STEPS), labels


def test_a_network_learns_with_a_loss_of_snntorch():
    net, (inputs, labels), loss_of = network(), task(), functional.ce_rate_loss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        spikes, _ = sequence(net, inputs)
        loss = loss_of(spikes, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert functional.accuracy_rate(spikes, labels) > 0.9
    assert all(parameter.grad.any() for parameter in net[0][1].neuron.roles()["primitives"])


def test_bptt_of_snntorch_trains_it_batch_after_batch():
    net, (inputs, labels) = network(snn.Leaky(0.9, init_hidden=True, output=True)), task()
    loader = [(inputs[:, :10], labels[:10]), (inputs[:, 10:], labels[10:])]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    before = net[0][1].neuron.values()
    losses = [backprop.BPTT(net, loader, optimizer, functional.ce_rate_loss(), time_var=True).item() for _ in range(3)]
    assert losses[-1] < 0.9 * losses[0]
    assert not torch.equal(net[0][1].neuron.values()["tau_exp"], before["tau_exp"])


def test_detach_cuts_the_past_off():
    net = nn.Sequential(nn.Linear(3, 3), step.LIF(init_hidden=True, output=True))
    for _ in range(3):  # a second backward through the same graph would raise
        net(torch.rand(2, 3))[1].sum().backward()
        membrane = net[1].mem.detach().clone()
        step.detach(net)
        assert torch.equal(net[1].mem, membrane)


def test_monitors_record_spikes_and_membranes(current):
    net = nn.Sequential(nn.Identity(), nn.Sequential(step.GLIF(3, STEPS, init_hidden=True)))
    spikes = probe.OutputMonitor(net, instance=snn.SpikingNeuron)
    membranes = probe.AttributeMonitor("mem", False, net, instance=step.GLIF)
    outputs = [net(x) for x in current]
    assert spikes.monitored_layers == membranes.monitored_layers == ["1.0"]
    assert torch.equal(torch.stack(spikes["1.0"]), torch.stack(outputs))
    assert torch.equal(torch.stack(membranes.records), net[1][0].neuron.trace(current).membrane)


@traced
@pytest.mark.parametrize("spike_grad", [None, surrogate.atan()])
def test_compiling_breaks_no_graph(spike_grad):
    torch._dynamo.reset()
    net = nn.Sequential(nn.Linear(3, 3), step.GLIF(3, 4, init_hidden=True, spike_grad=spike_grad))
    for _ in range(2):  # at rest, and on the way
        assert torch._dynamo.explain(net)(torch.rand(2, 3)).graph_break_count == 0
        net(torch.rand(2, 3))


@traced
@pytest.mark.parametrize("training", [True, False])
def test_compiled_steps_share_one_graph_after_the_first(training):
    torch._dynamo.reset()
    eager, (inputs, _) = network(), task()
    net, counter = copy.deepcopy(eager), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(net, backend=counter, fullgraph=True)
    with torch.set_grad_enabled(training):
        for _ in range(2):
            step.reset(net)
            spikes = torch.stack([compiled(x)[0] for x in inputs])
        expected, _ = sequence(eager, inputs)
    assert counter.frame_count == 2  # the step from rest and any other
    assert torch.equal(spikes, expected)
    if training:
        expected.sum().backward()
        spikes.sum().backward()
        for one, other in zip(eager.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)


def test_compiled_code_does_not_pass_the_last_conductance_either(current):
    torch._dynamo.reset()
    neuron = step.GLIF(3, STEPS - 1, init_hidden=True)
    compiled = torch.compile(neuron, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for x in current[:-1]:
            compiled(x)
        with pytest.raises(IndexError):
            compiled(current[-1])


@traced
def test_compiled_and_eager_steps_may_take_turns(current):
    torch._dynamo.reset()
    torch.manual_seed(0)
    neuron = step.GLIF(3, STEPS, init="cifar", init_hidden=True)
    compiled = torch.compile(neuron, backend="aot_eager", fullgraph=True)
    turns = (compiled, neuron, neuron, compiled, compiled, neuron, neuron)
    spikes = torch.stack([run(x) for run, x in zip(turns, current, strict=True)])
    assert torch.equal(spikes, neuron.neuron(current))
    with pytest.raises(ValueError, match="step 8 of a neuron with 7 time steps"):
        neuron(current[0])


@pytest.mark.parametrize("learning", [True, False])
def test_a_threshold_that_changes_in_mid_sequence_is_seen(learning, current):
    neuron = step.LIF(0.9, 0.5)
    mem = neuron.reset_mem()
    for x, threshold in zip(current.requires_grad_(learning), (0.5, 0.5, 1.5, 1.5, 0.2, 0.2, 0.2), strict=True):
        neuron.neuron.set_values(v_th=threshold)
        spk, mem = neuron(x, mem)
        assert torch.equal(spk, (mem > threshold).float())


@pytest.mark.parametrize(("sharing", "columns"), [("channel", 3), ("layer", 1)])
def test_coefficients_in_one_call_are_those_of_plain_torch(sharing, columns):
    torch.manual_seed(0)
    neuron = neurons.GLIF(3, STEPS, sharing=sharing, init="cifar")
    weights, found = (torch.randn(5, columns), torch.randn(STEPS, columns)), []
    for backend in ("reference", "cpu"):
        values = packed(neuron.parameterisation(), backend, torch.float32).values
        found.append([*values, *torch.autograd.grad(values, list(neuron.parameters()), weights)])
    assert all(torch.equal(*pair) for pair in zip(found[0][:2], found[1][:2], strict=True))
    for ours, theirs in zip(found[1][2:], found[0][2:], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_step_is_one_node_of_the_graph(current):
    neuron = step.GLIF(3, STEPS)
    _, mem = neuron(current[0], neuron.reset_mem())
    spk, after = neuron(current[1], mem)
    assert spk.grad_fn is after.grad_fn
    assert [node for node, _ in spk.grad_fn.next_functions[1:3]] == [mem.grad_fn] * 2


def test_the_rest_of_the_package_needs_no_snntorch():
    code = "import sys; sys.modules['snntorch'] = None; import evglif, evglif.neurons, evglif.train"
    subprocess.run([sys.executable, "-c", code], check=True)
