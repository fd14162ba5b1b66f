"""What a training begins with beside fresh weights: those of a checkpoint, and layers that stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evglif.checkpoint import Checkpoint
from evglif.models import Network, NetworkSpec, model_from_spec
from evglif.names import INIT_NEURONS
from evglif.pretrained import read_weights
from evglif.provenance import Origin, Seen, digest, doubts, familiar
from evglif.training.transfer import Taken, take_over

if TYPE_CHECKING:
    from evglif.validation import Parts
    from preprocessing.cache import FrameCache


@dataclass(frozen=True)
class Start:
    """How a training begins.

    Attributes:
        init_from: whatever ``read_weights`` takes: a checkpoint, a folder of weights, or a name of the zoo; None for
            fresh weights.
        init_neurons: ``"taken"`` or ``"fresh"``: whether neurons' values are taken from there too.
        freeze: names of modules that stay as they are, as ``Network.freeze`` takes them.

    Raises:
        ValueError: for another ``init_neurons``, or layers to freeze where all weights are fresh.
    """

    init_from: str | Path | None = None
    init_neurons: str = "taken"
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.init_neurons not in INIT_NEURONS:
            raise ValueError(f"unknown init_neurons {self.init_neurons!r}; choose one of {', '.join(INIT_NEURONS)}")
        if self.init_from is None and (self.freeze or self.init_neurons != "taken"):
            raise ValueError("--freeze and --init-neurons are for weights that were learnt; name them by --init-from")

    def read(self, classes: tuple[str, ...], spec: NetworkSpec) -> Beginning:
        """Load what is begun with, and try it on such a network before a run is touched.

        Raises:
            ValueError: nothing fits, or there is no layer of a name to freeze; and as ``read_weights``.
        """
        if self.init_from is None:
            return Beginning(self, None, classes)
        beginning = Beginning(self, read_weights(self.init_from), classes)
        with torch.random.fork_rng(devices=[]):
            beginning.prepare(model_from_spec(spec))
        return beginning


class Beginning:
    """What a training begins with, loaded.

    Attributes:
        taken: what was taken over, once a network was prepared.
    """

    def __init__(self, start: Start, checkpoint: Checkpoint | None, classes: tuple[str, ...]) -> None:
        self.start = start
        self.checkpoint = checkpoint
        self.classes = classes
        self.taken: Taken | None = None
        self.origin = None if checkpoint is None else _origin(str(start.init_from), checkpoint)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The checkpoints that the training comes from, the oldest first."""
        return () if self.checkpoint is None or self.origin is None else (*self.checkpoint.origins, self.origin)

    def identity(self) -> dict[str, Any]:
        """What of it decides what is learnt; nothing of a training that begins with fresh weights."""
        if self.origin is None:
            return {}
        return {
            "init.weights": self.origin.digest,
            "init.neurons": self.start.init_neurons,
            "init.freeze": ", ".join(self.start.freeze),
        }

    def seen(self, own: Callable[[], Seen]) -> Callable[[], Seen]:
        """Finds out what the training learns from, with all that the checkpoint had learnt from before."""
        earlier = None if self.checkpoint is None else self.checkpoint.seen
        return own if earlier is None else lambda: own().with_those_of(earlier)

    def prepare(self, model: Network) -> None:
        """Give a fresh network its weights, and freeze what stays as it is.

        Raises:
            ValueError: nothing fits, or there is no such layer.
        """
        if self.checkpoint is not None:
            self.taken = take_over(model, self.checkpoint, self.classes, self.start.init_neurons)
            model.freeze(self.start.freeze)

    def warnings(self, cache: FrameCache, parts: Parts) -> list[str]:
        """What to know of the validation and the test split: which of them the checkpoint has learnt from."""
        if self.checkpoint is None or self.checkpoint.seen is None:
            return doubts(self.origins)
        told = []
        for split, rows in (("validation", parts.validation), ("test", cache.indices("test"))):
            known = familiar(cache, rows, self.checkpoint.seen)
            told += [f"{split} split: {each}" for each in known.warnings(str(self.start.init_from))]
        return told + doubts(self.origins)

    def facts(self) -> dict[str, Any]:
        """As plain values, for the results of a run; empty for fresh weights."""
        if self.origin is None or self.taken is None:
            return {}
        facts = {
            **asdict(self.origin),
            "neurons": self.start.init_neurons,
            "frozen": list(self.start.freeze),
            "num_taken": len(self.taken.names),
            "steps": list(self.taken.steps),
            "resampled": self.taken.resampled,
            "left": [each._asdict() for each in self.taken.left],
        }
        return {"began_with": facts}

    def lines(self, cache: FrameCache, parts: Parts) -> list[str]:
        """What to tell a person, once a network was prepared; none for fresh weights."""
        if self.taken is None:
            return []
        first, *others = self.taken.lines()
        frozen = [f"frozen: {', '.join(self.start.freeze)}"] if self.start.freeze else []
        warnings = [f"WARNING: {each}" for each in self.warnings(cache, parts)]
        return [f"begins with {self.start.init_from}: {first}", *others, *frozen, *warnings]


def _origin(name: str, checkpoint: Checkpoint) -> Origin:
    spec, data = checkpoint.model.spec, checkpoint.data
    known = checkpoint.seen is not None and not doubts(checkpoint.origins)
    return Origin(name, digest(checkpoint.model), spec.name, spec.neuron.name, data.fingerprint if data else "", known)
