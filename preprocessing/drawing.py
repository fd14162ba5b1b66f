"""What all pictures share: the texts of users in them, and that none takes along what it was drawn of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from preprocessing.scratch import can_be_made, folder_of_this_run, home
from preprocessing.terminal import NEVER, by_codes, tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def keep_fonts_somewhere() -> None:
    """Give matplotlib a folder of this run where it could not write to its own; it would say so in two long lines.

    To be called before it is imported.
    """
    own = home("XDG_CONFIG_HOME", "~/.config"), home("XDG_CACHE_HOME", "~/.cache")
    if "MPLCONFIGDIR" not in os.environ and not all(can_be_made(folder / "matplotlib") for folder in own):
        with suppress(FileNotFoundError):  # of any folder: then it says itself what it cannot do without
            os.environ["MPLCONFIGDIR"] = folder_of_this_run()


keep_fonts_somewhere()


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
