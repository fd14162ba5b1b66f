"""Small networks of every name in the registry, for tests."""

import torch
from torch import nn

from evglif import build_model
from evglif.layers import LinearSpike

RESIDUAL = {"stem_width": 4, "repeats": (1, 1), "widths": (4, 8), "num_classes": 10, "steps": 2}

NARROW = {
    "7b-widenet": {"width": 4, "size": (16, 16), "steps": 2, "init": "cifar"},
    "resnet18": {**RESIDUAL, "strides": (1, 2), "hidden": 8, "size": (8, 8)},
    "resnet19": {**RESIDUAL, "strides": (1, 2), "hidden": 8, "size": (8, 8), "repeats": (2, 1)},
    "resnet34": {**RESIDUAL, "strides": (2, 2), "size": (16, 16)},
    "ms-resnet18": {**RESIDUAL, "strides": (2, 2), "size": (16, 16)},
    "cifarnet": {"width": 4, "hidden": (8, 8), "size": (8, 8), "steps": 2},
    "plif-mnist": {"width": 4, "hidden": 16, "size": (8, 8), "steps": 2},
    "plif-cifar10": {"width": 4, "hidden": 16, "size": (8, 8), "steps": 2},
    "plif-cifar10dvs": {"width": 4, "hidden": 16, "size": (16, 16), "steps": 2},
    "plif-dvs128gesture": {"width": 4, "hidden": 16, "size": (32, 32), "steps": 2},
    "vggsnn": {"widths": (4, 4, 8, 8), "stages": (1, 1, 2), "size": (16, 16), "steps": 2},
    "vgg11": {"widths": (4, 4, 8, 8), "stages": (1, 1, 2), "size": (16, 16), "steps": 2},
    "qkformer": {"width": 16, "heads": 2, "size": (16, 16), "steps": 2},
}
"""Name → options that keep everything but depth and width."""


def narrow(name, neuron=None, seed=0, **options):
    """A small network with weights of the seed."""
    torch.manual_seed(seed)
    return build_model(name, neuron, **{**NARROW[name], **options})


def inputs(model, batch=2, seed=0):
    """Frames or still images that the model takes, with values from 0 to 1."""
    spec = model.spec
    steps = spec.steps if spec.encoder == "frames" else 1
    shape = (batch, steps, spec.in_channels, spec.size[1], spec.size[0])
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def awake(model):
    """The model in eval mode, its norms with the statistics of a batch and its linear units with greater weights.

    A fresh one hardly fires, and what holds for silent neurons says little.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
            elif isinstance(module, LinearSpike):
                module.linear.weight *= 10
        model.train()(inputs(model, batch=8, seed=1))
    return model.eval()
