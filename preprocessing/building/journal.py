"""What a build has done so far, kept beside its target: the same build goes on from there after any end.

``.<name>.rows`` holds frames as they come, ``.<name>.journal`` one line per finished recording. Whatever isn't
provably whole is done again: every line carries its own CRC-32 and that of its frames, and counts only while its
recording is as it was. So nothing depends on the order in which a failing system's writes reach the disk, and none
is waited for before the finished file.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from preprocessing.cache import StoredFrames, fingerprint
from preprocessing.cache.contents import Doubt, LeftOut, Outcome, Row, joined
from preprocessing.cache.writer import FrameRows, describe, frame_layout, publish
from preprocessing.datasets.base import Source
from preprocessing.files import writing

KINDS = ("rows", "journal", "partial")  # of files beside the target


@dataclass(frozen=True)
class _Finished:
    """A line of the journal: a recording's place, its date when it was read, its first row, its frames' CRC-32."""

    index: int
    changed_ns: int
    row: int
    checksum: int
    outcome: Outcome


class Journal:
    """The work of a build, in order of completion; its holder must be the only one to build ``target``.

    Leaving the context keeps the work if something stops the build, and removes it at the end, or where the build
    would end in the same way again: by a ``ValueError``, which recordings or options cause.

    Args:
        target: the cache to write.
        config: everything that decides its content; see ``cache_writer.write_cache``.
        sources: the recordings, in the order of the cache.

    Attributes:
        outcomes: what came of the finished recordings, by their places.
        started_anew: what was there was another build's, and is gone.
    """

    def __init__(self, target: Path, config: Mapping[str, Any], sources: Sequence[Source]) -> None:
        self.target = target
        self.outcomes: dict[int, Outcome] = {}
        self.started_anew = False
        self._config = dict(config)
        self._changed = [source.changed_ns() for source in sources]
        self._first_rows: dict[int, int] = {}
        self._num_rows = 0
        self._rows_path, self._path, self._partial = (beside(target, kind) for kind in KINDS)

    def __enter__(self) -> Self:
        with writing(self.target):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._rows = FrameRows(self._rows_path, frame_layout(self._config))
            self._resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
        self._rows.__exit__(kind, error, trace)
        self._partial.unlink(missing_ok=True)
        if kind is None or issubclass(kind, ValueError) or not self.outcomes:
            remove_work(self.target)

    def add(self, index: int, outcome: Outcome, frames: Iterable[StoredFrames], row: int | None = None) -> None:
        """Keep what came of the recording at ``index``; its frames go to ``row`` or else behind all others.

        Raises:
            WriteError: they cannot be written.
        """
        row = self._num_rows if row is None else row
        with writing(self.target):
            checksum = self._rows.put(row, frames)
            finished = _Finished(index, self._changed[index], row, checksum, outcome)
            self._append({**vars(finished), "outcome": vars(outcome)})
        self._take(finished)

    def commit(self, classes: Sequence[str], left_out: Sequence[LeftOut]) -> None:
        """Make the cache of the work, in the order of the recordings; ``left_out`` before any was read.

        Raises:
            WriteError: it cannot be written.
        """
        places = sorted(self.outcomes)
        order = [self._first_rows[p] + k for p in places for k in range(len(self.outcomes[p].rows))]
        with writing(self.target):
            written = self._rows.assemble(order, self._partial)
            describe(written, self._config, classes, joined(self.outcomes[place] for place in places), left_out)
            publish(written, self.target, self._rows.opened_ns)

    def _take(self, finished: _Finished) -> None:
        self.outcomes[finished.index] = finished.outcome
        self._first_rows[finished.index] = finished.row
        self._num_rows = max(self._num_rows, finished.row + len(finished.outcome.rows))

    def _append(self, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, separators=(",", ":")).encode()
        line = memoryview(b"%08x %s\n" % (zlib.crc32(text), text))
        while line:
            line = line[os.write(self._file, line) :]

    def _resume(self) -> None:
        """Take over what is whole of an earlier run's work, if that was on the same cache by the same code."""
        head = {"fingerprint": fingerprint(self._config), "code": code_stamp()}
        *lines, torn = _read_all(self._file).split(b"\n")
        if not lines or _parsed(lines[0]) != head:
            self.started_anew = bool(lines or torn)
            self._rows.clear()
            os.truncate(self._file, 0)
            self._append(head)
            return
        os.truncate(self._file, sum(len(line) + 1 for line in lines))
        for line in lines[1:]:
            finished = _finished(_parsed(line))
            if finished and self._is_whole(finished):
                self._take(finished)

    def _is_whole(self, finished: _Finished) -> bool:
        return (
            finished.changed_ns == self._changed[finished.index]
            and self._rows.checksum(finished.row, len(finished.outcome.rows)) == finished.checksum
        )


def beside(target: Path, kind: str) -> Path:
    """The hidden file of a kind that belongs to a build of ``target``."""
    return target.with_name(f".{target.name}.{kind}")


def remove_work(target: Path) -> None:
    """Remove what a build of ``target`` kept; the caller is the only one to build it."""
    for kind in KINDS:
        beside(target, kind).unlink(missing_ok=True)


@lru_cache(maxsize=1)
def code_stamp() -> str:
    """SHA-256 of this package's code: work of other code is not taken over, even if it calls itself the same."""
    folder = Path(__file__).parent
    total = sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()


def _read_all(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as copy:
        return copy.read()


def _parsed(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    content: dict[str, Any] = json.loads(text)
    return content


def _finished(content: dict[str, Any] | None) -> _Finished | None:
    if content is None:
        return None
    outcome = content["outcome"]
    outcome["rows"] = tuple(Row(*row) for row in outcome["rows"])
    outcome["left_out"] = tuple(LeftOut(*problem) for problem in outcome["left_out"])
    outcome["warnings"] = tuple(Doubt(*doubt) for doubt in outcome["warnings"])
    outcome["sensor"] = tuple(outcome["sensor"]) if outcome["sensor"] else None
    outcome["sums"] = tuple(tuple(row) for row in outcome["sums"])
    return _Finished(**{**content, "outcome": Outcome(**outcome)})
