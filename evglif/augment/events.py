"""Augmentation of events that are frames already: in time, and by losing some."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.augment.space import box

TIME = (0.1, 0.9)
AREA = (0.05, 0.3)
CHANCE = (0.1, 0.9)
"""EventDrop's ranges: how much of the duration, of the area and of all events is lost."""


def shift_time(frames: Tensor, most: int) -> Tensor:
    """Move every sample ``[T, C, H, W]`` by up to ``most`` steps, earlier or later; empty steps come in."""
    batch, steps = frames.shape[:2]
    padded = F.pad(frames, (0, 0) * 3 + (most, most))
    start = torch.randint(2 * most + 1, (batch, 1), device=frames.device)
    samples = torch.arange(batch, device=frames.device)[:, None]
    return padded[samples, start + torch.arange(steps, device=frames.device)]


def drop_events(frames: Tensor, chance: float) -> Tensor:
    """Let a share ``chance`` of the samples lose events in one of three ways, drawn evenly (EventDrop).

    All events of a part of the duration, of a box of the frame, or any events with a chance of their own. A time step
    that lies partly in the lost part of the duration loses that share of its events.
    """
    way = torch.randint(3, (len(frames), 1, 1, 1, 1), device=frames.device)
    lost = torch.where(way == 0, _lost_period(frames), torch.where(way == 1, _lost_area(frames), _lost_any(frames)))
    spared = torch.rand(len(frames), 1, 1, 1, 1, device=frames.device) >= chance
    return thinned(frames, (1 - lost).masked_fill(spared, 1))


def thinned(frames: Tensor, kept: Tensor) -> Tensor:
    """Frames in which every event is kept with a probability ``kept``, broadcast against them.

    A bin of n whole events keeps a binomial number of them. What is left of a bin beside whole events, a part of an
    event that resizing spread over several bins, is kept or lost as one.
    """
    kept = kept.expand_as(frames).contiguous()
    whole = frames.floor()
    rest = (frames - whole) * (torch.rand_like(frames) < kept)
    return torch.binomial(whole, kept) + rest


def _drawn(frames: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(len(frames), dtype=frames.dtype, device=frames.device)


def _lost_period(frames: Tensor) -> Tensor:
    """The share of each time step in a period of its own for every sample, ``[B, T, 1, 1, 1]``."""
    steps = frames.shape[1]
    length = _drawn(frames, *TIME)
    start = _drawn(frames, 0, 1) * (1 - length)
    step = torch.arange(steps, device=frames.device) / steps
    since = torch.maximum(step, start[:, None])
    until = torch.minimum(step + 1 / steps, (start + length)[:, None])
    return ((until - since).clamp(0) * steps).clamp(max=1)[:, :, None, None, None].to(frames.dtype)


def _lost_area(frames: Tensor) -> Tensor:
    """1 in a box of its own for every sample, else 0, ``[B, 1, 1, H, W]``."""
    side = _drawn(frames, *AREA).sqrt()
    corners = [(_drawn(frames, 0, 1) * (1 - side), length) for length in frames.shape[-2:]]
    (top, height), (left, width) = corners
    lost = box(frames, top * height, left * width, (top + side) * height, (left + side) * width)
    return lost.to(frames.dtype)


def _lost_any(frames: Tensor) -> Tensor:
    """The chance of each event to be lost, ``[B, 1, 1, 1, 1]``."""
    return _drawn(frames, *CHANCE)[:, None, None, None, None]
