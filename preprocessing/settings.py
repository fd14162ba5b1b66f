"""What frames are made of events or of pictures: the settings that a build, a cache and a deployed model share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from preprocessing.events import Events
from preprocessing.filters import apply_filters, parse_filter
from preprocessing.pictures import RESIZINGS
from preprocessing.rasterize import Rasterizer


@dataclass(frozen=True)
class FrameSettings:
    """What frames are made; see ``preprocessing.rasterize.Rasterizer`` and, for ``filters``, ``preprocessing.filters``.

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

    def __post_init__(self) -> None:
        for text in self.filters:
            parse_filter(text)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Those in the configuration of a frame cache or a model; what it doesn't have is the default."""
        known: dict[str, Any] = {f.name: config[f.name] for f in fields(cls) if f.name in config}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known)

    def rasterizer(self, sensor: tuple[int, int]) -> Rasterizer:
        """The rasterizer that makes these frames of this camera's events, without the filters.

        Raises:
            ValueError: a setting that isn't known or possible; as ``Rasterizer``.
        """
        return Rasterizer(sensor, self.steps, self.size, self.slicing, self.resize, self.transpose, self.value)

    def filtered(self, events: Events, sensor: tuple[int, int]) -> Events:
        """The events ``[N]`` of a recording that pass the filters, one after the other ``[M]``."""
        return apply_filters(self.filters, events, sensor)


@dataclass(frozen=True)
class PictureSettings:
    """How a picture becomes a frame: brought to a size, then cut from the middle; see ``preprocessing.pictures``.

    Attributes:
        size: (width, height) of the frame, px.
        channels: 1 for grey, 3 for red, green and blue.
        shorter_side: what the picture's shorter side is brought to before, px; by default just enough to cover the
            frame, so that a picture of the frame's size stays as it is.
        resizing: "bilinear" or "bicubic"; both average where a picture gets smaller.

    Raises:
        ValueError: naming the value that is out of range.
    """

    size: tuple[int, int]
    channels: int = 3
    shorter_side: int | None = None
    resizing: str = "bilinear"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size is (width, height), each at least 1 px, got {self.size}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels are 1 (grey) or 3 (red, green, blue), got {self.channels}")
        if self.shorter_side is not None and self.shorter_side < max(self.size):
            least = "{}×{}".format(*self.size)
            raise ValueError(f"a shorter side of {self.shorter_side} px cannot hold a frame of {least}; raise it")
        if self.resizing not in RESIZINGS:
            raise ValueError(f"unknown resizing {self.resizing!r}; choose one of {', '.join(RESIZINGS)}")
