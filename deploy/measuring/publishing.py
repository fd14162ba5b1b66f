"""A folder of weights out of a run: for a hub, or for others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.measuring.profiling import profile, sample_frames
from evglif.checkpoint import Checkpoint
from evglif.data import check_checkpoint
from evglif.pretrained import read_weights, save_pretrained
from evglif.pretrained.facts import Facts, model_facts, run_facts
from preprocessing.cache import SPLITS, FrameCache
from preprocessing.terminal import tell


def publish(
    source: Path,
    out: Path,
    which: str = "",
    data: Path | None = None,
    samples: int = 64,
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
