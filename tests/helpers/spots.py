"""The task of many tests: is a spot on the left or on the right? Its recordings, and a recipe that learns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from evglif.recipe import Recipe
    from preprocessing.events import Events

SIDES = {"left": (4, 40), "right": (88, 124)}


def spot(generator: np.random.Generator, low: int, high: int, num_events: int = 600) -> Events:
    """Events at columns ``low`` to ``high`` of a 128×128 sensor, over 100 ms."""
    from preprocessing.events import make_events

    t = np.sort(generator.integers(0, 100_000, num_events))
    x, y = generator.integers(low, high, num_events), generator.integers(30, 98, num_events)
    return make_events(t, x, y, generator.random(num_events) < 0.5)


def small_recipe(epochs: int = 10) -> Recipe:
    """A recipe that tells left from right in seconds."""
    from evglif.data import LoaderConfig
    from evglif.recipe import Recipe
    from evglif.training.optim import OptimConfig

    return Recipe(
        model={"name": "7b-widenet", "width": 4, "init": "cifar"},
        optim=OptimConfig(name="adam", lr=0.01),
        loader=LoaderConfig(batch_size=4, validation=0.25),
        epochs=epochs,
        precision="fp32",
    )
