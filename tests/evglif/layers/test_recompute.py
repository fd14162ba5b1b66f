"""Blocks that are computed again on the way back give what plain ones give, and keep less."""

import pytest
import torch

from evglif import build_model
from evglif.recipe import Recipe

NETWORKS = {
    "7b-widenet": {"width": 4, "size": (16, 16), "steps": 3, "init": "cifar"},
    "resnet18": {"in_channels": 3, "size": (8, 8), "steps": 2, "encoder": "direct", "widths": (4, 4, 8, 8)},
    "plif-dvs128gesture": {"size": (32, 32), "steps": 2, "width": 4, "stages": (1, 1), "hidden": 16},
}
"""Spikes that are added, tdBN on shortcuts, dropout."""


def step(name, recompute):
    """Gradients, running statistics and bytes that are kept, of a training step with the same random numbers."""
    torch.manual_seed(0)
    model = build_model(name, **NETWORKS[name]).train()
    model.recompute = recompute
    spec = model.spec
    steps = 1 if spec.encoder != "frames" else spec.steps
    frames = 20 * torch.rand(2, steps, spec.in_channels, *spec.size)
    kept = 0

    def keep(tensor):
        nonlocal kept
        kept += tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(frames)
    (logits - 1).square().sum().backward()
    return logits.detach(), [parameter.grad for parameter in model.parameters()], dict(model.named_buffers()), kept


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_gradients_and_statistics_with_less_kept(name):
    logits, gradients, buffers, kept = step(name, recompute=False)
    again, others, counted, less = step(name, recompute=True)
    assert torch.equal(logits, again)
    assert all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))
    assert all(torch.equal(buffers[key], counted[key]) for key in buffers)
    assert any("running_mean" in key for key in buffers)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    assert less < kept / 2


def test_it_is_for_training_alone():
    model = build_model("7b-widenet", **NETWORKS["7b-widenet"]).eval()
    model.recompute = True
    frames = torch.rand(2, 3, 2, 16, 16, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        model(frames)
    assert len(kept) > 30


def test_compiled_networks_decide_by_themselves():
    with pytest.raises(ValueError, match="checkpoint and compile"):
        Recipe(checkpoint=True, compile=True)
