"""Live events put in order: the rule of ``preprocessing.events.clock`` for a stream without an end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import EVENT_DTYPE, MAX_DISORDER_US, Events
from preprocessing.events.clock import CLOCK_JUMP_US, CLOCK_RESET_US, JUMP_RATIO, judged


class Order:
    """Holds events back until none can come before them any more.

    Events up to ``max_disorder_us`` late are moved to their place, equal times keep their order. Later ones are
    dropped and counted; those more than ``CLOCK_RESET_US`` late begin a new stream. However a stream is cut into
    packets, the same events come out in the same order. Where the clock jumps forward, by all that is known then, that
    is counted and changes nothing: silence costs a stream nothing.

    Args:
        max_disorder_us: as above; 0 for a camera whose times never decrease, which then waits for nothing.

    Attributes:
        num_late: events that were dropped.
        num_resets: how often the clock was set back.
        num_forward: how often it jumped forward.

    Raises:
        ValueError: a disorder below 0, or beyond which the clock counts as set back.
    """

    def __init__(self, max_disorder_us: int = MAX_DISORDER_US) -> None:
        if not 0 <= max_disorder_us <= CLOCK_RESET_US:
            raise ValueError(f"events can be 0 to {CLOCK_RESET_US} µs late, got a disorder of {max_disorder_us} µs")
        self.max_disorder_us = max_disorder_us
        self.num_late = self.num_resets = self.num_forward = 0
        self._held = np.empty(0, EVENT_DTYPE)
        self._latest: int | None = None
        self._longest_us = 0

    @property
    def past_us(self) -> int | None:
        """The time before which nothing can come any more, µs; None before the first event."""
        return None if self._latest is None else self._latest - self.max_disorder_us

    def feed(self, events: Events) -> Iterator[Events | None]:
        """Take events ``[N]`` of any order and give those that are ready, in order; None where a new stream begins."""
        if not len(events):
            return
        latest = int(events["t"][0]) if self._latest is None else self._latest
        late, resets = judged(events["t"], latest, self.max_disorder_us)
        edges = np.flatnonzero(resets)
        for number, stretch in enumerate(np.split(events, edges)):
            if number:
                yield from (self.rest(), None)
                self.num_resets += 1
                self._latest, self._longest_us = None, 0
            if not len(stretch):
                continue
            in_time, late = stretch[~late[: len(stretch)]], late[len(stretch) :]
            self.num_late += len(stretch) - len(in_time)
            self._take(in_time["t"])
            yield self._ready(in_time)

    def _take(self, t: NDArray[np.int64]) -> None:
        """Note times ``[N]`` in which nothing is late: the latest, and how far the clock jumps."""
        if not len(t):
            return
        latest = np.maximum.accumulate(np.append(t[0] if self._latest is None else self._latest, t))
        silences = np.diff(latest)
        usual = np.maximum.accumulate(np.append(self._longest_us, np.where(silences < CLOCK_JUMP_US, silences, 0)))
        self.num_forward += int(np.count_nonzero(silences >= np.maximum(CLOCK_JUMP_US, JUMP_RATIO * usual[:-1])))
        self._latest, self._longest_us = int(latest[-1]), int(usual[-1])

    def rest(self) -> Events:
        """All that is held back."""
        held, self._held = self._held, self._held[:0]
        return held

    def _ready(self, events: Events) -> Events:
        held = np.concatenate([self._held, events])
        if (np.diff(held["t"]) < 0).any():
            held = held[np.argsort(held["t"], kind="stable")]
        ready = 0 if self.past_us is None else int(np.searchsorted(held["t"], self.past_us))
        self._held = held[ready:].copy()  # not a view, which would keep what is done in memory
        return held[:ready]
