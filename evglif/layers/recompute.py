"""Blocks whose inside is forgotten on the way there and computed again on the way back: memory for time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """A block's output, of which only the input is kept for the way back.

    Gradients are those of a plain run, bit for bit: dropout draws the same masks again, and running statistics count a
    batch once.
    """
    output: Tensor = checkpoint(block, x, use_reentrant=False, context_fn=partial(_contexts, block))
    return output


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _on_copies_of_statistics(block)


@contextmanager
def _on_copies_of_statistics(block: nn.Module) -> Iterator[None]:
    """Let norms update copies of their statistics, and forget these."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    own = [dict(norm._buffers) for norm in norms]
    try:
        for norm in norms:
            for name, buffer in norm._buffers.items():
                norm._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for norm, buffers in zip(norms, own, strict=True):
            norm._buffers.update(buffers)
