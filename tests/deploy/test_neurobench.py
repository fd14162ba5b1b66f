"""The figures of NeuroBench's names are those that the package neurobench finds, to the last digit."""

import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from deploy.measuring.neurobench import SynapticOperations, measure
from deploy.profile import main
from evglif import GLIF, IF, PLIF
from evglif.neurons import SpikingNeuron, snntorch
from tests.deploy.test_profile import network

NAMES = ("Footprint", "ParameterCount", "ConnectionSparsity", "ActivationSparsity", "SynapticOperations")


def theirs(model, frames, batch=None):
    """What the package says of a network of ours, or of one of snnTorch's neurons."""
    pytest.importorskip("neurobench")
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates
    from neurobench.metrics.workload import SynapticOperations as Operations
    from neurobench.models import SNNTorchModel, TorchModel

    steps = isinstance(model, OneStep)
    wrapped = SNNTorchModel(model) if steps else TorchModel(model)
    if not steps:
        wrapped.add_activation_module(SpikingNeuron)
    loader = DataLoader(TensorDataset(frames, torch.zeros(len(frames))), batch or len(frames))
    metrics = [[Footprint, ParameterCount, ConnectionSparsity], [ActivationSparsity, Operations, MembraneUpdates]]
    with torch.no_grad():
        return Benchmark(wrapped, loader, [], [], metrics).run(quiet=True)


def with_some_weights_at_zero(model):
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight[module.weight.abs() < module.weight.abs().median() / 2] = 0
    return model


@pytest.mark.parametrize("neuron", ["glif", "plif", "relu"])
@pytest.mark.parametrize("name", ["7b-widenet", "resnet19", "plif-mnist", "plif-dvs128gesture"])
def test_networks_of_the_registry_agree_to_the_last_digit(name, neuron):
    model, frames = network(name, neuron=neuron)
    with_some_weights_at_zero(model)
    ours, found = measure(model, [frames]).as_json(), theirs(model, frames)
    assert {each: ours[each] for each in NAMES} == {each: found[each] for each in NAMES}
    assert 0 < ours["ConnectionSparsity"] < 1
    operations = ours["SynapticOperations"]
    assert 0 < operations["Effective_MACs"] + operations["Effective_ACs"] < operations["Dense"]
    assert (ours["MembraneUpdates"] > 0) == (neuron != "relu")


def test_several_batches():
    """Whether a layer's input is of spikes is asked of every batch alone, by both."""
    model, frames = network("7b-widenet", neuron="glif")
    ours, found = measure(model, frames.split(1)).as_json(), theirs(model, frames, batch=1)
    assert {each: ours[each] for each in NAMES} == {each: found[each] for each in NAMES}


class AllSteps(nn.Module):
    """Frames ``[B, T, C, H, W]`` → spikes ``[T, B, K]``, as the networks of the package run."""

    def __init__(self, first, second):
        super().__init__()
        self.conv, self.first = nn.Conv2d(2, 4, 3, padding=1, stride=2), first
        self.linear, self.second = nn.Linear(4 * 4 * 4, 5), second

    def forward(self, frames):
        x = frames.transpose(0, 1)
        steps, samples = x.shape[:2]
        x = self.first(self.conv(x.flatten(0, 1)).unflatten(0, (steps, samples)))
        return self.second(self.linear(x.flatten(0, 1).flatten(1)).unflatten(0, (steps, samples)))


class OneStep(nn.Module):
    """The same network for snnTorch, a step a call."""

    def __init__(self, whole):
        super().__init__()
        self.conv, self.linear = whole.conv, whole.linear
        self.first = snntorch.StepNeuron(whole.first, init_hidden=True)
        self.second = snntorch.StepNeuron(whole.second, init_hidden=True, output=True)

    def reset(self):
        snntorch.reset(self)

    def forward(self, x):
        return self.second(self.linear(self.first(self.conv(x)).flatten(1)))


@pytest.mark.parametrize(
    "neurons",
    [
        lambda: (GLIF(4, 6), GLIF(5, 6)),
        lambda: (PLIF(), PLIF()),
        lambda: (IF(), IF()),
    ],
    ids=["glif", "plif", "if"],
)
def test_membrane_updates_are_those_of_the_same_network_of_snntorch(neurons):
    """And so is all else, as no layer has an input that is of spikes in some steps alone."""
    torch.manual_seed(0)
    whole = AllSteps(*neurons()).eval()
    whole.first.set_values(v_th=0.1)
    whole.second.set_values(v_th=0.1)
    frames = (torch.rand(4, 6, 2, 8, 8) < 0.3).float()
    frames[:, 2] = 0  # nothing comes in, so that some membranes stay as they are
    with torch.no_grad():
        whole.conv.bias.zero_()
    ours = measure(whole, [frames]).as_json()
    found = theirs(OneStep(whole).eval(), frames)
    for name in ("MembraneUpdates", "ConnectionSparsity", "ActivationSparsity", "SynapticOperations"):
        assert ours[name] == found[name], name
    assert ours["SynapticOperations"]["Effective_MACs"] == 0
    most = 6 * (4 * 4 * 4 + 5)
    assert 0 < ours["MembraneUpdates"] <= most


def test_counts_beyond_what_fp32_holds_are_exact():
    """A layer of 2²⁴ + 1 operations, which NeuroBench rounds."""
    layer = nn.Linear(4096, 4097, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.weight[0, :4095] = 0
    found = measure(nn.Sequential(layer), [torch.ones(1, 4096)]).SynapticOperations
    assert found == SynapticOperations(0.0, float(2**24 + 1), float(4096 * 4097))


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="no sample was given"):
        measure(nn.Sequential(nn.Linear(2, 2)), [])


def test_the_command_prints_and_writes_them(run, cache_path, tmp_path, capsys):
    out = tmp_path / "cost.json"
    arguments = [str(run / "best.pt"), "--data", str(cache_path), "--samples", "4", "--json", str(out)]
    assert main([*arguments, "--neurobench"]) == 0
    written = json.loads(out.read_text())["neurobench"]
    printed = capsys.readouterr().out
    for name in ("Footprint", "ConnectionSparsity", "ActivationSparsity", "MembraneUpdates"):
        assert f"{name:20}{written[name]:>18}\n" in printed
    for name in ("Effective_MACs", "Effective_ACs", "Dense"):
        assert f"{name:20}{written['SynapticOperations'][name]:>18}\n" in printed
    assert "As NeuroBench 2.3 counts" in printed
    assert main(arguments) == 0
    assert "neurobench" not in json.loads(out.read_text())
    assert "NeuroBench" not in capsys.readouterr().out
