"""How weights are learnt."""

from __future__ import annotations

from dataclasses import dataclass

OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class OptimConfig:
    """How weights are learnt.

    Attributes:
        name: ``"sgd"`` (GLIF), ``"adam"`` (PLIF) or ``"adamw"``.
        lr: highest learning rate.
        momentum: of SGD.
        weight_decay: on weights only; never on the parameters of neurons (GLIF, appendix A.2).
        decay_norms: whether it also acts on norms and biases, as in GLIF.
        gate_lr: learning rate of the gates as a multiple of ``lr``; 0.1 on CIFAR.
        cosine_period: T_max of the cosine schedule in epochs; the rate rises again after it. None: all epochs but
            the warm-up.
        warmup: epochs of linearly rising rate before the cosine (Goyal et al., 2017).
        clip: greatest 2-norm of all gradients together; None for no limit.
        accumulate: batches whose gradients make one step.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_norms: bool = True
    gate_lr: float = 1.0
    cosine_period: int | None = None
    warmup: int = 0
    clip: float | None = None
    accumulate: int = 1

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise ValueError(f"unknown optimiser {self.name!r}; choose one of {', '.join(OPTIMIZERS)}")
        if not self.lr > 0 or self.weight_decay < 0 or self.gate_lr < 0 or not 0 <= self.momentum < 1:
            got = ", ".join(f"{name} {getattr(self, name)}" for name in ("lr", "weight_decay", "gate_lr", "momentum"))
            raise ValueError(f"lr > 0, weight_decay ≥ 0, gate_lr ≥ 0 and momentum in [0, 1) are needed, got {got}")
        if self.cosine_period is not None and self.cosine_period < 1:
            raise ValueError(f"cosine_period must be at least one epoch, got {self.cosine_period}")
        if self.warmup < 0 or self.accumulate < 1:
            raise ValueError(f"warmup ≥ 0 and accumulate ≥ 1 are needed, got {self.warmup} and {self.accumulate}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip is a norm above 0, or none, got {self.clip}")
