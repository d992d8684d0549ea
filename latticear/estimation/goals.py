"""Errors that are asked for: of which quantities, how large, and whether estimates have them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from latticear.arguments import described, did_you_mean
from latticear.arrays import Array, Bools
from latticear.estimation.estimates import DIAGNOSTICS, Estimates
from latticear.estimation.numbers import unseen_probability
from latticear.estimation.quantity import Estimate, still
from latticear.estimation.verdict import NOT_TRUSTED, TRUSTED

__all__ = ["Goal", "Standing", "Wanted", "check_known", "check_names", "goals_of", "standing_of"]

Wanted = Mapping[str, float | str]
"""Wanted errors by name, as a user gives them: numbers, or texts such as "1%"."""

ENTRY = re.compile(r"(.+)\[(\d+)\]")
"""The name of an entry of an array, such as correlation[3]."""

AIM = 0.95
"""Error that is aimed at, in units of the wanted one: half of the errors would miss if that itself were aimed at."""

EXAMPLE = '{"free_energy_per_site": 1e-6, "susceptibility": "1%"}'


class Goal(NamedTuple):
    """The error that one quantity is to have.

    Attributes:
        quantity: name of the quantity.
        size: one standard deviation, or its ratio to the value.
        relative: whether it is that ratio.
        entry: number of the entry of an array; None for all of them, of which the largest error counts.
    """

    quantity: str
    size: float
    relative: bool = False
    entry: int | None = None

    def __str__(self) -> str:
        return f"{self.name} to {f'{100 * self.size:g} %' if self.relative else f'{self.size:g}'}"

    @property
    def name(self) -> str:
        """The name by which the user asked for it."""
        return self.quantity if self.entry is None else f"{self.quantity}[{self.entry}]"

    def wanted(self, estimate: Estimate) -> float:
        """The largest error that reaches this goal; a percentage is one of the largest value of an array."""
        return self.size * float(np.nanmax(np.abs(self.part(estimate.value)))) if self.relative else self.size

    def part(self, values: Any) -> Array:
        """The numbers of an array that this goal is about, in a row."""
        numbers = np.ravel(np.asarray(values, dtype=np.float64))
        return numbers if self.entry is None else numbers[self.entry : self.entry + 1]


class Standing(NamedTuple):
    """How far an estimate is from its goal.

    Attributes:
        goal: the goal.
        error: the error that the estimate has; where nothing varied, what the configurations may lack could change.
        wanted: the error that is wanted.
        needed: number of configurations that are needed in all, at this rate.
        doubts: why the error cannot be trusted; such an error does not count as reached.
        temperature: T.
    """

    goal: Goal
    error: float
    wanted: float
    needed: float
    doubts: tuple[str, ...]
    temperature: float

    @property
    def small(self) -> bool:
        """Whether the error is small enough, be it trusted or not."""
        return self.error <= self.wanted

    @property
    def reached(self) -> bool:
        return self.small and not self.doubts

    def expected(self, share: float) -> str:
        """The goal and the error that is to be expected with so many times the configurations, as text."""
        return f"{self.goal.name}: error {self.error / math.sqrt(share):.2g} of {self.wanted:.2g} wanted"


def goals_of(error: Any) -> list[Goal]:
    """The goals that a user gives.

    Args:
        error: numbers, or texts such as "1%" or "1e-6", by name.

    Raises:
        ValueError: for anything else, or an error that is not positive.
    """
    if not isinstance(error, Mapping) or not error:
        raise ValueError(f"error must be the wanted errors by name, such as {EXAMPLE}, got {described(error)}")
    return [_goal(name, size) for name, size in error.items()]


def _goal(name: Any, size: Any) -> Goal:
    if not isinstance(name, str):
        raise ValueError(f"error must have names of quantities, such as {EXAMPLE}, got {described(name)}")
    found = ENTRY.fullmatch(name)
    quantity, entry = (found[1], int(found[2])) if found else (name, None)
    if quantity in DIAGNOSTICS:
        raise ValueError(
            f"{name} describes the samples and is no quantity of the system, so no error of it can be asked for: leave "
            f"it out"
        )
    text = str(size).strip()
    relative = isinstance(size, str) and text.endswith("%")
    try:
        number = math.nan if isinstance(size, bool) else float(text.removesuffix("%")) / (100 if relative else 1)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"the error of {name} must be a positive number, or a percentage such as 1%, got {size!r}")
    return Goal(quantity, number, relative, entry)


def check_known(goals: Sequence[Goal], names: Iterable[str]) -> None:
    """Check, before anything is computed, that there can be the quantities whose errors are asked for.

    Args:
        goals: the goals.
        names: names of all estimates that there may be.

    Raises:
        ValueError: for a quantity that is not among them.
    """
    names = list(names)
    for goal in goals:
        if goal.quantity not in names:
            raise _unknown(goal, names)


def _unknown(goal: Goal, askable: Sequence[str], by: str = "") -> ValueError:
    hint = did_you_mean(goal.quantity, askable) or f"; there are {', '.join(askable)}"
    return ValueError(f"there is no estimate {goal.quantity!r}{by} whose error could be asked for{hint}")


def check_names(goals: Sequence[Goal], results: Sequence[Estimates]) -> None:
    """Check that estimates have the quantities whose errors are asked for.

    Raises:
        ValueError: for a name that they lack, an entry that an array lacks, or a quantity that is known exactly.
    """
    for goal in goals:
        for result in results:
            askable = [name for name in result if name not in DIAGNOSTICS]
            if goal.quantity not in result:
                raise _unknown(goal, askable, f" by method {result.method!r}" if result.method else "")
            estimate = result[goal.quantity]
            if goal.entry is not None and not np.ndim(estimate.value):
                raise ValueError(f"{goal.quantity} is one number, got {goal.name}: leave [{goal.entry}] out")
            if goal.entry is not None and goal.entry >= np.size(estimate.value):
                raise ValueError(f"{goal.quantity} has the entries 0 to {np.size(estimate.value) - 1}, got {goal.name}")
            if estimate.fixed:
                raise ValueError(
                    f"{goal.quantity} is {estimate.value:g} in every configuration and has no error: leave it out"
                )


def standing_of(goal: Goal, results: Sequence[Estimates]) -> Standing:
    """How far estimates are from a goal; of several temperatures, where they are farthest from it."""
    standings = [_standing(goal, result) for result in results]
    return max(standings, key=lambda each: (not each.reached, each.needed))


def _standing(goal: Goal, result: Estimates) -> Standing:
    estimate, n = result[goal.quantity], result.n
    wanted, verdict = goal.wanted(estimate), estimate.verdict
    doubts = dict.fromkeys((*estimate.objections, *estimate.doubts))
    if verdict == NOT_TRUSTED:
        doubts |= dict.fromkeys(verdict.reasons)
    errors, values = goal.part(estimate.error), goal.part(estimate.value)
    constant: Bools = still(values, errors)
    if not constant.all():
        error = float(np.nanmax(np.where(constant, 0.0, errors))) if np.isfinite(errors).any() else math.inf
        needed = n * (error / wanted / AIM) ** 2 if wanted else math.inf
    elif verdict == TRUSTED:
        error, needed = 0.0, 0.0
    else:  # nothing varied, so there is no error: what may be missing stands for it
        missing = unseen_probability(n * estimate.ess)
        reach = (
            math.inf
            if estimate.reach is None
            else float(np.max(goal.part(np.broadcast_to(estimate.reach, values.shape))))
        )
        error = missing * reach
        needed = n * error / wanted if wanted else math.inf
        if error > wanted:
            doubts[f"no variation in {n:,} configurations"] = None
    needed = max(needed, 2.0 * n) if doubts else needed
    return Standing(goal, error, wanted, needed, tuple(doubts), result.temperature)
