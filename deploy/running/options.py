"""Numbers that the commands of this package take, each with its range."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable

LONGEST_IDLE_S = 604_800.0
"""A week."""


def seconds(text: str) -> float:
    """A time to wait, above 0 and up to a week."""
    value = float(text) if re.fullmatch(r"(\d{1,9}\.?\d{0,9}|\.\d{1,9})", text, re.ASCII) else 0.0
    if not 0 < value <= LONGEST_IDLE_S:
        raise ArgumentTypeError(f"expected seconds above 0 and up to {LONGEST_IDLE_S:g}, such as 0.5, got {text!r}")
    return value


def up_to(most: int) -> Callable[[str], int]:
    """A whole number from 1."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"\d{1,12}", text, re.ASCII) else 0
        if not 1 <= value <= most:
            raise ArgumentTypeError(f"expected a whole number from 1 to {most:,}, got {text!r}")
        return value

    return read


num_threads = up_to(1024)
"""Threads of a process."""
