"""NIR's neurons as those of the recurrence: the values of every channel for a time step.

NIR's equations, integrated by Euler with a time step dt, the spike at U > v_threshold:

    LIF       U[t] = V[t-1] + dt/τ·((v_leak − V[t-1]) + r·X[t])
    IF        U[t] = V[t-1] + dt·r·X[t]
    CubaLIF   I[t] = I[t-1] + dt/τ_syn·(w_in·X[t] − I[t-1]), U[t] as of an LIF with τ_mem and I[t]

A current that decays, τ_syn > dt, is a second state, which the recurrence does not have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evglif.nir.file import FileNode

NEURONS = ("LIF", "IF", "CubaLIF")
EXACT = ("decay", "leak", "gain")
"""Of our own exports: coefficients by channel, in the metadata of a node, which float32's τ and r would round."""

Floats = NDArray[np.float64]
_NEAR = 1e-5


@dataclass(frozen=True)
class Values:
    """Of one layer, ``[C]`` each but for ``rest``.

    Attributes:
        decay: a.
        leak: b.
        gain: g.
        v_th: V_th.
        rest: where the membrane begins and is reset to.
    """

    decay: Floats
    leak: Floats
    gain: Floats
    v_th: Floats
    rest: float


def neuron_values(node: FileNode, shape: tuple[int, ...], dt: float) -> Values:
    """The values of a LIF, IF or CubaLIF.

    Args:
        node: one of ``NEURONS``.
        shape: of what comes in, (C, H, W) or (F,).
        dt: time step, s.

    Raises:
        ValueError: for parameters of another shape, that differ inside a channel or that no decay in [0, 1] belongs
            to, thresholds not above the reset value, and currents that decay.
    """

    def take(name: str, usual: float | None = None) -> Floats:
        return _by_channel(node, name, node.array(name, usual), shape)

    resets, thresholds = take("v_reset", 0.0), take("v_threshold")
    rest = float(resets[0])
    if (resets != rest).any():  # membranes are counted from their own
        rest = 0.0
    offset = resets - rest
    if node.kind == "IF":
        decay, leak, gain = np.ones_like(offset), np.zeros_like(offset), take("r") * dt
    else:
        share = _share(node, "tau" if node.kind == "LIF" else "tau_mem", take, dt)
        gain = take("r") * share
        if node.kind == "CubaLIF":
            if (_share(node, "tau_syn", take, dt) < 1 - _NEAR).any():
                raise ValueError(
                    f"{node.name}: its current decays with a τ_syn above the time step of {dt:g} s, which is a second "
                    "state, and neurons here have one; train it with LIF (snnTorch's Leaky, SpikingJelly's LIFNode)"
                )
            gain = gain * take("w_in", 1.0)
        decay, leak = 1 - share, -(take("v_leak") - offset) * share
    found = Values(decay, leak, gain, thresholds - offset, rest)
    if (found.v_th <= rest).any():
        raise ValueError(f"{node.name}: v_threshold is not above v_reset everywhere, so that it would fire for ever")
    return _exactly(node, found)


def _share(node: FileNode, name: str, take: Any, dt: float) -> Floats:
    """dt/τ, which a membrane loses in a step."""
    tau = take(name)
    if (tau <= 0).any():
        raise ValueError(f"{node.name}: {name} must be above 0, got {tau.min():g}")
    share: Floats = dt / tau
    if (share > 1 + _NEAR).any():
        raise ValueError(
            f"{node.name}: {name} of {tau.min():g} s is below the time step of {dt:g} s; state the one that it was "
            "written for (--dt): 1e-4 of snnTorch and SpikingJelly, 1 where τ is in steps"
        )
    return np.minimum(share, 1)


def _by_channel(node: FileNode, name: str, array: Floats, shape: tuple[int, ...]) -> Floats:
    if array.size == 1:
        return np.full(shape[0], float(array.reshape(())))
    given = tuple(array.shape)
    while len(given) > len(shape) and given[0] == 1:  # a batch
        given = given[1:]
    if given not in (shape, shape[:1], (shape[0], *(1,) * (len(shape) - 1))):
        raise ValueError(f"{node.name}: {name} is {list(array.shape)}, for {list(shape)} neurons")
    rows = array.reshape(shape[0], -1)
    if (rows != rows[:, :1]).any():
        raise ValueError(f"{node.name}: {name} differs within a channel; neurons here share their values in one")
    return rows[:, 0]


def _exactly(node: FileNode, found: Values) -> Values:
    """The coefficients that the metadata state, where they are those of the parameters but for rounding."""
    values = {"decay": found.decay, "leak": found.leak, "gain": found.gain}
    stated: dict[str, Floats] = {}
    for name in EXACT:
        given, value = node.metadata.get(name), values[name]
        if not isinstance(given, np.ndarray) or given.dtype.kind != "f" or given.shape != value.shape:
            return found
        stated[name] = given.astype(np.float64)
        if not np.allclose(stated[name], value, rtol=_NEAR, atol=_NEAR):
            return found
    return replace(found, **stated)  # type: ignore[arg-type]
