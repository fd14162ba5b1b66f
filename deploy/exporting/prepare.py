"""From a checkpoint to the graph that is exported: constant coefficients, neurons as operators or arithmetic."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import fields
from importlib.metadata import version

import torch
from torch import Tensor, nn

import evglif
from deploy.exporting import operators
from deploy.running.metadata import ModelMetadata
from evglif.checkpoint import Checkpoint
from evglif.layers.norms import TdBatchNorm2d
from evglif.models import Network, NetworkSpec, spec_to_dict
from evglif.neurons import SpikingNeuron
from evglif.recurrence import Coefficients, spiking_recurrence

PACKAGES = ("torch", "onnx", "numpy")


class FrozenNeuron(nn.Module):
    """A neuron whose coefficients have become constants.

    Args:
        neuron: any neuron of the package.
        as_operator: run as the one operator ``evglif_deploy::recurrence``, for an exporter that translates it;
            otherwise as plain tensor arithmetic, step by step.
    """

    def __init__(self, neuron: SpikingNeuron, as_operator: bool) -> None:
        super().__init__()
        coefficients = neuron.coefficients()
        for field in fields(coefficients):
            self.register_buffer(field.name, getattr(coefficients, field.name).detach().clone())
        self.rest, self.strict = neuron.rest, neuron.strict
        self.as_operator = as_operator

    def forward(self, current: Tensor) -> Tensor:
        """Spikes ``[T, B, C, …]`` for a current of the same shape."""
        values = [self.get_buffer(field.name) for field in fields(Coefficients)]
        if self.as_operator:
            spikes: Tensor = operators.recurrence(current, *values, self.rest, self.strict)
            return spikes
        return spiking_recurrence(
            current, Coefficients(*values), strict=self.strict, backend="reference", initial=self.rest
        )


def freeze(model: Network, as_operator: bool) -> Network:
    """A copy of a model in eval mode with every neuron frozen; the model itself stays as it is."""
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    for name, module in list(frozen.named_modules()):
        if isinstance(module, SpikingNeuron):
            frozen.set_submodule(name, FrozenNeuron(module, as_operator))
    return frozen


def prepared(model: Network, fold: bool) -> Network:
    """A copy of a model in eval mode, whose norms are plain ones or are folded into the convolutions before them.

    tdBN's scale becomes part of the weight, bit for bit what tdBN works out. A norm without a convolution before it, on
    an identity shortcut, stays. Folded weights are worked out in float64; still, currents differ from the model's in
    their last bits, and where one lies at a threshold, so does a spike.
    """
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    for name, module in list(copied.named_modules()):
        if isinstance(module, TdBatchNorm2d):
            module.norm.weight.mul_(module.scale)
            copied.set_submodule(name, module.norm)
    for module in copied.modules() if fold else ():
        conv, norm = getattr(module, "conv", None), getattr(module, "norm", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.norm = _folded(conv, norm), nn.Identity()
    return copied


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - factor * norm.running_mean.double()
    folded = copy.deepcopy(conv)
    folded.weight = nn.Parameter((conv.weight.double() * factor.view(-1, 1, 1, 1)).float(), requires_grad=False)
    folded.bias = nn.Parameter(shift.float(), requires_grad=False)
    return folded


def check_exportable(model: Network) -> None:
    """Make sure that a model gives the same answer to the same input.

    Raises:
        ValueError: for the Poisson code, which draws spikes at random.
    """
    if model.spec.encoder == "poisson":
        raise ValueError(
            f"{model.spec.name} codes images as random spikes (encoder poisson), so no exported file could be checked "
            "against it; train it with the encoder direct or latency"
        )


def example_frames(model: Network, batch: int = 2) -> Tensor:
    """Seeded frames ``[B, T, C, H, W]`` that look like event counts, or images; two samples keep the batch size open.

    An image is a frame with T = 1 and values in [0, 1].
    """
    spec = model.spec
    generator = torch.Generator().manual_seed(0)
    still = spec.encoder != "frames"
    shape = (batch, 1 if still else spec.steps, spec.in_channels, spec.size[1], spec.size[0])
    return torch.rand(shape, generator=generator) if still else torch.poisson(torch.full(shape, 0.5), generator)


def describe(checkpoint: Checkpoint) -> ModelMetadata:
    """The description of an exported checkpoint; classes are numbered where the checkpoint has no names."""
    spec, data = checkpoint.model.spec, checkpoint.data
    return ModelMetadata(
        classes=data.classes if data else tuple(str(label) for label in range(spec.num_classes)),
        steps=spec.steps,
        size=spec.size,
        channels=_channels(spec),
        scale=data.scale if data else 1.0,
        sensor=data.sensor if data else None,
        preprocessing=data.preprocessing if data else None,
        model=spec_to_dict(spec),
        versions={"evglif": evglif.__version__, **{package: version(package) for package in PACKAGES}},
        weights_sha256=weights_sha256(checkpoint.model),
        metrics=checkpoint.metrics,
        sensor_from=data.sensor_from if data else "",
        sensor_of=data.sensor_of if data else "",
    )


def _channels(spec: NetworkSpec) -> tuple[str, ...]:
    if spec.encoder == "frames" and spec.in_channels == 2:
        return ("OFF", "ON")
    images = {1: ("gray",), 3: ("red", "green", "blue")}
    return images.get(spec.in_channels, tuple(str(channel) for channel in range(spec.in_channels)))


def weights_sha256(model: Network) -> str:
    """SHA-256 over a model's state in the order of its names: each name in UTF-8, then its values as stored."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
