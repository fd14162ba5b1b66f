"""From a data set to its frame cache: what a build does, apart from its command."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preprocessing.cache import (
    SCHEMA,
    CacheError,
    CacheWriter,
    FrameCache,
    NotACacheError,
    fingerprint,
    package_version,
    remove_leftovers,
)
from preprocessing.datasets import Dataset, LeftOut, Listing, Source
from preprocessing.datasets.splits import limited
from preprocessing.events import RecordingError
from preprocessing.progress import progress
from preprocessing.samples import FrameSettings, RecordingSamples, RecordingTask, make_samples
from preprocessing.summary import summary
from preprocessing.workers import num_workers, run_tasks

_SECONDS_EACH = 5e-4
_SECONDS_PER_BYTE = 2e-9


@dataclass(frozen=True)
class BuildResult:
    """What a build came to.

    Attributes:
        path: the frame cache.
        up_to_date: it was there already, and nothing was done.
        seconds: time from the first recording to the finished file.
        notes: what a user should know about the data as they are.
    """

    path: Path
    up_to_date: bool
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.up_to_date:
            return f"{self.path} is up to date: built before from the same recordings with the same options"
        with FrameCache(self.path) as cache:
            return summary(cache, self.seconds, self.notes)


def build(
    dataset: Dataset,
    out: Path | str | None = None,
    *,
    steps: int = 16,
    size: tuple[int, int] = (48, 48),
    slicing: str = "count",
    resize: str = "bilinear",
    value: str = "count",
    filters: Sequence[str] = (),
    workers: int | None = None,
    limit: int | None = None,
    strict: bool = False,
    force: bool = False,
) -> BuildResult:
    """Turn the recordings of a data set into a frame cache, unless the same one is there already.

    It is the same when all options that decide the content are, and the recordings that are listed: their names,
    sizes, classes and splits. Recordings that cannot be used are left out, and listed in the file.

    Args:
        dataset: what to build, e.g. ``Folder(Path("recordings"), window="1.3s")``.
        out: the file; ``data/<name of the data set>.h5`` by default.
        steps: time steps T.
        size: (width, height) of a frame, px.
        slicing: how a sample is cut into steps, see ``preprocessing.slicing``.
        resize: how the sensor is brought to ``size``, see ``preprocessing.tables``.
        value: what a bin holds, see ``preprocessing.rasterize``.
        filters: what is done to the events before, in this order, see ``preprocessing.filters``.
        workers: number of processes; by default all cores, fewer for what is done in a moment.
        limit: take at most this many recordings, spread over classes and splits.
        strict: stop at the first recording that cannot be used.
        force: build even if it is up to date, and replace a file that is no frame cache.

    Raises:
        FileNotFoundError: the data set is not there.
        ValueError: nothing can be used, an unknown option, or recordings of different sensors.
        RecordingError: with ``strict``, the first thing to be left out.
        BusyError: another process is building the same file.
    """
    out = Path(out) if out else Path("data") / f"{dataset.name}.h5"
    listing = dataset.listing()
    settings = FrameSettings(steps, size, slicing, resize, listing.transpose, value, tuple(filters))
    _check(settings, listing, strict)
    sources = limited(listing.sources, limit)
    if not sources:
        raise ValueError(f"{dataset.root}: nothing to build\n{_first(listing.left_out)}")
    dataset.prepare(sources, workers)
    config = _config(dataset, settings, listing, sources)
    if not force and _is_current(out, config, strict):
        remove_leftovers(out)
        return BuildResult(out, up_to_date=True)
    start = time.perf_counter()
    tasks = [RecordingTask(source, settings, listing.sensor, listing.cut) for source in sources]
    with CacheWriter(out, config) as writer:
        seconds = _SECONDS_EACH * len(tasks) + _SECONDS_PER_BYTE * config["recordings"]["bytes"]
        _fill(writer, tasks, listing, num_workers(workers, seconds), strict)
    return BuildResult(out, False, time.perf_counter() - start, listing.notes)


def _check(settings: FrameSettings, listing: Listing, strict: bool) -> None:
    settings.rasterizer(listing.sensor or (128, 128))  # says what is wrong with the settings, if anything
    if strict and listing.left_out:
        source, reason = listing.left_out[0]
        raise RecordingError(f"{source}: {reason} (strict)")


def _config(dataset: Dataset, settings: FrameSettings, listing: Listing, sources: Sequence[Source]) -> dict[str, Any]:
    """Everything that decides the content of the file. Contents of recordings are told by their names and sizes."""
    sizes = [source.num_bytes() for source in sources]
    listed = [(s.name, size, s.split, s.label) for s, size in zip(sources, sizes, strict=True)]
    return {
        "schema": SCHEMA,
        "version": package_version(),
        "dataset": dataset.name,
        "options": dataset.options(),
        **asdict(settings),
        "size": list(settings.size),
        "filters": list(settings.filters),
        "window_us": listing.cut.window_us if listing.cut else None,
        "hop_us": listing.cut.hop_us if listing.cut else None,
        "recordings": {
            "count": len(sources),
            "bytes": sum(sizes),
            "sha256": fingerprint({"taken": listed, "left out": listing.left_out}),
        },
    }


def _is_current(out: Path, config: dict[str, Any], strict: bool) -> bool:
    """Whether ``out`` answers the build; what is there is never replaced unless it is a frame cache."""
    try:
        cache = FrameCache(out)
    except FileNotFoundError:
        return False
    except NotACacheError as error:
        raise ValueError(f"{error}; it is not replaced without --force") from error
    except CacheError:
        return False
    return cache.fingerprint == fingerprint(config) and not (strict and cache.left_out)


def _fill(writer: CacheWriter, tasks: Sequence[RecordingTask], listing: Listing, workers: int, strict: bool) -> None:
    left_out = list(listing.left_out)
    num_special = 0
    first: tuple[str, RecordingSamples] | None = None
    with (
        closing(run_tasks(make_samples, tasks, workers, (RecordingError,))) as results,
        closing(progress(results, len(tasks), "building", "recordings")) as shown,
    ):
        for task, result in zip(tasks, shown, strict=True):
            if isinstance(result, Exception):
                problems = [LeftOut(task.source.name, str(result).removeprefix(f"{task.source.name}: "))]
            else:
                first = first or (task.source.name, result)
                _check_sensor(first, (task.source.name, result))
                problems = list(result.left_out)
                num_special += result.num_special
                _append(writer, task.source.split, result)
            if strict and problems:
                raise RecordingError(f"{problems[0].source}: {problems[0].reason} (strict)")
            left_out += problems
    if first is None or not writer.num_samples:
        raise ValueError(f"none of {len(tasks)} recordings can be used\n{_first(left_out)}")
    sensor, scale = first[1].sensor, first[1].scale
    writer.commit(classes=listing.classes, sensor=sensor, scale=scale, num_special=num_special, left_out=left_out)


def _append(writer: CacheWriter, split: str, made: RecordingSamples) -> None:
    for sample in made.samples:
        writer.append(
            sample.frames,
            label=sample.label,
            split=split,
            source=sample.source,
            num_events=sample.num_events,
            duration_us=sample.duration_us,
            num_saturated=sample.num_saturated,
        )


def _check_sensor(first: tuple[str, RecordingSamples], this: tuple[str, RecordingSamples]) -> None:
    if this[1].sensor != first[1].sensor:
        names = " and ".join("{} ({}×{})".format(name, *made.sensor) for name, made in (first, this))
        raise ValueError(f"recordings of different sensors: {names}; where they are the same, state it with --sensor")


def _first(left_out: Sequence[LeftOut]) -> str:
    lines = [f"  left out {source}: {reason}" for source, reason in left_out[:10]]
    if len(left_out) > 10:
        lines.append(f"  … and {len(left_out) - 10} more")
    return "\n".join(lines)
