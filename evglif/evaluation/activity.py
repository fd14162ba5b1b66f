"""What the neurons of a network do on one sample, step by step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evglif.models import Network
from evglif.neurons import SpikingNeuron
from evglif.recurrence import Coefficients, Stored


@dataclass(frozen=True, eq=False)
class LayerActivity:
    """A layer of neurons on one sample.

    Attributes:
        spikes: whether each neuron fires at each step, ``[T, C, …]``.
        membrane: U of each neuron before the reset, in the unit of the threshold, ``[T, C, …]``.
        threshold: v, ``[C]``.
    """

    spikes: NDArray[np.bool_]
    membrane: NDArray[np.float32]
    threshold: NDArray[np.float32]

    @property
    def rates(self) -> NDArray[np.float64]:
        """Spikes a step of each neuron, ``[C, …]``: F of PLIF's appendix, over all steps."""
        mean: NDArray[np.float64] = self.spikes.mean(0)
        return mean


def activity(model: Network, frames: Tensor, layers: Collection[str] = ()) -> dict[str, LayerActivity]:
    """Run a network over one sample and keep what its neurons do.

    Args:
        model: in eval mode.
        frames: of the sample, ``[T, C, H, W]``.
        layers: names of neurons as in ``model.named_modules()``; none for all of them.

    Returns:
        Layer → what it did, in the order of the network.

    Raises:
        ValueError: for a layer that is none of neurons; those there are, are named.
    """
    neurons = {name: module for name, module in model.named_modules() if isinstance(module, SpikingNeuron)}
    unknown = [name for name in layers if name not in neurons]
    if unknown:
        raise ValueError(f"the network has no neurons called {unknown[0]!r}; it has {', '.join(neurons) or 'none'}")
    found: dict[str, LayerActivity] = {}
    with torch.inference_mode():
        hooks = [
            neuron.register_forward_hook(
                lambda neuron, inputs, _, name=name: found.update({name: _kept(neuron, inputs[0])})
            )
            for name, neuron in neurons.items()
            if not layers or name in layers
        ]
        try:
            model(frames[None])
        finally:
            for hook in hooks:
                hook.remove()
    return found


def _kept(neuron: SpikingNeuron, current: Tensor) -> LayerActivity:
    """The first sample of a current ``[T, B, C, …]``."""
    trace = neuron.trace(current[:, :1])
    threshold = _coefficients(neuron).threshold.expand(current.shape[2])
    spikes, membrane = (each[:, 0].cpu().numpy() for each in (trace.spikes, trace.membrane))
    return LayerActivity(spikes > 0, membrane.astype(np.float32), threshold.float().cpu().numpy())


def _coefficients(neuron: SpikingNeuron) -> Coefficients:
    given = neuron.parameterisation()
    return given.plain() if isinstance(given, Stored) else given
