"""Optimisers and schedules of the papers, with the parameter groups their recipes tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from evglif.neurons import parameter_roles

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
            raise ValueError(f"lr > 0, weight_decay ≥ 0, gate_lr ≥ 0 and momentum in [0, 1) are needed, got {self}")
        if self.cosine_period is not None and self.cosine_period < 1:
            raise ValueError(f"cosine_period must be at least one epoch, got {self.cosine_period}")
        if self.warmup < 0 or self.accumulate < 1:
            raise ValueError(f"warmup ≥ 0 and accumulate ≥ 1 are needed, got {self.warmup} and {self.accumulate}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip is a norm above 0, or none, got {self.clip}")


def parameter_groups(model: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Split the learnable parameters into weights, norms and biases, primitives and gates; empty groups are left out.

    Norms and biases, the parameters of fewer than two dimensions, are weights like others with ``decay_norms``.
    """
    roles = parameter_roles(model)
    apart = [] if config.decay_norms else [each for each in roles["weights"] if each.dim() < 2]
    names = {id(each) for each in apart}
    groups: list[dict[str, Any]] = [
        {"name": "weights", "params": [each for each in roles["weights"] if id(each) not in names]},
        {"name": "norms", "params": apart},
        {"name": "primitives", "params": roles["primitives"]},
        {"name": "gates", "params": roles["gates"], "lr": config.lr * config.gate_lr},
    ]
    for group in groups:
        group.setdefault("lr", config.lr)
        group["weight_decay"] = config.weight_decay if group["name"] == "weights" else 0.0
    return [group for group in groups if group["params"]]


def build_optimizer(model: nn.Module, config: OptimConfig, fused: bool = False) -> torch.optim.Optimizer:
    """The optimiser over the parameter groups of a model; ``fused`` has it take a step in one kernel a group."""
    groups = parameter_groups(model, config)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused or None)
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, fused=fused or None)


def build_schedule(optimizer: torch.optim.Optimizer, config: OptimConfig, epochs: int) -> LambdaLR:
    """The schedule, stepped once an epoch: a linear warm-up, then half a cosine every ``cosine_period`` epochs.

    Its rate depends on the number of the epoch alone, so that a resumed run has the rates of one never stopped.
    """
    period = config.cosine_period or max(1, epochs - config.warmup)

    def factor(epoch: int) -> float:
        if epoch < config.warmup:
            return (epoch + 1) / config.warmup
        return (1 + cos(pi * (epoch - config.warmup) / period)) / 2

    return LambdaLR(optimizer, factor)
