"""The units that networks are made of: a weighted sum, a norm, a neuron."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.layers.folding import time_folded
from evglif.neurons import Neuron


def norm_spike(
    current: Tensor, norm: nn.Module, neuron: Neuron, shortcut: Tensor | None = None, repeat: int = 1
) -> Tensor:
    """Norm, then neuron: the one place in all networks where these two meet, so that they can become one operator.

    A norm in eval mode is a scale s and a shift c per channel, and g·(s·X + c) − b = (g·s)·X − (b − g·c): both fold
    into the coefficients. Where g has one value per step, so has the new b, which ``Coefficients`` does not hold.

    Args:
        current: output of a convolution, ``[T, B, C, H, W]``.
        norm: batch norm, over time and batch.
        neuron: takes ``[T, B, C, H, W]``.
        shortcut: added to the normalised current, same shape.
        repeat: hand the neuron every time step so many times; of a still image there is only one.

    Returns:
        Spikes, ``[T·repeat, B, C, H, W]``.
    """
    normal = time_folded(norm, current)
    if shortcut is not None:
        normal = normal + shortcut
    if repeat > 1:
        normal = normal.repeat(repeat, 1, 1, 1, 1)
    spikes: Tensor = neuron(normal)
    return spikes


class ConvNorm(nn.Module):
    """Convolution and norm without a neuron, the last part of a residual path.

    Args:
        in_channels: C_in.
        norm: batch norm of C channels.
        kernel_size: side of the kernel, px; padded so that stride 1 keeps the size.
        stride: px.
    """

    def __init__(self, in_channels: int, norm: nn.Module, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = _conv(in_channels, norm, kernel_size, stride)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalised current ``[T, B, C, H', W']`` of spikes ``[T, B, C_in, H, W]``."""
        return time_folded(lambda folded: self.norm(self.conv(folded)), x)


class ConvSpike(nn.Module):
    """Convolution, norm, neuron: ``[T, B, C_in, H, W]`` → spikes ``[T, B, C, H', W']``.

    Args:
        in_channels: C_in.
        neuron: after the norm.
        norm: batch norm of C channels.
        kernel_size: side of the kernel, px; padded so that stride 1 keeps the size.
        stride: px.
        repeat: as in ``norm_spike``; the number of time steps, in the first unit for still images.

    Source: the unit c<C>k<k>s<s>-BN-GLIF of GLIF, appendix A.2.
    """

    def __init__(
        self,
        in_channels: int,
        neuron: Neuron,
        norm: nn.Module,
        kernel_size: int = 3,
        stride: int = 1,
        repeat: int = 1,
    ) -> None:
        super().__init__()
        self.conv = _conv(in_channels, norm, kernel_size, stride)
        self.norm = norm
        self.neuron = neuron
        self.repeat = repeat

    def forward(self, x: Tensor) -> Tensor:
        """Spikes for the input of all time steps."""
        return norm_spike(time_folded(self.conv, x), self.norm, self.neuron, repeat=self.repeat)

    def notation(self) -> str:
        """The unit in the papers' notation."""
        conv = self.conv
        return f"c{conv.out_channels}k{conv.kernel_size[0]}s{conv.stride[0]}-BN-{self.neuron.notation}"


class PooledConvSpike(ConvSpike):
    """Convolution, norm, maximum, neuron, which halve a map: ``[T, B, C_in, H, W]`` → ``[T, B, C, ⌈H/2⌉, ⌈W/2⌉]``.

    The maximum is over currents, k3s2 with a padding of one, so that a neuron integrates the strongest of nine.

    Args and attributes are those of ``ConvSpike``; the convolution has stride 1.

    Source: the patch embeddings of QKFormer (Zhou et al., NeurIPS 2024).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Spikes for the input of all time steps."""
        pooled = time_folded(lambda folded: F.max_pool2d(self.norm(self.conv(folded)), 3, 2, 1), x)
        spikes: Tensor = self.neuron(pooled)
        return spikes

    def notation(self) -> str:
        """The unit in the papers' notation."""
        conv = self.conv
        return f"c{conv.out_channels}k{conv.kernel_size[0]}s1-BN-MPk3s2-{self.neuron.notation}"


class LinearSpike(nn.Module):
    """Fully connected layer without bias, then neuron: ``[T, B, F_in]`` → spikes ``[T, B, F]``.

    Source: the unit FC<F>-PLIF of PLIF, Table S1.
    """

    def __init__(self, in_features: int, features: int, neuron: Neuron) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, features, bias=False)
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        """Spikes for the input of all time steps."""
        spikes: Tensor = self.neuron(self.linear(x))
        return spikes

    def notation(self) -> str:
        """The unit in the papers' notation."""
        return f"FC{self.linear.out_features}-{self.neuron.notation}"


def _conv(in_channels: int, norm: nn.Module, kernel_size: int, stride: int) -> nn.Conv2d:
    channels = int(norm.num_features)  # type: ignore[arg-type]
    return nn.Conv2d(in_channels, channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
