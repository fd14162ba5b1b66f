"""From one task to the next: what is taken over, what is left, what stays as it is."""

import numpy as np
import pytest
import torch

from evglif import build_model
from evglif.checkpoint import Checkpoint, DataSpec
from evglif.training.transfer import Left, Taken, interpolated, take_over

SMALL = {"steps": 4, "size": (16, 16), "width": 2, "init": "cifar"}


def network(**options):
    """A narrow network, all of whose values are drawn anew."""
    model = build_model("7b-widenet", **{**SMALL, "num_classes": 3, **options})
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return model


def checkpoint(model, classes=("a", "b", "c")):
    return Checkpoint(model.eval(), DataSpec(classes, 1.0, (16, 16), {}, "f"), {})


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, two):
    return {name for name, value in one.items() if name in two and torch.equal(value, two[name])}


def test_the_same_task_takes_everything_bit_for_bit():
    source, model = network(), network()
    taken = take_over(model, checkpoint(source), ("a", "b", "c"))
    assert same(weights(model), source.state_dict()) == set(taken.names) == set(source.state_dict())
    assert taken.left == []


def test_other_classes_get_a_new_head_and_both_shapes_are_named():
    source, model = network(), network(num_classes=5)
    before = weights(model)
    taken = take_over(model, checkpoint(source), tuple("abcde"))
    assert {each.name for each in taken.left} == {"head.weight", "head.bias"} <= same(weights(model), before)
    assert "head.weight: [3, 4] there, [5, 4] here" in "\n".join(taken.lines())


def test_many_that_are_left_for_one_reason_are_counted():
    left = [Left(f"{why} {number}", None, None, why) for why in ("short", "long") for number in range(6)][2:]
    told = Taken((4, 4), ["one"], left=left).lines()
    assert told[0] == "1 tensors taken over, 10 left"
    assert [line.strip().partition(":")[0] for line in told[1:5]] == [f"short {number}" for number in range(2, 6)]
    assert told[5].startswith("  long 0: none there")
    assert told[6:] == ["  and 5 more (long); results.json will name them"]


def test_as_many_classes_of_other_names_get_a_new_head_too():
    source, model = network(), network()
    taken = take_over(model, checkpoint(source), ("a", "c", "b"))
    assert {(each.name, each.why) for each in taken.left} == {
        ("head.weight", "other classes"),
        ("head.bias", "other classes"),
    }


def test_the_vote_of_plif_belongs_to_the_classes():
    options = {"steps": 2, "size": (8, 8), "width": 2, "hidden": 4, "votes": 2, "num_classes": 3}
    source, model = (build_model("plif-mnist", encoder="frames", in_channels=2, **options) for _ in range(2))
    taken = take_over(model, checkpoint(source), ("d", "e", "f"))
    assert [each.name for each in taken.left] == ["features.8.linear.weight"]
    assert "features.8.neuron.a" in taken.names or any(name.startswith("features.8.neuron") for name in taken.names)


def test_fresh_neurons_keep_what_they_start_with():
    source, model = network(), network()
    before = weights(model)
    taken = take_over(model, checkpoint(source), ("a", "b", "c"), neurons="fresh")
    of_neurons = {name for name in before if ".neuron." in name}
    assert same(weights(model), before) >= of_neurons
    assert {each.name for each in taken.left} == of_neurons
    assert set(taken.names) == set(before) - of_neurons


def test_g_is_interpolated_to_another_number_of_steps_and_said_so():
    source, model = network(), network(steps=8)
    g = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(4, 1).expand(4, 2)
    neuron = source.features[0].neuron
    neuron.set_values(g=g)
    taken = take_over(model, checkpoint(source), ("a", "b", "c"))
    expected = [0.2, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.8]  # a step of eight begins a quarter of one of four early
    np.testing.assert_allclose(model.features[0].neuron.values()["g"][:, 0], expected, atol=1e-6)
    num_layers = len(taken.resampled)
    assert num_layers == sum(name.endswith(".g") for name in model.state_dict()) > 0
    assert f"g^t of {num_layers} layers interpolated over the recording: 4 → 8 steps" in taken.lines()


def test_interpolation_keeps_a_constant_and_the_same_number_of_steps():
    values = torch.rand(5, 3)
    assert torch.equal(interpolated(values, 5), values)
    assert torch.allclose(interpolated(torch.full((3, 2), 0.3), 7), torch.tensor(0.3))


def test_gates_that_were_fixed_are_not_learnt_from_infinity():
    source, model = network(gates="101"), network()
    before = weights(model)
    taken = take_over(model, checkpoint(source), ("a", "b", "c"))
    gates = {name for name in before if name.endswith(("alpha", "beta", "gamma"))}
    assert {each.name for each in taken.left} == gates <= same(weights(model), before)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_what_the_recipe_fixes_stays_as_it_says():
    source, model = network(neuron="lif", v_th=0.5), network(neuron="lif", v_th=0.8)
    taken = take_over(model, checkpoint(source), ("a", "b", "c"))
    assert model.features[0].neuron.values()["v_th"].item() == pytest.approx(0.8)
    assert {each.why for each in taken.left} == {"fixed by the recipe"}


def test_another_neuron_takes_weights_and_lists_the_rest_of_both():
    source, model = network(neuron="plif"), network()
    taken = take_over(model, checkpoint(source), ("a", "b", "c"))
    assert "features.0.conv.weight" in taken.names
    assert {each.why for each in taken.left} == {"not in the checkpoint", "not in this network"}


def test_nothing_that_fits_is_an_error():
    source = build_model("plif-mnist", steps=2, size=(8, 8), width=3, hidden=4, votes=2, num_classes=2)
    with pytest.raises(ValueError, match=r"nothing of plif-mnist with plif fits 7b-widenet with lif; features\.0"):
        take_over(network(neuron="lif"), checkpoint(source, ("x", "y")), ("a", "b", "c"), neurons="fresh")


def test_frozen_layers_learn_nothing_and_their_norms_count_nothing():
    torch.manual_seed(0)  # with weights that let spikes through to the head
    model = network()
    model.freeze(["features.0", "features.1"])
    before = weights(model)
    model.train()
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1)
    model(torch.rand(2, 4, 2, 16, 16)).sum().backward()
    optimizer.step()
    changed = set(before) - same(weights(model), before)
    assert "head.weight" in changed
    assert not {name for name in changed if name.startswith(("features.0.", "features.1."))}
    assert {name for name in changed if name.startswith("features.2.") and "running" in name}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["features.99"], r"no layer 'features\.99' to freeze; it has features\.0, .* and head"),
        ([""], r"no layer ''"),
        (["features", "head"], r"nothing is left to learn; freeze less"),
    ],
)
def test_what_cannot_be_frozen_is_named(names, said):
    with pytest.raises(ValueError, match=said):
        network().freeze(names)
