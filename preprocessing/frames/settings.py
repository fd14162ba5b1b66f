"""What frames are made of events: the settings that a build, a cache and a deployed model share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from preprocessing.events import Events
from preprocessing.events.filters import Gap, apply_filters, parse_filter
from preprocessing.events.slicing import spelled_out
from preprocessing.frames.rasterize import Rasterizer


@dataclass(frozen=True)
class FrameSettings:
    """What frames are made: what ``Rasterizer`` takes, and the filters of ``preprocessing.events.filters`` before.

    A slicing of ``"50ms"`` is kept as ``"duration:50ms"``, so that one build has one configuration.

    Raises:
        ValueError: a filter that isn't known or possible.
    """

    steps: int = 16
    size: tuple[int, int] = (48, 48)
    slicing: str = "count"
    resize: str = "bilinear"
    transpose: bool = False
    value: str = "count"
    filters: tuple[str, ...] = ()
    half_turn: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "slicing", spelled_out(self.slicing))
        for text in self.filters:
            parse_filter(text)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Those in the configuration of a frame cache or a model; what it doesn't have is the default."""
        known: dict[str, Any] = {f.name: config[f.name] for f in fields(cls) if f.name in config}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known)

    @property
    def moves_times(self) -> bool:
        """Whether a filter moves events in time."""
        return any(isinstance(parse_filter(text), Gap) for text in self.filters)

    def rasterizer(self, sensor: tuple[int, int]) -> Rasterizer:
        """The rasterizer that makes these frames of this camera's events, without the filters.

        Raises:
            ValueError: a setting that isn't known or possible; as ``Rasterizer``.
        """
        settings = self.steps, self.size, self.slicing, self.resize, self.transpose, self.value, self.half_turn
        return Rasterizer(sensor, *settings)

    def filtered(self, stretches: Iterable[Events], sensor: tuple[int, int]) -> list[Events]:
        """The events ``[N]`` of each stretch of a recording that pass the filters, one after the other ``[M]``.

        Filters begin anew with each stretch, as they do in a live stream whose clock was set back.
        """
        return [apply_filters(self.filters, stretch, sensor) for stretch in stretches]
