"""The training task: what one step does, in Lightning's terms."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.augment import AugmentConfig, augment
from evglif.data import Batch, to_frames
from evglif.models import Network
from evglif.optim import OptimConfig, build_optimizer, build_schedule


class ClassificationTask(lightning.LightningModule):
    """Cross-entropy on the time-mean of the logits.

    Args:
        model: frames ``[B, T, 2, H, W]`` → logits ``[B, K]``.
        scale: of the stored frames.
        optim: optimiser and schedule.
        augmentation: of training frames.
        epochs: length of the schedule.
    """

    def __init__(
        self, model: Network, scale: float, optim: OptimConfig, augmentation: AugmentConfig, epochs: int
    ) -> None:
        super().__init__()
        self.model = model
        self.scale = scale
        self.optim = optim
        self.augmentation = augmentation
        self.epochs = epochs

    def forward(self, frames: Tensor) -> Tensor:
        """Logits ``[B, K]`` of frames ``[B, T, 2, H, W]``."""
        logits: Tensor = self.model(frames)
        return logits

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one augmented batch.

        Raises:
            FloatingPointError: where the loss is not finite; epoch and step are named.
        """
        stored, labels = batch
        num_classes = self.model.spec.num_classes
        frames, targets = augment(to_frames(stored, self.scale), labels, num_classes, self.augmentation)
        logits = self(frames)
        loss = F.cross_entropy(logits, targets)
        if not torch.isfinite(loss):
            where = f"epoch {self.current_epoch}, step {self.global_step}"
            raise FloatingPointError(f"the loss became {loss.item()} in {where}; lower --optim.lr")
        self._log("train", logits, labels, loss, progress_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss and accuracy of a batch of the validation split."""
        stored, labels = batch
        logits = self(to_frames(stored, self.scale))
        self._log("validation", logits, labels, F.cross_entropy(logits, labels), progress_bar=True)

    def _log(self, stage: str, logits: Tensor, labels: Tensor, loss: Tensor, progress_bar: bool) -> None:
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        self.log_dict(
            {f"{stage}_loss": loss.detach(), f"{stage}_accuracy": accuracy},
            prog_bar=progress_bar,
            on_step=False,
            on_epoch=True,
            batch_size=len(labels),
            sync_dist=True,
        )

    def configure_optimizers(self) -> Any:
        """Optimiser over the parameter groups, cosine schedule per epoch."""
        optimizer = build_optimizer(self.model, self.optim)
        return {"optimizer": optimizer, "lr_scheduler": build_schedule(optimizer, self.optim, self.epochs)}
