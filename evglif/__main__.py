"""The one command: ``evglif build``, ``evglif train`` and the others, each the same as its ``python -m MODULE``.

Installed with the package, it works from any folder, also from one that has a ``preprocessing/`` of its own, which
``python -m`` would take for ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from preprocessing.calling import MODULES, spoken
from preprocessing.commands import command
from preprocessing.nearest import nearest
from preprocessing.terminal import paragraph, tell

LINE = "recordings ─build→ frames ─train→ checkpoint ─export→ model ─infer→ class"

WHAT = {
    "build": "turn recordings or pictures into one file of frames",
    "inspect": "say what is in recordings or frames, and draw it",
    "convert": "write recordings in another format",
    "train": "train a network on frames",
    "evaluate": "figures of a checkpoint: accuracy, confusion, calibration, firing",
    "compare": "set runs against each other, with statistics",
    "sweep": "train over a range of settings",
    "runs": "a table of the runs in a folder",
    "report": "a page with all that is known of a run",
    "plot": "draw what the neurons of a network do",
    "models": "what the networks are, layer by layer, and what they cost",
    "nir": "a network out of a NIR file of any program",
    "zoo": "weights that come with the package",
    "export": "a checkpoint as a file that runs without torch",
    "infer": "classify recordings or live events with an exported model",
    "bench": "time an exported model",
    "profile": "operations and energy of a network on real samples",
    "publish": "a folder of weights with a card, for a hub or for others",
}
WRONG_USAGE = 2


@command("nothing was begun")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first word names; 2: there is none of that name."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        print(_overview(Path()))
        return 0
    name, *rest = words
    if name in ("-h", "--help", "help"):
        print(_overview(None))
        return 0
    if name == "--version":
        from evglif import __version__

        print(f"evglif {__version__}")
        return 0
    if name not in available():
        said = f"no command {name!r}; choose one of {', '.join(available())}{nearest(name, available())}"
        tell(f"error: {said}")
        return WRONG_USAGE
    run = import_module(MODULES[name]).main
    return int(run(rest))


def available() -> list[str]:
    """Names of the commands whose modules are there; what runs on a device is a part of the package."""
    return [name for name, module in MODULES.items() if _is_there(module)]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its package is not
        return False


def _overview(place: Path | None) -> str:
    program = spoken("python -m evglif.train").removesuffix(" train")
    lines = [f"usage: {program} COMMAND [options]; {program} COMMAND --help lists them", "", LINE, ""]
    lines += [f"  {name:<9} {WHAT[name]}" for name in available()]
    if place is not None:
        from evglif.place import looked_around

        lines += ["", *map(spoken, looked_around(place))]
    return paragraph(lines)


if __name__ == "__main__":
    sys.exit(main())
