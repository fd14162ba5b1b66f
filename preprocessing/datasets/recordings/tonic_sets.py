"""The data sets of tonic, through tonic: labelled recordings of cameras that it knows and this package doesn't.

tonic is licensed under the GPL: it is an extra, and imported here alone, when it is used.
"""

from __future__ import annotations

import importlib
import inspect
import operator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from preprocessing.datasets.base import Dataset, Listing, Source, option
from preprocessing.datasets.splits import check_fraction, held_out
from preprocessing.events import AS_IS, Events, Reading, Recording, RecordingError, make_events, make_recording

FIELDS = {"t", "x", "y", "p"}


class TonicArguments(NamedTuple):
    """What one part of a tonic data set is constructed with; ``split`` is None where it has no parts."""

    set: str
    root: Path
    split: str | None


@dataclass(frozen=True)
class TonicSource(Source):
    """One recording of a tonic data set; ``path`` is the file behind it, or the root where there is none.

    Attributes:
        arguments: the data set that it belongs to; each process constructs its own.
        index: its number there.
        size: of the file or array behind it, bytes.
    """

    arguments: TonicArguments = field(kw_only=True)
    index: int = field(kw_only=True)
    size: int = field(kw_only=True)

    def recording(self, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
        """See ``Source.recording``."""
        data = _open(self.arguments)
        if self.index >= len(data) or _name(data, self.arguments, self.index) != self.name:
            raise RecordingError(f"{self.name}: tonic lists its files in another order now; are they being changed?")
        try:
            events = data[self.index][0]
        except Exception as error:  # tonic's readers let through whatever their libraries raise
            raise RecordingError(f"{self.name}: tonic cannot read it ({type(error).__name__}: {error})") from error
        packed = _packed(events, self.name)
        recording = make_recording(packed, sensor or _sensor(data), "tonic", self.name, how=how)
        return recording if sensor is None else replace(recording, sensor_from="asked")

    opened = recording

    def num_bytes(self) -> int:
        """See ``Source.num_bytes``."""
        return self.size


@dataclass(frozen=True)
class Tonic(Dataset):
    """Any data set of tonic with classes and a camera: tonic:NMNIST, tonic:ASLDVS, tonic:POKERDVS and others.

    tonic looks for it in a folder of its name below the root, and downloads what isn't there. Splits are tonic's
    own; of a data set without, a share of each class is held out. Needs pip install 'evglif[tonic]'.
    """

    name: ClassVar[str] = "tonic"
    example: ClassVar[str] = "--set NMNIST --root data/tonic --size 34\n  python -m preprocessing.build tonic:NMNIST"
    origin: ClassVar[str] = "tonic itself downloads what is missing, without being asked"
    root: Path = field(
        default=Path("data/tonic"), metadata=option("folder that tonic keeps its data sets in (its save_to)", Path)
    )
    set: str = field(kw_only=True, metadata=option("tonic's name of the data set; also to be written tonic:NAME"))
    test_fraction: float = field(
        default=0.1, metadata=option("share of each class to hold out where tonic has no split", float)
    )
    seed: int = field(default=0, metadata=option("draws another share", int))

    def __post_init__(self) -> None:
        check_fraction(self.test_fraction)

    def listing(self) -> Listing:
        """See ``Dataset.listing``; what is missing is downloaded by tonic.

        Raises:
            ValueError: tonic isn't installed, doesn't know the data set, or it can't be built; says why.
        """
        kind = _kind(self.set)
        splits = _splits(kind)
        _open.cache_clear()
        parts = [TonicArguments(self.set, self.root, split) for split in splits or (None,)]
        targets = {part: _targets(_open(part), self.set) for part in parts}
        classes, labels = _classes(kind, targets[parts[0]][0])
        sources = [_source(part, i, labels, target) for part in parts for i, target in enumerate(targets[part])]
        notes = []
        if not splits:
            sources = self._hold_out(sources)
            notes.append(
                f"tonic has no split of {self.set}: {self.test_fraction:.0%} of each class are held out for testing"
            )
        in_order = tuple(sorted(sources, key=lambda source: source.name))
        return Listing(classes, in_order, _sensor(kind), notes=tuple(notes))

    def _hold_out(self, sources: list[TonicSource]) -> list[TonicSource]:
        by_class: dict[int, list[str]] = {}
        for source in sources:
            by_class.setdefault(source.label, []).append(source.name)
        test = frozenset().union(*(held_out(names, self.test_fraction, self.seed) for names in by_class.values()))
        return [replace(source, split="test" if source.name in test else "train") for source in sources]


def _packed(events: Any, name: str) -> Events:
    names = getattr(getattr(events, "dtype", None), "names", None) or ()
    if not FIELDS.issubset(names):
        raise RecordingError(f"{name}: expected a structured array with t, x, y and p, got {type(events)} {names}")
    packed = make_events(events["t"], events["x"], events["y"], events["p"] > 0)
    for column in ("t", "x", "y"):
        if not np.array_equal(packed[column], events[column]):
            raise RecordingError(f"{name}: {column} has values that are no whole numbers from 0 ({events[column]})")
    return packed


def _source(part: TonicArguments, index: int, labels: dict[Any, int], target: int | str) -> TonicSource:
    if target not in labels:
        raise ValueError(f"tonic's {part.set} has a recording of class {target!r}, but its classes are {[*labels]}")
    data = _open(part)
    path, size = _file(data, index)
    name = _name(data, part, index)
    where = path or part.root
    return TonicSource(where, None, labels[target], part.split or "train", name, arguments=part, index=index, size=size)


def _datasets() -> Any:
    try:
        return importlib.import_module("tonic.datasets")
    except ImportError as error:
        raise ValueError(f"tonic cannot be imported ({error}); install it with: pip install 'evglif[tonic]'") from error


def _kind(name: str) -> Any:
    """The class of a tonic data set that can be built."""
    datasets = _datasets()
    if name not in datasets.__all__:
        usable = [other for other in datasets.__all__ if not _why_not(getattr(datasets, other))]
        raise ValueError(f"tonic has no data set {name!r}; those that can be built are {', '.join(usable)}")
    kind = getattr(datasets, name)
    reason = _why_not(kind)
    if reason:
        raise ValueError(f"tonic's {name} cannot be built: {reason}")
    return kind


def _why_not(kind: Any) -> str | None:
    """What keeps a data set from being built, as far as its class tells before anything is downloaded."""
    fields = kind.dtype.names
    if "y" not in fields:
        return f"its events have only {', '.join(fields)}; they are of one dimension, as a cochlea's, not a camera's"
    if not kind.sensor_size:
        return "tonic gives it no sensor, as recordings differ in size; N-Caltech101 has a command here, ncaltech101"
    parameters = inspect.signature(kind).parameters
    asked = [name for name, p in parameters.items() if p.default is p.empty and name not in {"save_to", "split"}]
    if asked or "save_to" not in parameters:
        return f"tonic wants to know {', '.join(asked) or 'no place'} to load it"
    if not getattr(kind, "classes", None):
        return "tonic names no classes to tell its recordings apart by"
    return None


def _splits(kind: Any) -> tuple[str, ...]:
    return ("train", "test") if {"train", "split"} & {*inspect.signature(kind).parameters} else ()


@lru_cache(maxsize=4)  # constructing lists a folder: too slow for each recording
def _open(arguments: TonicArguments) -> Any:
    kind = _kind(arguments.set)
    options: dict[str, Any] = {}
    if arguments.split:
        has_train = "train" in inspect.signature(kind).parameters
        options = {"train": arguments.split == "train"} if has_train else {"split": arguments.split}
    try:
        return kind(save_to=str(arguments.root), **options)
    except Exception as error:  # as above; no network is the most usual
        chosen = ", ".join(f"{name}={value}" for name, value in options.items())
        raise ValueError(
            f"{arguments.root.absolute()}: tonic finds no {arguments.set} ({chosen}) there and cannot fetch it: {error}"
        ) from error


def _targets(data: Any, name: str) -> list[int | str]:
    try:
        targets = [target if isinstance(target, str) else operator.index(target) for target in data.targets]
    except (AttributeError, TypeError) as error:
        raise ValueError(f"tonic's {name} cannot be built: it tells no classes of its recordings ({error})") from error
    if not targets or len(targets) != len(data):
        raise ValueError(f"tonic's {name} cannot be built: {len(data)} recordings with {len(targets)} classes")
    return targets


def _classes(kind: Any, target: int | str) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Names of the classes, and the label of each target, which are numbers or names as ``target`` is."""
    named = kind.classes  # in their order, or by name with their numbers
    names = tuple(sorted(named, key=named.__getitem__) if isinstance(named, dict) else named)
    keys = names if isinstance(target, str) else range(len(names))
    return names, {key: label for label, key in enumerate(keys)}


def _sensor(kind: Any) -> tuple[int, int]:
    width, height = kind.sensor_size[:2]
    return int(width), int(height)


def _file(data: Any, index: int) -> tuple[Path | None, int]:
    """The file behind a recording, and its size in bytes; None where tonic holds it as an array."""
    item = data.data[index]
    if isinstance(item, str | Path):
        return Path(item), Path(item).stat().st_size
    return None, int(getattr(item, "nbytes", 0))


def _name(data: Any, arguments: TonicArguments, index: int) -> str:
    path, _ = _file(data, index)
    if path is None:
        return f"{arguments.split or 'all'}/{index:06d}"
    place = Path(data.location_on_system)
    return path.relative_to(place).as_posix() if path.is_relative_to(place) else path.as_posix()
