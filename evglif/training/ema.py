"""The exponential moving average of a model's weights."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of a model whose weights are those of the steps so far, the latest counting ``1 − decay``.

        w ← decay·w + (1 − decay)·w_model          at every ``update_parameters(model)``

    The first update copies. Running statistics of norms are averaged too: they belong to the weights they were
    measured with.

    Source: Polyak and Juditsky, SIAM J. Control Optim. 30(4), 1992, who average evenly; exponentially, Tarvainen and
    Valpola, NeurIPS 2017.
    """
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
