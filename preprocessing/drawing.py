"""What all pictures share: the colours of events, the texts of users, and that none takes along what it was drawn of.

ON is blue and OFF orange, from the palette of Okabe and Ito, which all colour visions tell apart. A bin has the mixture
of the two that its events are, the stronger the more there are, and is light grey without any.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from preprocessing.scratch import can_be_made, folder_of_this_run, home
from preprocessing.terminal import NEVER, by_codes, tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ON, OFF, REST = "#0072B2", "#D55E00", "#EFEFEF"
"""Of events of either polarity, and of a bin without any; the web page of ``deploy/examples`` has the same."""

_BRIGHTEST = 99.0  # percentile of the bins with events that gets the full colour
_GAMMA = 0.6  # lets faint bins be seen


def keep_fonts_somewhere() -> None:
    """Give matplotlib a folder of this run where it could not write to its own; it would say so in two long lines.

    To be called before it is imported.
    """
    own = home("XDG_CONFIG_HOME", "~/.config"), home("XDG_CACHE_HOME", "~/.cache")
    if "MPLCONFIGDIR" not in os.environ and not all(can_be_made(folder / "matplotlib") for folder in own):
        with suppress(FileNotFoundError):  # of any folder: then it says itself what it cannot do without
            os.environ["MPLCONFIGDIR"] = folder_of_this_run()


keep_fonts_somewhere()


def colours(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Frames ``[T, 2, H, W]`` as colours ``[T, H, W, 3]`` from 0 to 1, on one scale for all."""
    from matplotlib.colors import to_rgb

    events = frames.sum(axis=1)[..., None]
    full = np.percentile(events[events > 0], _BRIGHTEST) if events.any() else 1.0
    strength = (events / full).clip(0, 1) ** _GAMMA
    share_on = frames[:, 1, :, :, None] / np.where(events > 0, events, 1)
    on, off, rest = (np.array(to_rgb(colour)) for colour in (ON, OFF, REST))
    hue = share_on * on + (1 - share_on) * off
    mixed: NDArray[np.float64] = rest + strength * (hue - rest)
    return mixed


def looks(kind: str, frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Frames ``[T, C, H, W]`` of a cache of a kind as colours ``[T, H, W, 3]`` from 0 to 1: images as they are."""
    if kind == "events":
        return colours(frames)
    images = frames.transpose(0, 2, 3, 1).astype(np.float64)
    return np.broadcast_to(images, (*images.shape[:3], 3))


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
