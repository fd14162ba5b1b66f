"""From a data set to its frame cache: what a build does, apart from its command."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from preprocessing.building.cluster import CLUSTER_PATIENCE_S, build_on_cluster
from preprocessing.building.journal import KINDS, beside, remove_work
from preprocessing.building.local import build_here
from preprocessing.building.plan import first_few, make_plan
from preprocessing.building.shards import consolidate as consolidate_shards
from preprocessing.building.shards import remove_unused_shards, shards_folder
from preprocessing.building.summary import summary
from preprocessing.cache import FrameCache
from preprocessing.datasets import Dataset, Listing
from preprocessing.datasets.splits import limited
from preprocessing.events import Reading, RecordingError
from preprocessing.events.reading import DROP_BAD
from preprocessing.files import BusyError, WriteError, exclusive, now_ns, require_file, writing
from preprocessing.frames.settings import FrameSettings
from preprocessing.terminal import shown


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
            return f"{shown(self.path)} is up to date: built before from the same recordings with the same options"
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
    time_unit: str | None = None,
    drop_bad: float = DROP_BAD,
    workers: int | None = None,
    cluster: str | None = None,
    cluster_patience_s: float = CLUSTER_PATIENCE_S,
    consolidate: bool = False,
    limit: int | None = None,
    strict: bool = False,
    force: bool = False,
) -> BuildResult:
    """Turn the recordings of a data set into a frame cache, unless the same one is there already.

    It is the same when all options that decide the content are, and the recordings that are listed: their names,
    sizes, classes and splits, in archives their CRC-32, and none is newer than the cache. Recordings that cannot be
    used are left out, and listed in the file. A build that was stopped or killed goes on where it was; the file
    appears under its name only when it is complete, and is the same byte for byte however it came about.

    Args:
        dataset: what to build, e.g. ``Folder(Path("recordings"), window="1.3s")``.
        out: the file; ``data/<name of the data set>.h5`` by default.
        steps: time steps T.
        size: (width, height) of a frame, px.
        slicing: how a sample is cut into steps, see ``preprocessing.events.slicing``.
        resize: how the sensor is brought to ``size``, see ``preprocessing.frames.resizing``.
        value: what a bin holds, see ``preprocessing.frames.rasterize``.
        filters: what is done to the events before, in this order, see ``preprocessing.events.filters``.
        time_unit: of the times in files that don't say it, see ``preprocessing.events.reading``.
        drop_bad: share of a recording's events that may be bad, and are dropped; with more it is left out.
        workers: number of processes; by default all cores, fewer for what is done in a moment.
        cluster: address or scheduler file of a Dask cluster that does the work instead, see
            ``preprocessing.building.cluster``; the file refers to shards in ``<out>.shards``.
        cluster_patience_s: how long its scheduler may take to answer, s.
        consolidate: make one file of the shards.
        limit: take at most this many recordings, spread over classes and splits.
        strict: stop at the first recording that cannot be used as it is, or with any bad event.
        force: build even if it is up to date, and replace a file that is no frame cache.

    Raises:
        FileNotFoundError: the data set is not there.
        ValueError: nothing can be used, an unknown option, or recordings of different sensors.
        RecordingError: with ``strict``, the first thing to be left out.
        BusyError: another process is building the same file.
        WorkerError: a worker process died, or the cluster cannot do the work.
        WriteError: the file, or the work kept beside it, cannot be written.
    """
    out = Path(out) if out else Path("data") / f"{dataset.name}.h5"
    require_file(out)
    listing = dataset.listing().as_text()
    oriented = {"transpose": listing.transpose, "half_turn": listing.half_turn}
    settings = FrameSettings(steps, size, slicing, resize, value=value, filters=tuple(filters), **oriented)
    how = Reading(time_unit, drop_bad)
    _check(dataset, settings, listing, strict)
    sources = limited(listing.sources, limit)
    if not sources:
        found = first_few(listing.left_out) or "no file is where one is looked for"
        raise ValueError(f"{dataset.root}: nothing to build: {found}; --root names the data set's own folder")
    dataset.prepare(sources, workers)
    plan = make_plan(dataset, listing, settings, sources, out, strict, how)
    current = None if force else plan.current()
    if current and not (consolidate and current.shards):
        remove_leftovers(out)
        return BuildResult(out, up_to_date=True)
    start = time.perf_counter()
    with _only_builder(out) as begun_ns:
        if current is None and cluster:
            build_on_cluster(plan, cluster, begun_ns, cluster_patience_s)
        elif current is None:
            build_here(plan, workers)
        _tidy(out, consolidate)
    return BuildResult(out, False, time.perf_counter() - start, listing.notes)


def _check(dataset: Dataset, settings: FrameSettings, listing: Listing, strict: bool) -> None:
    if listing.pictures and settings != FrameSettings():
        raise ValueError(f"{dataset.name} holds images: steps, size, slicing, resize, value and filters are for events")
    if settings.moves_times and any(source.trials for source in listing.sources):
        raise ValueError(f"{dataset.name} tells its samples by times of the recordings, which the filter gap moves")
    settings.rasterizer(listing.sensor or (128, 128))  # says what is wrong with the settings, if anything
    if strict and listing.left_out:
        source, reason = listing.left_out[0]
        raise RecordingError(f"{source}: {reason} (strict)")


@contextmanager
def _only_builder(out: Path) -> Iterator[int]:
    """Be the only process to build ``out``; gives the time by its file system's clock, ns."""
    with ExitStack() as stack:
        with writing(out):
            lock = stack.enter_context(exclusive(beside(out, "lock"), f"building {out}"))
            begun_ns = now_ns(lock.fileno())
        yield begun_ns


def _tidy(out: Path, consolidate: bool) -> None:
    """Make one file where that is asked for, and remove what the cache does not need."""
    with writing(out):
        cache = FrameCache(out)
        if consolidate and cache.shards:
            consolidate_shards(cache)
        remove_work(out)
        remove_unused_shards(out)


def remove_leftovers(out: Path) -> None:
    """Remove what earlier builds of ``out`` left beside it, where possible; one that is under way is not disturbed."""
    left = [shards_folder(out), *(beside(out, kind) for kind in ("lock", *KINDS))]
    if any(path.exists() for path in left):
        with suppress(BusyError, WriteError), _only_builder(out):
            _tidy(out, consolidate=False)
