"""Compare settings over seeds, networks and caches: ``python -m evglif.compare runs/glif-* runs/plif-*``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from evglif.differences import add_accept
from preprocessing.cache import SPLITS
from preprocessing.commands import command
from preprocessing.options import Parser
from preprocessing.own_code import add_import


@command("nothing that it was to write is half-written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    from evglif.studies.comparing import run

    return run(options)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m evglif.compare",
        description="Set finished runs against each other on the samples that they were not trained on. Runs that "
        "differ by their seed alone are one row, with mean and standard deviation; the first is what the others are "
        "compared with, by seeds and by samples. Caches may differ in T, size or slicing: samples are known by their "
        "recording and its window.",
        epilog="examples:\n  python -m evglif.compare runs/glif-0 runs/glif-1 runs/plif-0 runs/plif-1\n"
        "  python -m evglif.compare sweeps/digits --by neuron --out report\n",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of runs, or folders of such")
    parser.add_argument("--by", nargs="+", default=[], metavar="NAME", help="settings that make a row, as neuron")
    parser.add_argument("--split", choices=tuple(SPLITS), default="test", help="default: test")
    parser.add_argument("--data", type=Path, help="cache to judge all runs on; default: the one of each run")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also write comparison.csv, .json and .png there")
    parser.add_argument("--batch-size", type=int, metavar="B", default=32, help="samples per forward pass; default: 32")
    parser.add_argument("--threads", type=int, help="of the processor; default: as many as the layers are worth")
    add_import(parser, "the neuron or network of a run")
    add_accept(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
