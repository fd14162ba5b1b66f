"""Count what a checkpoint costs on real samples: ``python -m deploy.profile CHECKPOINT --data FILE.h5``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.chips.target import chip_names
from deploy.running.options import num_threads
from evglif.differences import add_accept
from evglif.names import FORMS
from preprocessing.arguments import Help, positive
from preprocessing.cache import SPLITS, FrameCache
from preprocessing.commands import command
from preprocessing.files import require_file, write_whole
from preprocessing.later import later
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.plain import json_text
from preprocessing.terminal import shown, tell

if TYPE_CHECKING:
    from deploy.measuring.profiling import Counter, fan_out, multiplications, profile, sample_frames, table

__all__ = ["Counter", "fan_out", "main", "multiplications", "profile", "sample_frames", "table"]

__getattr__ = later(
    __name__,
    dict.fromkeys(
        ("Counter", "fan_out", "multiplications", "profile", "sample_frames", "table"), "deploy.measuring.profiling"
    ),
)


@command("no figures were written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    if options.json:
        require_file(options.json)
    from deploy.measuring.profiling import profile, sample_frames, table
    from evglif.data import check_checkpoint
    from evglif.pretrained import read_weights
    from evglif.threads import use_threads

    checkpoint = read_weights(options.checkpoint)
    if options.chip:
        from deploy.chips.report import profile_on_chip

        chosen = options.chip, options.data, options.split, options.samples, options.accept, options.json
        profile_on_chip(checkpoint, *chosen)
        return 0
    if options.data is None:
        raise ValueError("--data must be given: operations are counted on its samples")
    with FrameCache(options.data) as cache, use_threads(options.threads):
        for warning in check_checkpoint(cache, checkpoint, options.accept):
            tell(f"WARNING: {warning}")
        frames = partial(sample_frames, cache, options.split, options.samples, seen=checkpoint.seen)
        cost = profile(checkpoint.model, frames())
        figures, lines = cost.as_json(), [table(cost)]
        if options.neurobench:
            from deploy.measuring import neurobench

            metrics = neurobench.measure(checkpoint.model, frames())
            figures["neurobench"] = {**metrics.as_json(), "notes": " ".join(neurobench.NOTES)}
            lines += ["", *metrics.lines(), "", *neurobench.NOTES]
    print("\n".join(lines))
    if options.json:
        text = json_text(figures, indent=2)
        write_whole(options.json, (text + "\n").encode())
        print(f"\nwritten to {shown(options.json)}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m deploy.profile",
        description="Count a network's operations on real samples, and their energy by the 45 nm convention.",
        epilog="examples:\n  python -m deploy.profile runs/digits/best.pt --data data/digits.h5\n"
        "  python -m deploy.profile runs/digits/best.pt --data data/digits.h5 --neurobench --json cost.json\n"
        "  python -m deploy.profile runs/if/best.pt --chip speck2f --data data/digits.h5",
        formatter_class=Help,
    )
    parser.add_argument("checkpoint", type=Path, help=FORMS)
    parser.add_argument("--data", type=Path, metavar="FILE.h5", help="cache with the samples")
    parser.add_argument(
        "--chip", metavar="NAME", help=f"what fits on a chip instead: {', '.join(chip_names())}, or YAML"
    )
    parser.add_argument("--split", choices=list(SPLITS), default="test", help="which of them")
    parser.add_argument("--samples", type=positive, default=64, metavar="N", help="how many, spread evenly")
    parser.add_argument("--neurobench", action="store_true", help="the figures of NeuroBench's names, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON too")
    parser.add_argument("--threads", type=num_threads, metavar="N", help="of the processor, by default all")
    add_import(parser, "the neuron or network of the checkpoint")
    add_accept(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
