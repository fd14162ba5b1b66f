"""A bar for what takes longer than a moment."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

_WORTH_SHOWING_S = 2.0
_LOG_EVERY_S = 10.0


def progress(items: Iterable[Item], total: int, what: str, unit: str) -> Generator[Item]:
    """Pass ``items`` on, with a bar on the error stream once two seconds are over; in a log a line now and then."""
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else _LOG_EVERY_S
    with tqdm(
        items, what, total, unit=f" {unit}", delay=_WORTH_SHOWING_S, mininterval=pause, maxinterval=pause, leave=False
    ) as bar:
        yield from bar
