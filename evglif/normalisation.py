"""Mean and standard deviation of the pixels of the usual image sets, as recipes name them.

They are those of all pixels of the training images, each channel for itself, in units from 0 (black) to 1. A frame
cache tells the same of its own images: ``FrameCache.mean`` and ``FrameCache.std``.
"""

from __future__ import annotations

from typing import NamedTuple


class Statistics(NamedTuple):
    """Mean and standard deviation per channel, from 0 to 1, and where they come from."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


_COMPUTED = "the training images, all pixels"

STATISTICS: dict[str, Statistics] = {
    "mnist": Statistics((0.1307,), (0.3081,), _COMPUTED),
    "fashion-mnist": Statistics((0.2860,), (0.3530,), _COMPUTED),
    "cifar10": Statistics((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), _COMPUTED),
    "cifar100": Statistics((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), _COMPUTED),
    "imagenet": Statistics(
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "torchvision's: the deviations are means of those of single images, so that the real ones are larger",
    ),
}
"""Name of a data set's command → its statistics.

Much code for CIFAR-10 has the deviations (0.2023, 0.1994, 0.2010): these, too, are means over single images.
"""
