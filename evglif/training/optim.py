"""Optimisers and schedules of the papers, with the parameter groups their recipes tell apart."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from evglif.neurons import parameter_roles
from evglif.settings.optim import OptimConfig

__all__ = ["OptimConfig", "build_optimizer", "build_schedule", "parameter_groups"]


def parameter_groups(model: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Split the learnable parameters into weights, norms and biases, primitives and gates; empty groups are left out.

    Norms and biases, the parameters of fewer than two dimensions, are weights like others with ``decay_norms``. What
    is frozen is in no group.
    """
    roles = {
        role: [each for each in parameters if each.requires_grad] for role, parameters in parameter_roles(model).items()
    }
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
