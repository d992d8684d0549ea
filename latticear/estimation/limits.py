"""Where drawing ends that goes on until errors are reached, and what is asked of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from latticear.estimation.goals import Goal, goals_of

__all__ = ["MOST", "Limits", "Report", "Until", "limits_of", "unreported"]

Report = Callable[[int, int, str], object]
"""A function that is called with the number of configurations drawn, the number planned, and a text."""

MOST = 10**12
"""Largest number of configurations that is begun."""


def unreported(done: int, total: int, text: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Limits:
    """Where drawing ends, whatever the errors are.

    Attributes:
        n: largest number of configurations, with those of the pilot; None for no limit but `most`.
        minutes: largest time, from the moment at which this object is made; None for no limit.
        most: largest number of configurations that can be kept.
        clock: a clock in seconds.
    """

    n: int | None = None
    minutes: float | None = None
    most: int = MOST
    clock: Callable[[], float] = time.monotonic
    t_start: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_start", self.clock())

    @property
    def largest(self) -> int:
        return self.most if self.n is None else min(self.n, self.most)

    def over(self, share: float = 1.0) -> bool:
        """Whether so much of the time has passed."""
        return self.minutes is not None and self.clock() - self.t_start >= 60 * self.minutes * share

    def left(self) -> float:
        """Seconds that are left."""
        return math.inf if self.minutes is None else max(0.0, self.t_start + 60 * self.minutes - self.clock())


class Until(NamedTuple):
    """What a user asks of an estimate that goes on until errors are reached.

    Attributes:
        goals: the wanted errors.
        limits: where to end if they are not reached.
        report: called with progress.
        least: number of configurations that are used in any case, because they are there.
    """

    goals: list[Goal]
    limits: Limits
    report: Report
    least: int = 0

    @classmethod
    def of(cls, error: Any, n: Any = None, minutes: Any = None, report: Report | None = None) -> Until | None:
        """What the arguments of an estimator say; None without a wanted error.

        Raises:
            ValueError: for errors, a number or minutes that are none, or the others without an error.
        """
        if error is not None:
            return cls(goals_of(error), limits_of(n, minutes), report or unreported)
        if (n, minutes, report) != (None, None, None):
            raise ValueError("n, minutes and report say how far to go on until an error is reached: give error as well")
        return None


def limits_of(n: Any, minutes: Any, most: int = MOST) -> Limits:
    """The limits that a user gives.

    Raises:
        ValueError: unless n is a whole number, such as 1e7, and minutes a positive number; either may be None.
    """
    number = n
    if isinstance(n, float) and n.is_integer():
        number = int(n)
    if n is not None and (isinstance(n, bool) or not isinstance(number, int) or number < 1):
        raise ValueError(f"n must be a whole number of at least 1, the largest number of configurations, got {n!r}")
    is_number = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if minutes is not None and not (is_number and 0 < minutes < math.inf):
        raise ValueError(f"minutes must be a positive number, got {minutes!r}")
    return Limits(number, minutes, most)
