"""What happens between epochs: checkpoints of our own, which load without Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from evglif.checkpoint import DataSpec, save_checkpoint


class EpochLines(lightning.Callback):
    """One printed line per epoch, for logs where a progress bar would fill pages."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Print the epoch's figures; validation has run by now."""
        if trainer.is_global_zero:
            values = ", ".join(f"{name} {float(value):.4f}" for name, value in sorted(trainer.callback_metrics.items()))
            print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {values}", flush=True)


class SaveCheckpoints(lightning.Callback):
    """Keep ``last.pt`` and, by validation, ``best.pt`` in a folder.

    Best is the epoch of the highest validation accuracy; among equals, that of the lowest loss. Without validation
    data there is no best epoch and only ``last.pt`` is written.

    Args:
        folder: of the run.
        data: what the model is trained on.
    """

    def __init__(self, folder: Path, data: DataSpec) -> None:
        self.folder = folder
        self.data = data
        self.best = (-1.0, 0.0)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save after the epoch; validation has run by now."""
        if not trainer.is_global_zero:
            return
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics: dict[str, Any] = {"epoch": trainer.current_epoch, **values}
        model: Any = pl_module.model
        save_checkpoint(self.folder / "last.pt", model, self.data, metrics)
        reached = values.get("validation_accuracy", -1.0), -values.get("validation_loss", 0.0)
        if reached > self.best:
            self.best = reached
            save_checkpoint(self.folder / "best.pt", model, self.data, metrics)
