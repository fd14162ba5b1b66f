"""What gates and primitives have learnt: the values of every neuron layer beside those of a fresh network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evglif.models import Network, model_from_spec
from evglif.neurons import SpikingNeuron

SYMBOLS = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "tau_exp": "τ_exp",
    "tau_lin": "τ_lin",
    "v_th": "V_th",
    "v_re": "V_re",
    "g": "g^t",
    "tau": "τ",
}
"""Name of a value → how the papers write it; a neuron of one's own may have others."""

MEANINGS = {
    "alpha": "gate from linear (0) to exponential (1) decay",
    "beta": "gate from uniform (0) to time-dependent (1) input",
    "gamma": "gate from soft (0) to hard (1) reset",
    "tau_exp": "exponential decay",
    "tau_lin": "linear decay per step",
    "v_th": "threshold",
    "v_re": "soft-reset voltage",
    "g": "conductance, all steps",
    "tau": "membrane decay of LIF, time constant in steps of PLIF",
}


@dataclass(frozen=True, eq=False)
class NeuronValue:
    """One value of one neuron layer, in natural units.

    Attributes:
        layer: name of the neuron in the network.
        name: of the value, a key of ``SYMBOLS`` for the papers' neurons.
        learnt: whether training changes it.
        values: ``[C]`` or ``[1]``, a gain per step ``[T, C]`` or ``[T, 1]``.
        start: the same in a fresh network of the same specification. Gates start at random: these are other draws.
    """

    layer: str
    name: str
    learnt: bool
    values: NDArray[np.float64]
    start: NDArray[np.float64]


@dataclass(frozen=True)
class ValueRow:
    """Mean, standard deviation and range over the channels of a layer, at one step where there are steps.

    Attributes:
        layer, name, learnt: as of the ``NeuronValue``.
        step: t = 1…T; None for a value that all steps share, and for all steps of g^t together.
        num: how many values were summed up.
        start: their mean in a fresh network.
        mean, std, low, high: of the values; the standard deviation is that of all there are.
    """

    layer: str
    name: str
    learnt: bool
    step: int | None
    num: int
    start: float
    mean: float
    std: float
    low: float
    high: float


def neuron_values(model: Network) -> list[NeuronValue]:
    """All values of all neurons of a network, layer by layer; none for a network without spiking neurons."""
    with torch.random.fork_rng(devices=[]):
        fresh = dict(_neurons(model_from_spec(model.spec)))
    with torch.inference_mode(False), torch.enable_grad():  # what needs a gradient is what is learnt
        return [
            NeuronValue(layer, name, neuron.natural(name).requires_grad, _array(value), _array(start))
            for layer, neuron in _neurons(model)
            for (name, value), start in zip(neuron.values().items(), fresh[layer].values().values(), strict=True)
        ]


def value_rows(values: Sequence[NeuronValue]) -> list[ValueRow]:
    """A row for every value, and for a value with steps one more for each of them."""
    rows = []
    for value in values:
        rows.append(_row(value, None, value.values, value.start))
        if value.values.ndim == 2:
            of_steps = zip(value.values, value.start, strict=True)
            rows += [_row(value, step, now, start) for step, (now, start) in enumerate(of_steps, 1)]
    return rows


def values_table(rows: Sequence[ValueRow]) -> str:
    """The values as text: a block per value, a line per layer in it, and then g^t step by step."""
    names = list(dict.fromkeys(row.name for row in rows))
    width = max([5, *(len(row.layer) for row in rows)])
    blocks = [_block(name, [row for row in rows if row.name == name], width) for name in names]
    return "\n\n".join(blocks) or "the network has no spiking neurons, and so no values of theirs"


def _block(name: str, rows: Sequence[ValueRow], width: int) -> str:
    kind = "learnt" if any(row.learnt for row in rows) else "fixed"
    lines = [
        f"{SYMBOLS.get(name, name)}: {MEANINGS.get(name, name)}, {kind}",
        f"  {'layer':<{width}}{'num':>7}{'start':>9}{'mean':>9}{'std':>9}{'min':>9}{'max':>9}",
    ]
    lines += [
        f"  {row.layer:<{width}}{row.num:>7}" + "".join(f"{x:9.4f}" for x in _figures(row))
        for row in rows
        if row.step is None
    ]
    steps = sorted({row.step for row in rows if row.step is not None})
    if steps:
        lines += ["", f"  {SYMBOLS.get(name, name)}, mean over channels", f"  {'t':<{width}}" + _cells(steps, "7")]
        for layer in dict.fromkeys(row.layer for row in rows):
            means = [row.mean for row in rows if row.layer == layer and row.step is not None]
            lines.append(f"  {layer:<{width}}" + _cells(means, "7.3f"))
    return "\n".join(lines)


def _figures(row: ValueRow) -> tuple[float, ...]:
    return row.start, row.mean, row.std, row.low, row.high


def _cells(values: Sequence[float], form: str) -> str:
    return "".join(f"{value:{form}}" for value in values)


def _row(value: NeuronValue, step: int | None, now: NDArray[np.float64], start: NDArray[np.float64]) -> ValueRow:
    figures = float(start.mean()), float(now.mean()), float(now.std()), float(now.min()), float(now.max())
    return ValueRow(value.layer, value.name, value.learnt, step, now.size, *figures)


def _neurons(model: Network) -> list[tuple[str, SpikingNeuron]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, SpikingNeuron)]


def _array(value: torch.Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = value.double().cpu().numpy()
    return array
