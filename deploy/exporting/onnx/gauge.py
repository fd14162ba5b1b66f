"""The recurrence in other variables, in which a time step takes fewer operations.

With a scale s[t] > 0 and an offset c per channel, W[t] = (U[t] + c) / s[t] obeys a recurrence of the same form:

    W[t] = a'·W[t-1] + k + x·X[t] − S[t-1]·(r'·W[t-1] + d')        S[t] = 1 if W[t] > θ, else 0

    a' = a·s[t-1]/s[t]      k = (c·(1 − a) − b)/s[t]      x = g[t]/s[t]
    r' = r·s[t-1]/s[t]      d' = (d − r·c)/s[t]           θ = (v + c)/s[t]

With c = d/r nothing is left of d', so that W[t] = (a' − r'·S)·W + …; s[t] = g[t] takes the gain away, s = v + c makes
the threshold one. Everything is worked out in float64 and rounded at last: in exact arithmetic the spikes are the same,
in fp32 they are where no membrane lies within rounding of its threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deploy.exporting.onnx.neuron_nodes import NeuronConstants

Values = NDArray[np.float64]
LARGEST_OFFSET = 8.0
"""|c| in thresholds: beyond it, U + c would cost more than three bits of the membrane."""
LEAST_SCALE = 2.0**-20
"""Below it, what is divided by a scale could leave the range of fp32."""


@dataclass(frozen=True)
class Gauged:
    """Coefficients of W, each ``[T, C]``; row 0 of the shift holds what the membrane before the first step adds.

    Attributes:
        scale: s.
        offset: c, ``[C]``.
        decay, shift, gain, hard_reset, soft_reset, threshold: a', k, x, r', d', θ.
        strict: fire at W > θ, otherwise at W ≥ θ.
    """

    scale: Values
    offset: Values

    decay: Values
    shift: Values
    gain: Values
    hard_reset: Values
    soft_reset: Values
    threshold: Values
    strict: bool


def unit_gain(neuron: NeuronConstants, steps: int, channels: int) -> Gauged:
    """With s[t] = g[t] where that is a scale, and without a soft reset where that is well-conditioned."""
    values = _Wide(neuron, steps, channels)
    offset = values.offset()
    gain = values.gain
    is_scale = (gain >= LEAST_SCALE).all() and (gain <= 1 / LEAST_SCALE).all()
    return values.gauged(gain if is_scale else np.ones_like(gain), np.zeros(channels) if offset is None else offset)


def unit_threshold(neuron: NeuronConstants, steps: int, channels: int) -> Gauged | None:
    """With one number for the threshold of all channels; None where that is not well-conditioned.

    With a hard reset the threshold is one, and there is no soft one beside it. With a soft reset alone the threshold is
    nought, and the reset is one.
    """
    values = _Wide(neuron, steps, channels)
    offset = values.offset()
    if offset is not None:
        scale, soft = values.threshold + offset, np.zeros((steps, channels))
    elif not values.hard.any():
        scale, offset, soft = values.soft, -values.threshold, np.ones((steps, channels))
    else:
        return None
    if not (scale >= LEAST_SCALE).all():
        return None
    made = values.gauged(np.broadcast_to(scale, (steps, channels)), offset)
    return replace(made, soft_reset=soft, threshold=np.full_like(soft, 0.0 if soft.any() else 1.0))


class _Wide:
    """A neuron's coefficients in float64, for every channel and step."""

    def __init__(self, neuron: NeuronConstants, steps: int, channels: int) -> None:
        names = ("decay", "leak", "hard_reset", "soft_reset", "threshold")
        wide = (np.broadcast_to(getattr(neuron, name).astype(np.float64), channels) for name in names)
        self.decay, self.leak, self.hard, self.soft, self.threshold = wide
        self.gain = np.broadcast_to(neuron.gain.astype(np.float64), (steps, channels))
        self.rest, self.strict = neuron.rest, neuron.strict

    def offset(self) -> Values | None:
        """c = d/r; nought where nothing is soft, None where it is not well-conditioned for every channel."""
        if not self.soft.any():
            return np.zeros_like(self.soft)
        if not (self.hard > 0).all():
            return None
        offset: Values = self.soft / self.hard
        return offset if (np.abs(offset) <= LARGEST_OFFSET * np.abs(self.threshold)).all() else None

    def gauged(self, scale: Values, offset: Values) -> Gauged:
        before = np.concatenate([scale[:1], scale[:-1]])
        shift = np.broadcast_to(offset * (1 - self.decay) - self.leak, scale.shape).copy()
        shift[0] = self.decay * self.rest - self.leak + offset
        soft = np.where(self.hard * offset == self.soft, 0.0, self.soft - self.hard * offset)
        return Gauged(
            scale=scale,
            offset=offset,
            decay=self.decay * before / scale,
            shift=_without_rounding(shift, np.abs(offset) + np.abs(self.leak)) / scale,
            gain=self.gain / scale,
            hard_reset=self.hard * before / scale,
            soft_reset=_without_rounding(soft, np.abs(self.soft)) / scale,
            threshold=(self.threshold + offset) / scale,
            strict=self.strict,
        )


def _without_rounding(values: Values, of: Values) -> Values:
    """Nought for what is left of a difference that is nought but for rounding in fp32, where the parts come from."""
    rounded: Values = np.where(np.abs(values) <= np.finfo(np.float32).eps * of, 0.0, values)
    return rounded
