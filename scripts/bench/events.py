"""A trained network run by its events against eager torch and onnxruntime, in fp32 and int8, in one run.

Every contender runs in a process of its own on the same samples of a cache's test split, and they take turns. First all
have to give eager torch's classes, and how active the network is on these samples is said: a made-up input would prove
nothing. Then whole samples are timed, single steps of a stream, and a fresh process from its start to the first class
of a recording, with the memory that it takes.

Example:
    .venv/bin/python -m scripts.bench.events runs/objects/best.pt --data data/objects.h5 --recording mug.aedat
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from deploy.exporting.formats import FORMATS
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import describe
from deploy.measuring.contenders import EVENTS_STEP, Contender
from deploy.measuring.starts import imports_alone, starts
from evglif.pretrained import read_weights
from preprocessing.commands import command
from scripts.bench.common import machine, parser

EAGER, ONNX, ONNX_INT8, EVENTS, EVENTS_INT8 = "eager", "onnxruntime", "onnxruntime int8", "events", "events int8"
STEP = "onnx-step"
COMPARED, AT_ONCE, FOR_ACTIVITY = 24, 8, 4


@command("no figures were kept")
def main() -> None:
    parsing = parser(__doc__, repeats=5)
    parsing.add_argument("checkpoint", type=Path, help="of a trained network")
    parsing.add_argument("--data", type=Path, required=True, help="cache that it was trained on")
    parsing.add_argument("--recording", type=Path, help="recording for the start of a fresh process")
    parsing.add_argument("--threads", type=int, default=2, help="default: 2")
    parsing.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="samples in a run; default: 1 8")
    options = parsing.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        paths = dict(files(options.checkpoint, options.data, Path(folder)))
        opened = partial(Contender, threads=options.threads, data=options.data)
        names = {EAGER: options.checkpoint, **{name: paths[name] for name in (ONNX, ONNX_INT8, EVENTS, EVENTS_INT8)}}
        whole = {name: stack.enter_context(closing(opened(name, path))) for name, path in names.items()}
        check(whole)
        for batch in options.batch:
            print_rows(f"batch {batch}", whole, batch, options.repeats, (EAGER, ONNX, ONNX_INT8))
        single = {STEP: stack.enter_context(closing(opened(STEP, paths[STEP])))}
        for name in (EVENTS, EVENTS_INT8):
            single[name] = stack.enter_context(closing(opened(EVENTS_STEP, paths[name])))
        print_rows("one step", single, 1, 4 * options.repeats, (STEP,))
        if options.recording:
            print_starts(paths, options.recording, options.threads, options.repeats)
    print(
        f"{machine('torch', 'onnxruntime', 'numba')}, {options.threads} threads, best and median of {options.repeats}"
    )


def files(checkpoint: Path, data: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Every exported file by its name."""
    loaded = read_weights(checkpoint)
    for name, target, precision in (
        (ONNX, "onnx", "fp32"),
        (ONNX_INT8, "onnx", "int8"),
        (STEP, "onnx-step", "fp32"),
        (EVENTS, "events", "fp32"),
        (EVENTS_INT8, "events", "int8"),
    ):
        path = folder / f"{name.replace(' ', '-')}{FORMATS[target].suffix}"
        start = perf_counter()
        built, changes = FORMATS[target].build(loaded, ExportOptions(target, precision=precision, calibration=data))
        metadata = describe(loaded)
        built.save(path, type(metadata)(**{**vars(metadata), "precision": precision, **changes}))
        print(f"{name}: made in {perf_counter() - start:.1f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)
        yield name, path


def check(contenders: dict[str, Contender]) -> None:
    """Those of fp32 give eager's classes; how often the others do is printed, and how active the network is."""
    classes = {name: each.logits(COMPARED, AT_ONCE).argmax(1) for name, each in contenders.items()}
    agreement = {name: float((each == classes[EAGER]).mean()) for name, each in classes.items()}
    print(", ".join(f"{name} {share:.0%}" for name, share in agreement.items()), f"same class of {COMPARED} samples")
    assert min(agreement[ONNX], agreement[EVENTS]) >= 0.95, agreement
    for name in (EVENTS, EVENTS_INT8):
        print(f"{name}: {contenders[name].activity(FOR_ACTIVITY):.1%} of all products have an active input")


def print_rows(title: str, contenders: dict[str, Contender], batch: int, repeats: int, peers: tuple[str, ...]) -> None:
    turns = [{name: each.seconds(batch) for name, each in contenders.items()} for _ in range(repeats + 1)][1:]
    best, usual = ({name: summary([turn[name] for turn in turns]) for name in contenders} for summary in (min, median))
    print(f"\n{title:<19}{'ms, best':>9} {'median':>8} " + " ".join(f"{'/ ' + peer:>18}" for peer in peers))
    for name in contenders:
        ratios = (f"{best[name] / best[peer]:.2f}, {usual[name] / usual[peer]:.2f}" for peer in peers)
        times = f"{1e3 * best[name]:9.1f} {1e3 * usual[name]:8.1f}"
        print(f"{name:>19}{times} " + " ".join(f"{ratio:>18}" for ratio in ratios), flush=True)


def print_starts(paths: dict[str, Path], recording: Path, threads: int, repeats: int) -> None:
    """Fresh processes in turns: seconds to the first class and the most memory that they held."""
    print(f"\n{'fresh process':<19}{'s':>8} {'processor s':>12} {'MB':>8} {'MB beyond imports':>18}")
    imports = imports_alone().peak_mb
    chosen = {name: paths[name] for name in (ONNX, ONNX_INT8, EVENTS, EVENTS_INT8)}
    for each in starts(chosen, recording, threads, repeats):
        memory = f"{each.peak_mb:8.0f} {each.peak_mb - imports:18.0f}"
        print(f"{each.name:>19}{each.wall_s:8.2f} {each.processor_s:12.2f} {memory}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
