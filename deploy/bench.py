"""How fast an exported model runs: ``python -m deploy.bench MODEL [--checkpoint CHECKPOINT]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from deploy.events.file import is_events_file
from deploy.measuring.contenders import EVENTS, EXPORTED, FROM_CHECKPOINT, Contender
from deploy.measuring.starts import Start, starts
from deploy.running.options import num_threads, up_to
from deploy.running.session import Floats
from evglif.names import FORMS
from preprocessing.arguments import Help
from preprocessing.commands import command
from preprocessing.files import require_file, write_whole
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.plain import json_text
from preprocessing.terminal import shown, tell

NUM_COMPARED, COMPARED_AT_ONCE = 32, 8
AGREEMENT = 0.95
"""Least share of made-up samples with the same class; nobody trained on these, so that classes are close."""

MOST_BATCH, MOST_REPEATS = 4096, 100_000

OPTIONAL = ("torch.compile", "torchscript")
"""Those that may fail, for want of a compiler, say, while the others go on."""

NUM_FOR_ACTIVITY = 4
MOST_STARTS = 5


@dataclass(frozen=True)
class Timing:
    """How long runs of one batch take.

    Attributes:
        name: what ran them.
        threads, batch: of them.
        agreement: share of samples with the class of the first in the same table.
        steps: time steps of a run, one for a step model.
        of_steps: T.
        p50_ms, p95_ms: of a run.
        samples_per_s: on average; of a step model, steps of one sample.
        ratio: p50 as a share of the first's.
    """

    name: str
    threads: int
    batch: int
    agreement: float
    steps: int
    of_steps: int
    p50_ms: float
    p95_ms: float
    samples_per_s: float
    ratio: float


def bench(
    models: Sequence[Path],
    checkpoint: Path | None,
    threads: int,
    batches: Sequence[int],
    repeats: int,
    against: Sequence[str],
    data: Path | None = None,
) -> Iterator[Timing | str]:
    """Time exported models, and what they are compared with, on so many threads.

    First all run the same frames, and how often they agree with the first one (eager torch, where there is a
    checkpoint) is counted. Then they take turns, so that a busy machine slows all alike; each first run is left out.

    Args:
        models: ONNX files or files of events.
        checkpoint: weights that it was exported from, as ``evglif.pretrained.read_weights`` takes them; None for no
            comparison.
        threads: of each.
        batches: sizes.
        repeats: timed runs of each.
        against: which of ``FROM_CHECKPOINT``.
        data: cache on whose test split they run; None for made-up frames.

    Returns:
        Timings, batch by batch; a text for what could not run, and why, and for how active the network is.

    Raises:
        FileNotFoundError: if an exported model is missing.
        ValueError: if one of them cannot run, as without a checkpoint there, or they are of different networks.
    """
    exported = names_of(models)
    paths = {**(dict.fromkeys(against, checkpoint) if checkpoint else {}), **exported}
    for path in exported.values():
        if not path.is_file():
            raise FileNotFoundError(f"no file at {path}; give an exported model, and its checkpoint with --checkpoint")
    with ExitStack() as stack:
        contenders, logits = [], []
        for name, path in paths.items():
            try:
                contender = stack.enter_context(closing(Contender(name, path, threads, data)))
                logits.append(contender.logits(NUM_COMPARED, COMPARED_AT_ONCE))
                contenders.append(contender)
            except ValueError as error:
                if name not in OPTIONAL:
                    raise
                yield f"left out: {error}"
        _check_shapes(contenders)
        for contender in contenders:
            if contender.name in exported and is_events_file(exported[contender.name]):
                share = contender.activity(NUM_FOR_ACTIVITY)
                yield f"{contender.name}: {share:.1%} of the network's products have an active input on these frames"
                break
        agreements = [_agreement(each, logits[0]) for each in logits]
        for batch in batches:
            yield from _in_turns(contenders, agreements, threads, batch, repeats)


def names_of(models: Sequence[Path]) -> dict[str, Path]:
    """Exported files by what runs them, and where that is the same for several, by their own names too."""
    kinds = [EVENTS if is_events_file(path) else EXPORTED for path in models]
    alone = [kinds.count(kind) == 1 for kind in kinds]
    return {kind if one else f"{kind} {path.name}": path for kind, one, path in zip(kinds, alone, models, strict=True)}


def fastest(timings: Sequence[Timing]) -> str:
    """What ran all time steps in the least time, in a sentence; nothing where there is no choice.

    Args:
        timings: of any batch sizes and threads.
    """
    runs: dict[str, list[Timing]] = {}
    for timing in timings:
        if timing.steps == timing.of_steps:
            runs.setdefault(_where(timing), []).append(timing)
    first = {where: min(each, key=lambda timing: timing.p50_ms).name for where, each in runs.items() if len(each) > 1}
    if len(set(first.values())) < 2:
        return f"fastest here: {next(iter(first.values()))}" if first else ""
    return "fastest here: " + "; ".join(f"{name} with {where}" for where, name in first.items())


def _check_shapes(contenders: Sequence[Contender]) -> None:
    first = contenders[0]
    for last in (each for each in contenders if each.shape != first.shape):
        raise ValueError(
            f"the checkpoint takes frames [T, C, H, W] = {list(first.shape)}, the exported model {list(last.shape)}; "
            "give the checkpoint that was exported"
        )


def _agreement(logits: Floats, reference: Floats) -> float:
    return float((logits.argmax(1) == reference.argmax(1)).mean())


def _in_turns(
    contenders: Sequence[Contender], agreements: Sequence[float], threads: int, batch: int, repeats: int
) -> Iterator[Timing]:
    turns = np.array([[contender.seconds(batch) for contender in contenders] for _ in range(repeats + 1)])[1:]
    median, late = np.percentile(turns, [50, 95], axis=0)
    for at, contender in enumerate(contenders):
        yield Timing(
            name=contender.name,
            threads=threads,
            batch=batch,
            agreement=agreements[at],
            steps=contender.of_steps[0],
            of_steps=contender.of_steps[1],
            p50_ms=1e3 * float(median[at]),
            p95_ms=1e3 * float(late[at]),
            samples_per_s=batch / float(turns[:, at].mean()),
            ratio=float(median[at] / median[0]),
        )


def machine(packages: Sequence[str]) -> str:
    """The processor, the versions and the date."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    python = f"Python {platform.python_version()}"
    versions = ", ".join([python, *(f"{package} {version(package)}" for package in packages)])
    return f"{platform.machine()} {name}, {os.cpu_count()} cores, {versions}, {datetime.now(UTC):%Y-%m-%d}"


def _where(timing: Timing) -> str:
    return f"{_in_words(timing.threads)}, batch {timing.batch}"


def _in_words(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _heading(timing: Timing) -> str:
    return f"{_where(timing):28}{'same class':>12}{'p50 ms':>10}{'p95 ms':>10}{'samples/s':>12}{'ratio':>8}"


def _row(timing: Timing) -> str:
    part = f", {timing.steps} of {timing.of_steps} steps" if timing.steps < timing.of_steps else ""
    name = timing.name + part
    times = f"{timing.p50_ms:>10.2f}{timing.p95_ms:>10.2f}{timing.samples_per_s:>12.1f}{timing.ratio:>7.2f}×"
    return f"  {name:26}{timing.agreement:>12.1%}{times}"


def print_timings(options: argparse.Namespace) -> list[Timing]:
    """Run all, print as they come, and give the timings."""
    timings: list[Timing] = []
    against = options.against if options.checkpoint else ()
    names = [*against, *names_of(options.model)]
    for threads in options.threads:
        last = 0
        if sys.stderr.isatty():
            tell(f"starting {', '.join(names)}, then {options.repeats} turns a batch size")
        timed = (threads, options.batch, options.repeats, against, options.data)
        for timing in bench(options.model, options.checkpoint, *timed):
            if isinstance(timing, str):
                tell(timing)
                continue
            if timing.batch != last:
                print(_heading(timing))
            last = timing.batch
            print(_row(timing), flush=True)
            timings.append(timing)
    return timings


def print_starts(options: argparse.Namespace) -> dict[int, list[Start]]:
    """Fresh processes of every file by their threads, printed; empty where no recording is given."""
    measured: dict[int, list[Start]] = {}
    for threads in options.threads if options.start else ():
        tell("starting fresh processes")
        measured[threads] = starts(names_of(options.model), options.start, threads, min(options.repeats, MOST_STARTS))
        title = f"start to first class, {_in_words(threads)}"
        print(f"{title:40}{'wall s':>10}{'processor s':>13}{'peak MB':>10}")
        for start in measured[threads]:
            print(f"  {start.name:38}{start.wall_s:>10.2f}{start.processor_s:>13.2f}{start.peak_mb:>10.0f}", flush=True)
    return measured


def _parser() -> Parser:
    parser = Parser(
        prog="python -m deploy.bench",
        description="Time an exported model against its checkpoint in torch, each in a process of its own.",
        epilog="example: python -m deploy.bench best.onnx best.events --checkpoint best.pt --batch-size 1 8",
        formatter_class=Help,
    )
    parser.add_argument(
        "model", type=Path, nargs="+", help="ONNX files or files of events, written by python -m deploy.export"
    )
    parser.add_argument("--checkpoint", type=Path, help=f"what it was exported from, to compare with torch: {FORMS}")
    parser.add_argument("--data", type=Path, help="cache on whose test split to time; by default on made-up frames")
    parser.add_argument(
        "--batch-size",
        type=up_to(MOST_BATCH),
        nargs="+",
        dest="batch",
        default=[1, 8],
        metavar="B",
        help="samples in a run; also --batch",
    )
    parser.add_argument(
        "--threads", type=num_threads, nargs="+", default=[1], metavar="N", help="threads of each process"
    )
    parser.add_argument("--repeats", type=up_to(MOST_REPEATS), default=20, metavar="N", help="timed runs of each")
    parser.add_argument(
        "--against", nargs="+", choices=FROM_CHECKPOINT, default=list(FROM_CHECKPOINT), help="what to compare with"
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="RECORDING",
        help="also measure a fresh process of each file, from its start to the first class of this recording",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    add_import(parser, "the neuron or network of the checkpoint")
    return parser


@command("no figures were written")
def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 1 for what cannot run, and where the answers disagree."""
    options = _parser().parse_args(arguments)
    onnx = any(not is_events_file(path) for path in options.model)
    used = {"onnxruntime": onnx, "numba": any(map(is_events_file, options.model)), "torch": bool(options.checkpoint)}
    where = machine(sorted(name for name, is_used in used.items() if is_used))
    if options.json:
        require_file(options.json)
    if options.start and not options.start.exists():
        raise FileNotFoundError(f"no recording at {options.start}; give --start a file that the model can classify")
    timings = print_timings(options)
    begun = print_starts(options)
    print(where)
    if sentence := fastest(timings):
        print(sentence)
    if options.json:
        figures = {
            "timings": [asdict(timing) for timing in timings],
            "starts": [{"threads": threads, **asdict(start)} for threads, each in begun.items() for start in each],
        }
        text = json_text({"machine": where, **figures}, indent=2)
        write_whole(options.json, (text + "\n").encode())
        print(f"written to {shown(options.json)}")
    disagreeing = sorted({timing.name for timing in timings if timing.agreement < AGREEMENT})
    if disagreeing:
        tell(f"error: {', '.join(disagreeing)} disagree on more than {1 - AGREEMENT:.0%} of samples")
    return 1 if disagreeing else 0


if __name__ == "__main__":
    sys.exit(main())
