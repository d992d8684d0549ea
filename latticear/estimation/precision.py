"""Precision on demand: how many configurations are drawn until errors are as small as they were asked to be.

A sum that is stopped as soon as its own error looks small enough is biased: of two sets of samples the one whose
largest values happen to be missing has the smaller error, and is stopped earlier. So the number of configurations is
decided before the first of them is drawn:

1. A pilot, a few thousand configurations, tells how many the errors need. It is left out of the estimates.
2. As many new configurations are drawn, and only then looked at. The plan aims at 0.95 of the wanted errors, so that
   most sets are large enough. One that is not is prolonged by what its own errors say is lacking; it is never thrown
   away for what it looks like.

An error that the diagnostics do not trust does not count as reached.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch

from latticear.estimation.estimates import Estimates
from latticear.estimation.goals import Goal, Standing, check_names, standing_of
from latticear.estimation.limits import MOST, Limits, Report, unreported
from latticear.estimation.reached import DOUBLINGS, Reached
from latticear.processes import ALONE, Processes

__all__ = ["Plan", "Tally", "reach", "rerun"]

Part = TypeVar("Part")


PILOT = 4000
"""Number of configurations of a pilot."""

LARGEST_PILOT = 16
"""How many times as many a pilot may have, if its errors cannot be trusted."""

SHARE = 10
"""A pilot takes at most this part of the largest number of configurations, and of the time."""

LEAST_GROWTH = 1.1
"""By how much a set is prolonged at least, so that few looks are taken at it."""

YEAR = 366 * 86400.0
"""Longest time in seconds that is begun, unless a limit was given."""


class Tally(Protocol[Part]):
    """Configurations that arrive part by part, and the estimates from them.

    Attributes:
        least: smallest number of configurations from which there are estimates.
    """

    least: int

    def __len__(self) -> int:
        """Number of configurations, without those that were left out."""

    def add(self, part: Part) -> None:
        """Add configurations."""

    def divided(self, part: Part, n: int) -> tuple[Part, Part | None]:
        """The first n configurations of a part, and the others, if it can be divided."""

    def results(self) -> list[Estimates]:
        """The estimates, one for each temperature."""

    def leave_out(self) -> None:
        """Forget the configurations that were added so far: they were the pilot."""


@dataclass
class Plan:
    """What has been decided; it is kept with the configurations, so that what is continued is not decided again.

    Attributes:
        goals: the goals that it was made for, as texts.
        left_out: number of configurations of the pilot; 0 as long as it is not complete.
        size: number of configurations of the set; 0 as long as the pilot is not complete.
    """

    goals: list[str] = field(default_factory=list)
    left_out: int = 0
    size: int = 0


def reach(
    parts: Iterator[Any],
    tally: Tally[Any],
    goals: Sequence[Goal],
    limits: Limits,
    *,
    plan: Plan | None = None,
    least: int = 0,
    processes: Processes = ALONE,
    report: Report = unreported,
    keep: Callable[[Plan], object] = lambda _: None,
    stops: Callable[[], bool] = lambda: False,
) -> Reached:
    """Draw configurations until the errors are as small as they are wanted.

    Args:
        parts: configurations, part by part; the iterator is left where it is.
        tally: makes estimates of them.
        goals: the wanted errors.
        limits: where to end.
        plan: the plan that was kept with the configurations in the tally; None to begin.
        least: number of configurations that are used in any case, because they are there.
        processes: processes that draw together; the first one decides.
        report: called after each part.
        keep: called after each part with the plan, to write both to the disk if it is time.
        stops: whether this process has been asked to stop.

    Raises:
        ValueError: if the estimates lack a quantity, or nothing but years would reach a goal and no limit was given.
        KeyboardInterrupt: if a process has been asked to stop.
    """
    return _Course(parts, tally, goals, limits, plan or Plan(), least, processes, report, keep, stops).run()


class _Course:
    """One computation of `reach`; its arguments are the attributes."""

    def __init__(
        self,
        parts: Iterator[Any],
        tally: Tally[Any],
        goals: Sequence[Goal],
        limits: Limits,
        plan: Plan,
        least: int,
        processes: Processes,
        report: Report,
        keep: Callable[[Plan], object],
        stops: Callable[[], bool],
    ) -> None:
        self.parts, self.tally, self.goals, self.limits, self.plan = parts, tally, goals, limits, plan
        self.processes, self.report, self.keep, self.stops = processes, report, keep, stops
        self.rest: Any = None
        self.least = least
        self.results: list[Estimates] = []
        self.standings: list[Standing] = []
        self.n_begin, self.t_begin = self.drawn, limits.clock()
        smallest = 2 * tally.least
        if limits.largest < smallest:
            raise ValueError(
                f"errors need at least {smallest} configurations, got a largest number of {limits.largest}"
            )

    @property
    def drawn(self) -> int:
        """Number of configurations with those of the pilot."""
        return self.plan.left_out + len(self.tally)

    @property
    def room(self) -> int:
        """Largest number of configurations that the set can have."""
        return self.limits.largest - self.plan.left_out

    def run(self) -> Reached:
        goals = [str(goal) for goal in self.goals]
        if not self.plan.size:
            if ended := self._pilot():
                return self._ended(ended)
        elif len(self.tally) >= self.tally.least:
            self._look()
            self._refuse_years(len(self.tally))
            if self.plan.goals != goals:
                self.plan.size = max(len(self.tally), self._needed(len(self.tally)))
        self.plan.goals = goals
        doubled = 0
        while True:
            ended = self._draw(min(self.plan.size, self.room))
            self._look()
            if all(standing.reached for standing in self.standings):
                return self._ended("reached")
            if ended or len(self.tally) >= self.room:
                return self._ended("n" if len(self.tally) >= self.room else ended)
            if all(standing.small for standing in self.standings):
                doubled += 1
                if doubled > DOUBLINGS:
                    return self._ended("not trusted")
            if self._years():
                return self._ended("years")
            self.plan.size = max(self._needed(len(self.tally)), math.ceil(LEAST_GROWTH * len(self.tally)))

    def _pilot(self) -> str:
        """Draw the pilot, and plan the set; returns why there can be none, usually nothing."""
        part = max(self.tally.least, self.limits.largest // SHARE)
        size = min(PILOT, part)
        while True:
            ended = self._draw(size, 1 / SHARE)
            self._look()
            longer = min(2 * size, part, LARGEST_PILOT * PILOT)
            if ended or longer == size or not any(standing.doubts for standing in self.standings):
                break
            size = longer
        if ended == "used up" or self.processes.of_first(self.limits.over()):
            return ended
        n = len(self.tally)
        size = max(n, self._needed(n), self.least - n)
        self._refuse_years(n)
        self.tally.leave_out()
        self.plan.left_out, self.plan.size = n, size
        return ""

    def _draw(self, size: int, share: float = 1.0) -> str:
        """Draw until the set has a size; returns why it has not, else nothing."""
        while len(self.tally) < size:
            part = next(self.parts, None) if self.rest is None else self.rest
            if part is None:
                return "used up"
            part, self.rest = self.tally.divided(part, size - len(self.tally))
            self.tally.add(part)
            self._report(size)
            self.keep(self.plan)
            over = self.processes.is_first and self.limits.over(share) and len(self.tally) >= self.tally.least
            flags = torch.tensor([int(over), int(self.stops())])
            self.processes.add(flags)
            over, stopped = flags.bool().tolist()
            if stopped:
                raise KeyboardInterrupt
            if over:
                return "minutes"
        return ""

    def _look(self) -> None:
        """Make the estimates; the first process says how far they are."""
        self.results = self.tally.results()
        check_names(self.goals, self.results)
        standings = [standing_of(goal, self.results) for goal in self.goals]
        self.standings = [
            Standing(goal, *rest)
            for goal, (_, *rest) in zip(self.goals, self.processes.of_first(standings), strict=True)
        ]

    def _needed(self, n: int) -> int:
        """Number of configurations that the farthest goal needs, after n of them."""
        needed = max(standing.needed for standing in self.standings)
        return math.ceil(min(needed, MOST)) if math.isfinite(needed) else min(10 * n, MOST)

    def _refuse_years(self, n: int) -> None:
        """Raise ValueError if the farthest goal is out of reach and no limit was given."""
        if takes := self._years():
            farthest = max(self.standings, key=lambda standing: standing.needed)
            raise ValueError(_impossible(farthest, takes, n))

    def _years(self) -> str:
        """What the farthest goal would take, if that is out of reach and no limit was given; else nothing."""
        needed = max(standing.needed for standing in self.standings)
        each = (self.limits.clock() - self.t_begin) / max(1, self.drawn - self.n_begin)
        return _years(needed, self.processes.of_first(each), self.limits)

    def _report(self, size: int) -> None:
        now = self.limits.clock()
        left = math.inf
        if self.limits.minutes is not None and self.drawn > self.n_begin:
            each = (now - self.t_begin) / (self.drawn - self.n_begin)
            left = self.limits.left() / max(each, 1e-12)
        total = self.plan.left_out + max(len(self.tally), min(size, round(min(len(self.tally) + left, MOST))))
        if not self.plan.size or not self.standings:
            self.report(self.drawn, total, "pilot" if not self.plan.size else "")
            return
        farthest = max(self.standings, key=lambda standing: standing.needed)
        seen = self._seen
        self.report(self.drawn, total, farthest.expected(len(self.tally) / seen))

    @property
    def _seen(self) -> int:
        """Number of configurations at the last look."""
        return self.results[0].n

    def _ended(self, ended: str) -> Reached:
        each = [[standing_of(goal, [result]) for goal in self.goals] for result in self.results]
        return Reached(self.results, each, ended, self.plan.left_out)


def rerun(run: Callable[[int, int], Estimates], goals: Sequence[Goal], limits: Limits) -> Reached:
    """Repeat a computation that cannot be prolonged with more and more configurations, until errors are small enough.

    Each repetition is independent of those before it, which only tell how many configurations it needs.

    Args:
        run: makes estimates from a number of configurations; its second argument is the number of the repetition.
        goals: the wanted errors.
        limits: where to end; n is the largest number of configurations of one repetition.

    Raises:
        ValueError: as `reach`.
    """
    size, doubled, spent, n_spent = max(1000, min(PILOT, limits.largest // SHARE)), 0, 0.0, 0
    size = min(size, limits.largest)
    for k in itertools.count():
        t_start = limits.clock()
        result = run(size, k)
        spent, n_spent = limits.clock() - t_start, size
        check_names(goals, [result])
        standings = [standing_of(goal, [result]) for goal in goals]
        ended = ""
        if all(standing.reached for standing in standings):
            ended = "reached"
        elif limits.over():
            ended = "minutes"
        elif size >= limits.largest:
            ended = "n"
        doubled += all(standing.small for standing in standings)
        farthest = max(standings, key=lambda standing: standing.needed)
        if not ended and doubled > DOUBLINGS:
            ended = "not trusted"
        elif not ended and (takes := _years(farthest.needed, spent / n_spent, limits)):
            if k == 0:
                raise ValueError(_impossible(farthest, takes, size))
            ended = "years"
        needed = farthest.needed if math.isfinite(farthest.needed) else 10.0 * size
        larger = math.ceil(min(max(needed, LEAST_GROWTH * size), limits.largest))
        if not ended and limits.left() < spent / n_spent * larger:
            larger = int(limits.left() * n_spent / spent)
            ended = "minutes" if larger <= size else ""
        if ended:
            return Reached([result], [standings], ended, 0)
        size = larger
    raise AssertionError  # the loop has no end


def _years(needed: float, each: float, limits: Limits) -> str:
    """What a number of configurations takes, if that is out of reach and no limit was given; else nothing.

    Args:
        needed: the number.
        each: seconds that one takes.
        limits: the limits.
    """
    if limits.n is not None or limits.minutes is not None or (needed <= limits.most and each * needed <= YEAR):
        return ""
    return f"{needed:.2g} configurations" + (f" and {each * needed / YEAR:.2g} years" if each * needed > YEAR else "")


def _impossible(farthest: Standing, takes: str, n: int) -> str:
    return (
        f"{farthest.goal} would take about {takes}, since {n:,} configurations have an error of {farthest.error:.2g}: "
        f"ask for a larger error, or say how many configurations or minutes to take"
    )
