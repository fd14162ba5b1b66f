"""A bar for what takes longer than a moment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, TypeVar

from preprocessing.outlet import for_bars
from preprocessing.terminal import shown, tell

Item = TypeVar("Item")

_WORTH_SHOWING_S = 2.0
_LOG_EVERY_S = 10.0


def progress(items: Iterable[Item], total: int, what: str, unit: str, done: int = 0) -> Generator[Item]:
    """Pass ``items`` on, with a bar on the error stream once two seconds are over; in a log a line now and then.

    The bar starts at ``done`` of ``total``, where so many were there before. Without tqdm, as on a device, no bar.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        yield from items
        return
    with tqdm(items, shown(what), total, initial=done, unit=f" {unit}", **_pace()) as bar:
        yield from bar


@contextmanager
def byte_progress(what: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Give a function that moves such a bar on by a number of bytes; ``done`` of ``total`` were there before."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda _: None
        return
    with tqdm(desc=shown(what), total=total, initial=done, unit="B", unit_scale=True, **_pace()) as bar:
        yield bar.update


@contextmanager
def patience(what: str) -> Iterator[None]:
    """Say on the error stream what is being done, if it takes more than two seconds."""
    timer = Timer(_WORTH_SHOWING_S, tell, (f"{what} …",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _pace() -> dict[str, Any]:
    pause = 0.1 if sys.stderr.isatty() else _LOG_EVERY_S
    stream = for_bars(sys.stderr)
    return {"file": stream, "delay": _WORTH_SHOWING_S, "mininterval": pause, "maxinterval": pause, "leave": False}
