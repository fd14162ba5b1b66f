"""The primitives of GLIF and GLIF_f: their initial values per data set, one set per channel or per layer."""

from __future__ import annotations

from collections.abc import Mapping

from evglif.neurons.base import SpikingNeuron, num_shared
from evglif.neurons.domains import UNIT

PRIMITIVES = ("tau_exp", "tau_lin", "v_th", "v_re", "g")

INITIAL_VALUES: dict[str, dict[str, float]] = {
    "cifar": {"v_th": 0.5, "v_re": 0.5, "g": 0.5, "tau_exp": 0.25, "tau_lin": 0.0625},
    "imagenet-t4": {"v_th": 0.5, "v_re": 0.5, "g": 0.5, "tau_exp": 0.25, "tau_lin": 0.0625},
    "imagenet-t6": {"v_th": 0.5, "v_re": 0.5, "g": 0.9, "tau_exp": 0.25, "tau_lin": 0.0625},
    "cifar10dvs": {"v_th": 0.99999, "v_re": 0.99999, "g": 0.9, "tau_exp": 0.5, "tau_lin": 0.03125},
}
"""Initial primitives per data set (GLIF, appendix, Table 7). The table's 1.0 has no inverse sigmoid: .99999 stands for
it, as in the published code; its gradient is then nearly nought, so V_th and V_re hardly learn on CIFAR10-DVS."""


def declare_primitives(
    neuron: SpikingNeuron, channels: int, steps: int, sharing: str, init: str | Mapping[str, float]
) -> None:
    """Give a neuron the five primitives, learnt through sigmoids: ``[C]`` or ``[1]``, and g ``[T, C]`` or ``[T, 1]``.

    Raises:
        ValueError: for an unknown sharing or init, or a count below one.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    shared, initial = num_shared(channels, sharing), _initial(init)
    for name in PRIMITIVES:
        shape = (steps, shared) if name == "g" else (shared,)
        neuron.declare(name, initial[name], UNIT, shape, stored_as=f"logits.{name}")


def _initial(init: str | Mapping[str, float]) -> Mapping[str, float]:
    if isinstance(init, str):
        if init not in INITIAL_VALUES:
            raise ValueError(f"unknown init {init!r}; choose one of {', '.join(INITIAL_VALUES)} or give the values")
        return INITIAL_VALUES[init]
    if set(init) != set(PRIMITIVES):
        raise ValueError(f"init must give {', '.join(PRIMITIVES)}, each in [0, 1]; got {dict(init)}")
    return init
