"""A network as the papers write it: c64k3s1-BN-GLIF-{SEW Block (c64)}*4-…, generated from its layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def notation(layers: Sequence[nn.Module]) -> str:
    """The layers in a row, joined by dashes; those that repeat stand once, as ``{…}*n``."""
    return _folded([name for name in map(layer_notation, layers) if name])


def layer_notation(layer: nn.Module) -> str:
    """What a layer says of itself by its own ``notation()``; ``nn.Linear`` is FC<features>."""
    if isinstance(layer, nn.Linear):
        return f"FC{layer.out_features}"
    name: str = layer.notation()  # type: ignore[operator]
    return name


def _folded(names: Sequence[str]) -> str:
    """From the left, fold what covers most layers; among equals the shortest part."""
    if not names:
        return ""
    repeats = {period: _repeats(names, period) for period in range(1, len(names) // 2 + 1)}
    period = max(repeats, key=lambda period: (repeats[period] * period, -period), default=0)
    count = repeats.get(period, 1)
    if count < 2:
        first, rest = names[0], names[1:]
    else:
        first, rest = f"{{{_folded(names[:period])}}}*{count}", names[period * count :]
    return "-".join(filter(None, (first, _folded(rest))))


def _repeats(names: Sequence[str], period: int) -> int:
    """How often the first ``period`` names stand in a row; 0 where they do not repeat."""
    count = 1
    while names[count * period : (count + 1) * period] == names[:period]:
        count += 1
    return count if count > 1 else 0
