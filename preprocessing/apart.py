"""A process of its own for what may hang, crash or eat up the memory: libraries in C that take damaged files apart.

A library that goes in circles hears neither Ctrl-C nor any thread beside it; a process can be ended. This one is
started when it is first needed, keeps what it has loaded, does one thing at a time, and is replaced when it has died.
The kernel holds it to its limits: its memory, the files it writes, and the time that a processor is busy with it, so
that a busy machine ends nothing early. Arrays that are made by ``empty`` come back without being copied, in memory that
is used again once nobody holds them.
"""

from __future__ import annotations

import atexit
import mmap
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from preprocessing import limits
from preprocessing.blocks import Block, Blocks, file_of, mapped, new_file

Result = TypeVar("Result")

_CODE = "import sys; sys.path[:] = {path!r}; from preprocessing.apart import serve; serve({fd}, {parent})"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
# what glibc comes to in a process that has freed an array of 32 MB: pages of smaller ones are not given back each time
_ITS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 26)}
_BESIDE = 1 << 27  # bytes that a library takes for itself: blocks of columns, caches
_LOOK_EVERY_S = 1.0
_FACTOR = 2  # what a file unpacks to, and its events


class StoppedError(RuntimeError):
    """What was called did not come to an end: it took too long or too much memory, or ended its process."""


@dataclass(frozen=True)
class Bounds:
    """Memory beyond what the process has already, bytes, and time of a processor, s."""

    num_bytes: int
    seconds: float

    @classmethod
    def of(cls, num_bytes: int) -> Bounds:
        """Those of a file of so many bytes."""
        return cls(_FACTOR * limits.allowed(num_bytes) + _BESIDE, limits.allowed_seconds(num_bytes))


def call(
    function: Callable[..., Result], *arguments: Any, data: bytes | None = None, bounds: Bounds | None = None
) -> Result:
    """``function(*arguments)``, done by the process apart.

    Args:
        function: of a module, which the process imports; it and its result can be pickled.
        arguments: can be pickled.
        data: the content of a file, which the function is given, open, as a first argument.
        bounds: to hold it to, if any.

    Raises:
        StoppedError: it went beyond these, or the process died.
        Exception: what the function raises.
    """
    with _lock:
        helper = _running()
        try:
            raised, result = helper.ask(function, arguments, data, bounds)
        except (EOFError, OSError):
            raise StoppedError(_why(helper.end(), bounds)) from None
        except BaseException:  # Ctrl-C: it may be in circles
            helper.end(kill=True)
            raise
    if raised:
        raise result
    answer: Result = result
    return answer


class _Helper:
    """The process, and the way to talk to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            code = _CODE.format(path=sys.path, fd=theirs.fileno(), parent=os.getpid())
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **_ONE_THREAD, **_ITS_MEMORY},
                start_new_session=True,  # Ctrl-C is for us: we end it
            )
        self.socket, self.owner = ours, os.getpid()
        self.connection = Connection(os.dup(ours.fileno()))
        self.blocks = Blocks()

    def ask(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], data: bytes | None, bounds: Bounds | None
    ) -> tuple[bool, Any]:
        """Whether the function raised, and what came of it."""
        spare = self.blocks.take()
        self.connection.send(_Request(function, arguments, data is not None, spare.num_bytes if spare else 0, bounds))
        if data is not None:
            file = file_of(data)
            try:
                _send(self.socket, file)
            finally:
                os.close(file)
        if spare:
            _send(self.socket, spare.file)
        raised, pickled, sizes = self.connection.recv()
        return raised, pickle.loads(pickled, buffers=self._lent(sizes, spare))

    def _lent(self, sizes: list[tuple[int, bool]], spare: Block | None) -> list[memoryview]:
        """Memory of the blocks that an answer comes in, by their sizes, and whether it is the one that was spare."""
        lent = []
        for size, is_spare in sizes:
            block = spare if is_spare and spare else Block(_received(self.socket), size)
            lent.append(self.blocks.lend(block, size))
        if spare and not any(is_spare for _, is_spare in sizes):
            self.blocks.keep(spare)
        return lent

    def end(self, kill: bool = False) -> int:
        """End it; its exit status."""
        self.connection.close()
        self.socket.close()
        if kill:
            self.process.kill()
        return self.process.wait()


_lock = threading.Lock()
_helper: _Helper | None = None


def _running() -> _Helper:
    global _helper  # noqa: PLW0603 (one for all of a program)
    if _helper and _helper.owner == os.getpid() and _helper.process.poll() is None and not _helper.connection.closed:
        return _helper
    if _helper is None:
        atexit.register(_end_helper)
    _helper = _Helper()
    return _helper


def _end_helper() -> None:
    if _helper and _helper.owner == os.getpid() and not _helper.connection.closed:
        _helper.end(kill=True)


def _why(status: int, bounds: Bounds | None) -> str:
    if bounds and status == -signal.SIGXCPU:
        return f"no end after {bounds.seconds:.0f} s of a processor; {limits.VARIABLE} allows more with more memory"
    if status < 0:
        return f"the process that read it was ended by the signal {signal.Signals(-status).name}"
    return f"the process that read it ended by itself, with status {status}"


def _send(connection: socket.socket, file: int) -> None:
    socket.send_fds(connection, [b"f"], [file])


def _received(connection: socket.socket) -> int:
    files = socket.recv_fds(connection, 1, 1)[1]
    if not files:
        raise EOFError("no file came")
    return files[0]


def empty(length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array ``[length]`` that comes back from the process apart as it is; elsewhere one like any other."""
    if _at_work is None or length == 0:
        return np.empty(length, dtype)
    return _at_work.empty(length * dtype.itemsize).view(dtype)


@contextmanager
def outside_bounds() -> Iterator[None]:
    """Lift the bounds of this process, if it has any, while code is loaded and compiled: that is not the file's."""
    if _at_work is None or _at_work.bounds is None:
        yield
        return
    _release()
    try:
        yield
    finally:
        _hold(_at_work.bounds)


class _Request(NamedTuple):
    """What is to be done; behind it come an open file, and one to write to that has so many bytes, where it says so."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    has_file: bool
    spare_bytes: int
    bounds: Bounds | None


class _Work:
    """What this process, being the one apart, is doing: its bounds, and the files behind arrays by their addresses."""

    def __init__(self, bounds: Bounds | None, spare: int | None, spare_bytes: int) -> None:
        self.bounds = bounds
        self.files: dict[int, int] = {}
        self._spare, self._spare_bytes = spare, spare_bytes

    def empty(self, num_bytes: int) -> NDArray[np.uint8]:
        """An array of so many bytes; the first that fits is in the file that was sent along."""
        if num_bytes <= self._spare_bytes and self._spare is not None:
            file, self._spare = self._spare, None
        else:
            file = new_file(num_bytes)
        array = mapped(file, num_bytes)
        self.files[array.ctypes.data] = file
        return array

    def close(self) -> None:
        """Close all files."""
        for file in self.files.values():
            os.close(file)
        if self._spare is not None:
            os.close(self._spare)


_at_work: _Work | None = None


def serve(fd: int, parent: int) -> None:
    """What the process apart does until the other end is gone, or the process ``parent``."""
    line = socket.socket(fileno=fd)
    connection = Connection(os.dup(fd))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a library says while it crashes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            request: _Request = connection.recv()
            if not request.has_file:
                _answer(line, connection, request)
                continue
            with open(_received(line), "rb", buffering=0) as file:
                _answer(line, connection, request._replace(arguments=(file, *request.arguments)))


def end_with(parent: int) -> None:
    """Wait until the process ``parent``, which started this one, is gone, and end this one: for a thread of its own."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)


def _answer(line: socket.socket, connection: Connection, request: _Request) -> None:
    global _at_work  # noqa: PLW0603 (one thing at a time)
    spare = _received(line) if request.spare_bytes else None
    _at_work = _Work(request.bounds, spare, request.spare_bytes)
    try:
        raised, result = _attempted(request.function, request.arguments, request.bounds)
        used: list[tuple[int, int]] = []
        pickled = _pickled(result, _at_work.files, used)
        connection.send((raised, pickled, [(size, file == spare) for file, size in used]))
        for file, _ in used:
            if file != spare:
                _send(line, file)
    finally:
        _at_work.close()
        _at_work = None


def _attempted(function: Callable[..., Any], arguments: tuple[Any, ...], bounds: Bounds | None) -> tuple[bool, Any]:
    """Whether it raised, and what came of it."""
    try:
        if bounds:
            _hold(bounds)
        try:
            return False, function(*arguments)
        finally:
            if bounds:
                _release()
    except MemoryError as error:
        if bounds is None:
            return True, error
        more = limits.advice(2 * bounds.num_bytes)
        return True, StoppedError(f"more than {bounds.num_bytes / 1e6:,.0f} MB of memory; {more}")
    except Exception as error:
        return True, _sendable(error)


def _sendable(error: Exception) -> Exception:
    """The error, without what it came from; as text where it cannot be pickled."""
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return copy if isinstance(copy, Exception) else RuntimeError(str(error))


def _pickled(result: Any, shared: dict[int, int], used: list[tuple[int, int]]) -> bytes:
    """The result, but for arrays in files that are shared: these files and the arrays' sizes join the list."""

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        file = shared.get(np.frombuffer(raw, np.uint8).ctypes.data) if raw.nbytes else None
        if file is None:
            return True
        used.append((file, raw.nbytes))
        return False

    return pickle.dumps(result, protocol=5, buffer_callback=in_band)


def _hold(bounds: Bounds) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime + bounds.seconds) + 1)
    _limit(resource.RLIMIT_FSIZE, bounds.num_bytes)
    _limit(resource.RLIMIT_AS, _memory() + bounds.num_bytes)


def _release() -> None:
    for kind in (resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_AS):
        _limit(kind, resource.RLIM_INFINITY)


def _limit(kind: int, value: int) -> None:
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        value = most if value == resource.RLIM_INFINITY else min(value, most)
    with suppress(ValueError, OSError):  # macOS refuses some
        resource.setrlimit(kind, (value, most))


def _memory() -> int:
    """Addresses that this process has, bytes; more than any has where that can't be known."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (a path would be made each time)
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 1 << 40
