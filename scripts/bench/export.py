"""Exported 7B-wideNet against eager torch: folded or kept norms, Scan, int8, TorchScript, by batch size, in one run.

The weights are fresh and the frames made up: neither changes what the processor does, but parity on them says little.
Every network runs in a process of its own, so that no thread pool gets in another's way, and they take turns. Before
anything is timed, the files of fp32 must give the checkpoint's classes. Eager torch runs its neurons by the compiled
loops, and in a second row as the plain loop over time.

Example:
    .venv/bin/python -m scripts.bench.export --threads 2 --repeats 5
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from deploy.exporting.onnx.model import OnnxModel, unrolled_model
from deploy.exporting.onnx.quantize import in_int8
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import describe, prepared
from deploy.measuring.contenders import EXPORTED, Contender, made_up_frames
from evglif import build_model, save_checkpoint
from evglif.checkpoint import Checkpoint
from evglif.models import Network
from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser

VARIANTS = {
    "onnx --fast": ExportOptions(),
    "onnx --exact": ExportOptions(fold=False),
    "onnx --scan": ExportOptions(scan=True),
}
EAGER, LOOP, FAST, INT8 = "eager", "eager, plain loop", "onnx --fast", "onnx int8"
COMPARED, AT_ONCE = 16, 4


@command("no figures were kept")
def main() -> None:
    parsing = parser(__doc__, repeats=5)
    parsing.add_argument("--threads", type=int, default=2, help="default: 2")
    parsing.add_argument("--width", type=int, default=64, help="channels of the first stage; default: 64")
    parsing.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="samples in a run; default: 1 8")
    options = parsing.parse_args()
    model = trained_looking(options.width)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        contenders = {
            name: stack.enter_context(closing(contender))
            for name, contender in opened(model, Path(folder), options.threads)
        }
        check(contenders)
        for batch in options.batch:
            print_rows(contenders, batch, options.repeats)
    print(f"{machine('torch', 'onnxruntime')}, {options.threads} threads, median of {options.repeats}")


def trained_looking(width: int) -> Network:
    """A network whose norms have seen data, so that its neurons fire."""
    torch.manual_seed(0)
    model = build_model("7b-widenet", width=width, init="cifar")
    with torch.no_grad():
        for _ in range(3):
            model(torch.from_numpy(frames_of(model, 2)))
    return model.eval()


def frames_of(model: Network, num_samples: int) -> np.ndarray:
    spec = model.spec
    return made_up_frames(num_samples, (spec.steps, spec.in_channels, *spec.size[::-1]))


def opened(model: Network, folder: Path, threads: int) -> Iterator[tuple[str, Contender]]:
    """Every way to run a network, with its name."""
    checkpoint = folder / "model.pt"
    save_checkpoint(checkpoint, model)
    yield EAGER, Contender("eager", checkpoint, threads)
    with plain_loop():
        yield LOOP, Contender("eager", checkpoint, threads)
    yield "torchscript", Contender("torchscript", checkpoint, threads)
    for name, path in files(model, folder):
        yield name, Contender(EXPORTED, path, threads)


@contextmanager
def plain_loop() -> Iterator[None]:
    """Processes that start inside of it run neurons as plain torch."""
    os.environ["EVGLIF_BACKEND"] = "reference"
    try:
        yield
    finally:
        del os.environ["EVGLIF_BACKEND"]


def files(model: Network, folder: Path) -> Iterator[tuple[str, Path]]:
    """ONNX files of the network; how long each took to make is printed, and its size."""
    metadata = describe(Checkpoint(model, None, {}))
    weights = sum(value.numel() * 4 for value in model.state_dict().values())
    for name in (*VARIANTS, INT8):
        path = folder / f"{name.rpartition(' ')[2].strip('-')}.onnx"
        start = perf_counter()
        built(model, name).save(path, metadata)
        seconds = perf_counter() - start
        print(f"{name}: made in {seconds:.1f} s, {path.stat().st_size / weights:.2f} × the weights", flush=True)
        yield name, path


def built(model: Network, name: str) -> OnnxModel:
    """A variant of the network; int8 is calibrated on a few made-up frames."""
    if name == INT8:
        return in_int8(built(model, FAST), iter([frames_of(model, 4)]))
    return unrolled_model(prepared(model, VARIANTS[name].fold), VARIANTS[name])


def check(contenders: dict[str, Contender]) -> None:
    """All of fp32 give eager's classes; how often int8 does is printed."""
    classes = {name: contender.logits(COMPARED, AT_ONCE).argmax(1) for name, contender in contenders.items()}
    agreement = {name: float((each == classes[EAGER]).mean()) for name, each in classes.items()}
    print(f"int8: same class on {agreement.pop(INT8):.0%} of {COMPARED} made-up samples")
    assert min(agreement.values()) >= 0.9, agreement


def print_rows(contenders: dict[str, Contender], batch: int, repeats: int) -> None:
    medians = in_turns({name: partial(each.seconds, batch) for name, each in contenders.items()}, repeats)
    print(f"\nbatch {batch:<13}{'ms':>8} {'/ eager':>8} {'/ loop':>8} {'/ fp32':>8}")
    for name, seconds in medians.items():
        ratios = (seconds / medians[peer] for peer in (EAGER, LOOP, FAST))
        print(f"{name:>19}{1e3 * seconds:8.1f} " + " ".join(f"{ratio:8.2f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    sys.exit(main())
