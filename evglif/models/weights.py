"""Initial weights of the networks that do not start from torch's."""

from __future__ import annotations

from torch import nn


def published_weights(model: nn.Module) -> None:
    """Draw weights as GLIF's published code for CIFAR and ImageNet: Kaiming (fan out), linear layers N(0, 0.01²)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
