import pytest
import torch
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.training.losses import LOSSES, LossConfig, classification_loss, shares


def drawn(steps=None, batch=5, classes=3):
    shape = (batch, classes) if steps is None else (steps, batch, classes)
    torch.manual_seed(0)
    return torch.randn(shape), torch.randint(0, classes, (batch,))


def test_cross_entropy_of_two_logits_is_worked_out_by_hand():
    logits, labels = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([1, 0])
    expected = (torch.log(torch.tensor(2.0)) + torch.log(1 + torch.exp(torch.tensor(-1.0)))) / 2
    torch.testing.assert_close(classification_loss(logits, labels, LossConfig()), expected)


def test_tet_is_the_mean_of_every_steps_loss_and_draws_logits_to_a_level():
    logits, labels = drawn(steps=4)
    config = LossConfig("tet", tet_weight=0.25, tet_level=2.0)
    entropy = sum(F.cross_entropy(step, labels) for step in logits) / 4
    spread = ((logits - 2.0) ** 2).mean()
    torch.testing.assert_close(classification_loss(logits, labels, config), 0.75 * entropy + 0.25 * spread)
    assert config.per_step


def test_mse_is_against_one_hot_rates():
    rates, labels = torch.tensor([[0.5, 0.25], [0.0, 1.0]]), torch.tensor([0, 1])
    loss = classification_loss(rates, labels, LossConfig("mse"))
    assert loss.item() == pytest.approx((0.25 + 0.0625) / 4)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_hard_targets_are_shares_of_one_class(name, smoothing):
    config = LossConfig(name, label_smoothing=smoothing)
    logits, labels = drawn(steps=4 if config.per_step else None)
    soft = classification_loss(logits, shares(labels, 3), config)
    torch.testing.assert_close(classification_loss(logits, labels, config), soft)


@pytest.mark.parametrize("name", LOSSES)
def test_a_mixture_of_two_samples_lies_between_them(name):
    config = LossConfig(name)
    logits, _ = drawn(steps=2 if config.per_step else None, batch=1)
    first, second = shares(torch.tensor([0]), 3), shares(torch.tensor([2]), 3)
    mixed = classification_loss(logits, 0.3 * first + 0.7 * second, LossConfig(name))
    ends = [classification_loss(logits, each, config) for each in (first, second)]
    assert min(ends) < mixed < max(ends)


def test_smoothing_spreads_a_share_evenly():
    assert shares(torch.tensor([1]), 4, 0.2).tolist() == [pytest.approx([0.05, 0.85, 0.05, 0.05])]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "hinge"}, "unknown loss 'hinge'; choose one of ce, tet, mse"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be a share in \[0, 1\), got 1.0"),
        ({"tet_weight": -0.1}, "tet_weight must be a share"),
    ],
)
def test_wrong_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**options)
