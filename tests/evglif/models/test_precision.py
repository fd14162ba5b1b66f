"""Every network in half precision, and compiled."""

import shutil

import pytest
import torch

from evglif.models import MODELS
from evglif.neurons import SpikingNeuron
from tests.helpers.networks import NARROW, awake, inputs, narrow

SMALLEST = {
    **{name: {"repeats": (1,), "widths": (4,), "strides": (1,)} for name in NARROW if "resnet" in name},
    "plif-cifar10": {"stages": (1,)},
    "plif-dvs128gesture": {"stages": (1,), "size": (8, 8)},
}
"""One block or stage: a compiler takes its time over every layer."""


def gradients(model, logits):
    model.zero_grad()
    logits.float().square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", MODELS)
def test_under_autocast_currents_are_bf16_and_membranes_fp32(name):
    model, currents = narrow(name), []
    for module in model.modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_pre_hook(lambda neuron, x: currents.append((neuron, x[0].detach())))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(inputs(model))
        assert logits.isfinite().all()
        halves = [(neuron, current) for neuron, current in currents if current.dtype == torch.bfloat16]
        neuron, current = halves[0]
        assert neuron.trace(current).membrane.dtype == torch.float32
        assert neuron(current).dtype == torch.bfloat16
    found = gradients(model, logits)
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in found.values())
    assert len(halves) >= len(currents) - 2


def compiled_equals_eager(name, backend):
    torch._dynamo.reset()
    model = awake(narrow(name, **SMALLEST.get(name, {})))
    x = inputs(model)
    expected = model(x)
    assert len(expected.unique()) > 1
    of_eager = gradients(model, expected)
    logits = torch.compile(model, fullgraph=True, backend=backend)(x)
    torch.testing.assert_close(logits, expected)
    of_compiled = gradients(model, logits)
    for path, gradient in of_eager.items():
        torch.testing.assert_close(of_compiled[path], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "plif-mnist"])
def test_a_compiled_network_is_one_graph_and_equals_the_eager_one(name):
    compiled_equals_eager(name, "aot_eager")


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MODELS)
def test_every_compiled_network_is_one_graph_and_equals_the_eager_one(name):
    compiled_equals_eager(name, "aot_eager")


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile's own backend needs a C++ compiler")
@pytest.mark.parametrize("name", ["resnet18", "plif-mnist"])
def test_the_default_compiler_gives_the_eager_networks_logits(name):
    compiled_equals_eager(name, "inductor")
