"""A penalty on firing: spikes that training doesn't make cost nothing later."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from evglif.neurons import SpikingNeuron
from evglif.training.losses import LossConfig


class FiringRates:
    """The mean firing rates of a network's layers in the training pass just run, with their gradients.

    Args:
        model: whose neurons are listened to, from now on.
    """

    def __init__(self, model: nn.Module) -> None:
        self._rates: list[Tensor] = []
        self._sizes: list[int] = []
        for module in model.modules():
            if isinstance(module, SpikingNeuron):
                module.register_forward_hook(self._listen)

    def _listen(self, neuron: nn.Module, _: tuple[Tensor, ...], spikes: Tensor) -> None:
        if neuron.training:  # not where the network, or a moving average with the same hooks, is judged
            self._rates.append(spikes.mean(dtype=torch.float32))
            self._sizes.append(spikes.numel())

    def penalty(self, config: LossConfig) -> Tensor:
        """What the pass adds to the loss, a scalar; its rates are then forgotten.

            L = λ·max(0, r − ν)²

        with λ = ``config.rate_weight``, ν = ``config.rate_target``, and r in spikes per neuron and time step: the mean
        over all neurons of the network (``rate_over="network"``), or that of a layer, L then being the mean over the
        layers (``"layer"``).

        Source: the upper bound on the activity of a population in Zenke and Vogels, Neural Computation 33(4), 2021.
        It leaves alone what fires less than ν, where a penalty on all spikes would silence layers that barely fire.

        Raises:
            ValueError: for a network without spiking neurons.
        """
        if not self._rates:
            raise ValueError("loss.rate_weight bounds firing, and this network has no spiking neurons; leave it at 0")
        rates, sizes = torch.stack(self._rates), self._sizes
        self._rates, self._sizes = [], []
        if config.rate_over == "network":
            rates = (rates.new_tensor(sizes) / sum(sizes) * rates).sum()
        return config.rate_weight * (rates - config.rate_target).clamp(min=0).square().mean()
