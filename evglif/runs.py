"""What runs lie in a folder, and how good they are: ``python -m evglif.runs runs``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.commands import command
from preprocessing.options import Parser

ORDERS = ("name", "validation")


@command("it only reads")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    from evglif.studies.listing import run

    return run(options)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m evglif.runs",
        description="List the runs in a folder: what each is, how far it came, and its accuracies.",
        epilog="example: python -m evglif.runs runs --sort validation --csv runs.csv",
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help="default: runs")
    parser.add_argument("--sort", choices=ORDERS, default="name", help="best validation first; default: name")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
