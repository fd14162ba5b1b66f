"""In what two sets of frames differ, as far as it can change what a network makes of them."""

from __future__ import annotations

import math
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from preprocessing.events.slicing import Slicing
from preprocessing.frames.settings import FrameSettings

if TYPE_CHECKING:
    from evglif.checkpoint import DataSpec

DECISIVE = ("value", "scale", "slicing", "sensor", "resize", "transpose", "half_turn", "edition")
"""Differences after which a bin of a frame means something else: nobody means them without saying so.

Editions of a data set hold the same names, but not the same directions and, for all that is known, polarity.
"""


def add_accept(parser: ArgumentParser) -> None:
    """Add the option with which a command takes frames that were made otherwise than those of the training."""
    parser.add_argument(
        "--accept",
        nargs="+",
        default=[],
        choices=DECISIVE,
        metavar="DIFFERENCE",
        help=f"take frames made otherwise than those of the training, where this is meant: {', '.join(DECISIVE)}",
    )


class Difference(NamedTuple):
    """One setting of frames that two sets of data do not share.

    Attributes:
        name: the setting.
        here: in the data at hand.
        learnt: in the data that a model learnt from.
    """

    name: str
    here: str
    learnt: str

    def __str__(self) -> str:
        return f"{self.name} {self.here} here, {self.learnt} there"


def differences(here: DataSpec, learnt: DataSpec) -> list[Difference]:
    """What differs, the decisive first; nothing is said of settings that one of the two does not know."""
    found = [Difference(name, say(ours), say(theirs)) for name, ours, theirs, say in _settings(here, learnt)]
    return [each for each in found if each.here != each.learnt]


Setting = tuple[str, Any, Any, Callable[[Any], str]]


def _settings(here: DataSpec, learnt: DataSpec) -> Iterator[Setting]:
    if not math.isclose(here.scale, learnt.scale, rel_tol=1e-6):
        yield "scale", here.scale, learnt.scale, "{:.6g}".format
    configs = here.preprocessing, learnt.preprocessing
    if not all(configs) or {config.get("kind", "events") for config in configs} != {"events"}:
        yield from (_setting(name, configs, str) for name in ("resizing", "shorter_side") if _known(name, configs))
        return
    yield "sensor", here.sensor, learnt.sensor, "{0[0]}×{0[1]}".format
    ours, theirs = (FrameSettings.from_config(config) for config in configs)
    yield "slicing", ours.slicing, theirs.slicing, lambda text: str(Slicing.parse(text))
    for name in ("value", "resize", "transpose", "half_turn"):
        yield name, getattr(ours, name), getattr(theirs, name), str
    editions = [config.get("options", {}).get("edition") for config in configs]
    if all(editions):
        yield "edition", editions[0], editions[1], str
    yield "filters", ours.filters, theirs.filters, lambda filters: ", ".join(filters) or "none"
    for name in ("window_us", "hop_us"):
        if _known(name, configs):
            yield _setting(name, configs, lambda span: f"{span} µs" if span else "none, whole recordings")


def _known(name: str, configs: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    return all(name in config for config in configs)


def _setting(name: str, configs: tuple[dict[str, Any], dict[str, Any]], say: Callable[[Any], str]) -> Setting:
    return name, configs[0][name], configs[1][name], say
