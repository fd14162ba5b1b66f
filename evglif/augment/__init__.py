"""Augmentation of whole batches of frames, on the device they lie on, each sample in its own way."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from evglif.augment.events import drop_events, shift_time
from evglif.augment.mixing import cut_and_mix, mix, soft_targets
from evglif.augment.space import cut_out, flip, random_crop, resized_crop, roll, rotate, shear
from evglif.settings.augment import AugmentConfig

__all__ = ["AugmentConfig", "augment"]


def augment(frames: Tensor, labels: Tensor, num_classes: int, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Augment a batch; one draw per sample, the same for all its frames, from torch's global seed.

    Args:
        frames: ``[B, T, C, H, W]`` of a float type, not normalised; images have T = 1.
        labels: classes, int64 ``[B]``.
        num_classes: K.
        config: what is done, in the order of its fields.

    Returns:
        Frames of the same shape and type, and targets as ``F.cross_entropy`` takes them: the labels as they came, or,
        where ``config`` mixes samples, the share of every class, float32 ``[B, K]`` with rows that sum to 1.
    """
    if config.resized_crop:
        frames = resized_crop(frames, config.resized_crop)
    if config.crop_padding:
        frames = random_crop(frames, config.crop_padding)
    if config.flip:
        frames = flip(frames)
    frames = _deformed(frames, config)
    if config.time_shift:
        frames = shift_time(frames, config.time_shift)
    if config.event_drop:
        frames = drop_events(frames, config.event_drop)
    return _mixed(frames, labels, num_classes, config)


def _deformed(frames: Tensor, config: AugmentConfig) -> Tensor:
    operations: tuple[tuple[Callable[[Tensor, Any], Tensor], float], ...] = (
        (roll, config.roll),
        (rotate, config.rotate),
        (shear, config.shear),
        (cut_out, config.cutout),
    )
    wanted = [(operation, most) for operation, most in operations if most]
    if not config.one_of:
        return reduce(lambda changed, step: step[0](changed, step[1]), wanted, frames)
    chosen = torch.randint(max(len(wanted), 1), (len(frames), 1, 1, 1, 1), device=frames.device)
    for number, (operation, most) in enumerate(wanted):
        frames = torch.where(chosen == number, operation(frames, most), frames)
    return frames


def _mixed(frames: Tensor, labels: Tensor, num_classes: int, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    if not config.mixes:
        return frames, labels
    partner = torch.randperm(len(frames), device=frames.device)
    combine, concentration = (mix, config.mixup) if config.mixup else (cut_and_mix, config.cutmix)
    frames, share = combine(frames, partner, concentration)
    return frames, soft_targets(labels, partner, share, num_classes)
