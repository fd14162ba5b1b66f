"""Which samples are trained on and which are chosen by: recordings that are not trained on, wherever there are enough.

Windows of one recording show the same scene, background and noise pixels: a validation split of single windows would
judge what was learnt by heart. So whole recordings are cut off, class by class. Of a class with a single recording a
block of time is, and windows of training that overlap with it are left out; its accuracy is then on the kind side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from preprocessing.cache import FrameCache

Rows = NDArray[np.int64]
"""Positions of samples in a cache."""

MOST_OF_A_CLASS = 0.5
"""Share of a class that whole recordings may take; where the first of them is larger, a block of time is cut."""

_STARTS = re.compile(r"(?:@\d+us)+\Z")


@dataclass(frozen=True)
class Parts:
    """The training split in two parts.

    Attributes:
        training: samples to train on, rising.
        validation: samples to choose by, rising.
        num_recordings: behind the validation samples.
        shared: classes whose validation samples come from recordings that are trained on too.
        num_overlapping: samples in neither part, since they overlap in time with validation.
    """

    training: Rows
    validation: Rows
    num_recordings: int
    shared: tuple[str, ...] = ()
    num_overlapping: int = 0

    def __str__(self) -> str:
        if not len(self.validation):
            return "validation: no samples; the last epoch is what counts"
        told = f"validation: {len(self.validation):,} samples of {self.num_recordings:,} recordings"
        if not self.shared:
            return f"{told}, none of which is trained on"
        left = f"; {self.num_overlapping:,} overlapping windows are not used" if self.num_overlapping else ""
        return (
            f"{told}{left}\nWARNING: of {', '.join(self.shared)} they are parts of recordings that are trained on too: "
            "validation flatters, what counts is the test split"
        )

    def facts(self) -> dict[str, Any]:
        """As plain values, beside the numbers of samples."""
        facts = {"num_recordings": self.num_recordings, "shared_classes": list(self.shared)}
        return {**facts, "num_overlapping": self.num_overlapping}


def recording_of(source: str) -> str:
    """The recording that a sample was cut from: its source without the starts of a trial and a window."""
    return _STARTS.sub("", source)


def start_of(source: str) -> int:
    """Where in its recording a sample starts, µs: a window counts from the start of its trial."""
    starts = _STARTS.search(source)
    return sum(map(int, re.findall(r"\d+", starts[0]))) if starts else 0


def split_training(cache: FrameCache, share: float, seed: int) -> Parts:
    """The training and the validation split of a cache; one without the latter has a part of the former cut off.

    Args:
        cache: the data.
        share: of each class (PLIF, supplementary §7), rounded down; a class of few samples may give none.
        seed: which recordings are cut off.
    """
    return _parts_of_file(cache) if len(cache.indices("validation")) else _cut(cache, share, seed)


def _parts_of_file(cache: FrameCache) -> Parts:
    training, validation = cache.indices("train"), cache.indices("validation")
    trained = {recording_of(cache.sources[index]) for index in training.tolist()}
    recordings = [recording_of(cache.sources[index]) for index in validation.tolist()]
    shared = {cache.labels[index] for index, name in zip(validation, recordings, strict=True) if name in trained}
    return Parts(training, validation, len(set(recordings)), tuple(cache.classes[label] for label in sorted(shared)))


def _cut(cache: FrameCache, share: float, seed: int) -> Parts:
    indices = cache.indices("train")
    sources = [cache.sources[index] for index in indices.tolist()]
    recordings = np.unique([recording_of(source) for source in sources], return_inverse=True)[1].astype(np.int64)
    starts = np.array([start_of(source) for source in sources], np.int64)
    ends = starts + cache.duration_us[indices]
    labels = cache.labels[indices].astype(np.int64)
    cut, shared = choose(labels, recordings, starts, share, seed)
    validation = np.flatnonzero(cut)
    overlapping = _overlapping(recordings, starts, ends, cut)
    return Parts(
        indices[~cut & ~overlapping],
        indices[validation],
        len(np.unique(recordings[validation])),
        tuple(cache.classes[label] for label in shared),
        int(overlapping.sum()),
    )


def choose(
    labels: Rows, recordings: Rows, starts: Rows, share: float, seed: int
) -> tuple[NDArray[np.bool_], list[int]]:
    """Which samples are cut off, ``[N]``, and the classes of which no whole recordings could be.

    Args:
        labels: class of each sample, ``[N]``.
        recordings: number of each one's recording, ``[N]``. One that holds several classes is cut off with all of them.
        starts: where it begins in its recording, µs, ``[N]``.
        share: of each class.
        seed: which recordings.
    """
    generator = np.random.default_rng(seed)
    cut = np.zeros(len(labels), bool)
    shared = []
    pairs = np.unique(np.stack([recordings, labels]), axis=1)
    mixed = len(np.unique(pairs[0])) < pairs.shape[1]
    strata = [np.arange(len(labels))] if mixed else [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for members in strata:
        wanted = int(len(members) * share)
        chosen = _whole_recordings(recordings[members], wanted, generator)
        if chosen is None:
            chosen = _block_of_time(recordings[members], starts[members], wanted, generator)
            shared += np.unique(labels[members]).tolist()
        cut[members[chosen]] = True
    return cut, shared


def _whole_recordings(recordings: Rows, wanted: int, generator: np.random.Generator) -> Rows | None:
    """Samples of as many recordings as make ``wanted`` ones; None where the first would be too large a part."""
    numbers = recordings[np.sort(np.unique(recordings, return_index=True)[1])]  # in the order of the samples
    chosen: list[int] = []
    for number in generator.permutation(numbers).tolist():
        if len(chosen) >= wanted:
            break
        members = np.flatnonzero(recordings == number).tolist()
        if len(chosen) + len(members) > max(wanted, MOST_OF_A_CLASS * len(recordings)):
            continue
        chosen += members
    return None if wanted and not chosen else np.array(chosen, np.int64)


def _block_of_time(recordings: Rows, starts: Rows, wanted: int, generator: np.random.Generator) -> Rows:
    """Samples that follow one another, ``wanted`` of them, from a random place on."""
    in_time = np.lexsort((starts, recordings))
    first = int(generator.integers(0, len(in_time) - wanted + 1))
    return in_time[first : first + wanted]


def _overlapping(recordings: Rows, starts: Rows, ends: Rows, cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which samples that stay share events with one that was cut off, ``[N]``."""
    found = np.zeros(len(cut), bool)
    for number in np.intersect1d(recordings[cut], recordings[~cut]):
        here = recordings == number
        begins, stops = starts[here & cut], ends[here & cut]
        for index in np.flatnonzero(here & ~cut):
            found[index] = bool(((starts[index] <= stops) & (ends[index] >= begins)).any())
    return found
