import sys

import numpy as np
import pytest
import torch

from deploy.export import export, main
from deploy.exporting.nir.neurons import neuron_node, neuron_parameters
from deploy.exporting.options import ExportOptions
from evglif.neurons import GLIF, IF, LIF, PLIF
from evglif.recurrence import Coefficients
from tests.helpers.checkpoints import saved

nir = pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")


def numbers(neuron):
    coefficients = neuron.coefficients()
    names = Coefficients.__dataclass_fields__
    return {name: getattr(coefficients, name).detach().double().numpy() for name in names}


def euler(node, current, dt):
    """NIR's LIF and IF as its documentation writes them, a neuron at a time, in plain Python."""
    r, threshold, v_reset = (getattr(node, name).item() for name in ("r", "v_threshold", "v_reset"))
    spikes, v = [], v_reset
    for x in current:
        slope = r * x if isinstance(node, nir.IF) else ((node.v_leak.item() - v) + r * x) / node.tau.item()
        v = v + dt * slope
        spikes.append(v > threshold)
        v = v_reset if spikes[-1] else v
    return spikes


def glif_without_beta():
    neuron = GLIF(1, 40, gates="101", init={"tau_exp": 0.7, "tau_lin": 0.1, "v_th": 0.6, "v_re": 0.5, "g": 0.9})
    neuron.set_values(alpha=0.5)
    return neuron


NEURONS = {
    "lif": LIF(0.75, 0.8),
    "plif": PLIF(3.0),
    "plif with reset voltage": PLIF(3.0, v_reset=-0.5),
    "glif, β = 0 and γ = 1": glif_without_beta(),
    "if": IF(reset="hard"),
}


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 1.0])
@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
def test_an_independent_simulator_gives_the_same_spikes(tmp_path, neuron, dt):
    made = neuron_node(nir, numbers(neuron), neuron.rest, neuron.strict, dt, (1,), "here")
    nir.write(tmp_path / "neuron.nir", nir.NIRGraph.from_list(made))
    (node,) = (each for each in nir.read(tmp_path / "neuron.nir").nodes.values() if isinstance(each, nir.LIF | nir.IF))
    current = 2 * torch.randn(40, generator=torch.Generator().manual_seed(1)) + 1.5
    expected = neuron(current.view(40, 1, 1)).flatten().tolist()
    assert euler(node, current.tolist(), dt) == expected
    assert 3 < sum(expected) < 38


def mixed():
    """Two channels, of which one does not leak."""
    neuron = GLIF(2, 3, gates="101", init={"tau_exp": 0.5, "tau_lin": 0.1, "v_th": 1.0, "v_re": 0.0, "g": 0.9})
    neuron.set_values(alpha=torch.tensor([0.5, 0.0]), tau_exp=torch.tensor([0.5, 1.0]))
    return neuron


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (GLIF(2, 3), "input gain g.* changes|the reset leaves"),
        (GLIF(2, 3, gates="100"), "the reset leaves a share of the membrane"),
        (LIF(0.5, reset="soft"), "the reset leaves a share of the membrane"),
        (IF(), "the reset leaves a share of the membrane"),
        (mixed(), "the membrane of some channels does not leak"),
    ],
)
def test_neurons_that_nir_cannot_hold_are_refused_with_the_reason(neuron, message):
    with pytest.raises(ValueError, match=f"features: {message}"):
        neuron_parameters(numbers(neuron), neuron.rest, neuron.strict, 1e-4, "features")


def test_a_gain_that_changes_over_time_is_refused():
    neuron = GLIF(2, 3, gates="111")
    neuron.set_values(g=torch.tensor([[0.5], [0.6], [0.7]]).expand(3, 2))
    with pytest.raises(ValueError, match="changes from step to step"):
        neuron_parameters(numbers(neuron), 0.0, True, 1e-4, "features")


@pytest.mark.parametrize(
    ("name", "neuron", "options"),
    [
        ("7b-widenet", "lif", {}),
        ("resnet18", "simplex-101", {}),
        ("plif-mnist", "plif", {"pooling": "average", "v_reset": -0.5}),
        ("ms-resnet18", "lif", {"encoder": "frames", "in_channels": 2}),
    ],
)
def test_networks_agree_with_their_checkpoint(tmp_path, name, neuron, options):
    path, parity = export(saved(tmp_path / "model.pt", name, neuron, **options), "nir")
    assert parity.agreement == 1
    assert parity.flipped
    assert max(parity.flipped.values()) < 1e-3
    nodes = nir.read(path).nodes
    assert sum(isinstance(node, nir.LIF) for node in nodes.values()) == len(parity.flipped)


def test_sum_pools_keep_names_and_answers(tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "cifarnet", "lif")
    average, _ = export(checkpoint, ExportOptions("nir", budget=0.1), tmp_path / "a.nir")
    assert main([str(checkpoint), "--format", "nir", "--sum-pools", "--budget", "0.1"]) == 0
    sums = nir.read(tmp_path / "model.nir").nodes
    assert list(sums) == list(nir.read(average).nodes)
    assert not any(isinstance(node, nir.AvgPool2d) for node in sums.values())
    assert any(isinstance(node, nir.SumPool2d) for node in sums.values())


@pytest.mark.parametrize(
    ("name", "neuron", "message"),
    [("7b-widenet", "glif", "features.0.neuron"), ("plif-mnist", "plif", "max_pool2d"), ("cifarnet", "relu", "relu")],
)
def test_networks_that_nir_cannot_hold_are_refused(tmp_path, name, neuron, message):
    with pytest.raises(ValueError, match=message):
        export(saved(tmp_path / "model.pt", name, neuron), "nir")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch, capsys):
    checkpoint = saved(tmp_path / "model.pt", "plif-mnist", "plif", pooling="average")
    monkeypatch.setitem(sys.modules, "nir", None)
    assert main([str(checkpoint), "--format", "nir"]) == 1
    assert "pip install 'evglif[nir]'" in capsys.readouterr().err


def test_a_threshold_that_is_reached_exactly_fires_as_in_plif():
    _, parameters = neuron_parameters(numbers(PLIF(2.0)), 0.0, False, 1e-4, "here")
    assert np.float32(1.0) > parameters["v_threshold"].astype(np.float32)
