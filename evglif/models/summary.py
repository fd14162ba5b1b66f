"""What a network costs: shapes, parameters, neurons and multiply-accumulates, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode  # torch documents it under this name

from evglif.layers import SpikeProducts, TokenSelection
from evglif.models.base import Network
from evglif.models.notation import layer_notation
from evglif.neurons import ReLU, SpikingNeuron

_SUMS = (nn.Conv2d, nn.Linear, TokenSelection, SpikeProducts)


@dataclass(frozen=True)
class LayerSummary:
    """One layer, as the papers' notation names it: a unit, a block, a pooling, a linear layer.

    Attributes:
        name: in that notation.
        shape: of its output, of one sample and time step: ``(C, H, W)`` or ``(F,)``.
        num_parameters: learnt values.
        num_neurons: C·H·W of its neurons; every place of every channel is a neuron. A ReLU counts as one.
        num_macs: multiply-accumulates of its convolutions, linear layers and attention for one sample, all time steps
            together, as if no input were zero. What is worked out once, not T times, is counted once.
    """

    name: str
    shape: tuple[int, ...]
    num_parameters: int
    num_neurons: int
    num_macs: int


@dataclass(frozen=True)
class Summary:
    """A network and its layers.

    Attributes:
        notation: the whole network in the papers' notation.
        input: of one time step, ``(C, H, W)``.
        steps: T.
        layers: from the first to the last.
    """

    notation: str
    input: tuple[int, int, int]
    steps: int
    layers: tuple[LayerSummary, ...]

    @property
    def num_parameters(self) -> int:
        """Learnt values of all layers."""
        return sum(layer.num_parameters for layer in self.layers)

    @property
    def num_neurons(self) -> int:
        """Neurons of all layers."""
        return sum(layer.num_neurons for layer in self.layers)

    @property
    def macs_per_step(self) -> float:
        """Multiply-accumulates of one sample over its time steps."""
        return sum(layer.num_macs for layer in self.layers) / self.steps

    @property
    def first_share(self) -> float:
        """Share of the first layer, whose inputs are numbers, not spikes: these cannot become additions."""
        return self.layers[0].num_macs / self.steps / self.macs_per_step


def summarise(model: Network) -> Summary:
    """Measure a network by a run without numbers: tensors have a shape and no memory, and nothing is computed."""
    spec = model.spec
    steps = 1 if spec.encoder != "frames" else spec.steps
    still = (spec.in_channels, spec.size[1], spec.size[0])
    with _output_shapes(model) as shapes, FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        model(torch.empty(1, steps, *still))
    layers = (_layer(layer, shapes) for layer in model.layers() if layer_notation(layer))
    return Summary(model.notation(), still, spec.steps, tuple(layers))


@contextmanager
def _output_shapes(model: nn.Module) -> Iterator[dict[nn.Module, torch.Size]]:
    """Shape of every module's output, of one sample; the model is in eval mode within."""
    shapes: dict[nn.Module, torch.Size] = {}

    def keep(module: nn.Module, _: object, output: Tensor) -> None:
        shapes[module] = output.shape

    modes = {module: module.training for module in model.modules()}
    hooks = [module.register_forward_hook(keep) for module in modes]
    try:
        model.eval()
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training


def _layer(layer: nn.Module, shapes: dict[nn.Module, torch.Size]) -> LayerSummary:
    parts = list(layer.modules())
    return LayerSummary(
        name=layer_notation(layer),
        shape=_of_one_step(shapes[layer]),
        num_parameters=sum(parameter.numel() for parameter in layer.parameters()),
        num_neurons=sum(prod(shapes[part][2:]) for part in parts if isinstance(part, SpikingNeuron | ReLU)),
        num_macs=sum(shapes[part].numel() * _fan_in(part) for part in parts if isinstance(part, _SUMS)),
    )


def _of_one_step(shape: torch.Size) -> tuple[int, ...]:
    """``[T, B, C, H, W]`` → (C, H, W); ``[T, B, F]``, or ``[B, F]`` behind the mean over time → (F,)."""
    return tuple(shape[-3:] if len(shape) == 5 else shape[-1:])


def _fan_in(layer: nn.Module) -> int:
    """Products in one value of the output."""
    if isinstance(layer, TokenSelection | SpikeProducts):
        return layer.products
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    return layer.weight[0].numel()
