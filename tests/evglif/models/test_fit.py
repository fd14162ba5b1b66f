"""Every family of networks learns: 64 samples of four classes, fitted to the last one."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from evglif.models.plifnet import PLIFNet
from tests.helpers.networks import inputs, narrow

FAMILIES = {
    "7b-widenet": {"steps": 1},
    "resnet18": {"repeats": (1,), "widths": (8,), "strides": (1,)},
    "ms-resnet18": {},
    "cifarnet": {"width": 8},
    "vggsnn": {},
    "qkformer": {},
    "plif-cifar10dvs": {"dropout": 0.0, "stages": (1, 1), "size": (8, 8), "hidden": 32},
}
MOST_STEPS = 300
BY_COUNTS = {"lr": 0.003, "signal": 3}
"""Of attention, whose sums are coarse: it bears less, and under as much noise as signal its last samples are fitted in
300 steps or not by how sums are rounded."""


def samples(model, signal):
    """A random picture per class, ``signal`` times as strong as the noise over it."""
    labels = torch.arange(64) % 4
    pictures, noise = inputs(model, batch=4, seed=2), inputs(model, batch=64, seed=3)
    return (signal * pictures[labels] + noise) / (signal + 1), labels


def loss(model, logits, labels):
    """Of PLIF's networks the mean squared error of the votes, as in their paper."""
    if isinstance(model, PLIFNet):
        return F.mse_loss(logits, F.one_hot(labels, 4).float())
    return F.cross_entropy(logits, labels)


def steps_to_fit(model, lr=0.01, signal=1):
    frames, labels = samples(model, signal)
    optimiser = torch.optim.Adam(model.parameters(), lr)
    for step in range(MOST_STEPS):
        logits = model(frames)
        if (logits.argmax(1) == labels).all():
            return step
        optimiser.zero_grad()
        loss(model, logits, labels).backward()
        optimiser.step()
    return None


@pytest.mark.parametrize("name", FAMILIES)
def test_64_samples_are_fitted_in_a_few_hundred_steps(name):
    model = narrow(name, num_classes=4, **FAMILIES[name])
    steps = steps_to_fit(model, **BY_COUNTS if name == "qkformer" else {})
    assert steps is not None
    assert steps > 0
