"""Where a run may be trained; what needs an Apple processor or a GPU is decided here without one."""

import dataclasses

import pytest
import torch

from evglif.training.graphs import fusable
from evglif.training.machine import Machine, _precision
from evglif.training.optim import OptimConfig, build_optimizer
from tests.helpers.spots import small_recipe


@pytest.fixture
def apple(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without an Apple GPU")
def test_mps_is_refused_where_torch_has_none():
    with pytest.raises(ValueError, match="torch sees no GPU of an Apple processor here; choose cpu"):
        Machine(accelerator="mps")


@pytest.mark.usefixtures("apple")
def test_mps_is_taken_on_request_only_and_in_single_precision():
    assert Machine(accelerator="mps").device == "mps"
    assert Machine().device == "cpu"
    assert _precision("auto", "mps") == "32-true"
    with pytest.raises(ValueError, match="precision bf16 is not for mps; choose fp32"):
        _precision("bf16", "mps")
    with pytest.raises(ValueError, match="data_on_device is for cuda and cpu"):
        Machine(accelerator="mps", data_on_device=True)


FUSABLE = [
    ("cuda", "bf16", 1.0, True),
    ("cuda", "fp16", None, True),
    ("cuda", "fp16", 1.0, False),
    ("cuda", "auto", 1.0, False),
    ("cpu", "fp32", None, True),
    ("mps", "fp32", None, False),
]


@pytest.mark.parametrize(("device", "precision", "clip", "expected"), FUSABLE)
def test_the_optimiser_is_fused_where_it_can_be_unless_gradients_are_unscaled_before(device, precision, clip, expected):
    recipe = dataclasses.replace(small_recipe(), precision=precision, optim=OptimConfig(clip=clip))
    assert fusable(recipe, device) == expected


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_fused_optimiser_is_one(name):
    model = torch.nn.Linear(2, 2)
    for fused in (True, False):
        optimizer = build_optimizer(model, OptimConfig(name=name), fused)
        assert {bool(group["fused"]) for group in optimizer.param_groups} == {fused}
