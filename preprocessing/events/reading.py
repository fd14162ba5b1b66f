"""How a recording is read: what its file leaves open, and how much of it may be bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

DROP_BAD = 0.001
"""Share of a recording's events that may be bad without costing it.

Damage is rarer by far: a bad word of a file, an event that a driver sent late. What is wrong as a whole is not: where
a sensor is taken for one row too small, that row of 128, or of 720, has 0.8 %, or 0.14 %, of the events.
"""

_ENOUGH = 100  # events, of which a share of a thousand can be spoken of

TIME_UNITS = ("us", "ms", "ns", "s")
"""Units that times can be said to be in."""


class RecordingError(ValueError):
    """A recording that cannot be used; the message names the file and the byte or event at fault."""


class SensorError(RecordingError):
    """A recording that does not go with the sensor it is said to be of."""


class RecordingWarning(UserWarning):
    """Something doubtful about a recording that is used all the same; the message names the file."""


@dataclass(frozen=True)
class Reading:
    """How a recording is read.

    Attributes:
        time_unit: of the times, one of ``TIME_UNITS``, for files that don't say it; None: whole numbers are µs,
            others seconds.
        drop_bad: share of the events, from 0 up to but not including 1, that may be bad: they are dropped and counted.
            With more of them a recording is not used.

    Raises:
        ValueError: an unknown unit, or a share that isn't one.
    """

    time_unit: str | None = None
    drop_bad: float = DROP_BAD

    def __post_init__(self) -> None:
        if self.time_unit not in (None, *TIME_UNITS):
            raise ValueError(f"unknown time unit {self.time_unit!r}; choose one of {', '.join(TIME_UNITS)}")
        if not 0 <= self.drop_bad < 1:
            raise ValueError(f"the share of bad events to drop is from 0 to below 1, got {self.drop_bad}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """How recordings were read, by the configuration of a cache or a model; the default where it doesn't say."""
        return cls(config.get("time_unit"), config.get("drop_bad", DROP_BAD))

    def most_bad(self, num_events: int) -> int:
        """How many of so many events may be bad."""
        return int(self.drop_bad * num_events + 1e-6)  # 0.29 · 100 is 28.999…

    def allow(self, num_bad: int, num_events: int, problem: str, kind: type[RecordingError] = RecordingError) -> None:
        """Let ``num_bad`` of ``num_events`` be dropped, if they are no more than may be.

        Raises:
            RecordingError: of this kind; there are more. It says ``problem``, that of the first one, and how many.
        """
        if num_bad <= self.most_bad(num_events):
            return
        if self.drop_bad and num_events >= _ENOUGH:
            most = f"{100 * self.drop_bad:g} % may be (--drop-bad)"
            problem += f"; {num_bad:,} of {num_events:,} events are bad, no more than {most}"
        raise kind(problem)


AS_IS = Reading()
"""A recording as it is, with little damage."""
