"""List the weights that come with the package: ``python -m evglif.zoo``, and with a name print its card."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from evglif.zoo import PREFIX, zoo_folder, zoo_names
from preprocessing.commands import command
from preprocessing.options import Parser

CARD = "README.md"


def rows() -> Iterator[tuple[str, ...]]:
    """Name, network, input, size of the weights, accuracy and the first digits of their SHA-256."""
    from evglif.pretrained.folder import WEIGHTS, read_config

    for name in zoo_names():
        folder = zoo_folder(name)
        config = read_config(folder)
        spec, test = config.spec, next((each for each in config.accuracies if each.is_test), None)
        width, height = spec["size"]
        yield (
            f"{PREFIX}{name}",
            f"{spec['name']}, {spec['neuron']['name']}",
            f"{spec['steps']}×{spec['in_channels']}×{height}×{width}",
            f"{(folder / WEIGHTS).stat().st_size / 1000:.0f} kB",
            f"{test.value:.1%} of {test.num_samples}" if test else "none",
            config.files[WEIGHTS][:12],
        )


@command("nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    parser = Parser(
        prog="python -m evglif.zoo",
        description="List the weights that come with the package. Their names stand wherever a checkpoint does.",
        epilog="examples:\n  python -m evglif.zoo zoo:digits-glif\n"
        "  python -m evglif.evaluate zoo:digits-glif --data data/digits.h5",
    )
    parser.add_argument("name", nargs="?", help="print the card of these weights")
    name = parser.parse_args(arguments).name
    if name is not None:
        print((zoo_folder(name) / CARD).read_text(encoding="utf-8"), end="")
        return 0
    table = [("weights", "network", "input", "size", "test accuracy", "SHA-256"), *rows()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
