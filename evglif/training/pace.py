"""How long a run still takes, as far as can be told."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

JUDGED = 1 / 3
"""What a sample takes that is only judged, of what one takes that is learnt from: a forward pass of three."""


class Pace:
    """Time to expect: from a run's first batches, and once there are whole epochs, from those.

    The first batch is left out: libraries prepare themselves in it.

    Args:
        epochs: of the run.
        clock: seconds.
    """

    def __init__(self, epochs: int, clock: Callable[[], float] = perf_counter) -> None:
        self.epochs = epochs
        self.clock = clock
        self.whole: list[float] = []
        self._number, self._work, self._began = 0, 0.0, 0.0
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def begin(self, number: int, num_samples: int, num_judged: int) -> None:
        """An epoch begins, with so many samples to learn from and to judge."""
        self._number, self._work = number, num_samples + JUDGED * num_judged
        self._began = self.clock()
        self._first = self._last = None

    def batch(self, num_samples: int) -> None:
        """So many samples of the epoch are done."""
        self._last = num_samples, self.clock()
        self._first = self._first or self._last

    def end(self) -> None:
        """The epoch is over."""
        self.whole.append(self.clock() - self._began)
        self._last = None

    def left(self) -> float | None:
        """Seconds to the end of the run, None as long as nothing can be told."""
        others = self.epochs - self._number
        if self.whole:
            usual = sum(self.whole) / len(self.whole)
            of_this = 0.0 if self._last is None else max(0.0, usual - (self.clock() - self._began))
            return of_this + others * usual
        if self._first is None or self._last is None or self._last[0] == self._first[0]:
            return None
        each = (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])
        return each * (self._work - self._last[0] + others * self._work)


def duration(seconds: float) -> str:
    """A time for people: 40 s, 3 min, 2.5 h, 1.2 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
