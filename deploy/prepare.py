"""From a checkpoint to the graph that is exported: constant coefficients, neurons as operators or arithmetic."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import fields
from importlib.metadata import version

import torch
from torch import Tensor, nn

import evglif
from deploy.metadata import ModelMetadata
from evglif.checkpoint import Checkpoint
from evglif.models import Network, NetworkSpec, spec_to_dict
from evglif.neurons import SpikingNeuron
from evglif.recurrence import Coefficients, spiking_recurrence

PACKAGES = ("torch", "onnx", "onnxscript", "numpy")


@torch.library.custom_op("evglif_deploy::recurrence", mutates_args=())
def recurrence(
    current: Tensor,
    decay: Tensor,
    leak: Tensor,
    gain: Tensor,
    hard_reset: Tensor,
    soft_reset: Tensor,
    threshold: Tensor,
    rest: float,
    strict: bool,
) -> Tensor:
    """The recurrence of ``evglif.recurrence`` as one node of an exported graph, forward only."""
    coefficients = Coefficients(decay, leak, gain, hard_reset, soft_reset, threshold)
    return spiking_recurrence(current, coefficients, strict=strict, backend="reference", initial=rest)


@recurrence.register_fake
def _(current: Tensor, *_: object) -> Tensor:
    return torch.empty_like(current)


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
            spikes: Tensor = torch.ops.evglif_deploy.recurrence(current, *values, self.rest, self.strict)
            return spikes
        return spiking_recurrence(
            current, Coefficients(*values), strict=self.strict, backend="reference", initial=self.rest
        )


def freeze(model: Network, as_operator: bool) -> Network:
    """A copy of a model in eval mode with every neuron frozen; the model itself stays as it is."""
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    _freeze_children(frozen, as_operator)
    return frozen


def _freeze_children(module: nn.Module, as_operator: bool) -> None:
    for name, child in module.named_children():
        if isinstance(child, SpikingNeuron):
            setattr(module, name, FrozenNeuron(child, as_operator))
        else:
            _freeze_children(child, as_operator)


def example_frames(model: Network, batch: int = 2) -> Tensor:
    """Seeded frames ``[B, T, C, H, W]`` that look like event counts; a batch of two keeps the batch size open."""
    spec = model.spec
    generator = torch.Generator().manual_seed(0)
    rates = torch.full((batch, spec.steps, spec.in_channels, spec.size[1], spec.size[0]), 0.5)
    return torch.poisson(rates, generator)


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
