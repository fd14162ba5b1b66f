"""Make a checkpoint of a NIR file: ``python -m evglif.nir FILE.nir --out CHECKPOINT``."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preprocessing.arguments import Help, positive
from preprocessing.calling import spoken
from preprocessing.commands import command
from preprocessing.files import require_file
from preprocessing.options import Parser
from preprocessing.terminal import paragraph, shown, tell

if TYPE_CHECKING:
    from evglif.nir.load import Frame, Imported

RESETS = ("hard", "soft")
EXAMPLES = """examples:
  python -m evglif.nir model.nir --out runs/imported.pt
  python -m evglif.nir mlp.nir --frame 2x34x34 --steps 20 --out runs/imported.pt
  python -m evglif.nir sinabs.nir --dt 1 --reset soft --out runs/imported.pt
"""


@command("nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    from evglif.checkpoint import save_checkpoint
    from evglif.nir.load import read_nir

    require_file(options.out)
    found = read_nir(options.file, options.dt, options.steps, options.reset, options.frame)
    save_checkpoint(options.out, found.model, found.data)
    if found.dt_from == "usual":
        tell(
            f"WARNING: {options.file} states no time step; its time constants were taken for {found.dt:g} s, as "
            "snnTorch and SpikingJelly write them; --dt says another"
        )
    print(shown(_summary(found)))
    print(
        paragraph(
            [f"written to {options.out}", spoken(f"next: python -m evglif.evaluate {options.out} --data FILE.h5")]
        )
    )
    return 0


def _summary(found: Imported) -> str:
    spec = found.model.spec
    num_values = sum(parameter.numel() for parameter in found.model.parameters())
    frame = f"{spec.in_channels}×{spec.size[1]}×{spec.size[0]}"
    return f"{found.model.notation()}: {num_values:,} weights, frames {frame}, T = {spec.steps}, dt = {found.dt:g} s"


def _frame(text: str) -> Frame:
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r}: channels, height and width, such as 2x34x34")
    return int(match[1]), int(match[2]), int(match[3])


def _parser() -> Parser:
    parser = Parser(
        prog="python -m evglif.nir",
        description="Make a checkpoint of a NIR file of any program; it trains, is evaluated and exported as others.",
        epilog=EXAMPLES,
        formatter_class=Help,
    )
    parser.add_argument("file", type=Path, help="written by python -m deploy.export --format nir, or another program")
    parser.add_argument("--out", type=Path, required=True, metavar="CHECKPOINT", help="the file to write")
    parser.add_argument("--dt", type=float, metavar="SECONDS", help="that τ is written for; the file's, else 1e-4")
    parser.add_argument("--steps", type=positive, metavar="T", help="time steps; the file's, else 16")
    parser.add_argument("--frame", type=_frame, metavar="CxHxW", help="of a network that takes vectors")
    parser.add_argument("--reset", choices=RESETS, help="soft for files of sinabs; the file's, else hard")
    return parser


if __name__ == "__main__":
    sys.exit(main())
