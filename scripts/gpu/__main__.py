"""The GPU of this machine, looked at: in the minutes it is at hand, or with every test and benchmark there is.

Two commands. At home, with a network, fill a folder with what such a machine lacks: wheels, and images to learn from.

    scripts/gpu_check --prepare build/gpu-kit --data FOLDER

FOLDER has mnist/ and fashion_mnist/, with their idx files, and an .npz file of coloured images (images, labels,
classes). Take the checkout and build/gpu-kit, 64 MiB together, to the machine. There, with torch, triton, numpy, h5py,
numba, matplotlib and the like, and no network:

    scripts/gpu_check --minutes 8 --kit build/gpu-kit

In this order, each part within its share of the minutes, written row by row: (a) Triton's spikes and gradients against
the reference; (b) the recurrence against its peers and a copy; (c) training steps against the ReLU twin; (d) PLIF on
MNIST and Fashion-MNIST and GLIF on simulated CIFAR10-DVS, as many epochs as there is time for; (e) a summary. The
folder of results, one a day and card, holds machine.md, summary.md, parts.csv with what did not fit, and a table of
each part as CSV and Markdown; with --archive FILE also as one .tar.gz, written anew after each part. Where the program
is killed, what was done is on the disk.

Without --minutes every GPU test and benchmark is run, which may take hours. With --device cpu the minutes are spent at
toy size, to see that everything works.

Exit code: 0 if all went well, 1 if something failed or could not run, 2 for wrong options, 3 without an NVIDIA GPU.

Example:
    scripts/gpu_check --minutes 8 --kit build/gpu-kit --archive results.tar.gz
    scripts/gpu_check --minutes 2 --only agreement recurrence
    PYTHON=.venv/bin/python scripts/gpu_check --only test_triton recurrence_gpu --out /tmp/results
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from preprocessing.commands import command
from preprocessing.terminal import tell
from scripts.gpu import everything, kit
from scripts.gpu.day import PARTS, Day
from scripts.gpu.machine import ROOT, default_folder

NO_GPU = 3


@command("what is written so far is kept")
def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    try:
        if options.prepare:
            if options.data is None:
                raise ValueError("--prepare needs --data FOLDER with the images; see --help")
            print(kit.prepare(options.prepare, options.data))
            return 0
        return check(options)
    except (ValueError, OSError) as error:
        tell(f"error: {error}")
        return 2


def check(options: argparse.Namespace) -> int:
    if options.minutes is not None:
        unknown = set(options.only) - {part.name for part in PARTS}
        if unknown or not options.minutes > 0:
            names = ", ".join(part.name for part in PARTS)
            got = f"{options.minutes} and {', '.join(options.only) or 'no names'}"
            raise ValueError(f"--minutes takes a number above 0, and --only of {names}; got {got}")
    else:
        files = everything.jobs(options.only)
        if options.dry_run:
            print(*(path.relative_to(ROOT) for path in files), sep="\n")
            return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no NVIDIA GPU that torch can use: nothing was run")
        return NO_GPU
    data = kit.unpack(options.kit) if options.kit else None
    folder = (options.out or default_folder(options.device)).absolute()
    if options.minutes is None:
        return everything.check(files, folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no part goes on by itself
    return Day(options.device, options.minutes, folder, data, options.archive, tuple(options.only)).run()


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, example = (__doc__ or "").partition("Example:")
    made = argparse.ArgumentParser(
        prog="scripts/gpu_check",
        description=description,
        epilog="Example:" + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--minutes", type=float, help="how long the GPU is at hand; default: as long as it takes")
    made.add_argument("--kit", type=Path, help="folder made by --prepare")
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: at toy size; default: cuda")
    made.add_argument("--out", type=Path, help="folder; default: scripts/bench/results/gpu-<date>-<GPU>")
    made.add_argument("--archive", type=Path, help="file for the folder as .tar.gz, written anew after each part")
    made.add_argument("--only", nargs="+", default=[], metavar="NAME", help="parts, or names of files without .py")
    made.add_argument("--dry-run", action="store_true", help="list the files and end")
    made.add_argument("--prepare", type=Path, metavar="FOLDER", help="fill a kit and end; needs a network")
    made.add_argument("--data", type=Path, help="folder with the images for --prepare")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
