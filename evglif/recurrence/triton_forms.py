"""From the values that a neuron stores to its coefficients on a GPU, and back: one kernel each, see ``cpu_forms``."""

# ruff: noqa: N803
# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator"

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 64
"""Channels of a program."""


def pack(form: str, stored: Sequence[Tensor], steps: int, channels: int) -> tuple[Tensor, Tensor]:
    """The coefficients a, b, r, d, v ``[5, C]`` and the gain ``[T, C]`` of stored values, in their dtype."""
    if form == "packed":
        return stored[0].expand(5, channels), stored[1].expand(steps, channels)
    if form == "coefficients":
        decay, leak, gain, *others = stored
        five = [value.expand(channels) for value in (decay, leak, *others)]
        return torch.stack(five), gain.expand(steps, channels)
    packed = stored[0].new_empty(5, channels), stored[0].new_empty(steps, channels)
    _run(_glif, stored, packed, ())
    return packed


def unpack(form: str, stored: Sequence[Tensor], of_coefficients: Tensor, of_gain: Tensor) -> list[Tensor]:
    """Gradients of stored values from those of coefficients and gain."""
    channels = of_gain.shape[1]
    if form == "packed":
        gradients = [of_coefficients, of_gain]
    elif form == "coefficients":
        decay, leak, *others = (row.clone() for row in of_coefficients)
        gradients = [decay, leak, of_gain, *others]
    else:
        gradients = [of_gain.new_empty(channels) for _ in range(7)] + [torch.empty_like(of_gain)]
        _run(_glif_backward, stored, (of_coefficients.contiguous(), of_gain.contiguous()), gradients)
    return [gradient.sum_to_size(value.shape) for gradient, value in zip(gradients, stored, strict=True)]


def _run(kernel: Any, stored: Sequence[Tensor], packed: tuple[Tensor, Tensor], outputs: Sequence[Tensor]) -> None:
    """Launch a kernel on values of a form; without fused multiply-adds, whose missing rounding would flip spikes."""
    steps, channels = packed[1].shape
    stored = [value.contiguous() for value in stored]
    strides = [int(value.shape[-1] > 1) for value in stored]
    g = stored[-1]
    row = g.shape[-1] if g.dim() == 2 and g.shape[0] > 1 else 0
    with torch.cuda.device(g.device) if g.is_cuda else nullcontext():
        kernel[(triton.cdiv(channels, _BLOCK),)](
            *stored, *packed, *outputs, *strides, row, steps, channels, BLOCK=_BLOCK, enable_fp_fusion=False
        )


@triton.jit
def _share(value: tl.tensor, place: tl.tensor, there: tl.tensor) -> tl.tensor:
    """σ of stored values, in float64."""
    stored = tl.load(value + place, there, other=0.0).to(tl.float64)
    return 1 / (1 + tl.exp(-stored))


@triton.jit(do_not_specialize=["steps"])
def _glif(
    alpha: tl.tensor,
    beta: tl.tensor,
    gamma: tl.tensor,
    tau_exp: tl.tensor,
    tau_lin: tl.tensor,
    v_th: tl.tensor,
    v_re: tl.tensor,
    g: tl.tensor,
    coefficients: tl.tensor,
    gain: tl.tensor,
    alpha_step: tl.tensor,
    beta_step: tl.tensor,
    gamma_step: tl.tensor,
    tau_exp_step: tl.tensor,
    tau_lin_step: tl.tensor,
    v_th_step: tl.tensor,
    v_re_step: tl.tensor,
    g_step: tl.tensor,
    g_row: tl.tensor,
    steps: tl.tensor,
    channels: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """``evglif.neurons.glif.glif_coefficients`` of sigmoids; a step is 1 for values per channel, 0 for one for all."""
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = channel < channels
    kind = gain.dtype.element_ty
    share_alpha = _share(alpha, channel * alpha_step, there).to(kind)
    share_beta = _share(beta, channel * beta_step, there).to(kind)
    share_gamma = _share(gamma, channel * gamma_step, there).to(kind)
    decay = (1 - share_alpha) + share_alpha * _share(tau_exp, channel * tau_exp_step, there).to(kind)
    leak = (1 - share_alpha) * _share(tau_lin, channel * tau_lin_step, there).to(kind)
    soft = (1 - share_gamma) * _share(v_re, channel * v_re_step, there).to(kind)
    threshold = _share(v_th, channel * v_th_step, there).to(kind)
    tl.store(coefficients + channel, decay, there)
    tl.store(coefficients + channels + channel, leak, there)
    tl.store(coefficients + 2 * channels + channel, share_gamma * decay, there)
    tl.store(coefficients + 3 * channels + channel, soft, there)
    tl.store(coefficients + 4 * channels + channel, threshold, there)
    for t in range(steps):
        share = _share(g, t * g_row + channel * g_step, there).to(kind)
        tl.store(gain + t * channels + channel, (1 - share_beta) + share_beta * share, there)


@triton.jit(do_not_specialize=["steps"])
def _glif_backward(
    alpha: tl.tensor,
    beta: tl.tensor,
    gamma: tl.tensor,
    tau_exp: tl.tensor,
    tau_lin: tl.tensor,
    v_th: tl.tensor,
    v_re: tl.tensor,
    g: tl.tensor,
    coefficients: tl.tensor,
    gain: tl.tensor,
    of_alpha: tl.tensor,
    of_beta: tl.tensor,
    of_gamma: tl.tensor,
    of_tau_exp: tl.tensor,
    of_tau_lin: tl.tensor,
    of_v_th: tl.tensor,
    of_v_re: tl.tensor,
    of_g: tl.tensor,
    alpha_step: tl.tensor,
    beta_step: tl.tensor,
    gamma_step: tl.tensor,
    tau_exp_step: tl.tensor,
    tau_lin_step: tl.tensor,
    v_th_step: tl.tensor,
    v_re_step: tl.tensor,
    g_step: tl.tensor,
    g_row: tl.tensor,
    steps: tl.tensor,
    channels: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """The way back: gradients of values from those of coefficients and gain, each for every channel by itself."""
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = channel < channels
    a, b, c = (
        _share(alpha, channel * alpha_step, there),
        _share(beta, channel * beta_step, there),
        _share(gamma, channel * gamma_step, there),
    )
    exponential = _share(tau_exp, channel * tau_exp_step, there)
    linear = _share(tau_lin, channel * tau_lin_step, there)
    v, reset = _share(v_th, channel * v_th_step, there), _share(v_re, channel * v_re_step, there)
    decay = (1 - a) + a * exponential
    of_decay = tl.load(coefficients + channel, there, other=0.0).to(tl.float64)
    of_leak = tl.load(coefficients + channels + channel, there, other=0.0).to(tl.float64)
    of_hard = tl.load(coefficients + 2 * channels + channel, there, other=0.0).to(tl.float64)
    of_soft = tl.load(coefficients + 3 * channels + channel, there, other=0.0).to(tl.float64)
    of_threshold = tl.load(coefficients + 4 * channels + channel, there, other=0.0).to(tl.float64)
    of_decay += of_hard * c
    of_gate = tl.zeros((BLOCK,), tl.float64)
    for t in range(steps):
        share = _share(g, t * g_row + channel * g_step, there)
        of_gain = tl.load(gain + t * channels + channel, there, other=0.0).to(tl.float64)
        of_gate += of_gain * (share - 1)
        tl.store(of_g + t * channels + channel, of_gain * b * share * (1 - share), there)
    tl.store(of_alpha + channel, (of_decay * (exponential - 1) - of_leak * linear) * a * (1 - a), there)
    tl.store(of_beta + channel, of_gate * b * (1 - b), there)
    tl.store(of_gamma + channel, (of_hard * decay - of_soft * reset) * c * (1 - c), there)
    tl.store(of_tau_exp + channel, of_decay * a * exponential * (1 - exponential), there)
    tl.store(of_tau_lin + channel, of_leak * (1 - a) * linear * (1 - linear), there)
    tl.store(of_v_th + channel, of_threshold * v * (1 - v), there)
    tl.store(of_v_re + channel, of_soft * (1 - c) * reset * (1 - reset), there)
