"""Turn the recordings or static images of a data set into one HDF5 file of frames."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import MISSING, fields
from inspect import cleandoc
from pathlib import Path

from preprocessing.arguments import Help, add_frame_options, add_reading_options, positive, seconds
from preprocessing.building.cluster import CLUSTER_PATIENCE_S
from preprocessing.building.pipeline import BuildResult, build
from preprocessing.calling import spoken
from preprocessing.commands import command
from preprocessing.datasets import DATASETS, Dataset
from preprocessing.download import download
from preprocessing.options import Parser
from preprocessing.own_code import add_import

__all__ = ["BuildResult", "build", "main"]

EXAMPLES = """examples:
  python -m preprocessing.build digits
  python -m preprocessing.build nmnist --root data/nmnist --size 34
  python -m preprocessing.build cifar10dvs --root data/cifar10dvs --split reference --workers 8
  python -m preprocessing.build tonic:NMNIST --root data/tonic --size 34
  python -m preprocessing.build folder --root recordings --splits train=session1,test=session2 --window 1.3s
  python -m preprocessing.build cifar10 --root data/cifar10 --download
  python -m preprocessing.build pictures --root photos --size 64
"""


@command("nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: built or up to date, 1: nothing usable or a strict failure, 2: wrong usage."""
    parser = _parser()
    options = vars(parser.parse_args(_expanded(sys.argv[1:] if arguments is None else arguments)))
    kind = DATASETS[options.pop("dataset")]
    try:
        dataset = kind(**{field.name: options.pop(field.name) for field in fields(kind)})
    except ValueError as error:
        parser.error(str(error))
    options.pop("imports", None)
    wanted = options.pop("download")
    if wanted and not dataset.remote_files():
        parser.error(f"--download: {dataset.name} is not fetched by a program; {dataset.origin or 'it needs no files'}")
    if wanted:
        files = download(dataset.remote_files(), dataset.root)
        num_new = sum(file.is_new for file in files)
        print(f"{num_new} files downloaded, {len(files) - num_new} were there")
    print(spoken(str(build(dataset, **options))))
    return 0


def _expanded(words: Sequence[str]) -> list[str]:
    """The arguments with tonic:NAME written out as a command and its options; each such set has a file of its own."""
    first, *others = words or [""]
    kind, colon, name = first.partition(":")
    if kind != "tonic" or not colon:
        return [*words]
    return [kind, "--set", name, "--out", f"data/tonic-{name.lower()}.h5", *others]


def _parser() -> Parser:
    program = "python -m preprocessing.build"
    parser = Parser(program, description=__doc__, epilog=EXAMPLES, formatter_class=Help)
    commands = parser.add_subparsers(dest="dataset", metavar="DATASET", required=True)
    for name, kind in DATASETS.items():
        text, example = cleandoc(kind.__doc__ or ""), f"example:\n  {program} {name} {kind.example}"
        command = commands.add_parser(
            name, help=text.partition("\n")[0], description=text, epilog=example, formatter_class=Help
        )
        _add_own(command, kind)
        _add_common(command, f"data/{name}.h5", kind.kind)
    return parser


def _add_own(parser: ArgumentParser, kind: type[Dataset]) -> None:
    for field in fields(kind):
        needed = field.default is MISSING
        usual = {"default": None if needed else field.default, "required": needed}
        parser.add_argument("--" + field.name.replace("_", "-"), **{**usual, **field.metadata})


def _add_common(parser: ArgumentParser, out: str, kind: str) -> None:
    add = parser.add_argument
    add("--download", action="store_true", help="fetch what is not under the root yet, where a program may")
    add("--out", type=Path, default=Path(out), metavar="FILE", help="the file to write")
    if kind == "events":
        add_frame_options(parser)
        add_reading_options(parser)
        add_import(parser, "a reader of recordings or a filter of events")
    add("--workers", type=positive, metavar="N", help="processes, by default as many as are worth it; also --threads")
    add("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers do it: tcp://host:port, or FILE.json")
    add(
        "--cluster-timeout",
        dest="cluster_patience_s",
        type=seconds,
        default=CLUSTER_PATIENCE_S,
        metavar="SECONDS",
        help="how long the scheduler may take to answer",
    )
    add("--consolidate", action="store_true", help="with a cluster: one file instead of one that refers to shards")
    add("--limit", type=positive, metavar="N", help="at most so many recordings, spread over classes and splits")
    add(
        "--strict",
        action="store_true",
        help="stop at the first thing that cannot be used, or bad event; nothing is written",
    )
    add("--force", action="store_true", help="build even if FILE is up to date or no frame cache")


if __name__ == "__main__":
    sys.exit(main())
