"""The name that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NEAR = 0.6


def nearest(name: str, names: Iterable[str]) -> str:
    """A question to end an error with, "; did you mean width?", or "" where no name is near."""
    found = get_close_matches(name, list(names), 1, _NEAR)
    return f"; did you mean {found[0]}?" if found else ""
