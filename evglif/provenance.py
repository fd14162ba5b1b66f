"""What a model comes from: the samples it has learnt from, and the checkpoints that its training began with.

Samples are kept as digests, by which they are known again in any cache that holds them, under any split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evglif.validation import recording_of
from preprocessing.plain import brief
from preprocessing.progress import progress

if TYPE_CHECKING:
    from preprocessing.cache import FrameCache

Rows = NDArray[np.int64]
Digests = NDArray[np.int64]
"""The first eight bytes of BLAKE2b, rising."""

AT_ONCE = 256
KINDS = ("trained", "chosen", "recordings")
"""Fields of ``Seen``."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Digests of the samples that a model has learnt from.

    A sample of events is its source, with the number of its events and their duration, which no other recording of
    that name has; an image is its source with its pixels.

    Attributes:
        trained: of the samples that it was trained on.
        chosen: of those by which its epoch was chosen, the validation split.
        recordings: of the names of the recordings behind both.
    """

    trained: Digests
    chosen: Digests
    recordings: Digests

    @classmethod
    def of(cls, cache: FrameCache, training: Rows, validation: Rows) -> Self:
        """The samples of a cache at these positions."""
        both = np.concatenate([training, validation])
        samples = sample_digests(cache, both)
        trained, chosen = samples[: len(training)], samples[len(training) :]
        return cls(np.unique(trained), np.unique(chosen), np.unique(recording_digests(cache, both)))

    def with_those_of(self, earlier: Seen) -> Seen:
        """These samples, and those that a model had learnt from before."""
        ours, theirs = vars(self), vars(earlier)
        return Seen(**{name: np.union1d(ours[name], theirs[name]) for name in ours})

    def to_tensors(self) -> dict[str, Tensor]:
        """For a file."""
        return {name: torch.from_numpy(digests) for name, digests in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """What ``to_tensors`` gave.

        Raises:
            ValueError: they are of another type or shape.
        """
        if set(tensors) != set(KINDS):
            raise ValueError(f"seen has {brief(sorted(tensors))}; expected {', '.join(KINDS)}")
        for name, digests in tensors.items():
            if digests.dtype != torch.int64 or digests.dim() != 1:
                raise ValueError(f"seen.{name} is {digests.dtype} {list(digests.shape)}; expected int64, one a sample")
        return cls(*(tensors[name].numpy() for name in KINDS))


@dataclass(frozen=True)
class Origin:
    """A checkpoint that a training began with.

    Attributes:
        name: what it was called, a path or a name of the zoo.
        digest: SHA-256 of its weights, as ``digest`` gives it.
        network: its name in the registry.
        neuron: likewise.
        data: fingerprint of the cache that it learnt from; empty where it doesn't tell.
        knows_samples: whether it tells which samples it has learnt from.
    """

    name: str
    digest: str
    network: str
    neuron: str
    data: str
    knows_samples: bool


def digest(model: nn.Module) -> str:
    """SHA-256 of a network's weights, in hexadecimal."""
    found = sha256()
    for name, weight in model.state_dict().items():
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def doubts(origins: Sequence[Origin]) -> list[str]:
    """What to know of a model that began with these, before an accuracy is called one of unseen samples."""
    silent = [origin.name for origin in origins if not origin.knows_samples]
    if not silent:
        return []
    named = ", ".join(silent)
    return [f"the training began with {named}, of which nobody knows the samples: whether these were new is not known"]


@dataclass(frozen=True, eq=False)
class Familiar:
    """Which samples of an evaluation a model has learnt from, each ``[N]``.

    Attributes:
        trained: it was trained on them.
        chosen: its epoch was chosen by them.
        named: neither, yet a recording of the same name was learnt from, with other events: another build of it, or
            another recording.
    """

    trained: NDArray[np.bool_]
    chosen: NDArray[np.bool_]
    named: NDArray[np.bool_]

    @property
    def new(self) -> NDArray[np.bool_]:
        """Samples that the model cannot know."""
        return ~(self.trained | self.chosen)

    def warnings(self, who: str = "the model") -> list[str]:
        """What to know before an accuracy is called one of unseen samples; ``who`` has learnt from them."""
        told, total = [], len(self.trained)
        for what, known in ((f"{who} was trained on", self.trained), ("the epoch was chosen by", self.chosen)):
            if known.any():
                told.append(f"{what} {known.sum()} of these {total} samples: this is no test accuracy")
        if self.named.any():
            told.append(
                f"{self.named.sum()} of these {total} samples have the name of a recording that {who} has learnt "
                "from, with other events; make sure that they are other recordings"
            )
        return told


def familiar(cache: FrameCache, indices: Rows, seen: Seen) -> Familiar:
    """Which samples of a cache, at these positions, a model has learnt from."""
    digests = sample_digests(cache, indices)
    trained, chosen = np.isin(digests, seen.trained), np.isin(digests, seen.chosen)
    named = np.isin(recording_digests(cache, indices), seen.recordings) & ~trained & ~chosen
    return Familiar(trained, chosen, named)


def rows_of_split(cache: FrameCache, split: str, seen: Seen | None) -> Rows:
    """Where the samples of a split lie in a cache, for a model that has ``seen`` some of them.

    Where the file has no validation split, the training cut one off: it is what the model's epoch was chosen by.

    Raises:
        ValueError: the split is empty; those that aren't are named.
    """
    rows = cache.indices(split)
    if not len(rows) and split == "validation" and seen is not None:
        training = cache.indices("train")
        known = familiar(cache, training, seen)
        rows = training[known.chosen & ~known.trained]
    if not len(rows):
        from preprocessing.cache import SPLITS

        held = ", ".join(f"{len(cache.indices(name))} {name}" for name in SPLITS)
        raise ValueError(
            f"{cache.path} has no sample in the split {split}; choose another with --split: the file has {held}"
        )
    return rows


def sample_digests(cache: FrameCache, indices: Rows) -> Digests:
    """A digest of each sample at these positions, in their order."""
    found = np.empty(len(indices), np.int64)
    starts = range(0, len(indices), AT_ONCE)
    for start in progress(starts, len(starts), "which samples these are", "batches"):
        rows = indices[start : start + AT_ONCE]
        pixels = cache.stored(rows) if cache.kind == "images" else None
        for place, index in enumerate(rows.tolist()):
            content = f"{cache.sources[index]}\0{cache.num_events[index]}\0{cache.duration_us[index]}\0".encode()
            found[start + place] = _digest(content + (b"" if pixels is None else pixels[place].tobytes()))
    return found


def recording_digests(cache: FrameCache, indices: Rows) -> Digests:
    """A digest of the name of the recording behind each sample at these positions, in their order."""
    names = [recording_of(cache.sources[index]) for index in indices.tolist()]
    known = {name: _digest(name.encode()) for name in set(names)}
    return np.array([known[name] for name in names], np.int64)


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)
