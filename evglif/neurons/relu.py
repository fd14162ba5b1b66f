"""ReLU in a neuron's place: the ANN twin that a spiking network is compared with."""

from __future__ import annotations

from torch import nn


class ReLU(nn.ReLU):
    """max(0, X) at every time step, with neither membrane nor threshold.

    A network with it has the same convolutions and norms as its spiking twins, and takes the same frames.
    """

    notation = "ReLU"
    steps = None
