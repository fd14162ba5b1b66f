"""Recipes: all that a training run depends on beside the data, and the ones that come with the package."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from evglif.augment import AugmentConfig
from evglif.data import LoaderConfig, check_fit
from evglif.models import NetworkSpec, spec_from_dict
from evglif.optim import OptimConfig
from preprocessing.cache import FrameCache

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Recipe:
    """A training recipe; the YAML files of ``evglif/recipes`` have these fields.

    Attributes:
        model: name and options of a network; classes, T and frame size come from the data unless they stand here.
        optim: optimiser and schedule.
        loader: batches and the validation cut.
        augment: augmentation of training frames.
        epochs: passes over the training split.
        precision: ``"auto"`` is fp16 on a GPU and fp32 on a CPU; or ``"fp32"``, ``"bf16"``, ``"fp16"``.
        seed: of weights, order, augmentation and validation cut.

    Raises:
        ValueError: naming the value that is out of range.
    """

    model: dict[str, Any] = field(default_factory=lambda: {"name": "7b-widenet"})
    optim: OptimConfig = field(default_factory=OptimConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    epochs: int = 200
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("evglif") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_path(name: str) -> Path:
    """The file of a recipe, given a name that comes with the package or a path to a YAML file.

    Raises:
        ValueError: for neither; the known names are listed.
    """
    if name in recipe_names():
        return Path(str(resources.files("evglif") / "recipes" / f"{name}.yaml"))
    if not Path(name).is_file():
        raise ValueError(f"no recipe {name!r}; choose one of {', '.join(recipe_names())} or give a YAML file")
    return Path(name)


def model_spec(recipe: Recipe, cache: FrameCache) -> NetworkSpec:
    """The recipe's network, made to fit the data.

    Raises:
        ValueError: where the recipe itself states classes, T or size, and the data have others.
    """
    from_data = {"num_classes": len(cache.classes), "steps": cache.steps, "size": cache.size}
    spec = spec_from_dict({**from_data, **recipe.model})
    check_fit(cache, spec.steps, spec.size, spec.num_classes)
    return spec
