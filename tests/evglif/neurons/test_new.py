"""A neuron of ten lines, as written in the documentation: it runs on every backend, streams and is learnt."""

import textwrap

import pytest
import torch
from torch import nn

from evglif.neurons import LIF, SpikingNeuron, base, parameter_roles
from evglif.neurons.domains import UNIT, above
from evglif.recurrence import BACKENDS, Coefficients


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request, monkeypatch):
    monkeypatch.setenv("EVGLIF_BACKEND", request.param)


@pytest.fixture(scope="module")
def adaptive():
    """The class that stands in the docstring of ``evglif.neurons.base``."""
    code = "\n".join(line for line in base.__doc__.splitlines() if line.startswith("    ") or not line)
    names = {"SpikingNeuron": SpikingNeuron, "Coefficients": Coefficients, "UNIT": UNIT, "above": above, "torch": torch}
    exec(textwrap.dedent(code), names)
    return names["AdaptiveDecay"]


def test_it_has_ten_lines():
    code = [line for line in base.__doc__.splitlines() if line.startswith("    ")]
    neuron = [line for line in code if not line.startswith(("    import ", "    from ", "    register_neuron("))]
    assert 5 < len(neuron) <= 10


def test_with_one_decay_it_is_the_lif(adaptive):
    current = torch.randn(6, 4, 3, 5)
    neuron = adaptive(3)
    assert torch.equal(neuron(current), LIF(decay=0.5)(current))
    neuron.set_values(tau=torch.tensor([0.0, 0.25, 1.0]))
    spikes = neuron(current)
    for channel, decay in enumerate(neuron.values()["tau"].tolist()):
        assert torch.equal(spikes[:, :, channel], LIF(decay)(current)[:, :, channel])


def test_it_streams_learns_and_is_saved(adaptive):
    torch.manual_seed(0)
    neuron, current = adaptive(3), torch.rand(6, 4, 3)
    first, state = neuron.advance(current[:2])
    assert torch.equal(torch.cat([first, neuron.advance(current[2:], state)[0]]), neuron(current))
    neuron(current).sum().backward()
    [tau] = neuron.roles()["primitives"]
    assert (tau.grad > 0).all()
    assert set(neuron.state_dict()) == {"tau", "v_th"}


def test_its_parameters_are_found_in_a_network(adaptive):
    network = nn.Sequential(nn.Linear(2, 3), adaptive(3))
    roles = parameter_roles(network)
    assert [len(roles[role]) for role in ("weights", "gates", "primitives")] == [2, 0, 1]


def test_its_values_keep_their_domains(adaptive):
    with pytest.raises(ValueError, match=r"v_th must lie in \(0, ∞\), got 0"):
        adaptive(3).set_values(v_th=0)
    with pytest.raises(ValueError, match="AdaptiveDecay has no parameter 'g'; it has tau, v_th"):
        adaptive(3).set_values(g=0.5)
