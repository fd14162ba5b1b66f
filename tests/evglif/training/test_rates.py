import copy

import pytest
import torch
from torch import nn

from evglif import build_model
from evglif.augment import AugmentConfig
from evglif.evaluation.firing import count_spikes
from evglif.neurons import LIF
from evglif.training.losses import LossConfig
from evglif.training.rates import FiringRates
from evglif.training.task import ClassificationTask

STORED, LABELS = torch.randint(0, 4, (4, 3, 2, 16, 16), dtype=torch.uint8), torch.tensor([0, 1, 2, 3])


class Two(nn.Module):
    """Two layers of other sizes: 8 of 8 neurons fire, then 1 of 2."""

    def __init__(self):
        super().__init__()
        self.first, self.second = LIF(), LIF()

    def forward(self, current):
        self.first(current)
        return self.second(torch.tensor([9.0, 0.0]).reshape(1, 1, 1, 2))


def heard(training=True):
    model = Two().train(training)
    rates = FiringRates(model)
    model(torch.full((1, 1, 1, 8), 9.0))
    return rates


def test_the_penalty_is_the_square_of_what_the_network_fires_above_the_target():
    loss = LossConfig(rate_weight=2.0, rate_target=0.5)
    assert heard().penalty(loss).item() == pytest.approx(2 * (9 / 10 - 0.5) ** 2)


def test_over_layers_each_is_bounded_and_what_fires_less_is_left_alone():
    loss = LossConfig(rate_weight=2.0, rate_target=0.75, rate_over="layer")
    assert heard().penalty(loss).item() == pytest.approx(2 * (0.25**2 + 0) / 2)


def test_what_is_judged_is_not_heard():
    with pytest.raises(ValueError, match="no spiking neurons"):
        heard(training=False).penalty(LossConfig(rate_weight=1.0))


def task(neuron="glif", **loss):
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=4, neuron=neuron)
    return ClassificationTask(model, 1.0, LossConfig(**loss), AugmentConfig())


def test_a_network_without_neurons_is_refused():
    with pytest.raises(ValueError, match="leave it at 0"):
        task("relu", rate_weight=1.0)(STORED, LABELS)


def test_the_penalty_is_part_of_what_is_learnt_and_not_of_what_is_judged():
    plain, bound = task(), task(rate_weight=3.0)
    with count_spikes(plain.model) as firing:
        before = plain(STORED, LABELS)[0]
    layers = firing.layers().values()
    rate = sum(layer.spikes for layer in layers) / sum(layer.num_neurons * 3 for layer in layers)
    torch.testing.assert_close(bound(STORED, LABELS)[0] - before, torch.tensor(3 * rate**2))
    bound.load_state_dict(plain.state_dict())
    torch.testing.assert_close(bound.eval()(STORED, LABELS)[0], plain.eval()(STORED, LABELS)[0], rtol=0, atol=0)


def rate_after(steps, **loss):
    learning = task(**loss)
    optimizer = torch.optim.Adam(learning.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        learning(STORED, LABELS)[0].backward()
        optimizer.step()
    with count_spikes(learning.model) as firing, torch.no_grad():
        learning(STORED, LABELS)
    layers = firing.layers().values()
    return sum(layer.spikes for layer in layers) / sum(layer.num_neurons * 3 for layer in layers)


@pytest.mark.parametrize("over", ["network", "layer"])
def test_training_with_the_penalty_fires_less(over):
    assert rate_after(15, rate_weight=100.0, rate_target=0.02, rate_over=over) < 0.75 * rate_after(15)


def test_a_moving_average_that_is_judged_adds_nothing_to_what_is_learnt():
    bound = task(rate_weight=3.0)
    first = bound(STORED, LABELS)[0]
    copy.deepcopy(bound.model).eval()(STORED.float())
    torch.testing.assert_close(bound(STORED, LABELS)[0], first, rtol=0, atol=0)


def test_a_compiled_step_pays_the_same_penalty():
    model, current = Two(), torch.linspace(0, 2, 8).reshape(1, 1, 1, 8).requires_grad_()
    rates, loss = FiringRates(model), LossConfig(rate_weight=3.0)
    found = []
    for run in (model, torch.compile(model, backend="aot_eager"), torch.compile(model, backend="aot_eager")):
        run(current)
        penalty = rates.penalty(loss)
        found.append((penalty, *torch.autograd.grad(penalty, current)))
    assert found[0][1].any()
    for each in found[1:]:
        torch.testing.assert_close(each, found[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate_weight": -1.0}, "rate_weight must be 0 or more, got -1.0"),
        ({"rate_weight": float("nan")}, "rate_weight must be 0 or more, got nan"),
        ({"rate_target": 1.5}, "rate_target is in spikes per neuron and step, 0 to 1, got 1.5"),
        ({"rate_over": "neuron"}, "unknown rate_over 'neuron'; choose one of network, layer"),
    ],
)
def test_what_cannot_be_a_bound_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**values)
