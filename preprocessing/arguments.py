"""What the commands of this package share: types of their arguments, options of the frames, the look of the help."""

from __future__ import annotations

import re
from argparse import (
    Action,
    ArgumentDefaultsHelpFormatter,
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
)

from preprocessing.events.filters import FORMS, parse_filter
from preprocessing.events.slicing import SLICINGS, Slicing
from preprocessing.frames.rasterize import RESIZES, VALUES


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """``"48"`` or ``"64x48"`` as (width, height)."""
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if not match:
        raise ArgumentTypeError(f"expected a width or width and height in px, 48 or 64x48, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


def slicing(text: str) -> str:
    """The text of a slicing."""
    try:
        Slicing.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def filter_spec(text: str) -> str:
    """The text of a filter."""
    try:
        parse_filter(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def add_frame_options(parser: ArgumentParser) -> None:
    """Add what decides how events become frames: steps, size, slicing, resize, value and filters."""
    add = parser.add_argument
    add("--steps", type=positive, default=16, metavar="T", help="time steps of a sample")
    add("--size", type=size, default="48", metavar="W[xH]", help="width and height of a frame, px")
    add("--slicing", type=slicing, default="count", metavar="HOW", help=f"how time is cut: {', '.join(SLICINGS)}")
    add("--resize", choices=RESIZES, default="bilinear", help="how the sensor is brought to the frame's size")
    add("--value", choices=VALUES, default="count", help="what a bin holds: events, whether any, or ON − OFF")
    add(
        "--filter",
        action="append",
        dest="filters",
        type=filter_spec,
        default=[],
        metavar="FILTER",
        help=f"which events are used, {', '.join(FORMS)}; given more than once, one after the other",
    )


class Help(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the examples, and shows those defaults that say something."""

    def _get_help_string(self, action: Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help
