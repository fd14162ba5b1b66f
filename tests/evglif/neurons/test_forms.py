"""From stored values to spikes in one operator: the same numbers and gradients as in plain torch, and how few calls."""

import copy
import pickle
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evglif import build_model
from evglif.neurons import GLIF, PLIF
from evglif.neurons.domains import SHARE
from evglif.neurons.glif import GATES, PRIMITIVES, glif_coefficients
from evglif.recurrence import Stored

SHAPES = {"many channels": (4, 3, 70, 2), "one channel": (2, 3, 1), "one step": (1, 2, 5)}


class Count(TorchDispatchMode):
    """Operators that torch dispatches within."""

    def __init__(self):
        super().__init__()
        self.operators = Counter()

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        self.operators[str(operator)] += 1
        return operator(*arguments, **(options or {}))


def drawn(shape, **options):
    """A GLIF whose values lie far apart, on a current of a shape."""
    torch.manual_seed(0)
    neuron = GLIF(shape[2], shape[0], init="cifar", **options)
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.add_(torch.randn_like(parameter))
    return neuron


@pytest.mark.parametrize("backend", ["cpu", "triton"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("sharing", ["channel", "layer"])
@pytest.mark.parametrize("gates", ["learned", "static", "101"])
def test_values_give_the_spikes_and_gradients_of_plain_torch(backend, shape, sharing, gates):
    neuron = drawn(shape, sharing=sharing, gates=gates)
    assert isinstance(neuron.parameterisation(), Stored)
    current, weights, found = torch.randn(shape), torch.randn(shape), []
    options = {"allow_unused": True, "materialize_grads": True}  # one step alone has no reset
    for name in ("reference", backend):
        neuron.backend = name
        leaf = current.clone().requires_grad_()
        leaves, spikes = [leaf, *neuron.parameters()], neuron(leaf)
        found.append([spikes, *torch.autograd.grad(spikes, leaves, weights, **options)])
    assert torch.equal(found[0][0], found[1][0])
    for ours, theirs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", "triton"])
def test_a_gradient_that_nobody_wants_is_not_given(backend):
    neuron = drawn((3, 2, 4))
    neuron.backend = backend
    neuron.logits.alpha.requires_grad_(False)
    neuron(torch.rand(3, 2, 4)).sum().backward()
    assert neuron.logits.alpha.grad is None
    assert neuron.logits.g.grad.shape == (3, 4)


def test_a_training_step_dispatches_few_more_operators_than_its_relu_twin():
    counts = {}
    for neuron in ("glif", "relu"):
        model = build_model("7b-widenet", neuron, steps=2, size=(16, 16), width=2)
        with Count() as counted:
            model(torch.rand(1, 2, 2, 16, 16)).sum().backward()
        counts[neuron] = counted.operators
    assert counts["glif"]["evglif.recurrence.default"] == counts["glif"]["evglif.recurrence_backward.default"] == 16
    assert counts["glif"].total() <= 1.3 * counts["relu"].total()


class Halved(GLIF):
    """States coefficients of its own."""

    def coefficients(self):
        values = {name: self.natural(name) for name in GATES + PRIMITIVES}
        return glif_coefficients(**{**values, "v_th": values["v_th"] / 2})


class Rounded(GLIF):
    """Takes its values in steps."""

    def natural(self, name):
        return super().natural(name).mul(4).round().div(4)


class Redeclared(GLIF):
    """Stores a value as it is."""

    def __init__(self, channels, steps):
        super().__init__(channels, steps)
        self.declare("v_re", 0.25, SHARE, (channels,), stored_as="logits.v_re")


@pytest.mark.parametrize("kind", [Halved, Rounded, Redeclared])
def test_a_subclass_has_its_own_coefficients_worked_out(kind):
    torch.manual_seed(0)
    neuron, current = kind(3, 4), torch.rand(4, 2, 3)
    neuron.backend = "cpu"
    spikes = neuron(current)
    neuron.backend = "reference"
    assert torch.equal(spikes, neuron(current))
    assert not isinstance(neuron.parameterisation(), Stored)


def test_values_on_another_device_are_refused():
    neuron = GLIF(3, 4, backend="cpu").to("meta")
    with pytest.raises(ValueError, match=r"the current is on cpu, a value or state of the neuron on meta.*\.to\(\)"):
        neuron(torch.rand(4, 2, 3))


@pytest.fixture
def worked_out(monkeypatch):
    """How often coefficients were worked out."""
    calls = []
    for kind in (GLIF, PLIF):
        own = kind.coefficients
        monkeypatch.setattr(kind, "coefficients", lambda self, own=own: calls.append(1) or own(self))
    return calls


def in_eval(neuron, current):
    with torch.no_grad():
        return neuron.eval()(current)


@pytest.mark.parametrize("make", [lambda: GLIF(3, 4), PLIF], ids=["glif", "plif"])
def test_nothing_is_worked_out_twice_in_eval_mode(make, worked_out):
    neuron, current = make(), torch.rand(4, 2, 3)
    first = in_eval(neuron, current)
    assert len(worked_out) == 1
    assert torch.equal(first, in_eval(neuron, current))
    assert len(worked_out) == 1


def change_in_place(neuron):
    with torch.no_grad():
        neuron.logits.v_th.sub_(9)


def change_data(neuron):
    neuron.logits.v_th.data.sub_(9)


def change_data_of_another_tensor(neuron):
    neuron.logits.v_th.data = neuron.logits.v_th.data - 9


def load(neuron):
    neuron.load_state_dict({name: value - 9 for name, value in neuron.state_dict().items()})


def load_in_place_of_the_old(neuron):
    neuron.load_state_dict({name: value - 9 for name, value in neuron.state_dict().items()}, assign=True)


CHANGES = [
    change_in_place,
    change_data,
    change_data_of_another_tensor,
    load,
    load_in_place_of_the_old,
    lambda neuron: neuron.set_values(v_th=0.01),
    lambda neuron: neuron.double().set_values(v_th=0.01),
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_a_value_is_seen(change):
    neuron, current = GLIF(3, 4, init="cifar"), torch.full((4, 2, 3), 0.2)
    before = in_eval(neuron, current)
    change(neuron)
    after = in_eval(neuron, current)
    assert not torch.equal(before, after)
    neuron.backend = "reference"
    assert torch.equal(after, neuron(current))


def test_what_is_kept_is_neither_copied_nor_in_the_way_of_a_gradient():
    neuron, current = GLIF(3, 4, init="cifar"), torch.rand(4, 2, 3)
    spikes = in_eval(neuron, current)
    for other in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert torch.equal(in_eval(other, current), spikes)
    neuron(current).sum().backward()
    assert neuron.logits.v_th.grad is not None
