"""Parity: does the exported file say what the checkpoint says?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evglif.models import Network


@dataclass(frozen=True)
class Parity:
    """Agreement of an exported model with its checkpoint on the same frames.

    One rounding near a threshold can flip a spike and move logits by some hundredths, so the class is what counts.

    Attributes:
        num_samples: how many were compared.
        agreement: share of samples with the same class.
        median_difference: median of |Δ logit|.
        max_difference: largest |Δ logit|.
    """

    num_samples: int
    agreement: float
    median_difference: float
    max_difference: float

    def __str__(self) -> str:
        return (
            f"same class on {self.agreement:.1%} of {self.num_samples} samples, "
            f"|Δ logit| median {self.median_difference:.1e}, max {self.max_difference:.1e}"
        )


def compare(
    model: Network,
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    batches: Iterable[NDArray[np.float32]],
) -> Parity:
    """Run a checkpoint's model and an exported one on batches of frames ``[B, T, C, H, W]``.

    Args:
        model: in eval mode, on the CPU.
        run: the exported model, frames → logits ``[B, K]``.
        batches: at least one.
    """
    expected, exported = [], []
    with torch.inference_mode():
        for frames in batches:
            expected.append(model(torch.from_numpy(frames)).numpy())
            exported.append(run(frames))
    ours, theirs = np.concatenate(expected), np.concatenate(exported)
    difference = np.abs(ours - theirs)
    agreement = float((ours.argmax(1) == theirs.argmax(1)).mean())
    return Parity(len(ours), agreement, float(np.median(difference)), float(difference.max()))
