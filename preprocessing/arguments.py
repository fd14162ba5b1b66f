"""What the commands of this package share: types of their arguments, options of the frames, the look of the help."""

from __future__ import annotations

import re
from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError

from preprocessing.events.filters import FORMS, parse_filter
from preprocessing.events.reading import DROP_BAD, TIME_UNITS
from preprocessing.events.slicing import SLICINGS, Slicing
from preprocessing.frames.rasterize import RESIZES, VALUES
from preprocessing.options import Lines


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0 and up to a day, s."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise ArgumentTypeError(f"expected seconds above 0 and up to 86400, got {text!r}")
    return value


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


def share(text: str) -> float:
    """``"0.1%"`` or ``"0.001"`` as a share, from 0 to below 1."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(%?)", text, re.ASCII)
    value = float(match[1]) / (100 if match[2] else 1) if match else 1.0
    if value >= 1:
        raise ArgumentTypeError(f"expected a share below 100%, such as 0.1% or 0.001, got {text!r}")
    return value


def add_reading_options(parser: ArgumentParser, as_built: str = "") -> None:
    """Add how recordings are read: the unit of their times, and how many of their events may be bad.

    Where ``as_built`` says what the default is, it is None.
    """
    add = parser.add_argument
    add(
        "--time-unit",
        choices=TIME_UNITS,
        help="of times in text, NumPy and HDF5 files that don't say it; without it "
        f"{as_built or 'whole numbers are µs, others s'}",
    )
    add(
        "--drop-bad",
        type=share,
        default=None if as_built else f"{DROP_BAD:.1%}",
        metavar="SHARE",
        help="how many of a recording's events may be bad (outside the sensor, late, damaged): these are dropped and "
        f"counted, with more of them it is not used{f'; {as_built} by default' if as_built else ''}",
    )


def add_frame_options(parser: ArgumentParser) -> None:
    """Add what decides how events become frames: steps, size, slicing, resize, value and filters."""
    add = parser.add_argument
    add("--steps", type=positive, default=16, metavar="T", help="time steps of a sample")
    add("--size", type=size, default="48", metavar="W[xH]", help="width and height of a frame, px")
    ways = f"how time is cut: {', '.join(SLICINGS)}; 50ms is duration:50ms"
    add("--slicing", type=slicing, default="count", metavar="HOW", help=ways)
    add("--resize", choices=RESIZES, default="bilinear", help="how the sensor is brought to the frame's size")
    add(
        "--value",
        choices=VALUES,
        default="count",
        help="what a bin holds: events, whether any, ON − OFF, or events shared between the two bins that they lie "
        "between in time (voxel; with --slicing time or duration:…)",
    )
    add(
        "--filter",
        action="append",
        dest="filters",
        type=filter_spec,
        default=[],
        metavar="FILTER",
        help=f"which events are used, {', '.join(FORMS)}; given more than once, one after the other",
    )


class Help(Lines, ArgumentDefaultsHelpFormatter):
    """Shows those defaults that say something, too."""

    def _get_help_string(self, action: Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help
