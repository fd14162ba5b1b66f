import copy
import pickle

import pytest
import torch
from torch import nn

from evglif.neurons import GLIF, IF, LIF, NEURONS, PLIF, GLIFf, NeuronSpec, build_neuron, parameter_roles
from evglif.neurons.glif import INITIAL_VALUES
from evglif.surrogate import Surrogate


def test_a_glif_learns_23_values_per_channel_at_16_steps():
    assert sum(parameter.numel() for parameter in GLIF(5, 16).parameters()) == 5 * 23
    assert sum(parameter.numel() for parameter in GLIF(5, 16, sharing="layer").parameters()) == 23


@pytest.mark.parametrize("init", INITIAL_VALUES)
def test_primitives_start_at_table_7(init):
    values = GLIF(3, 4, init=init).values()
    for name, expected in INITIAL_VALUES[init].items():
        torch.testing.assert_close(values[name], torch.full_like(values[name], expected))
    assert values["g"].shape == (4, 3)


def test_gates_start_in_the_papers_range_and_follow_the_seed():
    torch.manual_seed(7)
    values = GLIF(4000, 1).values()
    gates = torch.cat([values[name] for name in ("alpha", "beta", "gamma")])
    assert 0.4501 < gates.min() < 0.4510
    assert 0.5490 < gates.max() < 0.5499
    torch.manual_seed(7)
    assert torch.equal(GLIF(4000, 1).values()["alpha"], values["alpha"])


def test_gates_of_the_published_code_start_in_half_the_range():
    torch.manual_seed(7)
    values = GLIF(4000, 1, gate_range="code").values()
    gates = torch.cat([values[name] for name in ("alpha", "beta", "gamma")])
    assert 0.4750 < gates.min() < 0.4752
    assert 0.5248 < gates.max() < 0.5250


def test_fixed_gates_stay_fixed_when_a_network_is_thawed():
    for gates in ("static", "101"):
        neuron = GLIF(2, 3, gates=gates).requires_grad_(True)
        assert neuron.roles()["gates"] == []
        assert all(parameter.isfinite().all() for parameter in neuron.parameters())
        assert {"logits.alpha", "logits.beta", "logits.gamma"} < set(neuron.state_dict())


def test_only_learned_gates_are_learned():
    assert {len(GLIF(2, 3, gates=gates).roles()["gates"]) for gates in ("static", "010")} == {0}
    assert len(GLIF(2, 3).roles()["gates"]) == 3
    neuron = GLIF(2, 3, gates="101")
    neuron(torch.rand(3, 1, 2)).sum().backward()
    assert neuron.values()["alpha"].tolist() == [1, 1]
    assert neuron.values()["beta"].tolist() == [0, 0]
    assert all(parameter.grad.isfinite().all() for parameter in neuron.roles()["primitives"])


def test_values_can_be_set_and_read_in_natural_units():
    neuron = GLIF(2, 3).double()
    g = torch.rand(3, 2, dtype=torch.float64)
    neuron.set_values(alpha=1, beta=0.25, tau_exp=torch.tensor([0.1, 0.9]), g=g)
    values = neuron.values()
    assert values["alpha"].tolist() == [1, 1]
    torch.testing.assert_close(values["tau_exp"], torch.tensor([0.1, 0.9], dtype=torch.float64))
    torch.testing.assert_close(values["g"], g)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"v_th": 1.5}, r"v_th must lie in \[0, 1\].*got 1.5"),
        ({"alpha": float("nan")}, "alpha must lie"),
        ({"tau": 0.5}, "no parameter 'tau'; it has alpha"),
        ({"alpha": torch.rand(3)}, r"shape \(2,\), got values of shape \(3,\)"),
    ],
)
def test_values_that_do_not_fit_change_nothing(given, message):
    neuron = GLIF(2, 3)
    before = neuron.values()
    with pytest.raises(ValueError, match=message):
        neuron.set_values(beta=0.9, **given)
    assert torch.equal(neuron.values()["beta"], before["beta"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0, "steps": 1}, "got 0"),
        ({"channels": 1, "steps": 0}, "got 0"),
        ({"channels": 1, "steps": 1, "sharing": "pixel"}, "'pixel'; choose one of channel, layer"),
        ({"channels": 1, "steps": 1, "gates": "21"}, "'21'"),
        ({"channels": 1, "steps": 1, "init": "svhn"}, "'svhn'"),
        ({"channels": 1, "steps": 1, "init": {"g": 0.5}}, "init must give"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GLIF(**options)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda: GLIFf(2, 3), {"tau_exp": torch.tensor([0.25, 0.5]), "tau_lin": 0.125, "v_th": 0.5, "g": 0.75}),
        (lambda: PLIF(v_reset=-1.0), {"tau": 3.0, "v_th": -0.5}),
        (lambda: PLIF(learn_tau=False), {"tau": 16.0}),
        (LIF, {"tau": 0.125, "v_th": 2.0}),
        (IF, {"v_th": 0.5}),
    ],
)
def test_every_neuron_reads_sets_saves_and_copies_its_values(make, given):
    neuron = make()
    neuron.set_values(**given)
    loaded = make()
    loaded.load_state_dict(neuron.state_dict())
    for other in (neuron, loaded, copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        values = other.values()
        for name, value in given.items():
            torch.testing.assert_close(values[name], torch.as_tensor(value).expand_as(values[name]))


def test_values_are_copies():
    neuron = LIF()
    neuron.values()["v_th"].fill_(7)
    assert neuron.values()["v_th"].item() == 1


@pytest.mark.parametrize(
    ("neuron", "given", "message"),
    [
        (PLIF(), {"tau": 1.0}, r"tau must lie in \(1, ∞\), got 1.0"),
        (PLIF(v_reset=-1.0), {"v_th": -1.0}, r"v_th must lie in \(-1, ∞\), got -1.0"),
        (LIF(), {"tau": -0.5}, r"tau must lie in \[0, 1\], got -0.5"),
        (IF(), {"tau": 0.5}, "IF has no parameter 'tau'; it has v_th"),
        (GLIFf(2, 3), {"alpha": 0.5}, "GLIFf has no parameter 'alpha'; it has tau_exp"),
    ],
)
def test_values_outside_their_domain_are_refused(neuron, given, message):
    with pytest.raises(ValueError, match=message):
        neuron.set_values(**given)


def test_a_plif_learns_its_time_constant_unless_told_not_to():
    assert len(PLIF().roles()["primitives"]) == 1
    assert list(PLIF(learn_tau=False).parameters()) == []


def test_parameters_of_a_network_by_role():
    network = nn.Sequential(
        nn.Linear(2, 3), GLIF(3, 4), nn.Linear(3, 3, bias=False), PLIF(), GLIF(3, 4, gates="static")
    )
    roles = parameter_roles(network)
    assert {role: len(parameters) for role, parameters in roles.items()} == {"weights": 3, "gates": 3, "primitives": 11}
    assert {id(p) for some in roles.values() for p in some} == {id(p) for p in network.parameters()}


@pytest.mark.parametrize(
    ("make", "surrogate", "strict", "detach_reset"),
    [
        (lambda **options: GLIF(1, 1, **options), "rectangular", True, False),
        (lambda **options: GLIFf(1, 1, **options), "rectangular", True, False),
        (LIF, "rectangular", True, False),
        (IF, "rectangular", True, False),
        (PLIF, "arctan", False, True),
    ],
)
def test_firing_is_the_papers_unless_told_otherwise(make, surrogate, strict, detach_reset):
    neuron = make()
    assert (neuron.surrogate, neuron.strict, neuron.detach_reset) == (Surrogate(surrogate), strict, detach_reset)
    other = make(surrogate=Surrogate("triangle", 2.0), strict=not strict, detach_reset=not detach_reset)
    assert (other.surrogate, other.strict, other.detach_reset) == (
        Surrogate("triangle", 2.0),
        not strict,
        not detach_reset,
    )


def test_strict_decides_at_the_threshold():
    at_threshold = torch.ones(1, 1, 1)
    assert [IF(strict=strict)(at_threshold).item() for strict in (True, False)] == [0, 1]


def test_glif_101_is_the_vanilla_lif():
    torch.manual_seed(0)
    glif, lif = GLIF(3, 8, gates="101"), LIF(decay=0.25, v_th=0.5)
    glif.set_values(tau_exp=0.25, v_th=0.5)
    current = torch.rand(8, 4, 3, 5)
    assert torch.equal(glif(current), lif(current))
    assert 0 < glif(current).mean() < 1


def test_a_plif_computed_by_hand():
    neuron = PLIF(tau=2.0, v_th=1.0)
    trace = neuron.trace(torch.tensor([1.0, 2.5, 1.0, 1.5]).view(-1, 1, 1))
    # U1 = 0 + 1/2·1 = 0.5; U2 = 0.25 + 1.25 = 1.5, fires and resets; U3 = 0.5; U4 = 0.25 + 0.75 = 1.0, fires (≥)
    torch.testing.assert_close(trace.membrane.flatten(), torch.tensor([0.5, 1.5, 0.5, 1.0]))
    assert trace.spikes.flatten().tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PLIF(tau=1.0), "got 1.0"),
        (lambda: PLIF(v_th=0.0), "V_th=0.0"),
        (lambda: LIF(decay=1.5), "got 1.5"),
        (lambda: LIF(v_th=0.0), "got 0.0"),
        (lambda: NeuronSpec("izhikevich"), "'izhikevich'"),
        (lambda: NeuronSpec(sharing="pixel"), "'pixel'"),
        (lambda: NeuronSpec("glif-s", gates="101"), "glif-s has the gates 'static', got '101'"),
        (lambda: GLIF(1, 1, gate_range="wide"), "'wide'; choose one of paper, code"),
        (lambda: LIF(reset="slow"), "'slow'; choose one of hard, soft"),
        (lambda: IF(v_th=-1.0), "got -1.0"),
        (lambda: GLIF(1, 1, init={"v_th": 2, "v_re": 1, "g": 1, "tau_exp": 1, "tau_lin": 1}), "v_th must .* got 2"),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("name", "kind"), [("glif", GLIF), ("plif", PLIF), ("lif", LIF)])
def test_neurons_are_built_by_name(name, kind):
    neuron = build_neuron(NeuronSpec(name), channels=3, steps=4)
    assert type(neuron) is kind
    assert neuron(torch.rand(4, 2, 3, 5, 5)).shape == (4, 2, 3, 5, 5)


@pytest.mark.parametrize("name", NEURONS)
def test_every_name_builds_a_neuron_that_runs_and_learns(name):
    neuron = build_neuron(NeuronSpec(name, init="cifar"), channels=3, steps=4)
    current = torch.rand(4, 2, 3, 5, requires_grad=True)
    neuron(2 * current).sum().backward()
    assert current.grad.abs().sum() > 0


def test_names_of_the_ablations_set_the_gates():
    static = build_neuron(NeuronSpec("glif-s"), 3, 4)
    assert static.roles()["gates"] == []
    assert 0.45 < static.values()["alpha"].min() < static.values()["alpha"].max() < 0.55
    simplex = build_neuron(NeuronSpec("simplex-101"), 3, 4).values()
    assert [simplex[gate].unique().item() for gate in ("alpha", "beta", "gamma")] == [1, 0, 1]


def test_a_specification_reaches_the_neuron():
    spec = NeuronSpec("plif", tau=4.0, v_th=0.5, v_reset=None, learn_tau=False, surrogate_width=2.0, strict=True)
    neuron = build_neuron(spec, 3, 4)
    assert (neuron.values()["tau"].item(), neuron.values()["v_th"].item(), neuron.soft) == (4.0, 0.5, True)
    assert (neuron.surrogate, neuron.strict, neuron.detach_reset) == (Surrogate("arctan", 2.0), True, True)
    assert list(neuron.parameters()) == []
    assert build_neuron(NeuronSpec("if", reset="hard", surrogate="sigmoid"), 3, 4).reset == "hard"
    narrow = GLIF(500, 1, gate_range="code").values()["alpha"]
    built = build_neuron(NeuronSpec(gate_range="code"), 500, 1).values()["alpha"]
    assert max(narrow.max(), built.max()) < 0.525
