"""The losses of the papers, on logits over time and hard or soft targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.settings.loss import LOSSES, RATES, LossConfig

__all__ = ["LOSSES", "RATES", "LossConfig", "classification_loss", "shares"]


def classification_loss(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Mean loss of a batch.

    Args:
        logits: ``[B, K]``, means over time; ``[T, B, K]`` where ``config.per_step``.
        targets: classes, int64 ``[B]``, or the share of every class, ``[B, K]``.
        config: which loss.
    """
    if config.name == "tet":
        return tet_loss(logits, targets, config)
    if config.name == "mse":
        return F.mse_loss(logits, shares(targets, logits.shape[-1], config.label_smoothing))
    return F.cross_entropy(logits, targets, label_smoothing=config.label_smoothing)


def tet_loss(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Temporal efficient training on logits O of every step, ``[T, B, K]``.

        L = (1 − λ)·1/T·Σ_t CE(O(t), y) + λ·1/T·Σ_t MSE(O(t), φ)

    Source: Deng et al., ICLR 2022, eq. 8, 11 and 12; λ = 0.001 and φ = 1 in its published code.
    """
    every_step = targets.repeat(len(logits), *[1] * (targets.dim() - 1))
    entropy = F.cross_entropy(logits.flatten(0, 1), every_step, label_smoothing=config.label_smoothing)
    spread = F.mse_loss(logits, torch.full_like(logits, config.tet_level))
    return (1 - config.tet_weight) * entropy + config.tet_weight * spread


def shares(targets: Tensor, num_classes: int, smoothing: float = 0.0) -> Tensor:
    """Targets as the share of every class, float32 ``[B, K]``: one-hot, smoothed."""
    exact = targets if targets.is_floating_point() else F.one_hot(targets, num_classes).to(torch.float32)
    return exact * (1 - smoothing) + smoothing / num_classes
