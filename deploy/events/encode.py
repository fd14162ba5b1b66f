"""How frames become the input of the first layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deploy.events.file import Model

Floats = NDArray[np.float32]


def encoded(model: Model, frames: Floats, step: int | None = None) -> Floats:
    """The input ``[T, C, H, W]`` of one sample, or of one time step; one step where all are the same.

    Args:
        model: whose plan names the encoder.
        frames: ``[T, C, H, W]`` of events, or a still image, ``[1, C, H, W]``.
        step: which time step, of a run step by step; ``frames`` are then that step's alone.

    Raises:
        ValueError: for values that are not finite.
    """
    if not np.isfinite(frames).all():
        raise ValueError("the frames hold NaN or infinite values")
    plan, steps = model.plan, model.metadata.steps
    if plan.std:
        mean, std = (model.tensors[name][:, None, None] for name in (plan.mean, plan.std))
        normal: Floats = (frames - mean) / std
        frames = normal
    if plan.encoder != "latency":
        return frames
    first = np.round((np.float32(1) - frames.clip(0, 1)) * np.float32(steps - 1))
    numbers = np.arange(steps) if step is None else np.array([step])
    spikes: Floats = ((numbers[:, None, None, None] == first) & (frames > 0)).astype(np.float32)
    return spikes
