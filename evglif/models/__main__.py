"""Say what the papers' networks are and what they cost: all of them, or one layer by layer.

Parameters are learnt values. A neuron is one place of one channel. A MAC is a multiply-accumulate of a convolution
or a linear layer, of one sample and time step, as if no input were zero; what is worked out once for all steps counts
1/T. The first layer takes numbers, not spikes: its share is given.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evglif.names import NETWORKS, NEURONS
from preprocessing.arguments import Help, positive, size
from preprocessing.commands import command
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.plain import json_text

if TYPE_CHECKING:
    from evglif.models.summary import Summary

EXAMPLES = """examples:
  python -m evglif.models
  python -m evglif.models --json
  python -m evglif.models 7b-widenet
  python -m evglif.models 7b-widenet --size 128 --steps 8 --neuron plif
  python -m evglif.models plif-cifar10dvs --set hidden=2048 --set pooling=average
  python -m evglif.models resnet18 --num-classes 100 --steps 4 --neuron relu
"""


@command("nothing was begun that could be left half-done")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: printed, 2: wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    from evglif.models.registry import MODELS, build_model
    from evglif.models.summary import summarise

    names = [options.name] if options.name else list(MODELS)
    try:
        summaries = {name: summarise(build_model(name, **_model_options(options))) for name in names}
    except ValueError as error:
        parser.error(str(error))
    if options.json:
        print(json_text([_values(name, summary) for name, summary in summaries.items()], 2, ascii_only=True))
    else:
        print(_layers_text(summaries[options.name]) if options.name else _models_text(summaries))
    return 0


def _parser() -> Parser:
    parser = Parser("python -m evglif.models", description=__doc__, epilog=EXAMPLES, formatter_class=Help)
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help=f"print this network's layers: {', '.join(NETWORKS)}")
    add("--json", action="store_true", help="print a list of JSON objects, one for each network")
    add("--size", type=size, metavar="W[xH]", help="width and height of a frame, px, rather than the paper's")
    add("--steps", type=positive, metavar="T", help="time steps, rather than the paper's")
    add("--num-classes", type=positive, metavar="K", help="classes, rather than the paper's")
    add("--neuron", metavar="NEURON", help=f"rather than the paper's: {', '.join(NEURONS)}")
    add("--set", action="append", default=[], type=_option, metavar="OPTION=VALUE", help="any option of the network")
    add_import(parser, "a neuron or network")
    return parser


def _option(text: str) -> tuple[str, Any]:
    """``"width=32"`` as a name and a value; what is no JSON is a word."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _model_options(options: Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in ("size", "steps", "num_classes", "neuron")}
    return {name: value for name, value in given.items() if value is not None} | dict(options.set)


def _values(name: str, summary: Summary) -> dict[str, Any]:
    from evglif.models.registry import MODELS

    totals = ("num_parameters", "num_neurons", "macs_per_step", "first_share")
    return {
        "name": name,
        "paper": MODELS[name].paper,
        **{total: getattr(summary, total) for total in totals},
        **asdict(summary),
    }


def _models_text(summaries: dict[str, Summary]) -> str:
    from evglif.models.registry import MODELS

    head = ("network", "paper", "input", "T", "parameters", "neurons", "MACs/step", "in first layer")
    rows = (
        (name, MODELS[name].paper, _shape(summary.input), str(summary.steps), *_totals(summary))
        for name, summary in summaries.items()
    )
    return _table([head, *rows], num_left=2)


def _totals(summary: Summary) -> tuple[str, ...]:
    macs = f"{summary.macs_per_step / 1e6:,.1f} M"
    return f"{summary.num_parameters:,}", f"{summary.num_neurons:,}", macs, f"{summary.first_share:.1%}"


def _layers_text(summary: Summary) -> str:
    head = ("layer", "output", "parameters", "neurons", "MACs/step")
    rows = (
        (
            layer.name,
            _shape(layer.shape),
            f"{layer.num_parameters:,}",
            f"{layer.num_neurons:,}",
            f"{layer.num_macs / summary.steps:,.0f}",
        )
        for layer in summary.layers
    )
    sums = (
        "sum",
        "",
        f"{summary.num_parameters:,}",
        f"{summary.num_neurons:,}",
        f"{summary.macs_per_step:,.0f}",
    )
    title = f"{summary.notation}\ninput {_shape(summary.input)}, T = {summary.steps}\n"
    return f"{title}\n{_table([head, *rows, sums], num_left=1)}"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _table(rows: Iterable[Sequence[str]], num_left: int) -> str:
    """Rows in columns, the first ``num_left`` of them flush left and the others flush right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            f"{cell:<{width}}" if index < num_left else f"{cell:>{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
