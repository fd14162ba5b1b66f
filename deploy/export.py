"""Export a checkpoint: ``python -m deploy.export CHECKPOINT --format onnx|torchscript``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.onnx import export_onnx, onnx_session
from deploy.prepare import example_frames
from deploy.torchscript import export_torchscript, torchscript_session
from deploy.verify import Parity, compare
from evglif.checkpoint import Checkpoint, read_checkpoint
from evglif.data import check_checkpoint
from preprocessing.cache import FrameCache

FORMATS: dict[str, tuple[str, Callable[[Checkpoint, Path], None], Callable[[Path], Callable[..., NDArray[np.float32]]]]]
FORMATS = {
    "onnx": (".onnx", export_onnx, onnx_session),
    "torchscript": (".ts", export_torchscript, torchscript_session),
}
"""Format → suffix, exporter, and how the written file is run for the parity check."""

AGREEMENT = 0.99
PARITY_SAMPLES = 64


def export(
    checkpoint: Path, format: str = "onnx", out: Path | None = None, data: Path | None = None
) -> tuple[Path, Parity]:
    """Export a checkpoint and check the file against it; nothing stands under the final name unless they agree.

    Args:
        checkpoint: written by ``python -m evglif.train``.
        format: ``"onnx"`` or ``"torchscript"``.
        out: the file to write; the checkpoint's name with the format's suffix by default.
        data: cache whose test samples the two are compared on; made-up frames by default.

    Returns:
        The file and how well it agrees.

    Raises:
        FileNotFoundError: if there is no such checkpoint or cache.
        ValueError: for an unknown format, for data that do not fit, or where they agree on less than 99 % of samples.
    """
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    suffix, write, open_session = FORMATS[format]
    out = Path(out) if out else Path(checkpoint).with_suffix(suffix)
    loaded = read_checkpoint(checkpoint)
    frames = parity_frames(loaded, data)
    temporary = out.with_name(f".{out.stem}.{os.getpid()}{suffix}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(loaded, temporary)
        parity = compare(loaded.model, open_session(temporary), frames)
        if parity.agreement < AGREEMENT:
            raise ValueError(f"the exported model does not agree with {checkpoint}: {parity}; nothing was written")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out, parity


def parity_frames(checkpoint: Checkpoint, data: Path | None, batch: int = 8) -> list[NDArray[np.float32]]:
    """Batches of frames to compare on: of the cache's test split (else of any split), or made-up ones."""
    if data is None:
        return list(_batches(example_frames(checkpoint.model, PARITY_SAMPLES).numpy(), batch))
    with FrameCache(data) as cache:
        check_checkpoint(cache, checkpoint)
        indices = cache.indices("test") if len(cache.indices("test")) else np.arange(len(cache))
        chosen = indices[np.linspace(0, len(indices) - 1, min(len(indices), PARITY_SAMPLES)).astype(int)]
        return list(_batches(cache.stored(chosen) * np.float32(cache.scale), batch))


def _batches(frames: NDArray[np.float32], batch: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(frames), batch):
        yield frames[start : start + batch]


def main(arguments: list[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.export",
        description="Export a checkpoint as one unrolled graph with an open batch size, and check it against it.",
        epilog="example: python -m deploy.export runs/digits/best.pt --format onnx --data data/digits.h5",
    )
    parser.add_argument("checkpoint", type=Path, help="written by python -m evglif.train")
    parser.add_argument("--format", choices=list(FORMATS), default="onnx", help="default: onnx")
    parser.add_argument("--out", type=Path, help="default: the checkpoint's name with the format's suffix")
    parser.add_argument("--data", type=Path, help="cache to compare on; default: made-up frames")
    options = parser.parse_args(arguments)
    try:
        out, parity = export(options.checkpoint, options.format, options.out, options.data)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {parity}")
    if options.format == "onnx":
        print(f"next: python -m deploy.infer {out} RECORDING")
    return 0


if __name__ == "__main__":
    sys.exit(main())
