"""Make a folder of weights out of a run, for a hub or for others: ``python -m deploy.publish RUN --out FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evglif.differences import add_accept
from evglif.names import FORMS
from preprocessing.arguments import Help, positive
from preprocessing.calling import spoken
from preprocessing.commands import command
from preprocessing.later import later
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.terminal import paragraph

if TYPE_CHECKING:
    from deploy.measuring.publishing import publish

__all__ = ["main", "publish"]

__getattr__ = later(__name__, {"publish": "deploy.measuring.publishing"})

CHOSEN = ("best", "last")
MOST_SAMPLES = 64
"""That energy is counted on."""


def _parser() -> Parser:
    parser = Parser(
        prog="python -m deploy.publish",
        description="Make a folder of weights with a card, in the layout of model hubs: config.json, model.safetensors "
        "and README.md.",
        epilog="example: python -m deploy.publish runs/digits --data data/digits.h5 --out digits-glif",
        formatter_class=Help,
    )
    parser.add_argument("source", type=Path, metavar="RUN", help=f"folder of a finished run; or {FORMS}")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument("--weights", choices=CHOSEN, default="", help="of a run; otherwise best by validation")
    parser.add_argument("--data", type=Path, metavar="FILE.h5", help="count energy on its test samples, for the card")
    parser.add_argument("--samples", type=positive, default=MOST_SAMPLES, metavar="N", help="how many of them")
    parser.add_argument("--name", default="", help="by which the card loads them, such as owner/name of a repository")
    parser.add_argument("--licence", default="", help="of the weights, such as cc-by-4.0; otherwise that of the data")
    add_import(parser, "the neuron or network of the run")
    add_accept(parser)
    return parser


@command("nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    given = options.weights, options.data, options.samples, options.name, options.licence, tuple(options.accept)
    from deploy.measuring.publishing import publish

    facts = publish(options.source, options.out, *given)
    lines = [f"{options.out}: {facts.network} with {facts.neuron}, {facts.num_parameters:,} parameters"]
    lines += [f"  {each.name}: {each.value:.2%}" for each in facts.accuracies]
    if facts.licence is None and not options.licence:
        lines.append("  the licence of the data is not known: state it in the card before you pass the weights on")
    print(paragraph([*lines, spoken(f"next: python -m evglif.evaluate {options.out} --data FILE.h5")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
