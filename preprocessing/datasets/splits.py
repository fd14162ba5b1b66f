"""Which recordings are held out, and which a limited build takes: decided by names alone, the same everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

from preprocessing.cache import SPLITS
from preprocessing.datasets.base import Source

AnySource = TypeVar("AnySource", bound=Source)


def held_out(names: Iterable[str], fraction: float, seed: int) -> frozenset[str]:
    """Draw the share of the recordings of one class that is held out.

    Names are put in the order of their hash with the seed: no generator's version matters, and a recording more
    or less moves no other one but at the edge. At least one is held out and one kept; of a single one, none.

    Args:
        names: of the recordings of one class.
        fraction: share to hold out, between 0 and 1.
        seed: draws another share.
    """
    shuffled = sorted(names, key=lambda name: sha256(f"{seed}:{name}".encode(errors="backslashreplace")).digest())
    count = min(max(round(fraction * len(shuffled)), 1), len(shuffled) - 1)
    return frozenset(shuffled[:count])


def hold_out(
    sources: Sequence[AnySource], classes: Sequence[str], fraction: float, seed: int
) -> tuple[tuple[AnySource, ...], tuple[str, ...]]:
    """Give those sources a split that have none: a share of each class is held out for testing.

    Returns:
        All sources in their order, and a note for each class that cannot be tested.
    """
    by_class: dict[int, list[str]] = {}
    for source in sources:
        if not source.split:
            by_class.setdefault(source.label, []).append(source.name)
    held = frozenset().union(*(held_out(names, fraction, seed) for names in by_class.values()))
    split = (s if s.split else replace(s, split="test" if s.name in held else "train") for s in sources)
    alone = [classes[label] for label, names in by_class.items() if len(names) == 1]
    notes = (f"class {name!r} has a single image, which is used for training: it is not tested" for name in alone)
    return tuple(split), tuple(notes)


def check_fraction(fraction: float) -> None:
    """Make sure that a share to hold out leaves something on both sides.

    Raises:
        ValueError: not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"test fraction must be between 0 and 1, got {fraction}")


def limited(sources: Sequence[Source], limit: int | None) -> tuple[Source, ...]:
    """At most ``limit`` recordings, in the given order, spread over splits and classes as the whole is.

    Every class of every split keeps its first recording where the limit allows, training before the others.
    """
    if limit is None or limit >= len(sources):
        return tuple(sources)
    group_size = Counter((source.split, source.label) for source in sources)
    seen: Counter[tuple[str, int]] = Counter()
    ranks = []
    for position, source in enumerate(sources):
        group = (source.split, source.label)
        ranks.append((seen[group] / group_size[group], SPLITS[source.split], position))
        seen[group] += 1
    return tuple(sources[position] for position in sorted(rank[-1] for rank in sorted(ranks)[:limit]))
