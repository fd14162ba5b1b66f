"""How active a network is on given data: what an event-driven run is spared."""

from __future__ import annotations

import numpy as np

from deploy.events.encode import Floats
from deploy.events.engine import Engine
from deploy.events.plan import Layer


def activity(engine: Engine, frames: Floats) -> float:
    """Share of a network's products of weights and inputs whose input is not nought, over frames ``[B, T, C, H, W]``.

    Every product at an output pixel counts, those with the padding too; steps that are all the same count once.
    """
    model = engine.model
    active = total = 0.0
    for sample in frames:
        values = engine.values(sample)
        for layer in (each for each in model.plan.operations if isinstance(each, Layer)):
            shape = model.shapes[layer.out]
            for term in layer.terms:
                source = values[term.source]
                inputs = source.numbers.transpose(1, 3, 0, 2) if source.shape.unit is None else source.counts()
                products = model.tensors[term.weights].size * shape.height * shape.width * source.steps
                active += products * float(np.count_nonzero(inputs)) / inputs.size
                total += products
    return active / total
