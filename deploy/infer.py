"""Classify recordings, or live events: ``python -m deploy.infer MODEL RECORDING… [--stream]``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deploy.running import camera
from deploy.running.byte_streams import open_tcp, packets_of, parse_tcp, received_bytes
from deploy.running.options import num_threads, seconds
from deploy.running.sources import (
    AddressDecoder,
    LostError,
    Received,
    chunks,
    datagrams,
    open_udp,
    parse_udp,
)
from deploy.running.stream import EventStream, Update
from deploy.runtime import Classifier, Probabilities
from preprocessing.arguments import Help, add_reading_options, positive
from preprocessing.commands import command
from preprocessing.events import Events, Recording, RecordingWarning
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.plain import json_text
from preprocessing.terminal import shown, tell

BATCH = 8
"""Windows that are run together."""

PACKET_EVENTS = 4096
STDIN = "-"
_LIVE = ("udp://", "tcp://", camera.PREFIX)
_FACTS = ("window", "step", "final", "begin_us", "start_us", "stop_us", "num_events")


@dataclass(frozen=True)
class Prediction:
    """What a model says of one recording.

    Attributes:
        recording: its path.
        label: the likeliest class.
        probability: of that class.
        probabilities: of every class.
        windows: that it was cut into, as the training data were; the probabilities are the mean over them.
        milliseconds: from the raw file to the answer, its own; of a run of several together, its windows' share.
    """

    recording: str
    label: str
    probability: float
    probabilities: dict[str, float]
    windows: int
    milliseconds: float


def classify(classifier: Classifier, recordings: Sequence[Path]) -> Iterator[Prediction | ValueError | OSError]:
    """Classify recordings, some at a time; one that cannot be used yields the error that says why."""
    for recording, answer in zip(recordings, classifier.answer_each(recordings, BATCH), strict=True):
        if isinstance(answer, Exception):
            yield answer
        else:
            named = _named(classifier, answer.probabilities)
            yield Prediction(str(recording), *named, answer.num_windows, 1e3 * answer.seconds)


def _named(classifier: Classifier, probabilities: Probabilities) -> tuple[str, float, dict[str, float]]:
    named = dict(zip(classifier.classes, map(float, probabilities), strict=True))
    label = max(named, key=named.__getitem__)
    return label, named[label], named


def print_recordings(classifier: Classifier, recordings: Sequence[Path], as_json: bool) -> int:
    """A line for each; exit status 1 if one could not be used."""
    status = 0
    for prediction in classify(classifier, recordings):
        if isinstance(prediction, Exception):
            tell(f"error: {prediction}")
            status = 1
        elif as_json:
            print(json_text(asdict(prediction), ascii_only=True), flush=True)
        else:
            answer = f"{prediction.label}  {prediction.probability:6.1%}  {prediction.milliseconds:.1f} ms"
            answer += f"  mean of {prediction.windows} windows" if prediction.windows > 1 else ""
            print(shown(f"{prediction.recording}: {answer}"), flush=True)
    return status


@dataclass(frozen=True)
class Live:
    """How a stream is cut, and which of its answers are printed.

    Attributes:
        slicing: length of a slice; None for the model's own.
        idle_s: seconds without events that end it; None for none.
        hop: slices after which a new window begins; None for as many as a window has.
        smoothing: windows whose probabilities are averaged.
        final_only: print only the answers of whole windows, and the last.
        since_start: print times from the stream's beginning, not of the camera's clock.
        as_json: a JSON object per answer.
    """

    slicing: str | None = None
    idle_s: float | None = None
    hop: int | None = None
    smoothing: int = 1
    final_only: bool = False
    since_start: bool = False
    as_json: bool = False


def print_stream(classifier: Classifier, source: str, live: Live) -> int:
    """A line for each slice, until the source ends or the user does; then what was received, on the error stream."""
    try:
        stream = classifier.stream(live.slicing, hop=live.hop, smoothing=live.smoothing)
        with _packets(classifier, source, live.idle_s) as (packets, received):
            for update in _updates(stream, packets, received):
                if update.final or not live.final_only:
                    _print_update(classifier, source, update, stream.steps, live)
    except LostError as error:
        received.ended = "the answers above stand"
        tell(f"error: {source}: {error}; before that {_summary(stream, received)}")
        return 1
    except (ValueError, OSError) as error:
        tell(f"error: {error}")
        return 1
    tell(f"{source}: {_summary(stream, received)}")
    return 0


def _summary(stream: EventStream, received: Received) -> str:
    """What came, what of it was dropped, and why it ended."""
    doubts = (
        (stream.num_late, "{} came too late"),
        (stream.num_resets, "its clock was set back {} times"),
        (stream.num_forward, "its clock jumped forward {} times"),
        (stream.num_doubted, "{} were dropped whose clock told no time"),
    )
    return ", ".join([str(received), *(what.format(num) for num, what in doubts if num)]) + f"; {received.ended}"


def _updates(stream: EventStream, packets: Iterator[Events | None], received: Received) -> Iterator[Update]:
    """All answers; Ctrl-C ends the stream like the source's own end, None begins it anew.

    Raises:
        LostError: after the answers to what came before.
    """
    lost = None
    try:
        for packet in packets:
            yield from stream.begin_anew() if packet is None else stream.feed(packet)
    except KeyboardInterrupt:
        received.ended = "Ctrl-C ended it"
    except LostError as error:
        lost = error
    yield from stream.finish()
    if lost:
        raise lost


@contextmanager
def _packets(
    classifier: Classifier, source: str, idle_s: float | None
) -> Iterator[tuple[Iterator[Events | None], Received]]:
    """Packets of a source, and what counts them: a camera, a network, standard input, a growing file, any recording.

    None stands where the clock of a recording was set back.
    """
    sensor, received = classifier.metadata.sensor or (0, 0), Received()
    udp, tcp = parse_udp(source), parse_tcp(source)
    if source.startswith(camera.PREFIX):
        with camera.open_camera(source.removeprefix(camera.PREFIX), sensor) as device:
            yield camera.camera_packets(device, received, idle_s), received
    elif udp:
        yield datagrams(open_udp(*udp), AddressDecoder(sensor, received), idle_s), received
    elif tcp:
        yield packets_of(received_bytes(open_tcp(*tcp), received, idle_s), sensor, received, source), received
    elif source == STDIN:
        yield packets_of(chunks(sys.stdin.fileno(), received), sensor, received, "standard input"), received
    elif idle_s is None:
        recording = classifier.read(source)
        yield _packets_of(recording), Received(len(recording.events), ended="the recording ended")
    else:
        with Path(source).open("rb") as file:
            yield packets_of(chunks(file.fileno(), received, idle_s), sensor, received, source), received


def _packets_of(recording: Recording) -> Iterator[Events | None]:
    for number, stretch in enumerate(np.split(recording.events, list(recording.resets))):
        if number:
            yield None
        yield from (stretch[at : at + PACKET_EVENTS] for at in range(0, len(stretch), PACKET_EVENTS))


def _print_update(classifier: Classifier, source: str, update: Update, steps: int, live: Live) -> None:
    label, probability, named = _named(classifier, update.probabilities)
    zero_us = update.begin_us if live.since_start else 0
    if live.as_json:
        facts = {name: getattr(update, name) for name in _FACTS}
        facts |= {name: facts[name] - zero_us for name in ("start_us", "stop_us")}
        answer = {"label": label, "probability": probability, "probabilities": named}
        print(json_text({"source": source, **facts, **answer}, ascii_only=True), flush=True)
    else:
        last = "  final" if update.final else ""
        where = f"{(update.stop_us - zero_us) / 1e6:.3f} s  window {update.window + 1} step {update.step}/{steps}"
        print(shown(f"{where}  {label}  {probability:6.1%}  {update.num_events} events{last}"), flush=True)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m deploy.infer",
        description="Classify recordings or live events with an exported model, without torch.",
        epilog="""examples:
  python -m deploy.infer runs/digits/best.onnx data/digits/7/digit_0007.aedat
  python -m deploy.infer runs/digits/step.onnx --stream udp://127.0.0.1:8991 --slicing 50ms
  python -m deploy.infer runs/digits/step.onnx --stream camera: --slicing 50ms --every 1 --smooth 3 --final
  python -m deploy.infer runs/digits/step.onnx --stream tcp://127.0.0.1:7777
  cat recording.aedat | python -m deploy.infer runs/digits/step.onnx --stream - --slicing events:2000 --json""",
        formatter_class=Help,
    )
    parser.add_argument("model", type=Path, help="ONNX file or file of events, written by python -m deploy.export")
    parser.add_argument(
        "recordings",
        nargs="+",
        metavar="recording",
        help="recordings to classify; with --stream also camera: or camera:SERIAL (iniVation's and Prophesee's), "
        "udp://HOST:PORT (jAER's unicast), tcp://HOST:PORT (dv-processing's NetworkWriter, or a file's bytes) and - "
        "(standard input: AEDAT-2.0, AEDAT-4.0, EVT 2 or EVT 3)",
    )
    parser.add_argument(
        "--stream", action="store_true", help="answer after every slice; needs --format onnx-step or events"
    )
    parser.add_argument("--slicing", metavar="HOW", help="stream: length of a slice, 50ms or events:2000; also --slice")
    parser.add_argument(
        "--idle",
        type=seconds,
        metavar="SECONDS",
        help="stream: end after so long without events; a file is followed as it grows",
    )
    parser.add_argument("--final", action="store_true", help="stream: print only final answers, one a window")
    parser.add_argument(
        "--every", type=positive, metavar="K", help="stream: begin a window every K slices, so that windows slide"
    )
    parser.add_argument(
        "--smooth", type=positive, default=1, metavar="N", help="stream: probabilities are means over N windows"
    )
    parser.add_argument(
        "--since-start", action="store_true", help="stream: times from the stream's beginning, not the camera's clock"
    )
    parser.add_argument("--threads", type=num_threads, metavar="N", help="threads; the runtime's own choice by default")
    parser.add_argument(
        "--provider", action="append", metavar="NAME", help="onnxruntime's execution providers, best first"
    )
    add_reading_options(parser, as_built="as in the training data")
    add_import(parser, "a reader of recordings, or a filter of events that the training data went through")
    parser.add_argument("--json", action="store_true", help="print one JSON object per answer")
    return parser


@command("what is printed above is whole")
def main(arguments: list[str] | None = None) -> int:
    """The command line; what cannot be used gets its own line and exit status 1, and the rest goes on."""
    options = _parser().parse_args(arguments)
    classifier = Classifier(options.model, options.threads, options.provider, options.time_unit, options.drop_bad)
    live = [each for each in options.recordings if each == STDIN or each.startswith(_LIVE)]
    asked = [name for name in ("final", "since_start", "every") if getattr(options, name)]
    if not options.stream and (asked or options.smooth > 1):
        raise ValueError(f"--{(asked or ['smooth'])[0].replace('_', '-')} is for streams; add --stream")
    if live and not options.stream:
        raise ValueError(f"{live[0]} is a live source; add --stream")
    with _warnings_told():
        if not options.stream:
            return print_recordings(classifier, [Path(each) for each in options.recordings], options.json)
        told = options.final, options.since_start, options.json
        how = Live(options.slicing, options.idle, options.every, options.smooth, *told)
        return max(print_stream(classifier, source, how) for source in options.recordings)


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Print what is doubtful about recordings on the error stream, a line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RecordingWarning)
        warnings.showwarning = lambda message, *_, **__: tell(f"warning: {message}")
        yield


if __name__ == "__main__":
    sys.exit(main())
