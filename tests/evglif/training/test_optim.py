import pytest
import torch

from evglif import build_model
from evglif.training.optim import OptimConfig, build_optimizer, build_schedule, parameter_groups


@pytest.fixture(scope="module")
def model():
    return build_model("7b-widenet", steps=3, size=(16, 16), width=4)


def test_every_parameter_is_in_one_group_with_its_own_settings(model):
    config = OptimConfig(lr=0.1, weight_decay=5e-5, gate_lr=0.1)
    groups = {group["name"]: group for group in parameter_groups(model, config)}
    assert {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()} == {
        "weights": (0.1, 5e-5),
        "primitives": (0.1, 0.0),
        "gates": (pytest.approx(0.01), 0.0),
    }
    ids = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert sorted(ids) == sorted(id(parameter) for parameter in model.parameters())
    num_gates = sum(parameter.numel() for parameter in groups["gates"]["params"])
    assert num_gates == 3 * (4 * 9 + 8 * 7)


def test_a_network_without_gates_has_no_group_of_them():
    model = build_model("7b-widenet", "lif", steps=3, size=(16, 16), width=4)
    assert [group["name"] for group in parameter_groups(model, OptimConfig())] == ["weights"]


def test_the_cosine_rises_again_after_its_period(model):
    optimizer = build_optimizer(model, OptimConfig(lr=1.0, cosine_period=4))
    schedule = build_schedule(optimizer, OptimConfig(cosine_period=4), epochs=8)
    rates = []
    for _ in range(9):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == 1.0
    assert rates[8] == pytest.approx(1.0)
    assert rates[2] == pytest.approx(0.5)
    assert rates[4] == pytest.approx(0.0, abs=1e-12)


def test_the_rate_rises_evenly_while_it_warms_up(model):
    config = OptimConfig(lr=1.0, warmup=4, gate_lr=0.1)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, epochs=12)
    rates = []
    for _ in range(13):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert [weights for weights, *_ in rates[:5]] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert [weights for weights, *_ in rates[8:]] == pytest.approx([0.5, 0.309, 0.146, 0.038, 0.0], abs=1e-3)
    assert all(gates == pytest.approx(0.1 * weights) for weights, _, gates in rates)


def test_norms_and_biases_may_be_left_out_of_the_decay(model):
    config = OptimConfig(weight_decay=1e-4, decay_norms=False)
    groups = {group["name"]: group for group in parameter_groups(model, config)}
    assert {name: group["weight_decay"] for name, group in groups.items()} == {
        "weights": 1e-4,
        "norms": 0.0,
        "primitives": 0.0,
        "gates": 0.0,
    }
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kinds = {names[id(parameter)].rsplit(".", 2)[-2] for parameter in groups["norms"]["params"]}
    assert kinds <= {"norm", "head", "bn"}
    assert all(parameter.dim() > 1 for parameter in groups["weights"]["params"])


def test_optimizers_by_name(model):
    assert type(build_optimizer(model, OptimConfig(name="adam"))) is torch.optim.Adam
    assert type(build_optimizer(model, OptimConfig(name="adamw"))) is torch.optim.AdamW
    sgd = build_optimizer(model, OptimConfig(momentum=0.8))
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["momentum"] == 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "lion"}, "'lion'"),
        ({"lr": 0.0}, "lr > 0"),
        ({"cosine_period": 0}, "got 0"),
        ({"momentum": 1.0}, "1.0"),
        ({"warmup": -1}, "got -1 and 1"),
        ({"accumulate": 0}, "got 0 and 0"),
        ({"clip": 0.0}, "clip is a norm above 0, or none, got 0.0"),
    ],
)
def test_wrong_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OptimConfig(**options)
