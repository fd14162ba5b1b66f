"""Where a number that is not finite came from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from evglif.training.task import ClassificationTask


def first_not_finite(task: ClassificationTask, stored: Tensor, labels: Tensor) -> str:
    """Name the first parameter of a network that is not finite; else the first layer whose output is not.

    Args:
        task: whose loss was not finite. It is run once more, so that running statistics change.
        stored: the batch, as the task takes it.
        labels: its classes.
    """
    for name, tensor in itertools.chain(task.model.named_parameters(), task.model.named_buffers()):
        if not _finite(tensor):
            return f"{name} holds {_strange(tensor)}"
    with torch.no_grad(), _first_output(task.model) as found:
        task(stored, labels)
    return found[0] if found else "every parameter and every layer's output is finite, the loss alone is not"


@contextmanager
def _first_output(model: nn.Module) -> Iterator[list[str]]:
    """Collects, in the order in which they run, the layers without layers in them whose output is not finite."""
    found: list[str] = []

    def look(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and not _finite(output):
            found.append(f"the output of {name} holds {_strange(output)}, while every parameter is finite")

    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: look(name, output))
        for name, module in model.named_modules()
        if name and not list(module.children())
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _strange(tensor: Tensor) -> str:
    return str(tensor[~torch.isfinite(tensor)][0].item())
