"""Samples as they are shown in a report: strips of frames, as PNG inside the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evglif.evaluation.figures import Evaluation
from preprocessing.cache import FrameCache
from preprocessing.cache.balance import class_counts
from preprocessing.drawing import looks

MOST_CLASSES, MOST_STEPS, NUM_WORST = 40, 8, 8


@dataclass(frozen=True)
class Strip:
    """Time steps of a sample side by side.

    Attributes:
        image: a PNG as a data URI.
        steps: which of the time steps, counted from 1.
        width, height: of the picture, in pixels of the frames.
    """

    image: str
    steps: tuple[int, ...]
    width: int
    height: int


@dataclass(frozen=True)
class ClassRow:
    """A class of the contact sheet: its samples in each split, and one of them."""

    name: str
    counts: dict[str, int]
    strip: Strip | None


@dataclass(frozen=True)
class Mistake:
    """A sample that was doubted or taken for something else."""

    source: str
    true: str
    said: str
    confidence: float
    right: bool
    strip: Strip


def contact_sheet(cache: FrameCache) -> list[ClassRow]:
    """The first training sample of each of the first classes, with the numbers of samples."""
    counts = {split: found for split, found in class_counts(cache).items() if found.any()}
    training = np.zeros(len(cache.labels), bool)
    training[cache.indices("train")] = True
    rows = []
    for label, name in enumerate(cache.classes[:MOST_CLASSES]):
        of_class = np.flatnonzero(cache.labels == label)
        first = of_class[np.argsort(~training[of_class], kind="stable")][:1]
        strip = strip_of(cache, int(first[0])) if len(first) else None
        rows.append(ClassRow(name, {split: int(found[label]) for split, found in counts.items()}, strip))
    return rows


def worst(evaluation: Evaluation, cache: FrameCache) -> Iterator[Mistake]:
    """The mistakes that were made with most confidence; where there are none, the answers that had least."""
    predictions = evaluation.predictions
    wrong = np.flatnonzero(~predictions.right)
    order = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]
    if not len(wrong):
        order = np.argsort(predictions.confidence, kind="stable")
    for place in order[:NUM_WORST].tolist():
        index = int(predictions.indices[place])
        yield Mistake(
            cache.source(index),
            cache.classes[predictions.labels[place]],
            cache.classes[predictions.predicted[place]],
            float(predictions.confidence[place]),
            bool(predictions.right[place]),
            strip_of(cache, index),
        )


def strip_of(cache: FrameCache, index: int) -> Strip:
    """A sample of a cache, of many time steps some."""
    steps = np.unique(np.linspace(0, cache.steps - 1, min(cache.steps, MOST_STEPS)).round().astype(np.int64))
    pixels = looks(cache.kind, cache[index][steps])
    num, height, width, _ = pixels.shape
    gap = max(1, width // 24)
    strip = np.ones((height, num * (width + gap) - gap, 4))
    strip[..., 3] = 0  # what lies between the frames is the page
    for place in range(num):
        left = place * (width + gap)
        strip[:, left : left + width, :3] = pixels[place]
        strip[:, left : left + width, 3] = 1
    return Strip(_png(strip), tuple((steps + 1).tolist()), strip.shape[1], height)


def _png(pixels: NDArray[np.float64]) -> str:
    """Pixels ``[H, W, 4]`` from 0 to 1 as the address of an image."""
    written = BytesIO()
    Image.fromarray((255 * pixels).round().astype(np.uint8)).save(written, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(written.getvalue()).decode()}"
