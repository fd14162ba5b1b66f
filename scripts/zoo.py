"""Make the weights that come with the package: train, judge, and write folders and their sums to ``evglif/zoo``.

    python -m preprocessing.build digits --steps 4 --size 16 --resize area
    python -m preprocessing.build nmnist --root data/nmnist --steps 8 --size 17 --resize area
    python -m scripts.zoo --digits data/digits.h5 --nmnist data/nmnist.h5

A run that is finished is taken as it is. Data whose makers don't allow it must not become part of the zoo.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from deploy.publish import publish
from evglif.augment import AugmentConfig
from evglif.data import LoaderConfig
from evglif.recipe import Recipe
from evglif.tensor_files import replace_file
from evglif.train import train
from evglif.training.optim import OptimConfig
from evglif.zoo import PREFIX, SUMS
from preprocessing.commands import command

NEURONS = ("glif", "lif")
NETWORK = {
    "name": "resnet18",
    "init": "cifar",
    "stem_width": 16,
    "widths": (16, 32),
    "repeats": (1, 1),
    "strides": (2, 2),
    "hidden": 0,
}
DIGITS = Recipe(
    NETWORK,
    OptimConfig("adam", 0.01),
    loader=LoaderConfig(16),
    epochs=30,
    precision="fp32",
    augment=AugmentConfig(crop_padding=0),
)
RECIPES = {"digits": DIGITS, "nmnist": replace(DIGITS, epochs=25, augment=AugmentConfig(crop_padding=1))}
MOST_BYTES = 2_000_000


@command("what was trained is kept, and the same command goes on from there")
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for data in RECIPES:
        parser.add_argument(f"--{data}", type=Path, required=True, metavar="FILE.h5", help="frames to learn from")
    parser.add_argument("--runs", type=Path, default=Path("runs/zoo"), help="folder for the runs")
    parser.add_argument("--out", type=Path, default=Path("evglif/zoo"), help="the zoo")
    options = parser.parse_args()
    for data, recipe in RECIPES.items():
        for neuron in NEURONS:
            name = f"{data}-{neuron}"
            frames = getattr(options, data)
            train(replace(recipe, model={**recipe.model, "neuron": neuron}), frames, options.runs / name)
            publish(options.runs / name, options.out / name, data=frames, name=f"{PREFIX}{name}")
    files = sorted(path for path in options.out.glob("*/*") if path.parent.name.partition("-")[0] in RECIPES)
    total = sum(path.stat().st_size for path in files)
    if total > MOST_BYTES:
        raise ValueError(f"the zoo has {total:,} bytes, more than the {MOST_BYTES:,} that a wheel is to carry")
    sums = [f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(options.out).as_posix()}" for path in files]
    replace_file(options.out / SUMS, ("\n".join(sums) + "\n").encode())
    print(f"{options.out}: {len(files)} files, {total / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
