"""Augmentation of whole batches of frames, on the device they lie on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training frames.

    Attributes:
        crop_padding: random crop after padding by so many px of nothing; 4 in the published CIFAR10-DVS recipe.
        flip: mirror half of the samples left to right.

    Raises:
        ValueError: for a negative padding.
    """

    crop_padding: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding must not be negative, got {self.crop_padding}")


def augment(frames: Tensor, labels: Tensor, num_classes: int, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Augment a batch; one draw per sample, the same for all its frames, from torch's global seed on its device.

    Args:
        frames: ``[B, T, C, H, W]``, not normalised; images have T = 1.
        labels: classes, int64 ``[B]``.
        num_classes: K.
        config: what is done.

    Returns:
        Frames of the same shape and type, and targets as ``F.cross_entropy`` takes them: the labels as they came, or,
        where ``config`` mixes samples, the share of every class, float32 ``[B, K]`` with rows that sum to 1.
    """
    if config.crop_padding:
        frames = random_crop(frames, config.crop_padding)
    if config.flip:
        mirrored = torch.rand(len(frames), device=frames.device) < 0.5
        frames = torch.where(mirrored.view(-1, 1, 1, 1, 1), frames.flip(-1), frames)
    return frames, labels


def random_crop(frames: Tensor, padding: int) -> Tensor:
    """Shift every sample of ``[B, T, C, H, W]`` by up to ``padding`` px in x and y, filling with noughts."""
    batch, _, _, height, width = frames.shape
    padded = F.pad(frames, (padding,) * 4)
    offset_y, offset_x = torch.randint(0, 2 * padding + 1, (2, batch, 1), device=frames.device)
    rows = (offset_y + torch.arange(height, device=frames.device)).view(batch, 1, 1, height, 1)
    columns = (offset_x + torch.arange(width, device=frames.device)).view(batch, 1, 1, 1, width)
    samples = torch.arange(batch, device=frames.device).view(batch, 1, 1, 1, 1)
    steps = torch.arange(frames.shape[1], device=frames.device).view(1, -1, 1, 1, 1)
    channels = torch.arange(frames.shape[2], device=frames.device).view(1, 1, -1, 1, 1)
    return padded[samples, steps, channels, rows, columns]
