"""Export a checkpoint: ``python -m deploy.export CHECKPOINT --format onnx|onnx-step|torchscript|pt2|nir|events``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path

from deploy.exporting.formats import FORMATS, Built
from deploy.exporting.options import AGREEMENT, BUDGET_S, DT_S, FIRST_OPSET, NIR_READERS, PRECISIONS, ExportOptions
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
from deploy.running.options import seconds
from evglif.checkpoint import Checkpoint, read_checkpoint
from evglif.data import check_checkpoint
from evglif.differences import add_accept
from evglif.tensor_files import replace_file
from preprocessing.cache import FrameCache
from preprocessing.commands import command
from preprocessing.files import replace_durably, require_file, writing
from preprocessing.plain import json_text
from preprocessing.terminal import as_text, paragraph, shown, tell

_MORE = (
    "its interval reaches that, so that these samples cannot tell: compare on more of them with --data, and with more "
    "time for it (--budget 60, or all)"
)


def export(
    checkpoint: Path,
    options: ExportOptions | str = "onnx",
    out: Path | None = None,
    data: Path | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[Path, Parity]:
    """Export a checkpoint and check the file against it; nothing stands under the final name unless they agree.

    Beside ``model.onnx`` lies ``model.onnx.parity.json``, the whole report; the file itself holds its summary.

    Args:
        checkpoint: written by ``python -m evglif.train``.
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
    out = Path(out) if out else Path(checkpoint).with_suffix(target.suffix)
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name the file to write, such as {out / f'model{target.suffix}'}")
    if as_text(str(out)) != str(out):
        raise ValueError(f"{out}: torch and onnx write to names in UTF-8 only; name another file with --out")
    for path in (out, parity_path(out)):
        require_file(path)
    loaded = read_checkpoint(checkpoint)
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


def _write_report(out: Path, checkpoint: Path, options: ExportOptions, parity: Parity) -> None:
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


def _budget(text: str) -> float | None:
    return None if text == "all" else seconds(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.export",
        description="Export a checkpoint with an open batch size, and check the file against it.",
        epilog="example: python -m deploy.export runs/digits/best.pt --format onnx --data data/digits.h5",
    )
    parser.add_argument("checkpoint", type=Path, help="written by python -m evglif.train")
    parser.add_argument("--format", choices=list(FORMATS), default="onnx", help="default: onnx")
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
    add_accept(parser)
    return parser


@command("nothing was written")
def main(arguments: list[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    given = vars(_parser().parse_args(arguments))
    given["accept"] = tuple(given["accept"])
    checkpoint, out, data = (given.pop(name) for name in ("checkpoint", "out", "data"))
    options = ExportOptions(**given)
    out, parity = export(checkpoint, options, out, data, lambda text: tell(f"WARNING: {text}"))
    print(shown(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {parity}"))
    if parity.agreement < options.bound:
        tell(f"WARNING: {parity.agreement:.1%} of samples is less than {options.bound:.4g}; {_MORE}")
    step = FORMATS[options.format].next(options).format(out=out, dt=options.dt)
    print(paragraph([f"report: {parity_path(out)}", f"next: {step}"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
