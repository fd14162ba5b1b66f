"""Weights in int8 where counts of spikes are convolved: a scale per output channel, sums in 16 bits where they fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.plan import Layer, Plan, Term
from deploy.events.shapes import MOST_SHORT, largest_sum, shapes

WEIGHT_LEVELS = 127


def in_int8(
    plan: Plan, tensors: dict[str, NDArray[Any]], frame: tuple[int, int, int], steps: int
) -> tuple[Plan, dict[str, NDArray[Any]]]:
    """The plan with int8 weights where counts are convolved, and the rest as it was."""
    known = shapes(plan, tensors, frame, steps)
    made = dict(tensors)

    def reduced(term: Term) -> Term:
        source, weights = known[term.source], tensors[term.weights]
        if weights.ndim == 1 or source.unit is None:
            return term
        scale = np.maximum(np.abs(weights).max((0, 1, 2)), 1e-12).astype(np.float32) / np.float32(WEIGHT_LEVELS)
        made[term.weights] = whole = np.round(weights / scale).astype(np.int8)
        made[scales := f"{term.weights}.scales"] = scale
        sums = "int16" if largest_sum(whole, source.most) <= MOST_SHORT else "int32"
        return replace(term, scales=scales, sums=sums)

    operations = tuple(
        replace(each, terms=tuple(map(reduced, each.terms))) if isinstance(each, Layer) else each
        for each in plan.operations
    )
    if made.keys() == tensors.keys():
        raise ValueError("no convolution of this network sees spikes, so int8 has nothing to gain; export it in fp32")
    return replace(plan, operations=operations), made
