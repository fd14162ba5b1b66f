import dataclasses
import shutil

import pytest
import torch
from torch import nn

from evglif import build_model
from evglif.augment import AugmentConfig
from evglif.data import DeviceFrames, FrameDataset, HostFrames, LoaderConfig
from evglif.recipe import model_spec
from evglif.training.diagnose import first_not_finite
from evglif.training.learner import Learner, Means
from evglif.training.losses import LossConfig
from evglif.training.machine import Machine, launched
from evglif.training.optim import OptimConfig
from evglif.training.order import Order
from evglif.training.task import ClassificationTask
from preprocessing.cache import FrameCache
from tests.helpers.spots import small_recipe

BATCH = torch.ones(2, 3, 2, 16, 16, dtype=torch.uint16), torch.tensor([0, 1])


def task(loss="ce", **augmentation):
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=2)
    return ClassificationTask(model, 1.0, LossConfig(loss), AugmentConfig(**augmentation))


@pytest.fixture
def cache(cache_path):
    with FrameCache(cache_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def fabric():
    return launched(Machine("cpu"), "fp32")


@pytest.mark.parametrize("loss", ["ce", "tet", "mse"])
def test_a_task_counts_what_is_classified_right_by_the_mean_over_time(loss):
    judged = task(loss).eval()
    decided = judged.model(BATCH[0].float()).argmax(1)
    labels = torch.stack([decided[0], (decided[1] + 1) % 10])
    value, right = judged(BATCH[0], labels)
    assert right == 1
    assert value.dim() == 0
    assert torch.isfinite(value)


def test_only_full_training_batches_are_compiled(monkeypatch):
    sizes = []

    def compiler(forward, **options):
        assert options == {"dynamic": False}
        return lambda frames, **others: sizes.append(len(frames)) or forward(frames, **others)

    monkeypatch.setattr("torch.compile", compiler)
    learnt = task()
    learnt.compile_for(2)
    assert [name for name, _ in learnt.named_children()] == ["model"]
    learnt.train()(*BATCH)
    learnt.train()(BATCH[0][:1], BATCH[1][:1])
    learnt.eval()(*BATCH)
    assert sizes == [2]


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile's own backend needs a C++ compiler")
def test_a_compiled_step_has_the_gradients_of_the_eager_one():
    gradients = []
    for compiled in (False, True):
        learnt = task().train()
        if compiled:
            learnt.compile_for(2)
        learnt(*BATCH)[0].backward()
        gradients.append([parameter.grad for parameter in learnt.parameters()])
    for eager, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-3, atol=1e-5)


def test_only_training_augments(monkeypatch):
    calls = []
    monkeypatch.setattr("evglif.training.task.augment", lambda frames, labels, *_: calls.append(1) or (frames, labels))
    task().eval()(*BATCH)
    assert calls == []
    task().train()(*BATCH)
    assert calls == [1]


def test_the_first_parameter_that_is_not_finite_is_named():
    broken = task()
    for layer in (broken.model.head, broken.model.features[0].conv):
        nn.init.constant_(layer.weight, torch.nan)
    assert first_not_finite(broken, *BATCH) == "features.0.conv.weight holds nan"


def test_the_first_output_that_is_not_finite_is_named():
    broken = task().eval()
    nn.init.constant_(broken.model.features[0].conv.weight, 3e38)
    said = "the output of features.0.conv holds inf, while every parameter is finite"
    assert first_not_finite(broken, *BATCH) == said


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step(cache, fabric):
    learner, order, frames = learning(cache, fabric, OptimConfig(lr=1e30))
    with pytest.raises(FloatingPointError, match=r"the loss became nan in epoch 3, step [2-9]: features\..* holds"):
        learner.train(3, order.epoch(3), frames)


def learning(cache, fabric, optim, **options):
    recipe = dataclasses.replace(small_recipe(), optim=optim, loader=LoaderConfig(batch_size=4), **options)
    dataset = FrameDataset(cache, cache.indices("train"))
    order = Order(len(dataset), 4, 0, accumulate=optim.accumulate)
    learner = Learner(recipe, model_spec(recipe, cache), cache.scale, fabric)
    return learner, order, HostFrames(dataset, torch.device("cpu"), workers=0)


def test_gradients_of_several_batches_make_one_step(cache, fabric):
    learner, order, frames = learning(cache, fabric, OptimConfig(accumulate=3), ema=0.5)
    means = learner.train(1, order.epoch(1), frames)
    assert learner.average.n_averaged == 3
    assert means.num_samples == 32


def test_clipping_bounds_the_step(cache, fabric):
    moved = {}
    for clip in (None, 1e-3):
        learner, order, frames = learning(cache, fabric, OptimConfig(lr=1.0, momentum=0.0, clip=clip))
        before = [parameter.detach().clone() for parameter in learner.model.parameters()]
        learner.train(1, order.epoch(1)[:1], frames)
        pairs = zip(before, learner.model.parameters(), strict=True)
        moved[clip] = torch.cat([(one - other).flatten() for one, other in pairs]).norm().item()
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert moved[None] > 1e-2


def test_frames_on_the_device_teach_the_same(cache, fabric):
    learner, order, frames = learning(cache, fabric, OptimConfig(), augment=AugmentConfig(crop_padding=1))
    again, _, _ = learning(cache, fabric, OptimConfig(), augment=AugmentConfig(crop_padding=1))
    learner.train(1, order.epoch(1), frames)
    again.train(1, order.epoch(1), DeviceFrames(frames.dataset, torch.device("cpu")))
    pairs = zip(learner.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_average_is_what_is_judged_and_saved(cache, fabric):
    learner, order, frames = learning(cache, fabric, OptimConfig(lr=0.1), ema=0.99)
    learner.train(1, order.epoch(1), frames)
    assert learner.weights is learner.average.module
    assert learner.judged.model is learner.weights
    assert not torch.equal(learner.weights.head.weight, learner.model.head.weight)


def test_means_are_over_samples_not_over_batches():
    means = Means()
    means.add(1.0, 3, 3)
    means.add(5.0, 0, 1)
    assert means.figures("train") == {"train_loss": 2.0, "train_accuracy": 0.75}
