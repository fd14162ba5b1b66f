"""What all networks share: a typed specification, the way from frames to logits, the papers' notation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from evglif.layers import ENCODERS, ConvSpike, build_norm, encode, recomputed
from evglif.models.notation import notation
from evglif.neurons import Neuron, NeuronSpec, ReLU, SpikingNeuron, build_neuron

INPUTS = ("frames", *ENCODERS)


@dataclass(frozen=True)
class NetworkSpec:
    """What every network is told; a checkpoint stores it beside the weights.

    Attributes:
        name: the network's name in the registry.
        num_classes: K.
        in_channels: channels of a frame; 2 for OFF and ON events, 3 or 1 for images.
        steps: T.
        size: (width, height) of a frame, px.
        neuron: the neuron of every layer; ``"relu"`` makes the ANN twin.
        encoder: ``"frames"`` for frames of events, one per step; for still images ``"direct"``, ``"poisson"`` or
            ``"latency"``.
        mean, std: per channel, of the frames; the network takes them away and divides by them. Empty for neither.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str
    num_classes: int = 10
    in_channels: int = 2
    steps: int = 16
    size: tuple[int, int] = (48, 48)
    neuron: NeuronSpec = field(default_factory=NeuronSpec)
    encoder: str = "frames"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("num_classes", 2), ("in_channels", 1), ("steps", 1)):
            self.at_least(name, least)
        self.one_of("encoder", INPUTS)
        self.all_at_least("size", 1, length=2)
        if min(self.size) < self.least_side:
            side = self.least_side
            raise ValueError(f"{self.name} needs frames (width, height) of {side}×{side} px or more, got {self.size}")
        statistics = (self.mean, self.std)
        fit = all(isinstance(values, tuple) and len(values) in (0, self.in_channels) for values in statistics)
        if not fit or len(self.mean) != len(self.std) or min((1, *self.std)) <= 0:
            raise ValueError(
                f"{self.name}: mean and std hold one number for each of {self.in_channels} channels or none, and std "
                f"is positive; got {self.mean} and {self.std}"
            )
        if self.mean and self.encoder in ("poisson", "latency"):
            raise ValueError(f"{self.name}: the encoder {self.encoder} takes values in [0, 1]; leave mean and std out")

    @property
    def least_side(self) -> int:
        """Least width and height that the poolings and strides leave something of, px."""
        return 1

    def at_least(self, name: str, least: int) -> None:
        """Raise ``ValueError`` where a value is no whole number or below ``least``."""
        value = getattr(self, name)
        if not _is_whole(value) or value < least:
            raise ValueError(f"{self.name}: {name} must be a whole number from {least}, got {value!r}")

    def all_at_least(self, name: str, least: int, length: int | None = None) -> None:
        """The same for a tuple of ``length`` values, or of any number but none."""
        values = getattr(self, name)
        fits = isinstance(values, tuple) and all(map(_is_whole, values)) and min(values, default=least - 1) >= least
        if not fits or length not in (None, len(values)):
            count = f"{length} " if length else ""
            raise ValueError(f"{self.name}: {name} must hold {count}whole numbers from {least}, got {values!r}")

    def one_of(self, name: str, choices: tuple[object, ...]) -> None:
        """Raise ``ValueError`` where a value is none of ``choices``."""
        if getattr(self, name) not in choices:
            known = ", ".join(map(str, choices))
            raise ValueError(f"{self.name}: {name} is one of {known}; got {getattr(self, name)!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Network(nn.Module):
    """A spiking network: frames ``[B, T, C, H, W]`` → logits ``[B, K]``.

    A subclass sets ``features``, time-major layers that end in ``[T, B, F]``, and ``head``, which is linear in time:
    the mean over time may be taken before it.

    Args:
        spec: what to build.

    Attributes:
        recompute: in training, keep of each layer of ``features`` but its input, and compute the rest again on the way
            back.
        frozen: names of modules that training leaves as they are, see ``freeze``.
    """

    recompute: bool = False
    frozen: tuple[str, ...] = ()
    mean: Tensor | None
    std: Tensor | None
    features: nn.Sequential
    head: nn.Module

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        for name in ("mean", "std"):
            values = torch.tensor(getattr(spec, name)).view(-1, 1, 1)
            self.register_buffer(name, values if len(values) else None, persistent=False)

    def freeze(self, names: Iterable[str]) -> None:
        """Keep modules as they are in training: their parameters learn no more, their norms run in eval mode.

        Args:
            names: as in ``named_modules``, e.g. ``"features.0"``, one layer, or ``"features"``, all but the head.

        Raises:
            ValueError: there is no such module, naming the layers that there are; or nothing is left to learn.
        """
        frozen = tuple(names)
        for name in frozen:
            self._named(name).requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise ValueError(f"with {', '.join(frozen)} frozen nothing is left to learn; freeze less")
        self.frozen = frozen
        self.train(self.training)

    def _named(self, name: str) -> nn.Module:
        known = dict(self.named_modules())
        if not name or name not in known:
            layers = [f"features.{place}" for place in range(len(self.features))]
            raise ValueError(f"{self.spec.name} has no layer {name!r} to freeze; it has {', '.join(layers)} and head")
        module: nn.Module = known[name]
        return module

    def train(self, mode: bool = True) -> Self:
        """Training or eval mode; what is frozen is in eval mode always."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def neuron(self, channels: int) -> Neuron:
        """A fresh neuron layer of so many channels."""
        return build_neuron(self.spec.neuron, channels, self.spec.steps)

    def conv_spike(
        self, in_channels: int, channels: int, norm: str, kernel_size: int = 3, stride: int = 1, scale: float = 1.0
    ) -> ConvSpike:
        """A unit inside the network."""
        return ConvSpike(in_channels, self.neuron(channels), build_norm(norm, channels, scale), kernel_size, stride)

    def stem(self, channels: int, norm: str, kernel_size: int = 3, stride: int = 1, scale: float = 1.0) -> ConvSpike:
        """The first unit; of a still image in direct code its convolution is worked out once, not T times."""
        unit = self.conv_spike(self.spec.in_channels, channels, norm, kernel_size, stride, scale)
        unit.repeat = self.spec.steps if self.spec.encoder == "direct" else 1
        return unit

    @property
    def steps(self) -> int | None:
        """T where a neuron has one value per time step; None where the network runs for any number of steps."""
        neurons = (module for module in self.modules() if isinstance(module, SpikingNeuron | ReLU))
        return next((neuron.steps for neuron in neurons if neuron.steps is not None), None)

    def forward(self, frames: Tensor, per_step: bool = False) -> Tensor:
        """Logits of frames ``[B, T, C, H, W]``: ``[B, K]``, or with ``per_step`` ``[T, B, K]``.

        Still images are ``[B, 1, C, H, W]`` or ``[B, C, H, W]``, with values in [0, 1]. Frames of events may have
        another T than the specification where no neuron has one value per step.

        Raises:
            ValueError: for frames that do not fit the network; both shapes are named.
        """
        features: Tensor = self.time_major(frames)
        if self.recompute and self.training:
            for layer in self.features:
                features = recomputed(layer, features)
        else:
            features = self.features(features)
        logits: Tensor = self.head(features if per_step else features.mean(0))
        return logits

    def time_major(self, frames: Tensor) -> Tensor:
        """Checked, normalised and encoded: the input of the first layer, ``[T, B, C, H, W]``."""
        still = self.spec.encoder != "frames"
        if still and frames.dim() == 4:
            frames = frames.unsqueeze(1)
        self._check(frames, still)
        if self.mean is not None and self.std is not None:
            frames = (frames - self.mean) / self.std
        x = frames.transpose(0, 1)
        return encode(self.spec.encoder, x, self.spec.steps) if still else x

    def _check(self, frames: Tensor, still: bool) -> None:
        spec = self.spec
        steps = 1 if still else self.steps
        expected = (steps or "T", spec.in_channels, spec.size[1], spec.size[0])
        fits = frames.dim() == 5 and tuple(frames.shape[2:]) == expected[1:]
        if not fits or frames.shape[1] < 1 or steps not in (None, frames.shape[1]):
            raise ValueError(
                f"{spec.name} takes frames [B, T, C, H, W] = [B, {', '.join(map(str, expected))}], "
                f"got {list(frames.shape)}"
            )

    def layers(self) -> list[nn.Module]:
        """Features, then head: the layers that the papers' notation names, in their order."""
        return [*self.features, *(self.head if isinstance(self.head, nn.Sequential) else [self.head])]

    def notation(self) -> str:
        """The network in the papers' notation, read off its layers."""
        return notation(self.layers())
