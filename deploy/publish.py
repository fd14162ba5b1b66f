"""Make a folder of weights out of a run, for a hub or for others: ``python -m deploy.publish RUN --out FOLDER``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.profile import profile, sample_frames
from evglif.checkpoint import Checkpoint
from evglif.data import check_checkpoint
from evglif.differences import add_accept
from evglif.pretrained import FORMS, read_weights, save_pretrained
from evglif.pretrained.facts import CHOSEN, Facts, model_facts, run_facts
from preprocessing.arguments import Help, positive
from preprocessing.cache import SPLITS, FrameCache
from preprocessing.commands import command
from preprocessing.terminal import paragraph, tell

MOST_SAMPLES = 64
"""That energy is counted on."""


def publish(
    source: Path,
    out: Path,
    which: str = "",
    data: Path | None = None,
    samples: int = MOST_SAMPLES,
    name: str = "",
    licence: str = "",
    accept: tuple[str, ...] = (),
) -> Facts:
    """Write ``config.json``, ``model.safetensors`` and a card to a folder.

    Args:
        source: folder of a finished run, of which the results are told; or any weights, of which less is known.
        out: the folder to write; one of the same kind is replaced.
        which: ``"best"`` or ``"last"`` weights of a run; empty for the best by validation, where there are such.
        data: cache on which energy is counted; None for no such figures.
        samples: how many of its test samples, at most.
        name: by which the card has the weights loaded; the folder's by default.
        licence: of the weights; that of the data by default.
        accept: differences between these data and those of the training that are meant.

    Returns:
        What the card says.

    Raises:
        FileNotFoundError, ValueError: the run or the data cannot be used, or the folder holds something else.
        OSError: the folder cannot be written; what was there is as it was.
    """
    checkpoint, facts = _known(source, which)
    if data is not None:
        facts = replace(facts, cost=_cost(checkpoint, data, samples, accept))
    save_pretrained(checkpoint, out, facts, name, licence)
    return facts


def _known(source: Path, which: str) -> tuple[Checkpoint, Facts]:
    if source.is_dir() and not (source / "config.json").exists():
        return run_facts(source, which)
    if which:
        raise ValueError(f"--weights {which} is for the folder of a run; {source} is none")
    checkpoint = read_weights(source)
    return checkpoint, model_facts(checkpoint)


def _cost(checkpoint: Checkpoint, data: Path, samples: int, accept: tuple[str, ...]) -> dict[str, Any]:
    with FrameCache(data) as cache:
        for warning in check_checkpoint(cache, checkpoint, accept):
            tell(f"WARNING: {warning}")
        split = "test" if len(cache.indices("test")) else next(each for each in SPLITS if len(cache.indices(each)))
        return profile(checkpoint.model, sample_frames(cache, split, samples)).as_json()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.publish",
        description="Make a folder of weights with a card, in the layout of model hubs: config.json, model.safetensors "
        "and README.md.",
        epilog="example: python -m deploy.publish runs/digits --data data/digits.h5 --out digits-glif",
        formatter_class=Help,
    )
    parser.add_argument("source", type=Path, metavar="RUN", help=f"folder of a finished run; or {FORMS}")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument("--weights", choices=tuple(CHOSEN), default="", help="of a run; otherwise best by validation")
    parser.add_argument("--data", type=Path, metavar="FILE.h5", help="count energy on its test samples, for the card")
    parser.add_argument("--samples", type=positive, default=MOST_SAMPLES, metavar="N", help="how many of them")
    parser.add_argument("--name", default="", help="by which the card loads them, such as owner/name of a repository")
    parser.add_argument("--licence", default="", help="of the weights, such as cc-by-4.0; otherwise that of the data")
    add_accept(parser)
    return parser


@command("nothing was written")
def main(arguments: list[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    given = options.weights, options.data, options.samples, options.name, options.licence, tuple(options.accept)
    facts = publish(options.source, options.out, *given)
    lines = [f"{options.out}: {facts.network} with {facts.neuron}, {facts.num_parameters:,} parameters"]
    lines += [f"  {each.name}: {each.value:.2%}" for each in facts.accuracies]
    if facts.licence is None and not options.licence:
        lines.append("  the licence of the data is not known: state it in the card before you pass the weights on")
    print(paragraph([*lines, f"next: python -m evglif.evaluate {options.out} --data FILE.h5"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
