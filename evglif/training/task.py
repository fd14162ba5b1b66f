"""The training task: from stored frames and labels to a loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from evglif.augment import AugmentConfig, augment
from evglif.data import to_frames
from evglif.models import Network
from evglif.training.losses import LossConfig, classification_loss
from evglif.training.rates import FiringRates


class ClassificationTask(nn.Module):
    """Augmentation, the network and its loss; in eval mode frames are taken as they are.

    Integers come in, so that frames become floating point numbers on the device, and in full precision.

    Args:
        model: frames ``[B, T, C, H, W]`` → logits ``[B, K]``, or ``[T, B, K]``.
        scale: of the stored frames.
        loss: what is made small.
        augmentation: of training frames.
    """

    def __init__(self, model: Network, scale: float, loss: LossConfig, augmentation: AugmentConfig) -> None:
        super().__init__()
        self.model = model
        self.scale = scale
        self.loss = loss
        self.augmentation = augmentation
        self._rates = FiringRates(model) if loss.rate_weight else None
        self._compiled: Callable[..., Tensor] | None = None
        self._compiled_size = 0

    def compile_for(self, batch_size: int) -> None:
        """Let ``torch.compile`` make training code for batches of one size.

        An epoch's last batch, often a smaller one, and evaluation run as before: each would take another compilation,
        and one for any size took 80 s of processor time for a small network, several times the training.
        """
        self._compiled_size = batch_size
        self._compiled = torch.compile(self.model.forward, dynamic=False)

    def forward(self, stored: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss of a batch, and how many of its samples are classified right, a float for want of a gradient.

        In training the loss holds the penalty on firing.

        Args:
            stored: integers ``[B, T, C, H, W]``.
            labels: classes, int64 ``[B]``.
        """
        frames, targets = to_frames(stored, self.scale), labels
        if self.training:
            frames, targets = augment(frames, labels, self.model.spec.num_classes, self.augmentation)
        logits = self._network(len(frames))(frames, per_step=self.loss.per_step)
        loss = classification_loss(logits.float(), targets, self.loss)
        if self._rates is not None and self.training:
            loss = loss + self._rates.penalty(self.loss)
        decided = logits.detach().mean(0) if self.loss.per_step else logits.detach()
        return loss, (decided.argmax(1) == labels).float().sum()

    def _network(self, num_samples: int) -> Callable[..., Tensor]:
        if self._compiled is None or not self.training or num_samples != self._compiled_size:
            return self.model
        return self._compiled
