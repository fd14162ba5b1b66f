"""What a build has to do, and whether it was done before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from preprocessing.building.picture_samples import PictureTask
from preprocessing.building.samples import RecordingTask, Task
from preprocessing.cache import SCHEMA, CacheError, FrameCache, NotACacheError, fingerprint, package_version
from preprocessing.cache.contents import LeftOut, Outcome, same_sensor
from preprocessing.datasets import Dataset, Listing, Source
from preprocessing.datasets.base import Cut
from preprocessing.datasets.stills.base import PictureSource
from preprocessing.events import AS_IS, Reading, RecordingError
from preprocessing.files import WriteError
from preprocessing.frames.pictures import PictureSettings
from preprocessing.frames.settings import FrameSettings
from preprocessing.terminal import tell
from preprocessing.workers import WorkerError

_FEW = 3
"""Recordings that an error names; a build that goes on lists more."""


@dataclass(frozen=True)
class Plan:
    """What a build has to do.

    Attributes:
        out: the cache to write.
        config: everything that decides its content.
        classes: names of the classes.
        tasks: one per recording, in the order of the cache.
        left_out: what was left out before any recording was read.
        strict: nothing may be left out.
    """

    out: Path
    config: dict[str, Any]
    classes: tuple[str, ...]
    tasks: tuple[Task, ...]
    left_out: tuple[LeftOut, ...]
    strict: bool

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The recordings."""
        return tuple(task.source for task in self.tasks)

    @property
    def unit(self) -> str:
        """What the sources are, for people: "recordings" or "images"."""
        return "images" if self.config["kind"] == "images" else "recordings"

    @cached_property
    def one_each(self) -> bool:
        """Whether every recording gives one sample, if any."""
        return all(task.gives_one for task in self.tasks)

    def checked(self, first: Outcome | None, this: Outcome) -> Outcome | None:
        """The first outcome that has a sensor, once ``this`` is seen to go with it.

        Raises:
            RecordingError: something of it is left out or dropped, and the build is strict.
            ValueError: they are of different sensors.
        """
        if self.strict and this.left_out:
            source, reason = this.left_out[0]
            raise RecordingError(f"{source}: {reason} (strict)")
        if self.strict and this.num_dropped:
            raise RecordingError(f"{this.name}: {this.num_dropped} bad events were dropped (strict)")
        return same_sensor(first, this)

    def require_samples(self, outcome: Outcome) -> None:
        """Check that the recordings, together, gave any.

        Raises:
            ValueError: they did not.
        """
        if not outcome.rows:
            problems = first_few([*self.left_out, *outcome.left_out])
            raise ValueError(f"none of {len(self.tasks)} {self.unit} can be used: {problems}")

    def current(self) -> FrameCache | None:
        """The cache that is there already, if it answers the build.

        Raises:
            ValueError: what is there is no frame cache, and so not to be replaced unasked.
        """
        try:
            cache = FrameCache(self.out)
        except FileNotFoundError:
            return None
        except NotACacheError as error:
            raise ValueError(f"{error}; it is not replaced without --force") from error
        except CacheError:
            return None
        answers = cache.fingerprint == fingerprint(self.config) and not (
            self.strict and (cache.left_out or cache.num_dropped)
        )
        return cache if answers and not newer(self.sources, self.out) else None


def make_plan(
    dataset: Dataset,
    listing: Listing,
    settings: FrameSettings,
    sources: Sequence[Source],
    out: Path,
    strict: bool,
    how: Reading = AS_IS,
) -> Plan:
    """The plan to build ``sources``, which are all or some of the listed recordings, read as ``how`` says."""
    config = _config(dataset, listing, settings, sources, how)
    how = replace(how, drop_bad=0) if strict else how
    tasks = tuple(_task(listing, settings, source, how) for source in sources)
    return Plan(out, config, listing.classes, tasks, listing.left_out, strict)


def _task(listing: Listing, settings: FrameSettings, source: Source, how: Reading) -> Task:
    if isinstance(source, PictureSource) and listing.pictures:
        return PictureTask(source, listing.pictures)
    return RecordingTask(source, settings, listing.sensor, listing.cut, how)


def newer(sources: Sequence[Source], path: Path) -> bool:
    """Whether any recording was written to after those of the cache ``path`` began to be read."""
    begun_ns = path.stat().st_mtime_ns
    return any(source.changed_ns() > begun_ns for source in sources)


def told_resuming(plan: Plan, num_done: int) -> None:
    """Say on the error stream how much of a build was done before, if any."""
    if num_done:
        tell(f"resuming: {num_done} of {len(plan.tasks)} {plan.unit} were done")


@contextmanager
def telling_kept(plan: Plan, num_done: Callable[[], int]) -> Iterator[None]:
    """Let Ctrl-C and errors that a later run may not meet again say how much of the build is kept."""
    try:
        yield
    except (KeyboardInterrupt, WorkerError, WriteError) as error:
        if num_done() == 0:
            raise
        kept = f"{num_done()} of {len(plan.tasks)} {plan.unit} are kept"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"{kept}; run the same command to go on") from None
        raise type(error)(f"{error}; {kept}") from error


def first_few(left_out: Sequence[tuple[str, str]]) -> str:
    """What was left out, and why, for the one line of an error."""
    told = [f"{source}: {reason}" for source, reason in left_out[:_FEW]]
    if len(left_out) > _FEW:
        told.append(f"and {len(left_out) - _FEW} more")
    return "; ".join(told)


def _config(
    dataset: Dataset, listing: Listing, settings: FrameSettings, sources: Sequence[Source], how: Reading
) -> dict[str, Any]:
    """Everything that decides the content of the file. Contents of recordings are told by name, size and CRC-32."""
    listed = [(s.name, s.identity(), s.split, s.label, s.trials) for s in sources]
    return {
        "schema": SCHEMA,
        "version": package_version(),
        "dataset": dataset.name,
        "options": {**dataset.options(), **listing.found},
        **(_of_pictures(listing.pictures) if listing.pictures else _of_events(settings, listing.cut, how)),
        "recordings": {
            "count": len(sources),
            "bytes": sum(source.num_bytes() for source in sources),
            "sha256": fingerprint({"taken": listed, "left out": listing.left_out}),
        },
    }


def _of_events(settings: FrameSettings, cut: Cut | None, how: Reading) -> dict[str, Any]:
    return {
        "kind": "events",
        "channels": 2,
        **asdict(settings),
        **asdict(how),
        "size": list(settings.size),
        "filters": list(settings.filters),
        "window_us": cut.window_us if cut else None,
        "hop_us": cut.hop_us if cut else None,
    }


def _of_pictures(settings: PictureSettings) -> dict[str, Any]:
    return {"kind": "images", "steps": 1, **asdict(settings), "size": list(settings.size)}
