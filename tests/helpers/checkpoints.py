"""Narrow variants of every network of the registry, residual ones with few blocks, whose neurons fire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from deploy.exporting.prepare import example_frames
from evglif import build_model, save_checkpoint
from evglif.models import Network

RESNET = {"stem_width": 4, "stem_kernel": 3, "widths": (4, 6), "repeats": (2, 1), "strides": (1, 2)}
PLIFNET = {"width": 4, "hidden": 6, "votes": 2}
NARROW: dict[str, dict[str, Any]] = {
    "7b-widenet": {"width": 4, "size": (24, 16)},
    "resnet18": {**RESNET, "size": (8, 8)},
    "resnet19": {**RESNET, "size": (8, 8)},
    "resnet34": {**RESNET, "size": (8, 8)},
    "ms-resnet18": {**RESNET, "size": (8, 8)},
    "cifarnet": {"width": 4, "size": (8, 8), "hidden": (8, 6)},
    "plif-mnist": {**PLIFNET, "size": (8, 8)},
    "plif-cifar10": {**PLIFNET, "size": (8, 8)},
    "plif-cifar10dvs": {**PLIFNET, "size": (16, 16)},
    "plif-dvs128gesture": {**PLIFNET, "size": (32, 32)},
    "vggsnn": {"widths": (4, 6, 6), "stages": (1, 2), "size": (8, 12)},
    "vgg11": {"widths": (4, 6, 6), "stages": (1, 2), "size": (8, 12)},
    "qkformer": {"width": 16, "heads": 2, "size": (24, 16)},
}


def lively(name: str, neuron: str, steps: int = 3, **options: Any) -> Network:
    """A narrow network, in eval mode, whose norms have seen data and let neurons fire in every layer."""
    torch.manual_seed(0)
    init = {} if "init" in options or neuron == "relu" else {"init": "cifar"}
    model = build_model(name, neuron, steps=steps, **{**NARROW[name], **init, **options})
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.fill_(1.5)
                module.bias.fill_(0.3)
                module.momentum = 0.5
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(3 / (module.weight.std() * module.in_features**0.5))
        for _ in range(6):
            model(example_frames(model, 4))
    return model.eval()


def saved(path: Path, name: str, neuron: str, **options: Any) -> Path:
    """The checkpoint of such a network."""
    save_checkpoint(path, lively(name, neuron, **options))
    return path
