"""Evaluate checkpoints on a split of a cache: ``python -m evglif.evaluate CHECKPOINT --data FILE.h5``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evglif.differences import add_accept
from evglif.names import FORMS, PICTURES
from preprocessing.cache import SPLITS
from preprocessing.commands import command
from preprocessing.later import later
from preprocessing.options import Parser
from preprocessing.own_code import add_import

if TYPE_CHECKING:
    from evglif.evaluation.session import best_device, evaluate_checkpoint, evaluate_model, names_of

__all__ = ["best_device", "evaluate_checkpoint", "evaluate_model", "main", "names_of"]

__getattr__ = later(__name__, dict.fromkeys((*__all__[:3], "names_of"), "evglif.evaluation.session"))


@command("nothing that it was to write is half-written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    from evglif.evaluation.session import run

    return run(options)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m evglif.evaluate",
        description="Evaluate a checkpoint on a split of a cache: accuracy with its interval, confusion matrix, scores "
        "of each class, accuracy by time step, calibration and firing rates; several checkpoints side by side.",
        epilog="example: python -m evglif.evaluate runs/glif/best.pt --compare runs/plif/best.pt --data data/digits.h5",
    )
    parser.add_argument("checkpoint", type=Path, help=FORMS)
    parser.add_argument("--data", type=Path, help="cache written by python -m preprocessing.build")
    parser.add_argument("--split", choices=tuple(SPLITS), default="test", help="default: test")
    parser.add_argument(
        "--compare", type=Path, nargs="+", default=[], metavar="CHECKPOINT", help="others, set against the first"
    )
    parser.add_argument("--values", action="store_true", help="also print what gates and primitives have learnt")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also write JSON, CSV and pictures to this folder")
    parser.add_argument("--pictures", choices=PICTURES, default="png", help="of --out; default: png")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--batch-size", type=int, metavar="B", default=32, help="samples per forward pass; default: 32")
    parser.add_argument("--threads", type=int, help="of the processor; default: as many as the layers are worth")
    parser.add_argument("--device", help="cpu, cuda, …; default: a GPU where there is one")
    add_import(parser, "the neuron or network of a checkpoint")
    add_accept(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
