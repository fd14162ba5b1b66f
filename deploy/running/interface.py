"""What a graph takes and gives, as its description says it, and whether that is so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from deploy.running.metadata import ModelMetadata

FRAMES, FRAME, STEP, LOGITS, NEXT = "frames", "frame", "step", "logits", "_next"
Shape = tuple[int, ...]
_OPEN = -1
"""Stands for the batch size, which a graph leaves open."""


class Value(Protocol):
    """An input or output of a graph, as onnxruntime tells it."""

    name: str
    type: str
    shape: list[Any]


@dataclass(frozen=True)
class Interface:
    """Inputs and outputs of a model: name → shape of one sample.

    Attributes:
        takes, gives: as above; the number of the step is a scalar and belongs to no sample.
    """

    takes: Mapping[str, Shape]
    gives: Mapping[str, Shape]

    @classmethod
    def of(cls, metadata: ModelMetadata, frames_shape: Shape) -> Self:
        """That of a described model for frames (T, C, H, W)."""
        gives = {LOGITS: (len(metadata.classes),)}
        if metadata.form != "step":
            return cls({FRAMES: frames_shape}, gives)
        states = {state.name: state.shape for state in metadata.states}
        following = {name + NEXT: shape for name, shape in states.items()}
        return cls({FRAME: frames_shape[1:], STEP: (), **states}, {**gives, **following})

    def mismatch(self, inputs: Iterable[Value], outputs: Iterable[Value]) -> str:
        """In what a graph differs, in words; nothing where it does not."""
        return _difference("input", self.takes, inputs) or _difference("output", self.gives, outputs)

    def wrong_output(self, made: Mapping[str, Shape], batch: int) -> str:
        """Which output of a run over so many samples has another shape, in words; nothing where none has."""
        for name, shape in made.items():
            if shape != (batch, *self.gives[name]):
                return f"{name} has the shape {list(shape)}, expected {[batch, *self.gives[name]]}"
        return ""


def _difference(what: str, described: Mapping[str, Shape], values: Iterable[Value]) -> str:
    found = {value.name: value for value in values}
    if found.keys() != described.keys():
        odd = sorted(map(repr, found.keys() ^ described.keys()))
        return f"{', '.join(odd[:4])}: {what} of only one of the two"
    for name, shape in described.items():
        kind, sizes = ("tensor(int64)", ()) if name == STEP else ("tensor(float)", (_OPEN, *shape))
        has = tuple(size if isinstance(size, int) else _OPEN for size in found[name].shape)
        if (found[name].type, has) != (kind, sizes):
            return f"the {what} {name!r} is a {found[name].type} of {_shown(has)}, expected a {kind} of {_shown(sizes)}"
    return ""


def _shown(sizes: Shape) -> str:
    return f"[{', '.join('batch' if size == _OPEN else str(size) for size in sizes)}]"
