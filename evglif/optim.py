"""Optimisers and schedules of the papers, with the parameter groups their recipes tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from evglif.neurons import parameter_roles

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class OptimConfig:
    """How weights are learnt.

    Attributes:
        name: ``"sgd"`` (GLIF) or ``"adam"`` (PLIF).
        lr: initial learning rate.
        momentum: of SGD.
        weight_decay: on weights only; never on the parameters of neurons (GLIF, appendix A.2).
        gate_lr: learning rate of the gates as a multiple of ``lr``; 0.1 on CIFAR.
        cosine_period: T_max of the cosine schedule in epochs; the rate rises again after it. None: all epochs.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    gate_lr: float = 1.0
    cosine_period: int | None = None

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise ValueError(f"unknown optimiser {self.name!r}; choose one of {', '.join(OPTIMIZERS)}")
        if not self.lr > 0 or self.weight_decay < 0 or self.gate_lr < 0 or not 0 <= self.momentum < 1:
            raise ValueError(f"lr > 0, weight_decay ≥ 0, gate_lr ≥ 0 and momentum in [0, 1) are needed, got {self}")
        if self.cosine_period is not None and self.cosine_period < 1:
            raise ValueError(f"cosine_period must be at least one epoch, got {self.cosine_period}")


def parameter_groups(model: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Split the learnable parameters into weights, primitives and gates; groups without members are left out."""
    roles = parameter_roles(model)
    groups = [
        {"name": "weights", "params": roles["weights"], "lr": config.lr, "weight_decay": config.weight_decay},
        {"name": "primitives", "params": roles["primitives"], "lr": config.lr, "weight_decay": 0.0},
        {"name": "gates", "params": roles["gates"], "lr": config.lr * config.gate_lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser over the parameter groups of a model."""
    groups = parameter_groups(model, config)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.Adam(groups, lr=config.lr)


def build_schedule(optimizer: torch.optim.Optimizer, config: OptimConfig, epochs: int) -> CosineAnnealingLR:
    """The cosine schedule, stepped once an epoch."""
    return CosineAnnealingLR(optimizer, T_max=config.cosine_period or epochs)
