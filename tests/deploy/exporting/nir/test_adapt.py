"""Changes of a graph for single readers leave its answers as they are."""

import itertools

import numpy as np
import pytest

from deploy.exporting.nir.adapt import (
    above_threshold,
    biased,
    depth_first,
    normalised,
    pools_as_convolutions,
    sums_as_pools,
)
from deploy.exporting.nir.run import run_graph

nir = pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")

DT = 1e-3
SHAPE = (2, 4, 4)


def neuron(shape=SHAPE, kind="LIF"):
    """Channels that differ in everything, and rest, leak and are reset elsewhere than at 0."""

    def spread(*values):
        return np.broadcast_to(np.array(values).reshape(-1, *(1,) * (len(shape) - 1)), shape).astype(np.float32)

    common = {"v_threshold": spread(0.6, 1.4), "v_reset": spread(-0.2, 0.1)}
    if kind == "IF":
        return nir.IF(r=spread(0.8 / DT, 1.3 / DT), **common)
    return nir.LIF(tau=spread(2 * DT, 5 * DT), r=spread(1.5, 4.0), v_leak=spread(0.1, -0.3), **common)


def graph(kind="LIF", shared=False):
    """conv → neuron → pool → flatten → linear; with ``shared`` the neuron also gets what comes in."""
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.5, (2, 2, 3, 3)).astype(np.float32)
    nodes = {
        "input": nir.Input({"input": np.array(SHAPE)}),
        "conv": nir.Conv2d((4, 4), weight, 1, 1, 1, 1, np.full(2, 0.4, np.float32)),
        "neuron": neuron(kind=kind),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int)),
        "flatten": nir.Flatten({"input": np.array((2, 2, 2))}, start_dim=-3),
        "linear": nir.Linear(random.normal(size=(3, 8)).astype(np.float32)),
        "output": nir.Output({"output": np.array((3,))}),
    }
    edges = list(itertools.pairwise(nodes))
    return nodes, [*edges, ("input", "neuron")] if shared else edges


def answers(nodes, edges):
    frames = np.random.default_rng(1).poisson(1.0, (5, 12, *SHAPE)).astype(np.float32)
    logits, spikes = run_graph(nir.NIRGraph(nodes, edges), frames, 12, DT)
    return logits, spikes["neuron"]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["LIF", "IF"])
@pytest.mark.parametrize("unit_resistance", [False, True])
def test_neurons_brought_to_one_form_fire_the_same_spikes(kind, shared, unit_resistance):
    nodes, edges = graph(kind, shared)
    before = dict(nodes)
    made = normalised(unit_resistance)(nodes, edges, DT)
    assert nodes == before
    changed = made[0]["neuron"]
    assert (changed.v_threshold == 1).all()
    assert not changed.v_reset.any()
    if kind == "LIF":
        assert not changed.v_leak.any()
        np.testing.assert_allclose(changed.r, 1 if unit_resistance else changed.tau / DT, rtol=1e-6)
    logits, spikes = answers(nodes, edges)
    np.testing.assert_array_equal(answers(*made)[1], spikes)
    np.testing.assert_allclose(answers(*made)[0], logits, atol=1e-6)
    assert 0.1 < spikes.mean() < 0.9
    assert ("neuron.current" in made[0]) == shared


def test_what_is_in_that_form_stays_as_it_is():
    nodes, edges = normalised(unit_resistance=False)(*graph(), DT)
    again, wired = normalised(unit_resistance=False)(nodes, edges, DT)
    assert wired == edges
    assert all(again[name] is node for name, node in nodes.items())


def test_a_current_of_vectors_is_scaled_too():
    nodes = {
        "input": nir.Input({"input": np.array((2,))}),
        "neuron": neuron((2,)),
        "output": nir.Output({"output": np.array((2,))}),
    }
    edges = [("input", "neuron"), ("neuron", "output")]
    made = normalised(unit_resistance=True)(nodes, edges, DT)
    frames = np.random.default_rng(1).normal(1, 1, (5, 12, 2)).astype(np.float32)
    expected = run_graph(nir.NIRGraph(nodes, edges), frames, 12, DT)[1]["neuron"]
    np.testing.assert_array_equal(run_graph(nir.NIRGraph(*made), frames, 12, DT)[1]["neuron"], expected)


def test_neurons_of_a_map_that_differ_from_place_to_place_are_refused():
    nodes, edges = graph()
    nodes["neuron"].r[0, 1, 2] = 9
    with pytest.raises(ValueError, match="neuron: r differs within a channel"):
        normalised(unit_resistance=True)(nodes, edges, DT)


def test_pools_become_convolutions_of_each_channel():
    nodes, edges = graph()
    made = pools_as_convolutions(nodes, edges, DT)
    assert isinstance(made[0]["pool"], nir.Conv2d)
    np.testing.assert_allclose(answers(*made)[0], answers(nodes, edges)[0], atol=1e-6)


def test_pools_become_sums_whose_factor_the_next_weights_take():
    nodes, edges = graph()
    made, wired = sums_as_pools(nodes, edges, DT)
    assert list(made) == list(nodes)
    assert wired == edges
    assert isinstance(made["pool"], nir.SumPool2d)
    np.testing.assert_array_equal(made["linear"].weight, nodes["linear"].weight / 4)
    np.testing.assert_allclose(answers(made, wired)[0], answers(nodes, edges)[0], atol=1e-6)


@pytest.mark.parametrize("behind", ["neuron", "sum", "output"])
def test_a_sum_that_meets_no_weights_is_made_up_for(behind):
    nodes, edges = graph()
    chain = {name: nodes[name] for name in ("input", "pool", "conv", "neuron", "flatten", "linear", "output")}
    if behind == "neuron":
        chain["neuron"] = nir.IF(
            **{k: getattr(neuron(kind="IF"), k)[:, :2, :2] for k in ("r", "v_threshold", "v_reset")}
        )
        del chain["conv"]
        edges = list(itertools.pairwise(chain))
    elif behind == "sum":
        chain["pool"] = nir.AvgPool2d(np.array([1, 2]), np.array([1, 2]), np.zeros(2, int))
        chain["small"] = nir.Conv2d((4, 4), nodes["conv"].weight, (1, 2), (1, 1), 1, 1, np.ones(2, np.float32))
        chain["linear"] = nir.Linear(np.ones((3, 16), np.float32))
        edges = [("input", "conv"), ("conv", "neuron"), ("neuron", "pool"), ("neuron", "small"), ("pool", "flatten")]
        edges += [
            ("small", "flatten"),
            ("flatten", "linear"),
            ("linear", "output"),
            ("pool", "again"),
            ("again", "flatten"),
        ]
        chain["again"] = nir.Conv2d((4, 2), nodes["conv"].weight, 1, 1, 1, 1, np.zeros(2, np.float32))
    else:
        chain = {name: nodes[name] for name in ("input", "conv", "neuron", "pool", "output")}
        edges = list(itertools.pairwise(chain))
    frames = np.random.default_rng(1).poisson(1.0, (5, 6, *SHAPE)).astype(np.float32)
    made = sums_as_pools(chain, edges, DT)
    assert isinstance(made[0]["pool"], nir.SumPool2d)
    expected, got = (
        run_graph(nir.NIRGraph(*each, type_check=False), frames, 6, DT)[0] for each in ((chain, edges), made)
    )
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert ("pool.mean" in made[0]) == (behind != "neuron")


def test_matrices_get_a_bias_of_nothing():
    made = biased(*graph(), DT)
    assert isinstance(made[0]["linear"], nir.Affine)
    np.testing.assert_array_equal(answers(*made)[0], answers(*graph())[0])


@pytest.mark.parametrize("kind", ["LIF", "IF"])
def test_a_threshold_is_raised_by_no_more_than_it_must(kind):
    nodes, edges = graph(kind)
    made, wired = above_threshold(nodes, edges, DT)
    assert wired == edges
    before, after = nodes["neuron"].v_threshold, made["neuron"].v_threshold
    assert (after > before).all()
    assert (np.nextafter(after, np.float32(0)) == before).all()
    assert (made["neuron"].r == nodes["neuron"].r).all()


def walk(edges, name="input", met=()):
    """Nodes in the order in which a walk meets them that goes to the end of each branch."""
    met = [*met, name]
    for source, target in edges:
        if source == name and target not in met:
            met = walk(edges, target, met)
    return met


def test_a_plain_shortcut_is_walked_after_the_branch_beside_it():
    edges = [("input", "sum"), ("input", "branch"), ("branch", "sum"), ("sum", "output")]
    assert walk(edges).index("sum") < walk(edges).index("branch")
    _, ordered = depth_first({}, edges, DT)
    assert sorted(ordered) == sorted(edges)
    assert walk(ordered) == ["input", "branch", "sum", "output"]


def test_two_branches_with_nodes_in_both_are_refused():
    edges = [("input", "left"), ("input", "right"), ("left", "sum"), ("right", "sum"), ("sum", "output")]
    with pytest.raises(ValueError, match="sum adds up two branches, and the reader would run it before right"):
        depth_first({}, edges, DT)
