"""Live events put in order: the rule of ``preprocessing.events.clock`` for a stream without an end.

A clock that was set goes on then. One that is set back again within ``SET_AGAIN`` events, or jumps within
``SHORTEST_STRETCH``, tells no time: its events are dropped and counted until some of them follow on each other. So a
clock that is damaged costs a look at each event, and not a window of answers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import EVENT_DTYPE, MAX_DISORDER_US, Events
from preprocessing.events.clock import CLOCK_JUMP_US, CLOCK_RESET_US, JUMP_RATIO, SHORTEST_STRETCH, judged

SET_AGAIN = 100
"""Events between two times that a clock is set back: a second of a camera in the dark."""

MOST_HELD = 1 << 17
"""Events that are held back at most, 2 MB: 13 million events/s over 10 ms; or a clock that stands still."""


class Order:
    """Holds events back until none can come before them any more.

    Events up to ``max_disorder_us`` late are moved to their place, equal times keep their order. Later ones are
    dropped and counted; those more than ``CLOCK_RESET_US`` late begin a new stream. However a stream is cut into
    packets, the same events come out in the same order, as long as no more than ``MOST_HELD`` are held back: of more,
    the first half is given, and what then comes before these is late. Where the clock jumps forward, by all that is
    known then, that is counted and changes nothing: silence costs a stream nothing.

    Args:
        max_disorder_us: as above; 0 for a camera whose times never decrease, which then waits for nothing.

    Attributes:
        num_late: events that were dropped.
        num_resets: how often the clock was set back.
        num_forward: how often it jumped forward.
        num_doubted: events that were dropped while the clock told no time.

    Raises:
        ValueError: a disorder below 0, or beyond which the clock counts as set back.
    """

    def __init__(self, max_disorder_us: int = MAX_DISORDER_US) -> None:
        if not 0 <= max_disorder_us <= CLOCK_RESET_US:
            raise ValueError(f"events can be 0 to {CLOCK_RESET_US} µs late, got a disorder of {max_disorder_us} µs")
        self.max_disorder_us = max_disorder_us
        self.num_late = self.num_resets = self.num_forward = self.num_doubted = 0
        self._held = np.empty(0, EVENT_DTYPE)
        self._since_set = SET_AGAIN
        self._doubt: _Doubt | None = None
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the clock, as before the first event."""
        self._latest: int | None = None
        self._given_us: int | None = None  # the latest that was given for want of room
        self._longest_us = 0

    @property
    def past_us(self) -> int | None:
        """The time before which nothing can come any more, µs; None before the first event."""
        if self._latest is None:
            return None
        past_us = self._latest - self.max_disorder_us
        return past_us if self._given_us is None else max(past_us, self._given_us)

    def feed(self, events: Events) -> Iterator[Events | None]:
        """Take events ``[N]`` of any order and give those that are ready, in order; None where a new stream begins."""
        while len(events):
            if self._doubt:
                num = self._doubt.lasts(events["t"])
                self.num_doubted += num
                self._doubt = None if num < len(events) else self._doubt
                events = events[num:]
            else:
                events = yield from self._believed(events)

    def _believed(self, events: Events) -> Generator[Events | None, None, Events]:
        """Take events up to one by which the clock tells no time; those from it on are returned."""
        latest = int(events["t"][0]) if self._latest is None else self._latest
        late, resets = judged(events["t"], latest, self.max_disorder_us)
        edges = [0, *np.flatnonzero(resets).tolist(), len(events)]
        for number, (start, stop) in enumerate(pairwise(edges)):
            if number:
                yield from (self.rest(), None)
                self.num_resets += 1
                self._forget()
                if self._since_set < SET_AGAIN:
                    return self._doubting(events[start:], _Doubt(SET_AGAIN))
                self._since_set = 0
            in_time = start + np.flatnonzero(~late[start:stop])
            used, doubted = self._take(events["t"][in_time])
            self.num_late += (int(in_time[used]) if doubted else stop) - start - used
            yield self._ready(events[in_time[:used]])
            if doubted:
                yield from (self.rest(), None)
                self._forget()
                return self._doubting(events[in_time[used] :], _Doubt(SHORTEST_STRETCH, CLOCK_JUMP_US))
        return events[:0]

    def _doubting(self, events: Events, doubt: _Doubt) -> Events:
        self._doubt, self._since_set = doubt, 0
        return events

    def _take(self, t: NDArray[np.int64]) -> tuple[int, bool]:
        """Note times ``[N]`` in which nothing is late: the latest, and how far the clock jumps.

        Returns:
            How many can be used, and whether that is because the next one's time is doubted.
        """
        if not len(t):
            return 0, False
        latest = np.maximum.accumulate(np.append(t[0] if self._latest is None else self._latest, t))
        silences = np.diff(latest)
        jumps = np.flatnonzero(silences >= CLOCK_JUMP_US)
        too_soon = np.flatnonzero(np.diff(jumps, prepend=-self._since_set) < SHORTEST_STRETCH)
        used = int(jumps[too_soon[0]]) if len(too_soon) else len(t)
        kept = jumps[jumps < used]
        self._since_set = used - int(kept[-1]) if len(kept) else self._since_set + used
        silences = silences[:used]
        usual = np.maximum.accumulate(np.append(self._longest_us, np.where(silences < CLOCK_JUMP_US, silences, 0)))
        self.num_forward += int(np.count_nonzero(silences >= np.maximum(CLOCK_JUMP_US, JUMP_RATIO * usual[:-1])))
        self._latest, self._longest_us = int(latest[used]), int(usual[-1])
        return used, used < len(t)

    def rest(self) -> Events:
        """All that is held back."""
        held, self._held = self._held, self._held[:0]
        return held

    def _ready(self, events: Events) -> Events:
        if self._given_us is not None:
            in_time = events["t"] >= self._given_us
            self.num_late += len(events) - int(in_time.sum())
            events = events[in_time]
        held = np.concatenate([self._held, events])
        if (np.diff(held["t"]) < 0).any():
            held = held[np.argsort(held["t"], kind="stable")]
        ready = 0 if self.past_us is None else int(np.searchsorted(held["t"], self.past_us))
        if len(held) - ready > MOST_HELD:
            ready = len(held) - MOST_HELD // 2
            self._given_us = int(held["t"][ready - 1])
        self._held = held[ready:].copy()  # not a view, which would keep what is done in memory
        return held[:ready]


class _Doubt:
    """Waits until some events follow on each other: the clock is not set back, and no silence is too long.

    Args:
        num: how many events.
        longest_us: the shortest silence that is too long, µs; None for any silence.
    """

    def __init__(self, num: int, longest_us: int | None = None) -> None:
        self._num, self._longest_us = num, longest_us
        self._last: int | None = None
        self._run = 0

    def lasts(self, t: NDArray[np.int64]) -> int:
        """How many of the next events, with times ``[N]``, are still in doubt."""
        steps = np.diff(t, prepend=t[0] if self._last is None else self._last)
        odd = steps < -CLOCK_RESET_US
        if self._longest_us is not None:
            odd |= steps >= self._longest_us
        index = np.arange(len(t))
        run = index - np.maximum.accumulate(np.where(odd, index, -1 - self._run))
        believed = np.flatnonzero(run >= self._num)
        if len(believed):
            return int(believed[0])
        self._last, self._run = int(t[-1]), int(run[-1])
        return len(t)
