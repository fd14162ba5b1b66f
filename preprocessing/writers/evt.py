"""RAW of Prophesee's cameras, in EVT 2.0 and EVT 3.0; the words and their sources are in ``readers.evt``.

The header states encoding and sensor and nothing of a camera. In EVT 3.0 every tick of the high part of the time, of
4.1 ms, is written, as cameras do it: so it wraps in order whatever decoder reads it. Three or more events of one time,
row and polarity within twelve pixels, from left to right, become a vector; so none changes its place in the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import Events
from preprocessing.writers import bounds
from preprocessing.writers.bounds import Sensor

MOST = (1 << 11, 1 << 11)
"""The largest sensor that eleven bits of x and of y reach."""

END_US = 1 << 34
"""The first time that EVT 2.0 no longer holds, µs; here EVT 3.0 ends there, too, for its ticks: 4.8 h."""

FIRST_TICK_US = 1 << 24
"""The first time that the first words of EVT 3.0 cannot say, as its clock wraps there, µs."""

_BLOCK = 1 << 18  # events


class Evt2:
    """EVT 2.0."""

    NAME, TITLE, SUFFIXES = "evt2", "EVT 2.0", (".raw",)

    @staticmethod
    def check(events: Events, sensor: Sensor) -> None:
        """See ``Writer.check``: eleven bits of x and y, 34 bits of time."""
        bounds.check(events, sensor, Evt2.TITLE, MOST, (0, END_US))

    @staticmethod
    def encode(events: Events, sensor: Sensor) -> Iterator[bytes]:
        """See ``Writer.encode``."""
        from preprocessing.kernels.encode import evt2

        yield _header("2.0", "EVT2", sensor)
        yield from _blocks(events, evt2, 2, np.dtype("<u4"), np.array([-1], np.int64))


class Evt3:
    """EVT 3.0."""

    NAME, TITLE, SUFFIXES = "evt3", "EVT 3.0", (".raw",)

    @staticmethod
    def check(events: Events, sensor: Sensor) -> None:
        """See ``Writer.check``: eleven bits of x and y, 24 bits of the first time, which may wrap behind it."""
        bounds.check(events, sensor, Evt3.TITLE, MOST, (0, END_US))
        if int(events["t"][0]) >= FIRST_TICK_US:
            raise bounds.BoundsError(
                f"{Evt3.TITLE} begins with a time below 2^24 µs, this one begins at {int(events['t'][0])}: take the "
                "first event as time 0 (--from-zero), or choose another format"
            )

    @staticmethod
    def encode(events: Events, sensor: Sensor) -> Iterator[bytes]:
        """See ``Writer.encode``."""
        from preprocessing.kernels.encode import evt3

        yield _header("3.0", "EVT3", sensor)
        yield from _blocks(events, evt3, 3, np.dtype("<u2"), np.array([-1, -1, -1], np.int64))


def _header(version: str, name: str, sensor: Sensor) -> bytes:
    width, height = sensor
    lines = f"evt {version}", f"format {name};height={height};width={width}", f"geometry {width}x{height}", "end"
    return "".join(f"% {line}\n" for line in lines).encode()


def _blocks(
    events: Events,
    encode: Callable[..., int],
    words_each: int,
    word: np.dtype[np.unsignedinteger],
    state: NDArray[np.int64],
) -> Iterator[bytes]:
    """The words of all events, some events at a time.

    Args:
        events: ``[N]``.
        encode: a loop of ``kernels.encode``.
        words_each: that an event takes at most, beside those of a clock that goes on in between.
        word: type of a word.
        state: what the loop carries from one block to the next; before the first event -1.
    """
    for start in range(0, len(events), _BLOCK):
        part = events[start : start + _BLOCK]
        ticks = int(part["t"][-1] >> 12) - int(events["t"][max(start - 1, 0)] >> 12) + 1
        words = np.empty(words_each * len(part) + ticks, word)
        yield words[: encode(part["t"], part["x"], part["y"], part["p"], state, words)].tobytes()
