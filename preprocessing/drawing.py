"""What all pictures share: the texts of users in them, and that none takes along what it was drawn of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from preprocessing.terminal import NEVER, by_codes, tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def literal(text: str) -> str:
    """A text of a user, for matplotlib to show letter for letter: no dollar in it begins a formula."""
    return by_codes(NEVER, text).replace("$", r"\$")


def save(figure: Figure, out: Path, **options: Any) -> None:
    """Write a figure as ``Figure.savefig`` does; letters that its font lacks are boxes in it, and told."""
    with catch_warnings(record=True) as told:
        simplefilter("always")
        figure.savefig(out, **options)
    for message in dict.fromkeys(str(each.message) for each in told):
        tell(f"note: {out}: {message}")


@contextmanager
def optional_picture(path: Path, again: str) -> Iterator[None]:
    """Draw ``path`` inside the ``with`` block; where that fails, for whatever reason, say so and go on without it.

    A picture that was there before is removed then: it would be of something else.

    Args:
        path: the picture.
        again: how it can be drawn once the reason is mended.
    """
    try:
        yield
    except Exception as error:  # a drawing library may raise anything
        with suppress(OSError):
            path.unlink(missing_ok=True)
        reason = " ".join(str(error).split()) or type(error).__name__
        tell(f"warning: {path} could not be drawn: {reason}; {again}")
