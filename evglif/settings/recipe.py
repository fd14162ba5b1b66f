"""All that a training run depends on beside the data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from evglif.settings.augment import AugmentConfig
from evglif.settings.loader import LoaderConfig
from evglif.settings.loss import LossConfig
from evglif.settings.optim import OptimConfig

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Recipe:
    """A training recipe; the YAML files of ``evglif/recipes`` have these fields.

    Attributes:
        model: name and options of a network; classes, channels, T and frame size come from the data unless they stand
            here. For still images T is the network's own, and their mean and deviation come from the data.
        optim: optimiser and schedule.
        loss: what is made small.
        loader: batches and the validation cut.
        augment: augmentation of training frames.
        epochs: passes over the training split.
        ema: decay per step of a moving average of the weights, which is then what is evaluated and saved; None for
            none.
        precision: ``"auto"`` is fp16 on a GPU and fp32 on a CPU; or ``"fp32"``, ``"bf16"``, ``"fp16"``. Membranes are
            fp32 in all of them.
        checkpoint: keep of every block but its input for the way back, and compute the rest again: less memory, more
            time, the same gradients.
        compile: run full training batches through ``torch.compile``.
        channels_last: keep convolutions' tensors with channels innermost.
        track_test: evaluate the test split after every epoch too. It plays no part in any choice.
        seed: of weights, order, augmentation and validation cut.

    Raises:
        ValueError: naming the value that is out of range.
    """

    model: dict[str, Any] = field(default_factory=lambda: {"name": "7b-widenet"})
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    epochs: int = 200
    ema: float | None = None
    precision: str = "auto"
    checkpoint: bool = False
    compile: bool = False
    channels_last: bool = False
    track_test: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema is a decay between 0 and 1, or none, got {self.ema}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        if self.checkpoint and self.compile:
            raise ValueError("checkpoint and compile are not for one run: torch.compile decides by itself; use one")
        if self.optim.warmup >= self.epochs:
            raise ValueError(
                f"warmup of {self.optim.warmup} epochs leaves nothing of {self.epochs}; lower optim.warmup"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain
