"""Texts that every terminal and file takes, whatever its encoding and whatever people call their files."""

from __future__ import annotations

import codecs
import sys

_PLAIN = {
    "×": "x",
    "·": ".",
    "–": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "±": "+-",
    "µ": "u",
    "Δ": "d",
    "█": "#",
    "\u202f": " ",
    "\xa0": " ",
}
"""Our own signs, for encodings that lack them."""

_ERRORS = "evglif.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Our own signs by letters that every encoding has; of any other its code, so that no two names look alike."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    codes = (_PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking)
    return "".join(codes), error.end


def as_text(name: str) -> str:
    """A file's name as text: of what is none, as Linux and Windows allow, the codes, e.g. ``caf\\udce9``."""
    return name.encode(errors="backslashreplace").decode()


def take_any_text() -> None:
    """Have standard output and error take every text, whatever their encoding; each command begins with it.

    What an encoding has is printed as it is. A class called "Löwe" is printed as L\\xf6we where there is no ö.
    """
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has no encoding
            stream.reconfigure(errors=_ERRORS)
