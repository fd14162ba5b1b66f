"""Training steps that are recorded, with a stand-in for the GPU's graphs; the graphs themselves need a GPU."""

import dataclasses
from itertools import product

import pytest
import torch

from evglif.augment import AugmentConfig
from evglif.data import FrameDataset, HostFrames, LoaderConfig
from evglif.recipe import Recipe, model_spec
from evglif.train import train
from evglif.training.graphs import NUM_PLAIN, CudaGraphs, NotRecordedError, Reading, obstacle, recorder_for
from evglif.training.learner import Learner
from evglif.training.machine import Machine
from evglif.training.optim import OptimConfig
from evglif.training.order import Order
from preprocessing.cache import FrameCache
from tests.helpers.spots import small_recipe
from tests.helpers.tape import Tape

BATCH, EPOCHS = 6, 3
"""Of 32 samples: five full batches, and one of two samples."""


class Never:
    """Records nothing: the step is found to be one that cannot be recorded."""

    def plain(self, work):
        return work()

    def record(self, _):
        raise NotRecordedError("operation not permitted when stream is capturing")


@pytest.fixture(scope="module")
def cache(cache_path):
    with FrameCache(cache_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def fabric():
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)


def learnt(cache, fabric, recorder, said=None, epochs=EPOCHS, **changed):
    """Rates are such that 32 bits hold them: a warm-up of a half and the whole."""
    optim = OptimConfig(**{"name": "sgd", "lr": 2**-4, "warmup": EPOCHS - 1, **changed.pop("optim", {})})
    recipe = Recipe(
        model={"name": "7b-widenet", "width": 2, "init": "cifar"},
        optim=optim,
        loader=LoaderConfig(batch_size=BATCH),
        augment=AugmentConfig(crop_padding=2, flip=True),
        epochs=EPOCHS,
        precision="fp32",
        **changed,
    )
    dataset = FrameDataset(cache, cache.indices("train"))
    order, frames = Order(len(dataset), BATCH, 0), HostFrames(dataset, torch.device("cpu"), workers=0)
    say = (lambda _: None) if said is None else said.append
    learner = Learner(recipe, model_spec(recipe, cache), cache.scale, fabric, recorder, say)
    figures = [learner.train(epoch, order.epoch(epoch), frames) for epoch in range(1, epochs + 1)]
    return learner, figures


def assert_same(one, other):
    (learner, figures), (expected, those) = one, other
    assert figures == those
    weights = expected.weights.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in learner.weights.state_dict().items())
    assert [group["lr"] for group in learner.optimizer.param_groups] == [
        group["lr"] for group in expected.optimizer.param_groups
    ]


OPTIMIZERS = {
    "sgd": {"momentum": 0.9, "gate_lr": 0.5},
    "adam": {"name": "adam"},
    "adamw, clipped": {"name": "adamw", "weight_decay": 0.25, "clip": 0.5},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_recorded_steps_teach_what_plain_ones_do(name, cache, fabric):
    tape, changed = Tape(), {"optim": OPTIMIZERS[name], "ema": 0.5}
    recorded = learnt(cache, fabric, tape, **changed)
    assert (tape.num_plain, tape.num_recorded, tape.num_done_again) == (NUM_PLAIN, 1, 5 * EPOCHS - NUM_PLAIN)
    assert_same(recorded, learnt(cache, fabric, Never(), **changed))


def test_a_step_that_cannot_be_recorded_is_said_once_and_done_plainly(cache, fabric):
    said = []
    learner, figures = learnt(cache, fabric, Never(), said, epochs=1)
    assert said == [
        "graphs: the step cannot be recorded (operation not permitted when stream is capturing); "
        "steps are done one operator at a time"
    ]
    assert learner.recorded is None
    assert figures[0].num_samples == 32


def test_where_the_host_looks_at_a_tensor_the_stand_in_records_nothing_and_changes_nothing():
    tape, tensor = Tape(), torch.zeros(2)

    def work():
        tensor.add_(1)
        tensor.sum().item()

    with pytest.raises(NotRecordedError):
        tape.record(work)
    assert tensor.tolist() == [0, 0]


def test_a_run_that_goes_on_is_that_of_one_never_stopped(cache, fabric):
    whole = learnt(cache, fabric, Tape(), optim={"name": "adam"})
    state = learnt(cache, fabric, Tape(), optim={"name": "adam"}, epochs=2)[0].state()
    for group in state["optimizer"]["param_groups"]:
        assert isinstance(group["lr"], float)
        group["fused"] = None  # as a processor keeps it
    learner, _ = learnt(cache, fabric, Tape(), optim={"name": "adam"}, epochs=0)
    learner.restore(state)
    dataset = FrameDataset(cache, cache.indices("train"))
    order, frames = Order(len(dataset), BATCH, 0), HostFrames(dataset, torch.device("cpu"), workers=0)
    figures = whole[1][:2] + [learner.train(epoch, order.epoch(epoch), frames) for epoch in range(3, EPOCHS + 1)]
    assert_same((learner, figures), whole)


def test_a_loss_that_is_no_number_changes_no_weight_and_is_named(cache, fabric):
    learner, _ = learnt(cache, fabric, Tape(), epochs=1)
    torch.nn.init.constant_(learner.model.features[0].conv.weight, torch.nan)
    kept = {name: value.clone() for name, value in learner.model.named_parameters()}
    dataset = FrameDataset(cache, cache.indices("train"))
    order, frames = Order(len(dataset), BATCH, 0), HostFrames(dataset, torch.device("cpu"), workers=0)
    with pytest.raises(FloatingPointError, match=r"epoch 2, step 1: features\..*weight holds nan"):
        learner.train(2, order.epoch(2), frames)
    same = [torch.allclose(value, kept[name], equal_nan=True) for name, value in learner.model.named_parameters()]
    assert all(same)


OBSTACLES = [
    ({}, "cpu", 1, "NVIDIA GPUs, and this runs on cpu"),
    ({}, "cuda", 2, "several processes"),
    ({"optim": OptimConfig(accumulate=3)}, "cuda", 1, "the gradients of 3 batches"),
    ({"optim": OptimConfig(clip=1.0), "precision": "fp16"}, "cuda", 1, "gradients of fp16 are clipped"),
    ({"optim": OptimConfig(clip=1.0), "precision": "auto"}, "cuda", 1, "gradients of fp16 are clipped"),
]


@pytest.mark.parametrize(("changed", "device", "processes", "why"), OBSTACLES)
def test_what_cannot_be_recorded_says_why_where_it_was_asked_for(changed, device, processes, why):
    recipe, said = dataclasses.replace(small_recipe(), **changed), []
    assert why in obstacle(recipe, device, processes)
    assert recorder_for(True, recipe, device, processes, said.append) is None
    assert len(said) == 1
    assert why in said[0]
    assert recorder_for(None, recipe, device, processes, said.append) is None
    assert len(said) == 1


CHOICES = list(product([None, True, False], ["bf16", "auto"], [True, False]))


@pytest.mark.parametrize(("wanted", "precision", "compiled"), CHOICES)
def test_steps_are_recorded_on_request_and_by_default_where_it_is_safe(wanted, precision, compiled):
    recipe = dataclasses.replace(small_recipe(), precision=precision, compile=compiled)
    recorder = recorder_for(wanted, recipe, "cuda", 1, pytest.fail)
    safe = precision == "bf16" and not compiled  # auto is fp16 there
    assert isinstance(recorder, CudaGraphs) == (safe if wanted is None else wanted)


def test_a_run_on_a_processor_says_that_it_records_nothing(cache_path, tmp_path, capsys):
    train(small_recipe(epochs=1), cache_path, tmp_path / "run", machine=Machine(accelerator="cpu", graphs=True))
    assert "graphs: CUDA graphs are for NVIDIA GPUs, and this runs on cpu" in capsys.readouterr().out


def test_figures_are_read_from_a_processor_at_once():
    assert Reading(torch.tensor([1.5, 3.0])).values() == [1.5, 3.0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_graphs_teach_what_plain_steps_do(precision, cache_path, tmp_path, capsys):
    from evglif import load_checkpoint

    recipe = dataclasses.replace(small_recipe(epochs=3), precision=precision, augment=AugmentConfig(crop_padding=2))
    weights = {}
    for graphs in (False, True):
        train(recipe, cache_path, tmp_path / str(graphs), machine=Machine("cuda", graphs=graphs))
        weights[graphs] = load_checkpoint(tmp_path / str(graphs) / "last.pt").state_dict()
    assert "cannot be recorded" not in capsys.readouterr().out
    for name, value in weights[True].items():
        torch.testing.assert_close(value, weights[False][name], rtol=1e-3, atol=1e-3)
