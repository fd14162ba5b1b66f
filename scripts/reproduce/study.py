"""Does GLIF help? Each neuron with the same small network, the same tuning and the same seeds, set against each other.

For every setting the learning rate is chosen by its mean validation accuracy over the first three seeds (one alone
misleads); with that rate it is trained with all seeds, and the settings are compared on the test split, over seeds and
over samples. Test samples play no part in any choice. Settings named sparse add the penalty on firing. Runs go on where
they were stopped.

A set's name says how many epochs it is trained for, and where its frames are; where they are not, the command that
builds them is told.

Examples:
    .venv/bin/python -m preprocessing.build digits --steps 4 --size 16 --resize area --out data/study/digits.h5
    .venv/bin/python -m scripts.reproduce.study digits --settings glif glif-layer plif lif
    .venv/bin/python -m scripts.reproduce.study --data mine.h5 --settings glif lif --epochs 24
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evglif import compare, sweep
from evglif.augment import AugmentConfig
from evglif.recipe import Recipe, read_recipe, to_yaml
from evglif.studies.runs import FoundRun, find_runs
from evglif.studies.sweeping import BEST
from evglif.tensor_files import replace_file
from preprocessing.arguments import positive
from preprocessing.commands import command

EPOCHS = 24
WIDTHS = (8, 16, 16)
NETWORK = {"name": "vggsnn", "stages": (1, 1, 1), "sharing": "channel", "init": "cifar"}


@dataclass(frozen=True)
class Set:
    """Frames of about 16×16 px that every neuron is trained on.

    Attributes:
        build: words behind ``python -m preprocessing.build`` that make them.
        epochs: passes over the training samples.
    """

    build: str
    epochs: int


FOUR_FRAMES = "--steps 4 --size 16 --resize area"
SETS = {
    "digits": Set(f"digits {FOUR_FRAMES}", 12),
    "nmnist": Set("nmnist --root split --steps 4 --size 17 --resize area", 24),
    "objects": Set(
        f"folder --root dvs128_objects --window 1.3s --splits train=session1,test=session2 {FOUR_FRAMES}", 60
    ),
    "fashion": Set("fashion-mnist --size 14 --limit 5000", 3),
    "cifar10dvs": Set(f"images --images cifar10_10k.npz --limit 2000 --test-fraction 0.3 {FOUR_FRAMES}", 6),
}
"""Data of the study; ``split`` holds N-MNIST's subset as ``scripts/bench/results/activity.txt`` divides it."""

SPARSE = ("rate_weight=30", "rate_target=0.05")

SETTINGS: dict[str, tuple[str, ...]] = {
    "glif": ("neuron=glif",),
    "glif-layer": ("neuron=glif", "model.sharing=layer"),
    "plif": ("neuron=plif",),
    "lif": ("neuron=lif",),
    "glif-f": ("neuron=glif-f",),
    "glif-s": ("neuron=glif-s",),
    **{f"simplex-{code:03b}": (f"neuron=simplex-{code:03b}",) for code in range(8)},
    "glif-slow-gates": ("neuron=glif", "gate_lr=0.1"),
    "glif-cifar10dvs": ("neuron=glif", "model.init=cifar10dvs"),
    "plif-low": ("neuron=plif", "model.v_th=0.5"),
    "lif-low": ("neuron=lif", "model.v_th=0.5"),
    "glif-arctan": ("neuron=glif", "model.surrogate=arctan"),
    "lif-arctan": ("neuron=lif", "model.surrogate=arctan"),
    "glif-sparse": ("neuron=glif", *SPARSE),
    "plif-sparse": ("neuron=plif", *SPARSE),
    "lif-sparse": ("neuron=lif", *SPARSE),
}
"""Setting → values of the recipe that make it, as ``python -m evglif.sweep --set`` takes them."""


@command("finished runs and epochs are kept, and the same command goes on from there")
def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    options.recipe = options.out / "study.yaml"
    replace_file(options.recipe, to_yaml(recipe(options.epochs, options.widths)).encode())
    folders: list[str] = []
    for name in options.settings:
        print(f"\n{name}", flush=True)
        if not (found := trained(name, options)):
            return 1
        folders += found
    print()
    return compare.main([*folders, "--out", str(options.out / "comparison"), "--threads", "1"])


def recipe(epochs: int, widths: Sequence[int] = WIDTHS) -> Recipe:
    """A recipe for small data: a VGG of three layers, no augmentation, a fifth to choose by."""
    base = read_recipe("nmnist-small")
    loader = replace(base.loader, batch_size=32, validation=0.2)
    return replace(
        base, model={**NETWORK, "widths": tuple(widths)}, loader=loader, augment=AugmentConfig(), epochs=epochs
    )


def trained(name: str, options: argparse.Namespace) -> list[str]:
    """Folders of a setting's runs at the learning rate that validation chose; none where nothing could be chosen."""
    out = options.out / name
    tries = [f"lr={','.join(map(str, options.lr))}"], options.seeds[: options.tune_by]
    if _sweep(name, *tries, options):
        return []
    if _sweep(name, [f"lr={_chosen_rate(out)}"], options.seeds, options):
        return []
    return [str(run.folder) for run in chosen_runs(out) if run.recipe.seed in options.seeds]


def chosen_runs(folder: Path) -> list[FoundRun]:
    """A setting's runs at its chosen learning rate, in the order of their names."""
    rate = _chosen_rate(folder)
    return [run for run in find_runs([folder]) if run.recipe.optim.lr == rate]


def _chosen_rate(folder: Path) -> float:
    return read_recipe(str(folder / BEST)).optim.lr


def _sweep(name: str, more: Sequence[str], seeds: Sequence[int], options: argparse.Namespace) -> int:
    values = [word for each in (*more, *SETTINGS[name]) for word in ("--set", each)]
    where = ["--recipe", str(options.recipe), "--data", str(options.data), "--out", str(options.out / name)]
    return sweep.main([*where, *values, "--seeds", *map(str, seeds), "--threads", "1", "--no-pages"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, with what follows from the name of a set.

    Raises:
        ValueError: neither a set nor data are named.
        FileNotFoundError: the frames are not there; the command that builds them is told.
    """
    options = _parser().parse_args(arguments)
    if options.set is None and options.data is None:
        raise ValueError(f"there is nothing to train on: name a set, {', '.join(SETS)}, or give --data FILE")
    options.data = options.data or Path("data/study") / f"{options.set}.h5"
    options.out = options.out or Path("runs/study") / (options.set or "")
    options.epochs = options.epochs or (SETS[options.set].epochs if options.set else EPOCHS)
    if not options.data.is_file():
        build = f"python -m preprocessing.build {SETS[options.set].build} --out {options.data}" if options.set else ""
        raise FileNotFoundError(f"there is no {options.data}" + (f"; this builds it: {build}" if build else ""))
    return options


def _parser() -> argparse.ArgumentParser:
    description, _, examples = (__doc__ or "").partition("Examples:")
    parser = argparse.ArgumentParser(
        description=description, epilog=f"Examples:{examples}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("set", choices=SETS, nargs="?", metavar="SET", help=f"{', '.join(SETS)}; or give --data")
    add("--data", type=Path, help="frames of about 16×16 px; default: data/study/SET.h5")
    add("--out", type=Path, help="default: runs/study/SET")
    told = f"the first is what others are compared with; of {', '.join(SETTINGS)}; default: the first four"
    add("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS)[:4], metavar="NAME", help=told)
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="one run each; default: 0 to 4")
    add(
        "--lr",
        type=float,
        nargs="+",
        default=[0.01, 0.03, 0.1],
        help="tried with the first seeds, see --tune-by; default: 0.01 0.03 0.1",
    )
    add("--widths", type=int, nargs=3, default=WIDTHS, metavar="C", help="channels of its layers; default: 8 16 16")
    add("--tune-by", type=positive, default=3, metavar="N", help="choose the rate by the first N seeds; default: 3")
    add("--epochs", type=positive, help=f"default: those of the set, {EPOCHS} of --data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
