"""What can run a network, each in a process of its own, so that no thread pool gets in another's way."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.own_code import imported, run_code

if TYPE_CHECKING:  # each process imports what it runs, and no more
    from evglif.checkpoint import Checkpoint

Floats = NDArray[np.float32]
Job = Callable[[Floats], Floats]
"""Frames ``[B, T, C, H, W]`` → logits ``[B, K]``."""

FROM_CHECKPOINT = ("eager", "torch.compile", "torchscript")
EXPORTED, EVENTS, EVENTS_STEP = "onnxruntime", "events", "events step"


@dataclass(frozen=True)
class Opened:
    """A network that is ready to run.

    Attributes:
        shape: (T, C, H, W) of a sample.
        answer: the whole network.
        timed: what is timed: the same, or one time step of a step model.
        of_steps: how many time steps ``timed`` runs, of all.
    """

    shape: tuple[int, ...]
    answer: Job
    timed: Job
    of_steps: tuple[int, int]


class Contender:
    """A network in another process.

    Args:
        name: one of ``FROM_CHECKPOINT``, or any other for an exported file; ``EVENTS_STEP`` times a file of events by
            single steps.
        path: of the file; of a checkpoint, what ``evglif.pretrained.read_weights`` takes.
        threads: that it may use.
        data: cache whose test split it runs on; None for made-up frames.

    Attributes:
        name: as given.
        shape: (T, C, H, W) of a sample.
        of_steps: how many time steps a timed run does, of all.

    Raises:
        ValueError: if it cannot be opened; the message is the other process's.
    """

    def __init__(self, name: str, path: Path, threads: int, data: Path | None = None) -> None:
        # A fresh interpreter: a forked one would share what this one's libraries have begun.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, name, path, threads, data, imported()), daemon=True
        )
        with _deaf_to_ctrl_c():
            self._process.start()
        theirs.close()
        self.name = name
        try:
            self.shape, self.of_steps = self._received()
        except ValueError:
            self.close()
            raise

    def logits(self, num_samples: int, batch: int) -> Floats:
        """Logits ``[N, K]`` of frames that are the same in all processes."""
        logits: Floats = self._asked("logits", num_samples, batch)
        return logits

    def seconds(self, batch: int) -> float:
        """How long one run of a batch takes."""
        seconds: float = self._asked("seconds", batch, batch)
        return seconds

    def activity(self, num_samples: int) -> float:
        """Of an events file: share of products whose input is active, see ``deploy.events.activity``."""
        share: float = self._asked("activity", num_samples, 1)
        return share

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _asked(self, *question: object) -> Any:
        self._connection.send(question)
        return self._received()

    def _received(self) -> Any:
        try:
            kind, answer = self._connection.recv()
        except EOFError:
            raise ValueError(f"{self.name}: its process ended, perhaps for want of memory") from None
        if kind == "error":
            raise ValueError(f"{self.name}: {answer}")
        return answer


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """What is started here does not heed Ctrl-C, which a terminal sends to all: it ends with who asks it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def made_up_frames(num_samples: int, shape: tuple[int, ...]) -> Floats:
    """Seeded frames ``[N, T, C, H, W]`` that look like event counts."""
    return np.random.default_rng(0).poisson(0.5, (num_samples, *shape)).astype(np.float32)


def cached_frames(data: Path, num_samples: int, shape: tuple[int, ...]) -> Floats:
    """Samples of a cache's test split, or of all, evenly spread, over again where there are not enough.

    Raises:
        ValueError: for samples of another shape.
    """
    from preprocessing.cache import FrameCache

    with FrameCache(data) as cache:
        known = cache.indices("test")
        known = known if len(known) else np.arange(len(cache))
        chosen = known[np.linspace(0, len(known) - 1, num_samples).astype(int)]
        frames: Floats = cache.stored(chosen) * np.float32(cache.scale)
    if frames.shape[1:] != shape:
        raise ValueError(f"{data} holds frames of {frames.shape[1:]}, the model takes {shape}; give its own data")
    return frames


def _serve(connection: Connection, name: str, path: Path, threads: int, data: Path | None, code: Sequence[str]) -> None:
    """Open a network and answer until nobody asks any more."""
    try:
        for each in code:
            run_code(each)
        with _opened(name, path, threads) as network:
            connection.send(("answer", (network.shape, network.of_steps)))
            while True:
                question, num_samples, batch = connection.recv()
                given = (num_samples, network.shape)
                frames = made_up_frames(*given) if data is None else cached_frames(data, *given)
                if question == "activity":
                    connection.send(("answer", _activity(path, frames)))
                elif question == "logits":
                    parts = [network.answer(frames[at : at + batch]) for at in range(0, num_samples, batch)]
                    connection.send(("answer", np.concatenate(parts)))
                else:
                    started = perf_counter()
                    network.timed(frames)
                    connection.send(("answer", perf_counter() - started))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return
    except Exception as error:  # whatever stops one, the others go on
        connection.send(("error", f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"))


@contextmanager
def _opened(name: str, path: Path, threads: int) -> Iterator[Opened]:
    if name not in FROM_CHECKPOINT:
        yield _exported(path, threads, name == EVENTS_STEP)
        return
    import torch

    from evglif.pretrained import read_weights

    torch.set_num_threads(threads)
    checkpoint = read_weights(path)
    spec = checkpoint.model.spec
    steps = spec.steps if spec.encoder == "frames" else 1
    shape = (steps, spec.in_channels, spec.size[1], spec.size[0])
    model = torch.compile(checkpoint.model) if name == "torch.compile" else checkpoint.model

    def run(frames: Floats) -> Floats:
        with torch.inference_mode():
            logits: Floats = model(torch.from_numpy(frames)).numpy()
        return logits

    with tempfile.TemporaryDirectory() as folder:
        yield _whole(shape, _traced(checkpoint, Path(folder)) if name == "torchscript" else run)


def _whole(shape: tuple[int, ...], run: Job) -> Opened:
    return Opened(shape, run, run, (shape[0], shape[0]))


def _exported(path: Path, threads: int, by_steps: bool) -> Opened:
    from deploy.events.session import open_session

    session = open_session(path, threads)
    if session.metadata.form != "step" and not by_steps:
        return _whole(session.frames_shape, session.logits)

    place, membranes = 0, session.at_rest()

    def one_step(frames: Floats) -> Floats:
        """The next step of a stream, as those behind the first are seldom as silent."""
        nonlocal place, membranes
        if place == 0 or len(membranes[0]) != len(frames):
            place, membranes = 0, session.at_rest(len(frames))
        logits, membranes = session.step(frames[:, min(place, frames.shape[1] - 1)], place, membranes)
        place = (place + 1) % session.metadata.steps
        return logits

    return Opened(session.frames_shape, session.logits, one_step, (1, session.metadata.steps))


def _activity(path: Path, frames: Floats) -> float:
    from deploy.events.activity import activity
    from deploy.events.engine import Engine
    from deploy.events.file import read

    return activity(Engine(read(path)), frames)


def _traced(checkpoint: Checkpoint, folder: Path) -> Job:
    """As ``python -m deploy.export --format torchscript`` writes it."""
    from deploy.exporting.formats import FORMATS
    from deploy.exporting.options import ExportOptions
    from deploy.exporting.prepare import describe

    target = FORMATS["torchscript"]
    built, _ = target.build(checkpoint, ExportOptions("torchscript"))
    built.save(folder / "model.ts", describe(checkpoint))
    return target.open(folder / "model.ts")
