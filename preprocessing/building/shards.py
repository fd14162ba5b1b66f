"""A cache in shards: files of consecutive recordings, each made on its own, and the one file that refers to them.

They lie in ``<name>.shards/<build>/<number>.h5`` beside the cache ``<name>``. Each is a frame cache itself, complete
or not there, and made of its recordings alone, whoever makes it and however often.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from socket import gethostname
from typing import Any
from uuid import uuid4

import h5py

from preprocessing import apart
from preprocessing.building.journal import beside, code_stamp
from preprocessing.building.plan import Plan, newer
from preprocessing.building.samples import RecordingSamples, Task, make_samples, outcome_of
from preprocessing.cache import COUNTS, CacheError, FrameCache, StoredFrames, fingerprint
from preprocessing.cache.contents import Doubt, LeftOut, Outcome, Row, joined, same_sensor
from preprocessing.cache.writer import describe, frame_layout, publish, write_cache
from preprocessing.events import RecordingError
from preprocessing.files import writing
from preprocessing.workers import DEADLY, WorkerError, attempt

_FRAME_BYTES = 1 << 28
_RECORDINGS = 64


@dataclass(frozen=True)
class ShardTask:
    """One shard to make.

    Attributes:
        path: the file, absolute.
        config: everything that decides its content.
        classes: names of the classes.
        tasks: its recordings, their paths absolute.
        files: those of their files that are there.
    """

    path: Path
    config: dict[str, Any]
    classes: tuple[str, ...]
    tasks: tuple[Task, ...]
    files: tuple[Path, ...]

    def is_done(self) -> bool:
        """Whether the shard is there, whole, and of the recordings as they are."""
        try:
            made_for = FrameCache(self.path).fingerprint
        except (FileNotFoundError, CacheError):
            return False
        return made_for == fingerprint(self.config) and not newer([task.source for task in self.tasks], self.path)

    def outcome(self) -> Outcome:
        """What came of its recordings, read from the finished shard.

        Raises:
            FileNotFoundError, CacheError: it is not there, or damaged.
        """
        return _outcome(FrameCache(self.path))


def plan_shards(plan: Plan) -> list[ShardTask]:
    """The shards of a build: which recordings are together depends on the build alone, not on who does it."""
    per_shard = max(1, min(_RECORDINGS, _FRAME_BYTES // frame_layout(plan.config).num_bytes))
    groups = [plan.tasks[start : start + per_shard] for start in range(0, len(plan.tasks), per_shard)]
    common = {"build": fingerprint(plan.config), "code": code_stamp(), "shards": len(groups)}
    common |= {name: plan.config[name] for name in ("kind", "steps", "channels", "size")}
    folder = _folder(plan.out, fingerprint(common))
    return [_shard(folder, common, plan.classes, group, number) for number, group in enumerate(groups)]


def _shard(
    folder: Path, common: dict[str, Any], classes: tuple[str, ...], group: Sequence[Task], number: int
) -> ShardTask:
    sources = [replace(task.source, path=task.source.path.absolute()) for task in group]
    tasks = tuple(replace(task, source=source) for task, source in zip(group, sources, strict=True))
    files = tuple(sorted({source.path for source in sources if source.path.exists()}))
    return ShardTask(folder / f"{number:05}.h5", {**common, "shard": number}, classes, tasks, files)


def _folder(out: Path, build: str) -> Path:
    """Where the shards of a new build go: never where the cache that is there has its own."""
    names = (build[:16], f"{build[:16]}-again")
    used = _used(out)
    return next(folder for name in names if (folder := shards_folder(out).absolute() / name) != used)


def _used(out: Path) -> Path | None:
    try:
        shards = FrameCache(out).shards
    except (FileNotFoundError, CacheError):
        return None
    return shards[0].path.parent.absolute() if shards else None


def shards_folder(out: Path) -> Path:
    """The folder beside the cache ``out`` that its shards lie in."""
    return out.with_name(f"{out.name}.shards")


def write_shard(shard: ShardTask, carefully: bool = False) -> None:
    """Make one shard; whoever else makes the same at the same time does no harm.

    Where workers died of it, this is done ``carefully``: each recording by a process apart, which may die.

    Raises:
        WorkerError: this process sees other files or runs other code than the one that planned it.
        ValueError: recordings of different sensors.
        WriteError: the shard cannot be written.
    """
    _check_place(shard)
    with writing(shard.path):
        write_cache(
            shard.path, shard.config, shard.classes, _made(shard, carefully), scratch=f"{shard.path.stem}-{uuid4().hex}"
        )


def _check_place(shard: ShardTask) -> None:
    here = f"the worker on {gethostname()}"
    if shard.config["code"] != code_stamp():
        raise WorkerError(f"{here} runs other code than this machine; install the same version of evglif on both")
    missing = next((path for path in (shard.path.parent, *shard.files) if not path.exists()), None)
    if missing:
        raise WorkerError(f"{here} does not see {missing}; workers need the recordings and the cache's folder there")


def _made(shard: ShardTask, carefully: bool) -> Iterator[tuple[Outcome, list[StoredFrames]]]:
    first: Outcome | None = None
    for task in shard.tasks:
        outcome, frames = outcome_of(
            task.source, attempt(_apart if carefully else make_samples, task, (RecordingError,))
        )
        first = same_sensor(first, outcome)
        yield outcome, frames


def _apart(task: Task) -> RecordingSamples:
    """``make_samples`` by a process apart; it can die."""
    try:
        return apart.call(make_samples, task)
    except apart.StoppedError as error:
        raise RecordingError(DEADLY) from error


def write_joined(plan: Plan, shards: Sequence[ShardTask], outcomes: Sequence[Outcome], begun_ns: int) -> None:
    """Write the cache that refers to its shards; their folder may move together with it."""
    partial = beside(plan.out, "partial")
    shape, dtype = frame_layout(plan.config)
    layout = h5py.VirtualLayout((sum(len(outcome.rows) for outcome in outcomes), *shape), dtype)
    start = 0
    for shard, outcome in zip(shards, outcomes, strict=True):
        count = len(outcome.rows)
        if count:
            name = Path(os.path.relpath(shard.path, plan.out.absolute().parent)).as_posix()
            layout[start : start + count] = h5py.VirtualSource(name, "frames", (count, *shape), dtype)
        start += count
    with h5py.File(partial, "w", locking=False) as file:
        file.create_virtual_dataset("frames", layout)
    describe(partial, plan.config, plan.classes, joined(outcomes), plan.left_out)
    publish(partial, plan.out, begun_ns)


def consolidate(cache: FrameCache) -> None:
    """Replace a cache that refers to shards by one of its own, byte for byte what a build without shards writes."""
    parts = [(_outcome(cache), (cache.stored([index])[0] for index in range(len(cache))))]
    begun_ns = cache.path.stat().st_mtime_ns
    with writing(cache.path):
        write_cache(cache.path, cache.config, cache.classes, parts, scratch=cache.path.name, begun_ns=begun_ns)


def remove_unused_shards(out: Path) -> None:
    """Remove shards that the cache ``out`` does not refer to; nobody else may be building it."""
    root, used = shards_folder(out), _used(out)
    if not root.is_dir():
        return
    for folder in root.iterdir():
        if folder.absolute() != used and re.fullmatch(r"[0-9a-f]{16}(-again)?", folder.name):
            shutil.rmtree(folder)
    if not any(root.iterdir()):
        root.rmdir()


def _outcome(cache: FrameCache) -> Outcome:
    labels, num_events, durations = (a.tolist() for a in (cache.labels, cache.num_events, cache.duration_us))
    columns = (labels, cache.splits, cache.sources, num_events, durations)
    rows = tuple(Row(*values) for values in zip(*columns, strict=True))
    left_out = tuple(LeftOut(*problem) for problem in cache.left_out)
    return Outcome(
        cache.sensor_of,
        rows,
        left_out,
        cache.sensor if any(cache.sensor) else None,
        cache.scale,
        cache.sums,
        **{count: getattr(cache, count) for count in COUNTS},
        sensor_from=cache.sensor_from,
        warnings=tuple(Doubt(*doubt) for doubt in cache.warnings),
    )
