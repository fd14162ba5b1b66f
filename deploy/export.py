"""Export a checkpoint: ``python -m deploy.export CHECKPOINT --format onnx|onnx-step|torchscript|pt2|nir|events``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.exporting.options import (
    AGREEMENT,
    BUDGET_S,
    DT_S,
    FIRST_OPSET,
    FORMATS,
    NIR_READERS,
    PRECISIONS,
    ExportOptions,
)
from deploy.running.options import num_threads, seconds
from evglif.differences import add_accept
from evglif.names import FORMS
from preprocessing.calling import spoken
from preprocessing.commands import command
from preprocessing.later import later
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.terminal import paragraph, shown, tell

if TYPE_CHECKING:
    from deploy.exporting.export import export, parity_path

__all__ = ["export", "main", "parity_path"]

__getattr__ = later(__name__, dict.fromkeys(("export", "parity_path"), "deploy.exporting.export"))

_MORE = (
    "its interval reaches that, so that these samples cannot tell: compare on more of them with --data, and with more "
    "time for it (--budget 60, or all)"
)


def _budget(text: str) -> float | None:
    return None if text == "all" else seconds(text)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m deploy.export",
        description="Export a checkpoint with an open batch size, and check the file against it.",
        epilog="example: python -m deploy.export runs/digits/best.pt --format onnx --data data/digits.h5",
    )
    parser.add_argument("checkpoint", type=Path, help=FORMS)
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="default: onnx")
    parser.add_argument("--out", type=Path, help="default: the checkpoint's name with the format's suffix")
    parser.add_argument("--data", type=Path, help="cache on whose test split to compare; default: made-up frames")
    norms = parser.add_mutually_exclusive_group()
    norms.add_argument("--fast", dest="fold", action="store_true", default=True, help="fold batch norms (default)")
    norms.add_argument("--exact", dest="fold", action="store_false", help="keep batch norms")
    parser.add_argument(
        "--bound",
        type=float,
        default=AGREEMENT,
        metavar="SHARE",
        help="least share of samples with the checkpoint's class; a file is refused where the whole 95 %% interval "
        f"lies below; default: {AGREEMENT}",
    )
    parser.add_argument(
        "--budget",
        type=_budget,
        default=BUDGET_S,
        metavar="SECONDS",
        help=f"time for comparing with the checkpoint, on samples drawn at random until it is over, or all; default: "
        f"{BUDGET_S:g}",
    )
    onnx = parser.add_argument_group("ONNX")
    onnx.add_argument("--opset", type=int, default=FIRST_OPSET, help=f"default: {FIRST_OPSET}")
    onnx.add_argument("--compat", action="store_true", help="make sure that onnxruntime 1.16 loads it")
    onnx.add_argument("--scan", action="store_true", help="recurrences as Scan: a smaller graph, processors only")
    onnx.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of convolutions; default: fp32")
    onnx.add_argument("--calibration", type=Path, help="cache whose training split calibrates int8")
    nir = parser.add_argument_group("NIR")
    nir.add_argument(
        "--dt", type=float, default=DT_S, metavar="SECONDS", help=f"time step that τ is meant for; default: {DT_S:g}"
    )
    nir.add_argument(
        "--for",
        dest="reader",
        choices=NIR_READERS,
        default="",
        help="written so that this simulator takes it for what it is; default: as NIR's equations have it",
    )
    nir.add_argument("--sum-pools", action="store_true", help="sum pools for average ones, as chips have them")
    parser.add_argument("--threads", type=num_threads, metavar="N", help="for comparing; default: all of the processor")
    add_import(parser, "the neuron or network of the checkpoint")
    add_accept(parser)
    return parser


@command("nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    given = vars(_parser().parse_args(arguments))
    given.pop("imports", None)
    threads = given.pop("threads")
    from deploy.exporting.export import export, parity_path
    from deploy.exporting.formats import FORMATS as BUILT
    from evglif.threads import use_threads

    given["accept"] = tuple(given["accept"])
    checkpoint, out, data = (given.pop(name) for name in ("checkpoint", "out", "data"))
    options = ExportOptions(**given)
    with use_threads(threads):
        out, parity = export(checkpoint, options, out, data, lambda text: tell(f"WARNING: {text}"))
    print(shown(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {parity}"))
    if parity.agreement < options.bound:
        tell(f"WARNING: {parity.agreement:.1%} of samples is less than {options.bound:.4g}; {_MORE}")
    step = BUILT[options.format].next(options, out)
    print(paragraph([f"report: {parity_path(out)}", f"next: {spoken(step)}"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
