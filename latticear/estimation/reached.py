"""What was reached of the errors that were wanted, and how estimates say it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from latticear.estimation.estimates import Estimates
from latticear.estimation.goals import Standing
from latticear.estimation.limits import MOST, Limits
from latticear.estimation.quantity import Estimate
from latticear.estimation.verdict import NOT_TRUSTED

__all__ = ["DOUBLINGS", "Reached", "state_precision"]

DOUBLINGS = 3
"""How often a set is doubled whose errors are small enough but not trusted."""


class Reached(NamedTuple):
    """How a computation to a wanted precision has ended.

    Attributes:
        results: the estimates, one for each temperature.
        standings: how far each of them is from each goal.
        ended: why no more was drawn: "reached", "n", "minutes", "not trusted", "years", or "used up" where the
            configurations that were given did not suffice.
        left_out: number of configurations of the pilot, which came first.
    """

    results: list[Estimates]
    standings: list[list[Standing]]
    ended: str
    left_out: int


def state_precision(reached: Reached, limits: Limits) -> None:
    """Write into estimates what was wanted and what was reached, once all that speaks against them is known.

    Args:
        reached: how the computation ended; its estimates get remarks, and the attributes `wanted` and `reached`.
        limits: where it would have ended.
    """
    for result, standings in zip(reached.results, reached.standings, strict=True):
        lines, missed = [], False
        for standing in standings:
            name = standing.goal.quantity
            line, is_reached = _said(standing, result[name])
            lines.append(line)
            missed |= not is_reached
            is_reached &= result[name].reached is not False  # another entry of the same array may have missed
            result[name] = replace(result[name], wanted=standing.wanted, reached=is_reached)
        if missed:
            lines.append(_why(reached.ended, limits))
        if reached.left_out:
            lines.append(f"left out: a pilot of {reached.left_out:,} configurations, which came first")
            result.diagnostics["left_out"] = reached.left_out
        result.remarks = (*result.remarks, *lines)


def _said(standing: Standing, estimate: Estimate) -> tuple[str, bool]:
    """What there is to say of a goal, and whether it is reached."""
    head = f"{standing.goal}: error {standing.error:.2g}"
    if standing.goal.relative:
        head += f" of {standing.wanted:.2g}"
    if not standing.small:
        return f"{head}, not reached, which needs about {standing.needed:.2g} configurations", False
    doubts = standing.doubts or (estimate.verdict.reasons if estimate.verdict == NOT_TRUSTED else ())
    if doubts:
        return f"{head}, not reached, since it cannot be trusted: {'; '.join(doubts)}", False
    return f"{head}, reached", True


def _why(ended: str, limits: Limits) -> str:
    """Why no more configurations were drawn."""
    return {
        "n": f"stopped at the largest number of configurations, {limits.largest:,}"
        + (" (the memory of this machine)" if limits.largest == limits.most < MOST else ""),
        "minutes": f"stopped after {limits.minutes or 0:.3g} minutes",
        "used up": "stopped because the configurations that were given are used up",
        "not trusted": f"stopped because the errors stayed untrusted in {2**DOUBLINGS} times as many configurations",
        "years": "stopped because the rest would take years",
        "reached": "more configurations would not help",
    }[ended]
