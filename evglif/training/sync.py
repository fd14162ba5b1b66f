"""Batch norm whose statistics are those of all processes together, on CPUs and GPUs.

torch's ``SyncBatchNorm`` runs on GPUs only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

CHANNELS = (1, -1, 1, 1)


class _Normalise(torch.autograd.Function):
    """y = w·(x − m)/s + b, with mean m and deviation s over the pixels of all processes.

    With n pixels in all, x̂ = (x − m)/s and sums over all of them, the gradient is

        ∂L/∂x = w/s·[∂L/∂y − 1/n·Σ ∂L/∂y − x̂·1/n·Σ(x̂·∂L/∂y)]

    Those of w and b are left to each process: what averages gradients over processes adds them up.

    Source: Ioffe and Szegedy, ICML 2015.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, variance, count = _statistics(x)
        y = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), count)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        normed = (x.to(mean.dtype) - mean.view(CHANNELS)) * inverse.view(CHANNELS)
        grad = grad.to(mean.dtype)
        sums = torch.stack([grad.sum((0, 2, 3)), (grad * normed).sum((0, 2, 3))])
        of_bias, of_weight = sums.clone()
        distributed.all_reduce(sums)
        shared, along = (sums / count).view(2, *CHANNELS)
        of_x = (weight * inverse).view(CHANNELS) * (grad - shared - normed * along)
        return of_x.to(x.dtype), of_weight, of_bias, None


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance ``[C]`` of ``[N, C, H, W]`` over all processes, and how many values each is of.

    Moments travel as float64: the difference of two almost equal float32 numbers would be noise.
    """
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
    count = torch.tensor([x.numel() // x.shape[1]], dtype=torch.float64, device=x.device)
    first, second = mean.double(), variance.double() + mean.double() ** 2
    moments = torch.cat([first * count, second * count, count])
    distributed.all_reduce(moments)
    channels, count = x.shape[1], moments[-1:]
    first, second = moments[:channels] / count, moments[channels : 2 * channels] / count
    return first.to(values.dtype), (second - first**2).clamp_min(0).to(values.dtype), count.to(values.dtype)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of all processes; with one process, or in eval mode, plain batch norm.

    Args:
        norm: the norm that it takes the place of, with which it shares parameters and buffers.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        for name, parameter in norm.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[N, C, H, W]``, same shape; N may differ between processes."""
        if not (self.training and distributed.is_available() and distributed.is_initialized()):
            return super().forward(x)
        y, mean, variance, count = _Normalise.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        self._remember(mean, variance * count / (count - 1))
        normed: Tensor = y
        return normed

    def _remember(self, mean: Tensor, unbiased: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean), momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), momentum)


def synchronise_norms(model: nn.Module) -> None:
    """Put ``SyncBatchNorm2d`` in the place of every batch norm of a model.

    Names and tensors stay: the state dict is the same, and so are the parameters an optimiser holds.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SyncBatchNorm2d):
                setattr(module, name, SyncBatchNorm2d(child))
