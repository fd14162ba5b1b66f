"""Augmentation that mixes samples in pairs, and their classes with them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.augment.space import box


def mix(frames: Tensor, partner: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """Mixup: ``share`` · sample + (1 − ``share``) · its partner, with ``share`` from Beta(α, α).

    Args:
        frames: ``[B, T, C, H, W]``.
        partner: the sample that each is mixed with, int64 ``[B]``.
        concentration: α.

    Returns:
        The mixtures, and each sample's own share ``[B]``, from 0 to 1.
    """
    share = _shares(frames, concentration)
    own = share.view(-1, 1, 1, 1, 1).to(frames.dtype)
    return own * frames + (1 - own) * frames[partner], share


def cut_and_mix(frames: Tensor, partner: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """CutMix: a box of its partner in every sample, of about the share of the area that Beta(α, α) gives.

    Arguments and results are those of ``mix``; a share is what the sample keeps of its area. The box has the form of
    the frame, its middle is anywhere in it, and what would lie outside is not made up for.
    """
    height, width = frames.shape[-2:]
    side = (1 - _shares(frames, concentration)).sqrt()
    y, x = torch.rand(2, len(frames), device=frames.device)
    edges = [(y - side / 2) * height, (x - side / 2) * width, (y + side / 2) * height, (x + side / 2) * width]
    taken = box(frames, *edges)
    share = 1 - taken.float().mean((1, 2, 3, 4))
    return torch.where(taken, frames[partner], frames), share


def soft_targets(labels: Tensor, partner: Tensor, share: Tensor, num_classes: int) -> Tensor:
    """The share of every class in mixtures, float32 ``[B, K]``, of labels int64 ``[B]``."""
    classes = F.one_hot(labels, num_classes).float()
    return share[:, None] * classes + (1 - share[:, None]) * classes[partner]


def _shares(frames: Tensor, concentration: float) -> Tensor:
    alpha = torch.full((len(frames),), concentration, device=frames.device)
    shares: Tensor = Beta(alpha, alpha, validate_args=False).sample()
    return shares
