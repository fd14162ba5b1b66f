import pytest
import torch

from evglif.neurons import GLIF, LIF, PLIF, NeuronSpec, build_neuron
from evglif.neurons.glif import INITIAL_VALUES


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
