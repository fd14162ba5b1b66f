import numpy as np
import pytest
import torch

from evglif import build_model
from evglif.evaluation.learnt import neuron_values, value_rows, values_table

SMALL = {"steps": 3, "size": (16, 16), "width": 4, "num_classes": 2}


def rows_of(model, name):
    return [row for row in value_rows(neuron_values(model)) if row.name == name]


def test_every_value_of_every_layer_is_there_in_natural_units():
    model = build_model("7b-widenet", **SMALL)
    neuron = model.get_submodule("features.0.neuron")
    neuron.set_values(alpha=torch.tensor([0.1, 0.2, 0.3, 0.4]))
    (row,) = [row for row in rows_of(model, "alpha") if row.layer == "features.0.neuron"]
    assert (row.num, row.learnt, row.step) == (4, True, None)
    assert (row.mean, row.low, row.high) == pytest.approx((0.25, 0.1, 0.4))
    assert row.std == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4]))
    assert {value.name for value in neuron_values(model)} == set(neuron.values())


def test_the_conductance_has_a_row_per_step():
    model = build_model("7b-widenet", **SMALL)
    model.get_submodule("features.0.neuron").set_values(g=torch.tensor([0.2, 0.4, 0.9])[:, None].expand(3, 4))
    rows = [row for row in rows_of(model, "g") if row.layer == "features.0.neuron"]
    assert [row.step for row in rows] == [None, 1, 2, 3]
    assert [row.mean for row in rows] == pytest.approx([0.5, 0.2, 0.4, 0.9])
    assert [row.num for row in rows] == [12, 4, 4, 4]


def test_the_start_is_that_of_a_fresh_network_and_costs_no_random_numbers():
    model = build_model("7b-widenet", init="cifar", **SMALL)
    for parameter in model.parameters():
        parameter.data += 1
    state = torch.get_rng_state()
    rows = rows_of(model, "tau_exp")
    assert torch.equal(torch.get_rng_state(), state)
    assert [row.start for row in rows] == pytest.approx([0.25] * len(rows), abs=1e-6)
    assert all(row.mean > 0.4 for row in rows)


@pytest.mark.parametrize(
    ("neuron", "learnt", "fixed"),
    [("plif", {"tau"}, {"v_th"}), ("lif", set(), {"tau", "v_th"}), ("glif-s", {"tau_exp", "g"}, {"alpha", "gamma"})],
)
def test_what_training_leaves_alone_is_called_fixed(neuron, learnt, fixed):
    model = build_model("7b-widenet", neuron=neuron, **SMALL)
    with torch.inference_mode():
        values = neuron_values(model)
    assert {value.name for value in values if value.learnt} >= learnt
    assert {value.name for value in values if not value.learnt} >= fixed


def test_the_table_has_a_block_per_value_and_the_conductance_step_by_step():
    model = build_model("7b-widenet", init="cifar", **SMALL)
    table = values_table(value_rows(neuron_values(model)))
    blocks = table.split("\n\n")
    assert blocks[0].startswith("α: gate from linear (0) to exponential (1) decay, learnt")
    line = next(line for line in blocks[3].splitlines() if "features.0.neuron" in line)
    assert line.split() == ["features.0.neuron", "4", "0.2500", "0.2500", "0.0000", "0.2500", "0.2500"]
    steps = next(line for line in blocks[-1].splitlines() if "features.0.neuron" in line)
    assert steps.split() == ["features.0.neuron", "0.500", "0.500", "0.500"]


def test_a_network_without_neurons_says_so():
    model = build_model("7b-widenet", neuron="relu", **SMALL)
    assert values_table(value_rows(neuron_values(model))).startswith("the network has no spiking neurons")
