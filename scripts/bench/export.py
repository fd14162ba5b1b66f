"""Exported 7B-wideNet against eager torch: folded or kept norms, Scan, int8, by batch size, in one run.

The weights are fresh and the frames made up: neither changes what the processor does, but parity on them says little.
Before anything is timed, the files of fp32 must give the checkpoint's classes. Then the models take turns.

Example:
    .venv/bin/python scripts/bench/export.py --threads 2 --repeats 5
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from common import in_turns, machine, parser, timed

from deploy.formats import FORMATS
from deploy.onnx import OnnxModel, unrolled_model
from deploy.options import ExportOptions
from deploy.prepare import describe, prepared
from deploy.quantize import in_int8
from deploy.torchscript import open_torchscript
from evglif import build_model
from evglif.checkpoint import Checkpoint
from evglif.models import Network

Frames = np.ndarray
VARIANTS = {
    "onnx --fast": ExportOptions(),
    "onnx --exact": ExportOptions(fold=False),
    "onnx --scan": ExportOptions(scan=True),
    "torchscript": ExportOptions("torchscript"),
}


def main() -> None:
    parsing = parser(__doc__, repeats=5)
    parsing.add_argument("--threads", type=int, default=2, help="default: 2")
    parsing.add_argument("--width", type=int, default=64, help="channels of the first stage; default: 64")
    options = parsing.parse_args()
    torch.set_num_threads(options.threads)
    model = trained_looking(options.width)
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: written(model, variant, Path(folder), options.threads) for name, variant in VARIANTS.items()}
        runs["onnx int8"] = session(int8(model), Path(folder) / "int8.onnx", model, options.threads)
        runs["eager"] = partial(eager, model)
        for batch in (1, 8):
            print_rows(runs, frames_of(model, batch, seed=batch), options.repeats)
    print(f"{machine('torch', 'onnxruntime')}, {options.threads} threads, median of {options.repeats}")


def trained_looking(width: int) -> Network:
    """A network whose norms have seen data, so that its neurons fire."""
    torch.manual_seed(0)
    model = build_model("7b-widenet", width=width, init="cifar")
    with torch.no_grad():
        for seed in range(3):
            model(torch.from_numpy(frames_of(model, 2, seed)))
    return model.eval()


def frames_of(model: Network, batch: int, seed: int) -> Frames:
    shape = (batch, model.spec.steps, model.spec.in_channels, *model.spec.size[::-1])
    return np.random.default_rng(seed).poisson(0.3, shape).astype(np.float32)


def written(model: Network, options: ExportOptions, folder: Path, threads: int) -> Callable[[Frames], Frames]:
    """A file in a format, loaded; how long it took to make is printed."""
    made: list[object] = []
    target, checkpoint = FORMATS[options.format], Checkpoint(model, None, {})
    seconds = timed(lambda: made.append(target.build(checkpoint, options)[0]))
    path = folder / f"model{target.suffix}"
    print(f"{options.format}, fold={options.fold}, scan={options.scan}: made in {seconds:.1f} s", end="")
    if isinstance(made[0], OnnxModel):
        run = session(made[0], path, model, threads)
    else:
        made[0].save(path, describe(checkpoint))  # type: ignore[attr-defined]
        run = open_torchscript(path)
    weights = sum(value.numel() * 4 for value in model.state_dict().values())
    print(f", {path.stat().st_size / weights:.2f}× the weights")
    frames = frames_of(model, 8, seed=0)
    assert (run(frames).argmax(1) == eager(model, frames).argmax(1)).mean() >= 0.9
    return run


def session(model: OnnxModel, path: Path, network: Network, threads: int) -> Callable[[Frames], Frames]:
    model.save(path, describe(Checkpoint(network, None, {})))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda frames: loaded.run(["logits"], {"frames": frames})[0]


def int8(model: Network) -> OnnxModel:
    """The network in int8, calibrated on a few made-up frames."""
    fp32 = unrolled_model(prepared(model, fold=True), replace(ExportOptions(), scan=False))
    return in_int8(fp32, iter([frames_of(model, 4, seed=9)]))


def eager(model: Network, frames: Frames) -> Frames:
    with torch.inference_mode():
        logits: Frames = model(torch.from_numpy(frames)).numpy()
    return logits


def print_rows(runs: dict[str, Callable[[Frames], Frames]], frames: Frames, repeats: int) -> None:
    medians = in_turns({name: partial(timed, partial(run, frames)) for name, run in runs.items()}, repeats)
    print(f"\nbatch {len(frames)}{'':>12} {'ms':>8} {'/ eager':>8} {'/ fp32':>8}")
    for name, seconds in medians.items():
        ratios = (seconds / medians[peer] for peer in ("eager", "onnx --fast"))
        print(f"{name:>19} {1e3 * seconds:8.1f} " + " ".join(f"{ratio:8.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
