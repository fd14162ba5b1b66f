"""How much the neurons of a network fire, counted layer by layer while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evglif.neurons import SpikingNeuron


@dataclass(frozen=True)
class LayerFiring:
    """The firing of one layer over all samples.

    Attributes:
        num_neurons: C·H·W; every place of every channel is a neuron.
        rate: mean spikes per neuron and time step.
        silent: share of the neurons that never fired, for no sample.
        by_step: the rate at each of the T steps.
        spikes: mean spikes per sample, all steps together.
    """

    num_neurons: int
    rate: float
    silent: float
    by_step: tuple[float, ...]
    spikes: float


class LayerCounter:
    """Counts the spikes of one layer; its memory is one integer per neuron."""

    def __init__(self) -> None:
        self.num_samples = 0
        self.of_neurons = torch.zeros(0, dtype=torch.int64)
        self.of_steps = torch.zeros(0, dtype=torch.int64)

    def count(self, spikes: Tensor) -> None:
        """Add the spikes ``[T, B, C, …]`` of one batch."""
        # Sums over a batch are small enough to be exact in float32, and then no integer copy of the spikes is made.
        per_step = spikes.sum(1, dtype=torch.float32).flatten(1).to(torch.int64)
        if self.num_samples == 0:
            self.of_steps, self.of_neurons = per_step.sum(1), per_step.sum(0)
        else:
            self.of_steps += per_step.sum(1)
            self.of_neurons += per_step.sum(0)
        self.num_samples += spikes.shape[1]

    def result(self) -> LayerFiring:
        """The figures of all that was counted."""
        steps, neurons = len(self.of_steps), len(self.of_neurons)
        total = int(self.of_neurons.sum())
        return LayerFiring(
            num_neurons=neurons,
            rate=total / (self.num_samples * neurons * steps),
            silent=int((self.of_neurons == 0).sum()) / neurons,
            by_step=tuple(count / (self.num_samples * neurons) for count in self.of_steps.tolist()),
            spikes=total / self.num_samples,
        )


class Firing:
    """The counters of a network's layers, in the order in which they first ran."""

    def __init__(self) -> None:
        self.counters: dict[str, LayerCounter] = {}

    def count(self, layer: str, spikes: Tensor) -> None:
        """Add the spikes ``[T, B, C, …]`` of one call of a layer."""
        self.counters.setdefault(layer, LayerCounter()).count(spikes)

    def layers(self) -> dict[str, LayerFiring]:
        """Layer → its figures; a network without spiking neurons has none."""
        return {layer: counter.result() for layer, counter in self.counters.items()}


@contextmanager
def count_spikes(model: nn.Module) -> Iterator[Firing]:
    """Count the spikes of all neurons of ``model`` inside the ``with`` block."""
    firing = Firing()
    hooks = [
        module.register_forward_hook(lambda _, __, spikes, layer=name: firing.count(layer, spikes))
        for name, module in model.named_modules()
        if isinstance(module, SpikingNeuron)
    ]
    try:
        yield firing
    finally:
        for hook in hooks:
            hook.remove()
