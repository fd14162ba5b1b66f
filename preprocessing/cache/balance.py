"""How the samples of a cache are spread over splits and classes, in numbers and as lines of text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache.reader import FrameCache
from preprocessing.cache.schema import SPLITS
from preprocessing.terminal import shown


def rounded(values: tuple[float, ...]) -> str:
    """Values of channels, as they stand in tables of such values."""
    return ", ".join(f"{value:.4f}" for value in values) or "none"


def gaps(cache: FrameCache) -> list[str]:
    """Splits and classes that ended up without any sample."""
    counts = class_counts(cache)
    found = [f"no {split} samples at all" for split in ("train", "test") if not counts[split].any()]
    for split, count in counts.items():
        without = [name for name, num in zip(cache.classes, count, strict=True) if not num]
        if without and count.any():
            found.append(f"no {split} samples of {', '.join(without)}")
    return found


def class_counts(cache: FrameCache) -> dict[str, NDArray[np.int64]]:
    """Samples of each class ``[K]``, per split."""
    num = len(cache.classes)
    return {split: np.bincount(cache.labels[cache.indices(split)], minlength=num) for split in SPLITS}


def balance(cache: FrameCache) -> list[str]:
    """Lines of a table: samples of each class and split that has any."""
    counts = {split: count for split, count in class_counts(cache).items() if count.any()}
    names = [shown(name) for name in cache.classes]
    width = max(len("all classes"), *map(len, names))
    rows = [(name, *(int(count[label]) for count in counts.values())) for label, name in enumerate(names)]
    rows.append(("all classes", *(int(count.sum()) for count in counts.values())))
    head = " " * width + "".join(f"{split:>12}" for split in counts)
    return [head] + [f"{name:<{width}}" + "".join(f"{n:>12,}" for n in values) for name, *values in rows]
