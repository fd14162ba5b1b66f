"""Training steps of 7B-wideNet on a GPU, as training.py has them on a CPU: by precision, with memory, as CSV.

With ``--device cpu`` it runs at toy size, to see that it works.

Example:
    .venv/bin/python -m scripts.bench.training_gpu --csv training_gpu.csv
    .venv/bin/python -m scripts.bench.training_gpu --device cpu --repeats 1
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from preprocessing.commands import command
from scripts.bench.common import parser
from scripts.bench.neuron_peers import DTYPES
from scripts.bench.training import measure

COLUMNS = ("precision", "batch", "neuron", "ms", "samples/s", "times the twin", "saved MB")
TOY = {"width": 4, "steps": 2, "size": 16, "batch": 2}


@command("no figures were kept")
def main() -> None:
    options = parse_options()
    rows: list[tuple[object, ...]] = []
    print(*COLUMNS, sep="\t")
    for precision in DTYPES if options.device == "cuda" else ("fp32", "bf16"):
        for name, *figures in measure(argparse.Namespace(**{**vars(options), "precision": precision})):
            rows.append((precision, options.batch, name, *(f"{figure:.2f}" for figure in figures)))
            print(*rows[-1], sep="\t", flush=True)
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=20)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    made.add_argument("--batch", type=int, default=32, help="samples; default: 32, the paper's")
    made.add_argument("--csv", type=Path, help="file for the table")
    made.set_defaults(width=64, steps=16, size=48)
    options = made.parse_args()
    if options.device == "cpu":
        vars(options).update(TOY)
    return options


if __name__ == "__main__":
    sys.exit(main())
