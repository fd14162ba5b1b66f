"""Texts that every terminal and file takes, whatever its encoding and whatever people call their files."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterable

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

ENCODING_ERRORS = "evglif.plain"
"""Name of the way to write what an encoding lacks: of our own signs plain letters, of others the codes."""

_UNSEEN = "\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f"
"""C1 controls, marks of direction, separators of lines, what has no width, and bytes that are no text.

Not U+200C and U+200D, without which Persian, Indic scripts and many emoji cannot be written.
"""
NEVER = re.compile(f"[\x00-\x08\x0b-\x1f{_UNSEEN}]")
"""What changes how a terminal shows the rest: it moves the cursor, sets colours or the title, turns letters around."""

IN_NO_BAR = re.compile(f"[\x00-\x09\x0b\x0c\x0e-\x1a\x1c-\x1f{_UNSEEN}]")
"""The same for a bar, which begins its line anew and goes up to another's."""

IN_NO_LINE = re.compile(f"[\x00-\x1f{_UNSEEN}]")


def as_text(name: str) -> str:
    """A file's name as text: of what is none, as Linux and Windows allow, the codes, e.g. ``caf\\udce9``."""
    return name.encode(errors="backslashreplace").decode()


def shown(text: object) -> str:
    """A text of anybody's on one line: of what is no sign to be seen, line breaks among them, the codes."""
    return by_codes(IN_NO_LINE, str(text))


def paragraph(lines: Iterable[object]) -> str:
    """Lines as one text; each stays one, whatever names stand in it."""
    return "\n".join(map(shown, lines))


def tell(text: object) -> None:
    """Print a line on the error stream; where that takes none, it is lost."""
    print(shown(text), file=sys.stderr, flush=True)


def by_codes(signs: re.Pattern[str], text: str) -> str:
    """A text with the codes of some signs in their place, e.g. ``\\x1b``."""
    return signs.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Our own signs by letters that every encoding has; of any other its code, so that no two names look alike."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    codes = (_PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking)
    return "".join(codes), error.end


codecs.register_error(ENCODING_ERRORS, _plain)
