"""A layer of neurons as a node of NIR: LIF, or IF where the membrane does not leak.

NIR's equations, integrated by Euler with a time step dt, are

    LIF     U[t] = V[t-1] + dt/τ·((v_leak − V[t-1]) + r·X[t])        spike at U > v_threshold, then V = v_reset
    IF      U[t] = V[t-1] + dt·r·X[t]                                the same

so a neuron fits where a spike's reset leaves the same membrane whatever it was before: r = a and g the same for all
steps. Then τ = dt/(1 − a) and its r = g·τ/dt, or r = g/dt for a = 1; what the leak and reset leave decides v_leak and
v_reset.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evglif.nir.neurons import EXACT
from evglif.recurrence import Coefficients

Values = dict[str, NDArray[np.float64]]


def neuron_node(
    nir: Any,
    coefficients: Values,
    rest: float,
    strict: bool,
    dt: float,
    shape: tuple[int, ...],
    where: str,
    subtracts: bool = False,
) -> Any:
    """The node of one layer, an ``LIF`` or an ``IF`` of the package ``nir``, its parameters float32 of ``shape``.

    Its metadata hold the coefficients by channel too, which float32's τ and r round: ``evglif.nir`` takes them.

    Raises:
        ValueError: see ``neuron_parameters``.
    """
    kind, parameters = neuron_parameters(coefficients, rest, strict, dt, where, subtracts)
    spread = {
        name: np.broadcast_to(value.reshape(-1, *(1,) * (len(shape) - 1)), shape).astype(np.float32)
        for name, value in parameters.items()
    }
    return getattr(nir, kind)(**spread, metadata=_exact(coefficients, shape[0]))


def _exact(coefficients: Values, channels: int) -> Values:
    gain = coefficients["gain"]
    by_channel = {**{name: coefficients[name] for name in EXACT}, "gain": gain[0] if gain.ndim == 2 else gain}
    return {name: np.broadcast_to(value, (channels,)).copy() for name, value in by_channel.items()}


def neuron_parameters(
    coefficients: Values, rest: float, strict: bool, dt: float, where: str, subtracts: bool = False
) -> tuple[str, Values]:
    """``"LIF"`` or ``"IF"``, and the parameters of that node for the coefficients of one layer, ``[C]``.

    With ``subtracts`` the reader takes the threshold away after a spike, whatever v_reset says: a soft reset.

    Raises:
        ValueError: where there is no such node; the reason is given, and ``where`` named.
    """
    a, b, g, r, d, v = (coefficients[field.name] for field in fields(Coefficients))
    if g.ndim == 2 and (g != g[:1]).any():
        raise ValueError(
            f"{where}: the input gain g^t changes from step to step (β > 0), which NIR's LIF cannot; "
            "export to onnx, or train with --neuron lif, plif, or gates '001', '101'"
        )
    if subtracts:
        if not ((a == 1).all() and not b.any() and not r.any() and np.allclose(d, v, rtol=1e-6) and rest == 0):
            raise ValueError(
                f"{where}: the reader takes the threshold away after a spike and decays by exp(−1/τ), which only IF "
                "with a soft reset agrees with; train with --neuron if"
            )
    elif not np.allclose(r, a, rtol=1e-6, atol=1e-7):
        raise ValueError(
            f"{where}: the reset leaves a share of the membrane (γ < 1, soft reset), which NIR's LIF and IF set to a "
            "fixed value; export to onnx, or train a neuron with hard reset"
        )
    gain = g[0] if g.ndim == 2 else g
    # NIR fires above its threshold, the neuron at it: the next number below is the same for fp32 membranes.
    threshold = v if strict else np.nextafter(v.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    common = {"v_threshold": threshold, "v_reset": np.zeros_like(v) if subtracts else _reset(a, d, rest, where)}
    if (a == 1).all() and (b == 0).all():
        return "IF", {"r": gain / dt, **common}
    if (a >= 1).any():
        raise ValueError(
            f"{where}: the membrane of some channels does not leak (decay 1), where NIR's LIF has a finite τ; export "
            "to onnx"
        )
    steps = 1 / (1 - a)  # After a spike: U = g·X − b − d, which Euler makes of v_reset; at rest likewise.
    return "LIF", {"tau": steps * dt, "r": gain * steps, "v_leak": -b * steps, **common}


def _reset(a: NDArray[np.float64], d: NDArray[np.float64], rest: float, where: str) -> NDArray[np.float64]:
    if (d[a == 0] != 0).any():
        raise ValueError(f"{where}: a reset by a fixed amount needs a membrane that keeps some of itself (decay 0)")
    with np.errstate(divide="ignore", invalid="ignore"):
        v_reset = np.where(a > 0, -d / a, 0.0)
    if not np.allclose(v_reset, rest):
        raise ValueError(f"{where}: the neuron rests at {rest:g} and is reset to {v_reset}; NIR begins at v_reset")
    return v_reset
