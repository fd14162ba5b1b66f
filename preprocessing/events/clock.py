"""The camera's clock: what of a stream's times is believed, in a file and live.

An event can lie behind the latest time that came before it, because drivers merge several streams, or because a word
is damaged, or because the clock was set back. One rule for all, by how far it lies behind:

- up to ``MAX_DISORDER_US``: it is moved to its place;
- up to ``CLOCK_RESET_US``: it is late, and dropped;
- further: the clock was set back, and a new stretch of the recording begins with it.

A live stream follows the rule event by event. A file is known to its end, so it can tell damage from a clock that was
set: where dropping a small share of the events (``Reading``) leaves the others in order, these are dropped, however
far they lie behind or ahead. And a clock that was set goes on: a stretch of fewer than ``SHORTEST_STRETCH`` events is
no stretch but damage, too.

Forward, a clock can jump by any time: events from before it was set, stale ones of a camera's buffer, words that look
like a wrap of 32 bits. There is no telling such a jump from a silence by its length alone, but no camera is silent for
long: its pixels leak and see the noise of light, at 0.01 events a second each, or over 100 of a sensor of 128×128,
in the dark. So a silence is a jump from ``CLOCK_JUMP_US`` on, if it is ``JUMP_RATIO`` times as long as every shorter
one in the recording: where noise was filtered out and minutes without events are usual, they are silences. A pause of
20 s, in which nothing moves, never is a jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

MAX_DISORDER_US = 10_000
"""How far behind an earlier event a time may lie to be put in order, µs."""

CLOCK_RESET_US = 1_000_000
"""An event that lies further behind another says that the camera's clock was set back, µs."""

SHORTEST_STRETCH = 10
"""Events of a file that it takes to believe that its clock was set back."""

CLOCK_JUMP_US = 60_000_000
"""The shortest silence that can be a clock's jump, µs."""

JUMP_RATIO = 100
"""How many times as long as the longest of the shorter silences a jump is."""

_APART = 1 << 10  # events from one look at the time to the next


class TimesInParts(Protocol):
    """Times ``[N]`` in µs, not decreasing, of which parts can be had."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: Any, /) -> NDArray[np.int64]: ...


def forward_jumps(t: TimesInParts) -> NDArray[np.int64]:
    """The events, by index, with which the clock has jumped forward, by the rule above.

    Only recordings of over ``CLOCK_JUMP_US`` can have any, and of these only parts of that length are looked at: for
    an ordinary recording it takes no time.
    """
    none = np.empty(0, np.int64)
    if len(t) < 2:
        return none
    first, last = t[:: len(t) - 1].tolist()
    if last - first < CLOCK_JUMP_US:
        return none
    looks = np.append(np.arange(0, len(t) - 1, _APART), len(t) - 1)
    if not (np.diff(t[looks]) >= CLOCK_JUMP_US).any():
        return none
    silences = np.diff(t[:])
    usual = int(silences[silences < CLOCK_JUMP_US].max(initial=0))
    return np.flatnonzero(silences >= max(CLOCK_JUMP_US, JUMP_RATIO * usual)) + 1


class Followed(NamedTuple):
    """What the rule makes of the times of a file.

    Attributes:
        kept: indices ``[M]`` of the events that are used, in their order.
        t: times ``[M]`` of these, µs, not decreasing; a stretch after the clock was set back follows on the one before.
        resets: where in ``kept`` the stretches begin with which the clock was set back.
        num_backward: places where times ran backwards within a stretch, which were put in order.
    """

    kept: NDArray[np.int64]
    t: NDArray[np.int64]
    resets: tuple[int, ...]
    num_backward: int

    @classmethod
    def of(cls, t: NDArray[np.int64], most_dropped: int) -> Self:
        """Follow the clock of a file with times ``[N]`` by the rule above, dropping up to ``most_dropped`` events.

        More are dropped where dropping so few leaves the others out of order; it is for the caller to look.
        """
        bad = _damaged(t, most_dropped)
        if bad is not None:
            return cls._sorted(t, ~bad, np.zeros(len(t), np.int64))
        stretch, late = _stretches(t)
        return cls._sorted(t, ~late, stretch)

    @classmethod
    def _sorted(cls, t: NDArray[np.int64], used: NDArray[np.bool_], stretch: NDArray[np.int64]) -> Self:
        kept = np.flatnonzero(used)
        inside = np.diff(stretch[kept]) == 0
        num_backward = int(np.count_nonzero((np.diff(t[kept]) < 0) & inside))
        kept = kept[np.lexsort((t[kept], stretch[kept]))]  # stable: equal times keep the order of the file
        resets = (np.flatnonzero(np.diff(stretch[kept])) + 1).tolist()
        return cls(kept, following(t[kept], resets), tuple(resets), num_backward)


def _damaged(t: NDArray[np.int64], most: int) -> NDArray[np.bool_] | None:
    """Which of times ``[N]`` to drop, ``most`` of them, so that none lies behind too far; None if that can't be."""
    latest, earliest = np.maximum.accumulate(t), np.minimum.accumulate(t[::-1])[::-1]
    for bad in (latest - t > MAX_DISORDER_US, t - earliest > MAX_DISORDER_US):
        if np.count_nonzero(bad) <= most:
            return bad
    alone = np.zeros(len(t), np.bool_)  # away from two neighbours that agree: damaged words, some up and some down
    steps = np.abs(np.diff(t)) > MAX_DISORDER_US
    alone[1:-1] = steps[1:] & steps[:-1] & (np.abs(t[2:] - t[:-2]) <= MAX_DISORDER_US)
    others = most - int(np.count_nonzero(alone))
    if others < 0 or others == most:
        return None
    bad_others = _damaged(t[~alone], others)
    if bad_others is not None:
        alone[~alone] = bad_others
        return alone
    return None


def _stretches(t: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The number of each event's stretch, ``[N]``, and whether it is late or of a stretch that is too short."""
    late, resets = judged(t, int(t[0]))
    stretch = np.cumsum(resets, dtype=np.int64)
    lengths = np.bincount(stretch[~late], minlength=int(stretch[-1]) + 1)
    return stretch, late | (lengths < SHORTEST_STRETCH)[stretch]


def judged(
    t: NDArray[np.int64], latest: int, max_disorder_us: int = MAX_DISORDER_US
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of times ``[N]``, in the order in which they came, are late, and with which the clock was set back.

    Args:
        t: as above, µs.
        latest: the latest time that came before them, µs.
        max_disorder_us: how late an event may be.
    """
    from preprocessing.kernels.check import LATE, RESET, follow

    verdicts = np.empty(len(t), np.uint8)
    follow(t, latest, max_disorder_us, CLOCK_RESET_US, verdicts)
    return verdicts == LATE, verdicts == RESET


def following(t: NDArray[np.int64], starts: Sequence[int]) -> NDArray[np.int64]:
    """Times ``[N]`` in which each stretch begins 1 µs behind the end of the one before; ``starts`` are their indices.

    The clock says nothing of the time between: it was set there.
    """
    moved = t.copy()
    for start in starts:
        moved[start:] += moved[start - 1] + 1 - moved[start]
    return moved


def set_clock_warnings(t: TimesInParts, resets: Sequence[int], jumps: Sequence[int]) -> tuple[str, ...]:
    """What to say of a recording with times ``[N]``, µs, whose clock was set with these events; nothing without."""
    found = []
    if resets:
        found.append(f"its clock was set back, {_times(resets)}")
    if jumps:
        before, after = t[np.array([jumps[0] - 1, jumps[0]])].tolist()
        found.append(f"its clock jumps forward, by {(after - before) / 1e6:g} s, {_times(jumps)}")
    return tuple(f"{text}: the stretches are used as if they followed on each other" for text in found)


def _times(events: Sequence[int]) -> str:
    return f"at event {events[0]}" if len(events) == 1 else f"{len(events)} times, first at event {events[0]}"
