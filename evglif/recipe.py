"""Recipes: all that a training run depends on beside the data, and the ones that come with the package."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from evglif.settings import Recipe
from evglif.yaml_files import read_yaml
from preprocessing.nearest import nearest
from preprocessing.plain import from_plain

if TYPE_CHECKING:
    from evglif.models import NetworkSpec
    from preprocessing.cache import FrameCache

__all__ = ["IMAGE_STEPS", "Recipe", "model_spec", "read_recipe", "recipe_names", "recipe_path", "resolved", "to_yaml"]

IMAGE_STEPS = 4
"""T for still images, of networks that have none of their own."""


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
        known = recipe_names()
        choices = f"choose one of {', '.join(known)} or give a YAML file{nearest(name, known)}"
        raise ValueError(f"no recipe {name!r}; {choices}")
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
            f"run goes and what it replaces is said on the command line{nearest(foreign[0], known)}"
        )
    try:
        return from_plain(Recipe, content)
    except ValueError as error:
        raise ValueError(f"{path} is no recipe: {error}") from error


def to_yaml(recipe: Recipe) -> str:
    """The text of a recipe file that gives this recipe again."""
    text: str = yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True)
    return text


def resolved(recipe: Recipe, data: Path | None) -> Recipe:
    """The recipe with all options of its network, those that follow from a cache among them where it is given.

    Raises:
        ValueError: for options that the network does not have, and as ``model_spec``.
    """
    from evglif.models import spec_from_dict, spec_to_dict
    from preprocessing.cache import FrameCache

    if data is None:
        spec_from_dict(recipe.model)
        return recipe
    with FrameCache(data) as cache:
        return replace(recipe, model=spec_to_dict(model_spec(recipe, cache)))


def model_spec(recipe: Recipe, cache: FrameCache) -> NetworkSpec:
    """The recipe's network, made to fit the data.

    Raises:
        ValueError: where the recipe itself states classes, T or size, and the data have others.
    """
    from evglif.data import check_fit
    from evglif.models import MODELS, spec_from_dict

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
