"""Progress of a long computation as a line of text a minute, for log files and batch jobs."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["LineAMinute", "duration"]

EVERY = 60.0
"""Seconds between two lines."""


class LineAMinute:
    """Writes a line of progress a minute; call it with the work done, the total work and a text, as a `Report`.

    Nothing is written in the first minute, so that a short computation is silent.

    Args:
        write: called with each line.
        unit: what is counted; may be empty.
        clock: a clock in seconds.

    Example:
        >>> ticks = iter([0, 30, 60, 90, 120])
        >>> lines = LineAMinute(print, unit="steps", clock=lambda: next(ticks))
        >>> for step in range(100, 500, 100):
        ...     lines(step, 1000, "F/N <= -2.1")
        steps 200/1000: F/N <= -2.1, 4 min left
        steps 400/1000: F/N <= -2.1, 3 min left
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        unit: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._unit, self._clock = write, unit, clock
        self._next = clock() + EVERY
        self._part: tuple[int, int, float] | None = None  # work done, total work and time when this part began
        self._done = 0

    def __call__(self, done: int, total: int, text: str = "") -> None:
        now = self._clock()
        if self._part is None or total != self._part[1] or done < self._done:  # another training, or another stage
            self._part = done, total, now
        self._done = done
        if now < self._next:
            return
        self._next = now + EVERY
        counted = f"{self._unit} {done}/{total}".strip()
        self._write(f"{counted}{': ' if text else ''}{text}{self._left(now)}")

    def _left(self, now: float) -> str:
        """The time that the rest of this part takes at the average rate so far, as the end of a line."""
        assert self._part is not None
        first, total, t_start = self._part
        if self._done >= total or self._done <= first:
            return ""
        return f", {duration((total - self._done) * (now - t_start) / (self._done - first))} left"


def duration(seconds: float) -> str:
    """A time in words, with two digits or so.

    Example:
        >>> [duration(seconds) for seconds in (0.4, 42, 90, 3 * 60, 5400, 86400 * 2)]
        ['0.4 s', '42 s', '90 s', '3 min', '90 min', '48 h']
        >>> [duration(86400 * days) for days in (12, 800, 1e6)]
        ['12 days', '2.2 years', '2,738 years']
    """
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 120 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 240 * 3600:
        return f"{seconds / 3600:.0f} h"
    days, years = seconds / 86400, seconds / 86400 / 365.25
    if days < 730:
        return f"{days:.0f} days"
    return f"{years:,.{0 if years > 10 else 1}f} years" if years < 1e6 else f"{years:.0e} years"
