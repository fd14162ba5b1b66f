"""Train a network on a cache: ``python -m evglif.train --data FILE.h5``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from evglif.names import FORMS, INIT_NEURONS, NETWORKS, NEURONS
from evglif.recipe import Recipe, recipe_names, resolved, to_yaml
from evglif.settings import ACCELERATORS, LOGS
from preprocessing.calling import spoken
from preprocessing.commands import command
from preprocessing.later import later
from preprocessing.options import values_of
from preprocessing.own_code import add_import
from preprocessing.terminal import paragraph, tell

if TYPE_CHECKING:
    from evglif.choosing import Choice
    from evglif.training.session import identity, samples_by_stage, train

__all__ = ["identity", "main", "parse_arguments", "samples_by_stage", "train"]

__getattr__ = later(__name__, dict.fromkeys(("identity", "samples_by_stage", "train"), "evglif.training.session"))

RUNS = Path("runs")
"""Where runs go whose folder nobody named."""

_OF_NEURONS = ("neuron", "sharing", "gates")
_OF_DATA = ("num_classes", "in_channels", "steps", "size", "encoder", "mean", "std")


def _path(text: str) -> Path:
    """A path as it was typed; by its own type, the parser reads it as YAML, which takes no name that is no text."""
    return Path(text)


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[Recipe, dict[str, Any]]:
    """The command line: recipe and the other arguments of ``train``.

    Without ``--recipe`` one is chosen that fits the data, without ``--out`` a folder of the day; both are said.
    ``--print-config`` prints the recipe, with the network made to fit ``--data`` where that is given, and ends the
    program.

    Raises:
        ValueError: for values out of range or options that the network does not have, where the data are not given,
            and where several processes would each choose a folder.
    """
    parser = _parser()
    words = parser.own_words(arguments)
    choice = _choice(words)
    chosen = parser.instantiate(parser.parse_args([*(choice.words() if choice else ()), *words]))
    recipe = Recipe(**{field.name: chosen[field.name] for field in fields(Recipe)})
    if chosen["network"]:
        recipe = replace(recipe, model={**_of_any_network(recipe.model, words, choice), "name": chosen["network"]})
    notes = [str(choice)] if choice else []
    if choice and chosen["init_from"] and not chosen["network"] and not any(w.startswith("--model") for w in words):
        recipe = replace(recipe, model=_network_of(chosen["init_from"]))
        notes.append(f"network: the one of {chosen['init_from']}; --network NAME takes another")
    if chosen["neuron"]:
        recipe = replace(recipe, model={**recipe.model, "neuron": chosen["neuron"]})
    if chosen["print_config"]:
        for note in notes:
            tell(note)
        print(to_yaml(resolved(recipe, chosen["data"])), end="")
        raise SystemExit
    if chosen["data"] is None:
        raise ValueError("--data must be given; see python -m evglif.train --help")
    if chosen["out"] is None:
        chosen["out"] = _folder_of_the_day(chosen["data"], chosen["devices"], chosen["num_nodes"])
        again = shlex.join([*words, "--out", str(chosen["out"])])
        notes.append(
            f"out: {chosen['out']}; if it is stopped, this goes on: {spoken('python -m evglif.train')} {again}"
        )
    if notes and not chosen["quiet"]:
        print(paragraph(notes), flush=True)
    from evglif.training.machine import Machine
    from evglif.training.start import Start

    return recipe, {
        **{name: chosen[name] for name in ("data", "out", "overwrite")},
        **({"seeds": chosen["seeds"]} if chosen["seeds"] else {}),
        "progress": not chosen["quiet"],
        "start": Start(chosen["init_from"], chosen["init_neurons"], tuple(chosen["freeze"])),
        "machine": Machine(**{field.name: chosen[field.name] for field in fields(Machine)}),
    }


def _parser() -> Any:
    from evglif.recipe_parser import RecipeFile, RecipeParser

    parser: Any = RecipeParser(
        prog="python -m evglif.train",
        usage="%(prog)s --data FILE.h5 [--out FOLDER] [--recipe NAME] [options]",
        description="Train a network on a cache and evaluate it on the test split. Values of the recipe can be "
        "overridden one by one; --epochs, --batch-size, --lr, --optimizer, --weight-decay and --validation "
        "stand for the longer names of those. A run that was stopped goes on when the same command is given again.",
        epilog="examples:\n  python -m evglif.train --data data/digits.h5\n"
        "  python -m evglif.train --recipe digits --data data/digits.h5 --out runs/digits --epochs 20 --batch-size 8 "
        "--neuron plif\n"
        "  python -m evglif.train --recipe digits --print-config > mine.yaml",
    )
    recipes = f"one of {', '.join(recipe_names())}, or a YAML file; default: one that fits the data, and it says why"
    parser.add_argument("--recipe", action=RecipeFile, help=recipes)
    parser.add_argument("--data", type=_path, help="cache written by python -m preprocessing.build")
    parser.add_argument("--out", type=_path, help=f"folder of the run; default: one of the day in {RUNS}")
    parser.add_argument("--network", type=str, help=f"in the place of the recipe's: {', '.join(NETWORKS)}")
    parser.add_argument("--neuron", type=str, help=f"in the place of the recipe's: {', '.join(NEURONS)}")
    add_import(parser, "neurons or networks")
    parser.add_argument("--init-from", type=_path, help=f"weights to begin with: {FORMS}")
    parser.add_argument("--init-neurons", default="taken", help=f"their neurons' values: {' or '.join(INIT_NEURONS)}")
    parser.add_argument("--freeze", nargs="+", default=[], help="layers that stay as they are, such as features.0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[], help="a run of each in OUT/seed-N, and their mean")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where --out holds a run")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no printed results")
    parser.add_argument("--print-config", action="store_true", help="print the recipe with all its values, and end")
    parser.add_argument("--accelerator", default="auto", help=f"one of {', '.join(ACCELERATORS)}; default: auto")
    parser.add_argument("--devices", type=int, help="processes on this node, one a GPU; default: 1")
    parser.add_argument("--num-nodes", type=int, help="nodes; default: 1, or what torchrun or Slurm started")
    parser.add_argument("--threads", type=int, help="of the processor; default: as many as the layers are worth")
    parser.add_argument("--no-pages", dest="pages", action="store_false", help="leave out the pictures and the page")
    parser.add_argument("--data-on-device", action="store_true", help="keep all samples in the device's memory")
    parser.add_argument("--graphs", type=bool, help="steps recorded as CUDA graphs; default: where that is safe")
    parser.add_argument("--log", default="auto", help=f"one of {', '.join(LOGS)}; auto: TensorBoard where installed")
    parser.add_class_arguments(Recipe)
    return parser


def _choice(words: Sequence[str]) -> Choice | None:
    """A recipe for the data that the words name; None where they name a recipe or network, or no data."""
    names = [word.partition("=")[0] for word in words]
    given = values_of("--data", words)
    if not given or {"--recipe", "--model", "--model.name"} & set(names) or {"-h", "--help"} & set(words):
        return None
    from evglif.choosing import choose_recipe
    from preprocessing.cache import FrameCache

    with FrameCache(given[-1]) as cache:
        import torch  # takes seconds, which nobody waits for whose file is not there

        gpu = torch.cuda.is_available() and values_of("--accelerator", words)[-1:] != ["cpu"]
        return choose_recipe(cache, gpu)


def _of_any_network(model: Mapping[str, Any], words: Sequence[str], choice: Choice | None) -> dict[str, Any]:
    """Options that another network may take: all that somebody named, and of a recipe that nobody did the neuron's."""
    named = {word.removeprefix("--model.").partition("=")[0] for word in words if word.startswith("--model.")}
    return {name: value for name, value in model.items() if choice is None or name in {*_OF_NEURONS, *named}}


def _network_of(weights: Path) -> dict[str, Any]:
    """The network that weights are of, without what follows from data."""
    from evglif.models import spec_to_dict
    from evglif.pretrained import read_weights

    spec = spec_to_dict(read_weights(weights).model.spec)
    return {name: value for name, value in spec.items() if name not in _OF_DATA}


def _folder_of_the_day(data: Path, devices: int | None, num_nodes: int | None) -> Path:
    """A folder that is not there yet, after the data and the minute."""
    several = [os.environ.get(name, "1") for name in ("WORLD_SIZE", "SLURM_NTASKS")]
    if {*several, str(devices or 1), str(num_nodes or 1)} != {"1"}:
        raise ValueError("--out must be given where several processes train: each would choose another folder")
    name = f"{data.stem}-{datetime.now():%Y-%m-%d-%H%M}"  # the wall clock of whoever looks for it
    tried = (RUNS / (f"{name}-{number}" if number > 1 else name) for number in count(1))
    return next(folder for folder in tried if not folder.exists())


@command("the same command goes on after the last whole epoch")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    words = sys.argv[1:] if arguments is None else arguments
    recipe, rest = parse_arguments(words)
    seeds = rest.pop("seeds", [])
    from evglif.studies.seeds import train_seeds
    from evglif.training.session import train

    try:
        if seeds:
            train_seeds(recipe, seeds, **rest)
        else:
            train(recipe, **rest)
    except KeyboardInterrupt as interruption:
        if str(interruption) or any(word.partition("=")[0] == "--out" for word in words):
            raise
        again = f"the same command with --out {quote(str(rest['out']))} goes on after the last whole epoch"
        raise KeyboardInterrupt(again) from interruption
    return 0


if __name__ == "__main__":
    sys.exit(main())
