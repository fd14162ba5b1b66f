"""What each part of today's recipes adds: one after another on a plain recipe, alone, then what helped, together.

A part's gain is the difference from the plain recipe of the same seed, which has the same weights at first and the same
validation samples, after the last epoch: no epoch is chosen. Runs go on where they were stopped.

Example:
    .venv/bin/python -m preprocessing.build nmnist --root ../shared/data/nmnist_small --steps 4 --size 17 \\
        --resize area --out data/nmnist4.h5
    .venv/bin/python -m scripts.reproduce.parts --data data/nmnist4.h5 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from evglif.augment import AugmentConfig
from evglif.recipe import Recipe, read_recipe
from evglif.train import train
from evglif.training.machine import Machine
from preprocessing.commands import command
from scripts.bench.common import machine

Change = Callable[[Recipe], Recipe]

PLAIN = "plain"
NETWORK = {"name": "vggsnn", "widths": (8, 16), "stages": (1, 1), "neuron": "glif", "init": "cifar"}
NDA = {"roll": 2, "rotate": 15.0, "shear": 15.0, "cutout": 5, "one_of": True}
"""On frames of 17×17 px: about a tenth of the side, and a square of a tenth of the area at most."""


def _augmented(**options: Any) -> Change:
    return lambda recipe: replace(recipe, augment=replace(recipe.augment, **options))


def _loss(**options: Any) -> Change:
    return lambda recipe: replace(recipe, loss=replace(recipe.loss, **options))


PARTS: dict[str, Change] = {
    "crop": _augmented(crop_padding=1),
    "tet": _loss(name="tet"),
    "nda": _augmented(**NDA),
    "ema": lambda recipe: replace(recipe, ema=0.98),
    "warmup": lambda recipe: replace(recipe, optim=replace(recipe.optim, warmup=2)),
    "smoothing": _loss(label_smoothing=0.1),
    "mixup": _augmented(mixup=0.5),
    "cutmix": _augmented(cutmix=0.5),
}
"""Part → what it changes in a recipe: the papers' random crop; Deng et al., ICLR 2022; Li et al., ECCV 2022; Polyak and
Juditsky, 1992 (as an exponential average: Tarvainen and Valpola, NeurIPS 2017); Goyal et al., 2017; Szegedy et al.,
CVPR 2016; Zhang et al., ICLR 2018; Yun et al., ICCV 2019."""


@command("finished runs and epochs are kept, and the same command goes on from there")
def main() -> int:
    options = parse()
    names = [PLAIN, *(options.parts or PARTS)]
    accuracies: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for seed in options.seeds:
        for name in names:
            recipe = changed(plain(options, seed), name)
            out = options.out / f"{name}-{seed}"
            results = train(recipe, options.data, out, machine=Machine(threads=1, log="csv"), progress=False)
            last = results["last"]
            accuracies[name].append((last["validation_accuracy"], last["test"]["accuracy"]))
            print(f"seed {seed}  {name:<24} {percent(accuracies[name][-1])}", flush=True)
    print(table(accuracies))
    print(machine("torch", "numba"))
    return 0


def parse() -> argparse.Namespace:
    description, _, example = (__doc__ or "").partition("Example:")
    parser = argparse.ArgumentParser(
        description=description, epilog=f"Example:{example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data set, frames of about 17×17 px")
    add("--out", type=Path, default=Path("runs/parts"), help="default: runs/parts")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each; default: 0 1 2")
    add("--parts", nargs="+", metavar="PART", help=f"joined by +, as tet+nda; default: each of {', '.join(PARTS)}")
    add("--epochs", type=int, default=15, help="default: 15")
    add("--validation", type=float, default=0.5, help="share that gains are measured on; default: 0.5")
    return parser.parse_args()


def plain(options: argparse.Namespace, seed: int) -> Recipe:
    """The recipe for small N-MNIST with a narrow VGG and without augmentation, and with a larger part to judge by."""
    recipe = read_recipe("nmnist-small")
    return replace(
        recipe,
        model=NETWORK,
        loader=replace(recipe.loader, batch_size=32, validation=options.validation),
        augment=AugmentConfig(),
        epochs=options.epochs,
        seed=seed,
    )


def changed(recipe: Recipe, name: str) -> Recipe:
    """A recipe with the parts of a name, joined by +.

    Raises:
        ValueError: for an unknown part.
    """
    for part in name.split("+") if name != PLAIN else ():
        if part not in PARTS:
            raise ValueError(f"unknown part {part!r}; choose of {', '.join(PARTS)}, joined by +")
        recipe = PARTS[part](recipe)
    return recipe


def table(accuracies: dict[str, list[tuple[float, float]]]) -> str:
    """Mean ± standard deviation over the seeds, and the mean gain ± its standard error, in points."""
    lines = [f"{'':<26}{'validation, %':>16}{'gain':>14}{'test, %':>16}"]
    base = [validation for validation, _ in accuracies[PLAIN]]
    for name, pairs in accuracies.items():
        validation, test = zip(*pairs, strict=True)
        gains = [one - other for one, other in zip(validation, base, strict=True)]
        gain = "" if name == PLAIN else spread(gains, sqrt(len(gains)), "+")
        lines.append(f"{name:<26}{spread(validation):>16}{gain:>14}{spread(test):>16}")
    return "\n".join(lines)


def spread(shares: Sequence[float], divisor: float = 1.0, sign: str = "") -> str:
    deviation = f" ± {100 * stdev(shares) / divisor:.1f}" if len(shares) > 1 else ""
    return f"{100 * fmean(shares):{sign}.1f}{deviation}"


def percent(pair: tuple[float, float]) -> str:
    return f"validation {100 * pair[0]:.1f} %, test {100 * pair[1]:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
