"""Try settings of a recipe, choose one by validation: ``python -m evglif.sweep --recipe NAME --data FILE --set …``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from evglif.settings import ACCELERATORS
from preprocessing.commands import command
from preprocessing.options import Parser
from preprocessing.own_code import add_import


@command("finished runs and epochs are kept, and the same command goes on from there")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    from evglif.studies.sweeping import run

    return run(options, given)


class _Parser(Parser):
    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        """With where the recipe's values go, which a training takes as options."""
        more = "; values of the recipe go behind --set, as in --set epochs=1" if "nrecognized" in message else ""
        super().error(message + more, *args, **kwargs)


def _parser() -> Parser:
    parser = _Parser(
        prog="python -m evglif.sweep",
        description="Train a recipe with several settings and seeds, and choose by the validation split alone; the "
        "test accuracy is shown of the chosen setting only. Each run is one of python -m evglif.train, in a folder of "
        "its own: a sweep that was stopped goes on when the same command is given again, and more values or seeds add "
        "to it. The same command on several machines that share a folder, or as a Slurm array, shares out the runs.",
        epilog="examples:\n"
        "  python -m evglif.sweep --recipe digits --data data/digits.h5 --set lr=0.002,0.005,0.01 --seeds 0 1 2\n"
        "  python -m evglif.sweep --recipe digits --data data/digits.h5 --set lr=log:1e-4..1e-1 "
        "--set neuron=glif,plif --random 20 --jobs 2\n"
        "  sbatch --array 0-7 --wrap 'python -m evglif.sweep --recipe … --data … --set … --out sweeps/mine'\n",
    )
    parser.add_argument("--recipe", required=True, help="a recipe's name, or a YAML file")
    parser.add_argument("--data", type=Path, required=True, help="cache written by python -m preprocessing.build")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUES", help="e.g. lr=0.001,0.01 or "
                        "optim.lr=log:1e-4..1e-1; several times for several values of the recipe")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run of each setting; default: 0")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--random", type=int, metavar="N", help="N settings at random in place of all")
    how.add_argument("--optuna", type=int, metavar="N", help="N settings that Optuna suggests by the former ones")
    parser.add_argument("--search-seed", type=int, default=0, help="of --random and --optuna; default: 0")
    parser.add_argument("--out", type=Path, help="folder; default: sweeps/RECIPE-DATA")
    parser.add_argument("--jobs", type=int, default=1, help="processes that train at the same time; default: 1")
    parser.add_argument("--threads", type=int, help="of each process; default: as many as the layers are worth")
    parser.add_argument(
        "--no-pages",
        dest="pages",
        action="store_false",
        help="leave out pictures and page of each run, which take longer than a short training; without it the same "
        "command makes them",
    )
    parser.add_argument("--accelerator", default="auto", choices=ACCELERATORS, help="default: auto")
    add_import(parser, "neurons or networks")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
