"""Recipes: all that a training run depends on beside the data, and the ones that come with the package."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from evglif.augment import AugmentConfig
from evglif.data import LoaderConfig, check_fit
from evglif.models import MODELS, NetworkSpec, spec_from_dict
from evglif.training.losses import LossConfig
from evglif.training.optim import OptimConfig
from evglif.yaml_files import read_yaml
from preprocessing.cache import FrameCache
from preprocessing.plain import from_plain

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
IMAGE_STEPS = 4
"""T for still images, of networks that have none of their own."""


@dataclass(frozen=True)
class Recipe:
    """A training recipe; the YAML files of ``evglif/recipes`` have these fields.

    Attributes:
        model: name and options of a network; classes, channels, T and frame size come from the data unless they stand
            here. For still images T is the network's own, and their mean and deviation come from the data.
        optim: optimiser and schedule.
        loss: what is made small.
        loader: batches and the validation cut.
        augment: augmentation of training frames.
        epochs: passes over the training split.
        ema: decay per step of a moving average of the weights, which is then what is evaluated and saved; None for
            none.
        precision: ``"auto"`` is fp16 on a GPU and fp32 on a CPU; or ``"fp32"``, ``"bf16"``, ``"fp16"``. Membranes are
            fp32 in all of them.
        checkpoint: keep of every block but its input for the way back, and compute the rest again: less memory, more
            time, the same gradients.
        compile: run full training batches through ``torch.compile``.
        channels_last: keep convolutions' tensors with channels innermost.
        track_test: evaluate the test split after every epoch too. It plays no part in any choice.
        seed: of weights, order, augmentation and validation cut.

    Raises:
        ValueError: naming the value that is out of range.
    """

    model: dict[str, Any] = field(default_factory=lambda: {"name": "7b-widenet"})
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    epochs: int = 200
    ema: float | None = None
    precision: str = "auto"
    checkpoint: bool = False
    compile: bool = False
    channels_last: bool = False
    track_test: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema is a decay between 0 and 1, or none, got {self.ema}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        if self.checkpoint and self.compile:
            raise ValueError("checkpoint and compile are not for one run: torch.compile decides by itself; use one")
        if self.optim.warmup >= self.epochs:
            raise ValueError(
                f"warmup of {self.optim.warmup} epochs leaves nothing of {self.epochs}; lower optim.warmup"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


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


def read_recipe(name: str) -> Recipe:
    """A recipe that comes with the package, or one in a YAML file.

    Raises:
        ValueError: as ``recipe_path``, and for a file that is no recipe or has values out of range.
    """
    path = recipe_path(name)
    try:
        content = read_yaml(path)
    except ValueError as error:
        raise ValueError(f"{path} is no recipe: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no recipe: it holds {type(content).__name__}, not named values")
    known = [field.name for field in fields(Recipe)]
    foreign = sorted(set(map(str, content)) - set(known))
    if foreign:
        raise ValueError(
            f"{path} is no recipe: {', '.join(foreign)} cannot stand in one; it holds {', '.join(known)}, and where a "
            "run goes and what it replaces is said on the command line"
        )
    try:
        return from_plain(Recipe, content)
    except ValueError as error:
        raise ValueError(f"{path} is no recipe: {error}") from error


def to_yaml(recipe: Recipe) -> str:
    """The text of a recipe file that gives this recipe again."""
    text: str = yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True)
    return text


def model_spec(recipe: Recipe, cache: FrameCache) -> NetworkSpec:
    """The recipe's network, made to fit the data.

    Raises:
        ValueError: where the recipe itself states classes, T or size, and the data have others.
    """
    from_data: dict[str, Any] = {"num_classes": len(cache.classes), "in_channels": cache.channels, "size": cache.size}
    if cache.kind == "images":
        encoder = recipe.model.get("encoder", "direct")
        known = MODELS.get(str(recipe.model.get("name")))
        from_data |= {"encoder": encoder, "steps": known.options.get("steps", IMAGE_STEPS) if known else IMAGE_STEPS}
        if encoder == "direct":
            from_data |= {"mean": cache.mean, "std": cache.std}
    else:
        from_data |= {"encoder": "frames", "steps": cache.steps}
    spec = spec_from_dict({**from_data, **recipe.model})
    check_fit(cache, spec)
    return spec
