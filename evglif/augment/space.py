"""Augmentation in the plane: frames ``[B, T, C, H, W]`` are moved, turned, cut, each sample in its own way."""

from __future__ import annotations

from math import log, radians

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

_RATIOS = (3 / 4, 4 / 3)  # width to height of a resized crop
_TRIES = 10


def flip(frames: Tensor) -> Tensor:
    """Mirror half of the samples left to right."""
    mirrored = torch.rand(len(frames), 1, 1, 1, 1, device=frames.device) < 0.5
    return torch.where(mirrored, frames.flip(-1), frames)


def random_crop(frames: Tensor, padding: int) -> Tensor:
    """Shift every sample by up to ``padding`` px in x and y, filling with noughts."""
    return _window(F.pad(frames, (padding,) * 4), frames.shape)


def roll(frames: Tensor, most: int) -> Tensor:
    """Shift every sample by up to ``most`` px in x and y; what leaves on one side comes in on the other.

    Raises:
        ValueError: the frames are smaller than that.
    """
    if most > min(frames.shape[-2:]):
        raise ValueError(f"roll is {most} px, more than frames of {frames.shape[-1]}×{frames.shape[-2]} px have")
    around = F.pad(frames.flatten(1, 2), (most,) * 4, mode="circular")
    return _window(around.view(*frames.shape[:3], *around.shape[-2:]), frames.shape)


def _window(padded: Tensor, shape: torch.Size) -> Tensor:
    """A part of every sample, of ``shape``, from a place of its own."""
    batch, height, width = shape[0], shape[-2], shape[-1]
    windows = padded.unfold(-2, height, 1).unfold(-2, width, 1)  # [B, T, C, places y, places x, H, W], a view
    top, left = (torch.randint(windows.shape[axis], (batch,), device=padded.device) for axis in (3, 4))
    return windows[torch.arange(batch, device=padded.device), :, :, top, left]


def rotate(frames: Tensor, most: float) -> Tensor:
    """Turn every sample about its middle by up to ``most`` degrees to either side; no bin is blurred."""
    angle = _uniform(len(frames), -radians(most), radians(most), frames)
    ratio = frames.shape[-2] / frames.shape[-1]  # the grid's units are half a width and half a height
    zero = torch.zeros_like(angle)
    rows = ((angle.cos(), -ratio * angle.sin(), zero), (angle.sin() / ratio, angle.cos(), zero))
    return _sampled(frames, rows, "nearest", "zeros")


def shear(frames: Tensor, most: float) -> Tensor:
    """Slant every sample by up to ``most`` degrees to either side; no bin is blurred."""
    slant = _uniform(len(frames), -radians(most), radians(most), frames).tan()
    zero, one = torch.zeros_like(slant), torch.ones_like(slant)
    ratio = frames.shape[-2] / frames.shape[-1]
    return _sampled(frames, ((one, ratio * slant, zero), (zero, one, zero)), "nearest", "zeros")


def resized_crop(frames: Tensor, area: tuple[float, float]) -> Tensor:
    """Enlarge a part of every sample to the whole frame, bilinearly.

    Its share of the area is uniform between the two of ``area``, its width to height log-uniform from 3/4 to 4/3. Ten
    are drawn, the first that fits into the frame is taken, and the whole frame where none does, as in the usual recipe.
    """
    height, width = frames.shape[-2:]
    shape = (len(frames), _TRIES)
    size = height * width * _uniform(shape, *area, frames)
    ratio = _uniform(shape, log(_RATIOS[0]), log(_RATIOS[1]), frames).exp()
    across, down = (size * ratio).sqrt().round(), (size / ratio).sqrt().round()
    fits = (across.clamp(1) <= width) & (down.clamp(1) <= height)
    first = fits & (fits.cumsum(1) == 1)
    across, down = (
        torch.where(fits.any(1), (first * sides.clamp(1)).sum(1), whole)
        for sides, whole in ((across, width), (down, height))
    )
    left, top = (
        (_uniform(len(frames), 0, 1, frames) * (whole - side + 1)).floor()
        for side, whole in ((across, width), (down, height))
    )
    zero = torch.zeros_like(left)
    rows = (
        (across / width, zero, (2 * left + across) / width - 1),
        (zero, down / height, (2 * top + down) / height - 1),
    )
    return _sampled(frames, rows, "bilinear", "border")


def cut_out(frames: Tensor, side: int) -> Tensor:
    """Blank a square of every sample, its middle anywhere in the frame; what would lie outside is not made up for."""
    height, width = frames.shape[-2:]
    top, left = (torch.randint(length, (len(frames),), device=frames.device) - side // 2 for length in (height, width))
    return frames.masked_fill(box(frames, top, left, top + side, left + side), 0)


def box(frames: Tensor, top: Tensor, left: Tensor, bottom: Tensor, right: Tensor) -> Tensor:
    """Where the middles of pixels lie in a box of every sample, bool ``[B, 1, 1, H, W]``; sides ``[B]`` in px."""
    y, x = (torch.arange(length, device=frames.device) + 0.5 for length in frames.shape[-2:])
    in_rows = (y >= top[:, None]) & (y < bottom[:, None])
    in_columns = (x >= left[:, None]) & (x < right[:, None])
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None, None]


def _uniform(shape: int | tuple[int, ...], low: float, high: float, like: Tensor) -> Tensor:
    return low + (high - low) * torch.rand(shape, dtype=like.dtype, device=like.device)


def _sampled(frames: Tensor, rows: tuple[tuple[Tensor, ...], ...], mode: str, outside: str) -> Tensor:
    """Every sample seen through an affine map ``rows`` [2][3] of ``[B]`` from places in the result to its own."""
    maps = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)
    folded = frames.flatten(1, 2)
    grid = F.affine_grid(maps, list(folded.shape), align_corners=False)
    return F.grid_sample(folded, grid, mode=mode, padding_mode=outside, align_corners=False).view_as(frames)
