"""The settings that a sweep tries: values of a recipe by dotted names, each a list or a range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

import numpy as np

from evglif.neurons import options_of
from evglif.recipe import Recipe
from evglif.training.run import flat
from evglif.yaml_files import parse_yaml
from preprocessing.plain import from_plain

Settings = dict[str, Any]
"""Dotted name of a recipe's value → that value."""

MOST_TRIALS = 10_000
_OF_NEURON = "model.neuron."


@dataclass(frozen=True)
class Dimension:
    """What is tried for one value of a recipe.

    Attributes:
        name: dotted, as ``optim.lr``.
        values: one after the other; empty for a range.
        low: least number of a range.
        high: largest number of a range.
        log: draw the logarithm evenly, and not the number.
    """

    name: str
    values: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False

    def at(self, share: float) -> Any:
        """The value at a share of the way through, 0 ≤ share < 1."""
        if self.values:
            return self.values[int(share * len(self.values))]
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return float(self.low + (self.high - self.low) * share)


def parse_dimension(text: str) -> Dimension:
    """What stands behind ``--set``: ``optim.lr=0.001,0.01``, ``0.1..0.5`` or ``log:1e-4..1e-1`` after the sign.

    A name may be short where one value of a recipe alone ends so: ``lr`` is ``optim.lr``.

    Raises:
        ValueError: the name is of no value of a recipe, or there are no values that can be read.
    """
    name, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise ValueError(f"--set {text}: expected NAME=VALUE,VALUE as in optim.lr=0.001,0.01")
    name = full_name(name.strip())
    if ".." in values:
        return _range(name, values.strip(), text)
    try:
        found = parse_yaml(f"[{values}]")
    except ValueError as error:
        raise ValueError(f"--set {text}: {error}") from error
    plain = tuple(found)
    if len({repr(value) for value in plain}) < len(plain):
        raise ValueError(f"--set {text}: a value stands there twice")
    return Dimension(name, plain)


def parse_setting(text: str) -> tuple[str, Any]:
    """One name and one value, as in ``lr=0.01``.

    Raises:
        ValueError: as ``parse_dimension``, and for several values.
    """
    found = parse_dimension(text)
    if len(found.values) != 1:
        raise ValueError(f"--set {text}: expected one value, as in {found.name}=VALUE")
    return found.name, found.values[0]


def full_name(name: str) -> str:
    """The dotted name of a recipe's value.

    Raises:
        ValueError: no value is called so, or several; those that come near are named.
    """
    name = recipe_name(name)
    known = [each for each in flat(Recipe().to_dict()) if not each.startswith("model.")]
    if name == "seed":
        raise ValueError("seeds are tried by --seeds 0 1 2, so that their spread is told apart from settings")
    if name in known or name.startswith("model."):
        return name
    if name == "neuron":
        return "model.neuron"
    known += [f"model.{option}" for option in sorted(options_of())]
    meant = [each for each in known if each.rpartition(".")[2] == name]
    if len(meant) == 1:
        return meant[0]
    near = meant or get_close_matches(name, [*known, "model.neuron", "model.width"], 3, 0.5)
    raise ValueError(f"{name}: no value of a recipe" + (f"; did you mean {' or '.join(near)}?" if near else ""))


def recipe_name(name: str) -> str:
    """Where a recipe says it: a neuron's ``model.neuron.sharing`` of a finished run is ``model.sharing`` there."""
    if name == "model.neuron.name":
        return "model.neuron"
    return f"model.{name.removeprefix(_OF_NEURON)}" if name.startswith(_OF_NEURON) else name


def _range(name: str, values: str, text: str) -> Dimension:
    log = values.startswith("log:")
    try:
        low, high = map(float, values.removeprefix("log:").split(".."))
    except ValueError:
        raise ValueError(f"--set {text}: expected two numbers, LOW..HIGH or log:LOW..HIGH") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (log and low <= 0):
        raise ValueError(f"--set {text}: expected LOW < HIGH{', both above 0' if log else ''}")
    return Dimension(name, (), low, high, log)


def grid(dimensions: Sequence[Dimension]) -> list[Settings]:
    """Every value with every other.

    Raises:
        ValueError: for a range, which has no end of values, or more than 10,000 settings.
    """
    for each in dimensions:
        if not each.values:
            raise ValueError(f"{each.name} is a range; say how many settings to draw with --random N or --optuna N")
    total = math.prod(len(each.values) for each in dimensions)
    if total > MOST_TRIALS:
        raise ValueError(f"these are {total:,} settings; expected {MOST_TRIALS:,} at most: give --random N")
    names = [each.name for each in dimensions]
    return [dict(zip(names, values, strict=True)) for values in product(*(each.values for each in dimensions))]


def draws(dimensions: Sequence[Dimension], number: int, seed: int) -> list[Settings]:
    """So many settings at random; more of the same seed begin with the same ones.

    Raises:
        ValueError: for a number that is out of range.
    """
    if not 1 <= number <= MOST_TRIALS:
        raise ValueError(f"--random {number}: expected 1 to {MOST_TRIALS:,} settings")
    shares = np.random.default_rng(seed).random((number, len(dimensions)))
    found = [{each.name: each.at(share) for each, share in zip(dimensions, row, strict=True)} for row in shares]
    return list({repr(settings): settings for settings in found}.values())


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """A recipe with other values.

    Raises:
        ValueError: a value is out of range or of another type, naming it.
    """
    plain = recipe.to_dict()
    for name, value in settings.items():
        *path, last = name.split(".")
        holder = plain
        for part in path:
            holder = holder[part]
        holder[last] = value
    try:
        return from_plain(Recipe, plain)
    except ValueError as error:
        raise ValueError(f"{said(settings)}: {error}") from error


def said(settings: Mapping[str, Any]) -> str:
    """Settings for people, and for the names of folders: ``optim.lr=0.01,model.neuron=plif``."""
    return ",".join(f"{name}={_text(value)}" for name, value in settings.items())


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def differing(all_values: Sequence[Mapping[str, Any]]) -> Iterator[Settings]:
    """Of several sets of named values, each as far as not all of them share it.

    What only some networks or neurons have differs where it does among those: the name of the network or neuron, which
    differs too, tells the rest.
    """
    names = list(dict.fromkeys(name for values in all_values for name in values))
    told = [name for name in names if _differs(name, all_values)]
    for values in all_values:
        yield {name: values[name] for name in told if name in values}


def _differs(name: str, all_values: Sequence[Mapping[str, Any]]) -> bool:
    found = [repr(values[name]) for values in all_values if name in values]
    return len(set(found)) > 1 or (len(found) < len(all_values) and not name.startswith("model."))
