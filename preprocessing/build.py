"""Turn the recordings of a data set into one HDF5 file of frames."""

from __future__ import annotations

import re
import sys
from argparse import (
    Action,
    ArgumentDefaultsHelpFormatter,
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
)
from collections.abc import Sequence
from dataclasses import MISSING, fields
from inspect import cleandoc
from pathlib import Path

from preprocessing.datasets import DATASETS, Dataset
from preprocessing.files import BusyError
from preprocessing.pipeline import BuildResult, build
from preprocessing.rasterize import RESIZES
from preprocessing.slicing import SLICINGS
from preprocessing.workers import WorkerDiedError

__all__ = ["BuildResult", "build", "main"]

EXAMPLES = """examples:
  python -m preprocessing.build digits
  python -m preprocessing.build nmnist --root data/nmnist --size 34
  python -m preprocessing.build cifar10dvs --root data/cifar10dvs --split reference --workers 8
  python -m preprocessing.build folder --root recordings --splits train=session1,test=session2 --window 1.3s
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: built or up to date, 1: nothing usable or a strict failure, 2: wrong usage."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    kind = DATASETS[options.pop("dataset")]
    try:
        dataset = kind(**{field.name: options.pop(field.name) for field in fields(kind)})
    except ValueError as error:
        parser.error(str(error))
    try:
        print(build(dataset, **options))
    except (ValueError, OSError, BusyError, WorkerDiedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


def _parser() -> ArgumentParser:
    program = "python -m preprocessing.build"
    parser = ArgumentParser(program, description=__doc__, epilog=EXAMPLES, formatter_class=_Help)
    commands = parser.add_subparsers(dest="dataset", metavar="DATASET", required=True)
    for name, kind in DATASETS.items():
        text, example = cleandoc(kind.__doc__ or ""), f"example:\n  {program} {name} {kind.example}"
        command = commands.add_parser(
            name, help=text.partition("\n")[0], description=text, epilog=example, formatter_class=_Help
        )
        _add_own(command, kind)
        _add_common(command, f"data/{name}.h5")
    return parser


def _add_own(parser: ArgumentParser, kind: type[Dataset]) -> None:
    for field in fields(kind):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            default=None if field.default is MISSING else field.default,
            required=field.default is MISSING,
            **field.metadata,
        )


def _add_common(parser: ArgumentParser, out: str) -> None:
    add = parser.add_argument
    add("--out", type=Path, default=Path(out), metavar="FILE", help="the file to write")
    add("--steps", type=_positive, default=16, metavar="T", help="time steps of a sample")
    add("--size", type=_size, default="48", metavar="W[xH]", help="width and height of a frame, px")
    add("--slicing", choices=SLICINGS, default="count", help="steps of equal event counts or of equal times")
    add("--resize", choices=RESIZES, default="bilinear", help="how the sensor is brought to the frame's size")
    add("--workers", type=_positive, metavar="N", help="processes, by default as many as are worth it")
    add("--limit", type=_positive, metavar="N", help="at most so many recordings, spread over classes and splits")
    add("--strict", action="store_true", help="stop at the first thing that cannot be used; nothing is written")
    add("--force", action="store_true", help="build even if FILE is up to date or no frame cache")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if not match:
        raise ArgumentTypeError(f"expected a width or width and height in px, 48 or 64x48, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


class _Help(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the examples, and shows those defaults that say something."""

    def _get_help_string(self, action: Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


if __name__ == "__main__":
    sys.exit(main())
