"""The neurons, and the specification by which a network asks for one."""

from __future__ import annotations

from dataclasses import dataclass

from evglif.neurons.base import SHARINGS, SpikingNeuron
from evglif.neurons.glif import GLIF
from evglif.neurons.lif import LIF
from evglif.neurons.plif import PLIF

__all__ = ["GLIF", "LIF", "NEURONS", "PLIF", "NeuronSpec", "SpikingNeuron", "build_neuron"]

NEURONS = ("glif", "plif", "lif")


@dataclass(frozen=True)
class NeuronSpec:
    """Which neuron a network is built of; every layer gets its own.

    Attributes:
        name: one of ``NEURONS``.
        sharing: GLIF: ``"channel"`` or ``"layer"``.
        gates: GLIF: ``"learned"``, ``"static"`` or a binary code such as ``"101"``.
        init: GLIF: a row of Table 7, ``"cifar"``, ``"imagenet-t4"``, ``"imagenet-t6"`` or ``"cifar10dvs"``.
        tau: PLIF: initial time constant τ₀, steps. LIF leaks 1/τ per step.
        v_th: PLIF and LIF: threshold.

    Raises:
        ValueError: for an unknown name or sharing; other values are checked by the neuron itself.
    """

    name: str = "glif"
    sharing: str = "channel"
    gates: str = "learned"
    init: str = "cifar10dvs"
    tau: float = 2.0
    v_th: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in NEURONS:
            raise ValueError(f"unknown neuron {self.name!r}; choose one of {', '.join(NEURONS)}")
        if self.sharing not in SHARINGS:
            raise ValueError(f"unknown sharing {self.sharing!r}; choose one of {', '.join(SHARINGS)}")


def build_neuron(spec: NeuronSpec, channels: int, steps: int) -> SpikingNeuron:
    """A fresh neuron layer for a current ``[T, B, C, …]`` of ``steps`` time steps and ``channels`` channels."""
    match spec.name:
        case "glif":
            return GLIF(channels, steps, spec.sharing, spec.gates, spec.init)
        case "plif":
            return PLIF(spec.tau, spec.v_th)
        case _:
            return LIF(1 - 1 / spec.tau, spec.v_th)
