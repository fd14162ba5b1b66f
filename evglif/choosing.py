"""A recipe that fits the data, for who names none: chosen by their size, steps, kind and number, and the machine."""

from __future__ import annotations

from dataclasses import dataclass

from preprocessing.cache import FrameCache

ENOUGH_FOR_A_PAPER = 1000
"""Training samples from which the papers' networks and hundreds of epochs are worth it, on a GPU."""

PAPERS = (
    ("cifar10dvs", "events", 2, 16, (48, 48), 10),
    ("plif-cifar10dvs", "events", 2, 20, (128, 128), 10),
    ("dvs128gesture", "events", 2, 20, (128, 128), 11),
    ("nmnist", "events", 2, 10, (34, 34), 10),
    ("mnist", "images", 1, 1, (28, 28), 10),
    ("cifar10", "images", 3, 1, (32, 32), 10),
    ("cifar100", "images", 3, 1, (32, 32), 100),
    ("imagenet-t4", "images", 3, 1, (224, 224), 1000),
)
"""Recipe, and the data it was published for: kind, channels, T, frame size and number of classes."""

SMALLEST_PX, SMALL_PX, FEW_STEPS = 16, 24, 8
"""Below the first, four poolings leave nothing of a frame; up to the second shifts are no augmentation; a short T."""

NO_FLIP = ("augment.flip", "false")
"""Mirrored, a digit or a gesture to the left may be another class; who knows better says ``--augment.flip true``."""


@dataclass(frozen=True)
class Choice:
    """A recipe and why.

    Attributes:
        name: of the recipe.
        reason: in words.
        options: of it that the data ask for otherwise: dotted name → value.
    """

    name: str
    reason: str
    options: tuple[tuple[str, str], ...] = ()

    def words(self) -> list[str]:
        """The choice as a command line has it; what a user gives behind it is what counts."""
        return ["--recipe", self.name, *(word for name, value in self.options for word in (f"--{name}", value))]

    def __str__(self) -> str:
        changed = "".join(f", {name} {value}" for name, value in self.options)
        return f"recipe: {self.name}{changed}, for {self.reason}; --recipe NAME takes another"


def choose_recipe(cache: FrameCache, gpu: bool) -> Choice:
    """The recipe for a cache on a machine with or without a GPU.

    Where the data are shaped as a paper's and the machine can do it, the paper's; else a small network that learns
    in minutes on a processor.

    Raises:
        ValueError: for frames of events that are smaller than its poolings take.
    """
    num_samples = len(cache.indices("train"))
    width, height = cache.size
    steps = f", T = {cache.steps}" if cache.kind == "events" else ""
    what = f"{num_samples:,} training samples of {cache.kind}, {width}×{height}{steps}"
    shape = cache.kind, cache.channels, cache.steps, (width, height), len(cache.classes)
    papers = next((name for name, *of_paper in PAPERS if tuple(of_paper) == shape), None)
    if gpu and papers and num_samples >= ENOUGH_FOR_A_PAPER:
        return Choice(papers, f"{what}, the shape of its paper's data, on a GPU")
    why = f"{what}, on {'a GPU, which no paper had such data for' if gpu else 'a processor'}"
    if cache.kind == "images":
        return Choice("cifar10-small", why, _batches(num_samples, 64) + ((NO_FLIP,) if cache.channels == 1 else ()))
    if min(width, height) < SMALLEST_PX:
        raise ValueError(
            f"{cache.path}: frames of {width}×{height} px are smaller than the four poolings of 7b-widenet take; build "
            f"them with --size {SMALLEST_PX} or more, or name a recipe with another network: --recipe FILE.yaml"
        )
    if min(width, height) > SMALL_PX:
        return Choice("folder", why, (*_batches(num_samples, 8), NO_FLIP))
    return Choice("digits" if cache.steps <= FEW_STEPS else "nmnist-small", why, _batches(num_samples, 16))


def _batches(num_samples: int, usual: int) -> tuple[tuple[str, str], ...]:
    """Smaller batches where an epoch would otherwise have hardly a step to learn in."""
    fitting = usual
    while fitting > 2 and num_samples < 4 * fitting:
        fitting //= 2
    return () if fitting == usual else (("loader.batch_size", str(fitting)),)
