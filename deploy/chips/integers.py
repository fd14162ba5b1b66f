"""A network in the whole numbers of a chip, and what it answers.

At every time step a neuron adds what came in, fires as often as its threshold goes into its membrane, and loses so
many thresholds, or everything:

    V ← V + W·X + b        n = ⌊V/θ⌋ where V > 0, else 0        V ← V − n·θ, or 0 where n > 0        V ← max(V, V_low)

as sinabs simulates its chips. Chips take one event at a time, so that within a step the order of events decides too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from deploy.chips.layers import INPUT, Layer
from deploy.chips.target import Chip


@dataclass(frozen=True)
class IntegerLayer:
    """A layer with neurons, in whole numbers that are stored as float32, which holds them exactly.

    Attributes:
        layer: what it was.
        weight, bias: ``[O, C, h, w]`` and ``[O]``.
        threshold: θ.
        lowest: V_low.
    """

    layer: Layer
    weight: Tensor
    bias: Tensor
    threshold: float
    lowest: float


def in_integers(layer: Layer, chip: Chip, lowest: float | None = None) -> IntegerLayer:
    """The largest scale by which weights, biases and the threshold of 1 fit into their bits, and all rounded by it.

    Args:
        layer: one with neurons.
        chip: whose bits.
        lowest: V_low in thresholds; the end of the range of membranes by default.

    Source: sinabs 3.1.3, ``backend.dynapcnn.discretize``.
    """
    ends = [_scale(layer.weight, chip.weight_bits), _scale(layer.bias, chip.weight_bits)]
    thresholds = np.array([1.0] if lowest is None else [lowest, 1.0])
    scale = min(*ends, _scale(thresholds, chip.state_bits))
    weight, bias = (torch.from_numpy(np.round(value * scale)).float() for value in (layer.weight, layer.bias))
    bottom = -(2.0 ** (chip.state_bits - 1)) if lowest is None else float(np.round(lowest * scale))
    return IntegerLayer(layer, weight, bias, max(float(np.round(scale)), 1.0), bottom)


def _scale(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], bits: int) -> float:
    low, high = -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    found = [low / values.min()] if values.min() < 0 else []
    found += [high / values.max()] if values.max() > 0 else []
    return min(found, default=np.inf)


def simulate(layers: list[Layer], made: dict[str, IntegerLayer], frames: Tensor, once: bool = False) -> Tensor:
    """Logits ``[B, K]`` of frames ``[B, T, C, H, W]``: mean spikes of the last layer, or what the host makes of them.

    Args:
        layers: of the network.
        made: those with neurons, by their names.
        frames: in events.
        once: let neurons fire once a step at most, as the network that they come from; what is left is the rounding.
    """
    membranes: dict[str, Tensor] = {}
    total: Tensor | None = None
    for frame in frames.unbind(1):
        spikes = {INPUT: frame}
        for layer in layers:
            given = torch.stack([_summed(spikes[source.layer], source.pool) for source in layer.sources]).sum(0)
            given = given.reshape(len(given), *layer.input)
            if layer.reset:
                spikes[layer.name] = _fire(made[layer.name], given, membranes, once)
            else:
                weight, bias = (torch.from_numpy(value).float() for value in (layer.weight, layer.bias))
                spikes[layer.name] = F.conv2d(given, weight, bias, layer.stride, layer.padding)
        last = spikes[layers[-1].name].flatten(1)
        total = last if total is None else total + last
    assert total is not None
    return total / frames.shape[1]


def _summed(spikes: Tensor, pool: int) -> Tensor:
    return spikes if pool == 1 else F.avg_pool2d(spikes, pool, divisor_override=1)


def _fire(made: IntegerLayer, given: Tensor, membranes: dict[str, Tensor], once: bool) -> Tensor:
    name, layer = made.layer.name, made.layer
    current = F.conv2d(given, made.weight, made.bias, layer.stride, layer.padding)
    membrane = membranes.get(name, torch.zeros_like(current)) + current
    fired = (membrane / made.threshold).floor().clamp(0, 1 if once else None)
    kept = membrane - fired * made.threshold if layer.reset == "subtract" else membrane * (fired == 0)
    membranes[name] = kept.clamp(min=made.lowest)
    return fired
