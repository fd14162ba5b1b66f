"""An export from a checkpoint to a file that agrees with it, and the report of how well."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path

from deploy.exporting.formats import FORMATS, Built
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import check_exportable, describe
from deploy.exporting.verify import (
    Parity,
    Run,
    Samples,
    cached_samples,
    compare,
    compare_spikes,
    made_up_samples,
)
from evglif.checkpoint import Checkpoint
from evglif.data import check_checkpoint
from evglif.pretrained import file_beside, read_weights
from evglif.tensor_files import replace_file
from preprocessing.cache import FrameCache
from preprocessing.files import replace_durably, require_file, writing
from preprocessing.plain import json_text
from preprocessing.terminal import as_text


def export(
    checkpoint: str | Path,
    options: ExportOptions | str = "onnx",
    out: Path | None = None,
    data: Path | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[Path, Parity]:
    """Export a checkpoint and check the file against it; nothing stands under the final name unless they agree.

    Beside ``model.onnx`` lies ``model.onnx.parity.json``, the whole report; the file itself holds its summary.

    Args:
        checkpoint: weights, as ``evglif.pretrained.read_weights`` takes them.
        options: all of them, or the format's name.
        out: the file to write; the checkpoint's name with the format's suffix by default.
        data: cache on whose test split the two are compared; made-up frames by default.
        warn: takes what is doubtful about the caches.

    Returns:
        The file and how well it agrees.

    Raises:
        FileNotFoundError: if there is no such checkpoint or cache.
        WriteError: if the file cannot be written, as where the disk is full; nothing is left of it then.
        ValueError: for unknown options, a model that the format cannot hold, data that do not fit, or where the two
            agree on fewer samples than asked for.
    """
    options = ExportOptions(options) if isinstance(options, str) else options
    target = FORMATS[options.format]
    out = Path(out) if out else file_beside(checkpoint, target.suffix)
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name the file to write, such as {out / f'model{target.suffix}'}")
    if as_text(str(out)) != str(out):
        raise ValueError(f"{out}: torch and onnx write to names in UTF-8 only; name another file with --out")
    for path in (out, parity_path(out)):
        require_file(path)
    loaded = read_weights(checkpoint)
    check_exportable(loaded.model)
    caches = {path for path in (data, options.calibration) if path is not None}
    _tell_differences(loaded, caches, options.accept, warn)
    temporary = out.with_name(f".{out.stem}.{os.getpid()}{target.suffix}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            parity = _export(loaded, options, temporary, out, made_up_samples(loaded.model))
        else:
            with FrameCache(data) as cache:
                parity = _export(loaded, options, temporary, out, cached_samples(cache, loaded, options.accept))
        with writing(out):
            replace_durably(temporary, out)
        _write_report(out, checkpoint, options, parity)
    finally:
        temporary.unlink(missing_ok=True)
    return out, parity


def _export(checkpoint: Checkpoint, options: ExportOptions, path: Path, out: Path, samples: Samples) -> Parity:
    """Write a file, run it from the disk, and write it again with what came out; errors name ``out``, what it becomes.

    Raises:
        WriteError: if it cannot be written.
    """
    target = FORMATS[options.format]
    built, changes = target.build(checkpoint, options)
    metadata = replace(
        describe(checkpoint), precision=options.precision, batch_norm="folded" if options.fold else "kept", **changes
    )
    with writing(out):
        built.save(path, metadata)
    parity = _verify(checkpoint, built, target.open(path), samples, options)
    with writing(out):
        built.save(path, replace(metadata, parity=parity.summary()))
    return parity


def _verify(checkpoint: Checkpoint, built: Built, run: Run, samples: Samples, options: ExportOptions) -> Parity:
    share = None if options.budget is None else options.budget / 2  # for the classes, and as long for the spikes
    parity = compare(checkpoint.model, run, samples, share)
    if parity.interval[1] < options.bound:
        raise ValueError(
            f"the exported model does not agree with the checkpoint: {parity}; {options.bound:.4g} of samples are "
            "asked for, and the whole interval is below, so nothing was written. A bad calibration or nearly equal "
            "classes may be the reason: try --precision fp32, --exact, or a checkpoint that is trained longer; --bound "
            "SHARE asks for less"
        )
    flipped, observed = compare_spikes(checkpoint.model, built.observe, samples.observed(share))
    return replace(parity, flipped=flipped, num_observed=observed)


def _write_report(out: Path, checkpoint: str | Path, options: ExportOptions, parity: Parity) -> None:
    asked = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()}
    what = {"model": out.name, "checkpoint": str(checkpoint), "options": asked, "bound": options.bound}
    text = json_text({**what, **parity.to_dict()}, indent=2)
    replace_file(parity_path(out), text.encode())


def parity_path(out: Path) -> Path:
    """Where the report of an exported file lies, one of each: ``model.onnx`` → ``model.onnx.parity.json``."""
    return out.with_name(f"{out.name}.parity.json")


def _tell_differences(
    checkpoint: Checkpoint, caches: Collection[Path], accept: Collection[str], warn: Callable[[str], None]
) -> None:
    """Tell in what caches differ from the data of the training, where that is no reason to refuse them."""
    for path in sorted(caches):
        with FrameCache(path) as cache:
            for warning in check_checkpoint(cache, checkpoint, accept):
                warn(warning)
