import pytest
import torch
from torch import nn

from evglif.training.ema import moving_average


def test_the_average_is_the_recursion_over_the_steps():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = moving_average(model, 0.75)
    expected = None
    for value in (4.0, 8.0, 0.0):
        nn.init.constant_(model.weight, value)
        average.update_parameters(model)
        expected = value if expected is None else 0.75 * expected + 0.25 * value
    assert average.module.weight.item() == pytest.approx(expected) == pytest.approx(3.75)
    assert model.weight.item() == 0.0


def test_running_statistics_are_averaged_with_the_weights():
    norm = nn.BatchNorm2d(1)
    average = moving_average(norm, 0.5)
    for mean in (0.0, 2.0):
        norm.running_mean.fill_(mean)
        average.update_parameters(norm)
    assert average.module.running_mean.item() == 1.0


def test_an_average_goes_on_from_its_state():
    torch.manual_seed(0)
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    whole = moving_average(first, 0.9)
    whole.update_parameters(first)
    again = moving_average(second, 0.9)
    again.load_state_dict(whole.state_dict())
    for average in (whole, again):
        average.update_parameters(second)
    assert torch.equal(whole.module.weight, again.module.weight)
