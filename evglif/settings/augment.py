"""What is done to training frames."""

from __future__ import annotations

from dataclasses import dataclass

_NOT_NEGATIVE = ("crop_padding", "rotate", "shear", "roll", "cutout", "time_shift", "event_drop", "mixup", "cutmix")


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training frames, in this order; nothing by default.

    Attributes:
        resized_crop: cut out a part of between these shares of the area and enlarge it, (0.08, 1) in the usual recipe
            for ImageNet.
        crop_padding: random crop after padding by so many px of nothing; 4 in the papers' recipes.
        flip: mirror half of the samples left to right.
        roll: move by up to so many px in x and y; what leaves on one side comes in on the other.
        rotate: turn by up to so many degrees to either side.
        shear: slant by up to so many degrees to either side.
        cutout: blank a square of so many px a side (DeVries and Taylor 2017).
        one_of: of roll, rotate, shear and cutout only one for each sample, drawn evenly among those that are asked
            for, as in NDA (Li et al., ECCV 2022). Its code for CIFAR10-DVS at 48×48 px draws of roll 5, rotate 30 and
            shear 30, that for N-Caltech101 of 3, 15 and 15.
        time_shift: move by up to so many time steps, earlier or later; steps that are left empty hold nothing.
        event_drop: chance that a sample loses events by EventDrop (Gu et al., IJCAI 2021); for frames of events.
        mixup: α of the Beta distribution that samples are mixed by, in pairs (Zhang et al., ICLR 2018).
        cutmix: α of the one that gives the area of the box that is taken from another sample (Yun et al., ICCV 2019).

    Raises:
        ValueError: naming the value that is out of range.
    """

    resized_crop: tuple[float, float] | None = None
    crop_padding: int = 0
    flip: bool = False
    roll: int = 0
    rotate: float = 0.0
    shear: float = 0.0
    cutout: int = 0
    one_of: bool = False
    time_shift: int = 0
    event_drop: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:  # not a number is no number either
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name, limit in (("rotate", 180), ("shear", 80), ("event_drop", 1)):
            if getattr(self, name) > limit:
                raise ValueError(f"{name} must be at most {limit}, got {getattr(self, name)}")
        if self.resized_crop and not 0 < self.resized_crop[0] <= self.resized_crop[1] <= 1:
            raise ValueError(f"resized_crop must be two shares of the area, 0 < a ≤ b ≤ 1, got {self.resized_crop}")
        if self.mixup and self.cutmix:
            raise ValueError(f"choose mixup or cutmix, got mixup {self.mixup} and cutmix {self.cutmix}")

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed, so that targets are shares of classes."""
        return self.mixup > 0 or self.cutmix > 0
