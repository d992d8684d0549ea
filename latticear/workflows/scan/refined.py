"""Further temperatures of a scan, chosen in rounds from the results so far; all sizes take the same ones.

    OUT/refined.json              how many are wanted, and the temperatures of each round with what they were chosen for

A round is chosen when all points before it are finished, and written before its points are computed, so that a scan
that is continued has the same temperatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from latticear.runs.trees import Tree
from latticear.scaling import Curve, Feature, features_of, next_temperatures
from latticear.workflows.scan.plan import Plan, refined_point
from latticear.workflows.scan.point import Point, Shape
from latticear.workflows.scan.records import fault_of, read_point, read_record, write_record
from latticear.workflows.words import verdict_of

__all__ = ["REFINED", "Refinement", "all_points", "check_number", "choose_round", "read_refinement", "want"]

REFINED = "refined.json"

MOST = 1000
"""Largest number of further temperatures."""

CROSSING = ("binder_cumulant", "correlation_length_per_size")
PEAKED = ("susceptibility", "heat_capacity_per_site")
"""Quantities whose crossings are looked for, and those whose maxima are if there are none."""

LEAST_TRUSTED = 4
"""Number of temperatures of a size that must be trusted, or else all are taken."""


class Refinement(NamedTuple):
    """The further temperatures of a scan.

    Attributes:
        wanted: how many there shall be.
        rounds: for each round, the `temperatures` that were chosen, and `features`, what they were chosen for, as text.
    """

    wanted: int = 0
    rounds: Sequence[Tree] = ()

    @property
    def temperatures(self) -> list[float]:
        """All that were chosen so far, in this order."""
        return [float(t) for each in self.rounds for t in each["temperatures"]]

    @property
    def missing(self) -> int:
        """How many are still to be chosen."""
        return self.wanted - len(self.temperatures)


def read_refinement(out: Path) -> Refinement:
    """The further temperatures of the scan in a folder; none if there is no file.

    Raises:
        ValueError: if the file is damaged.
    """
    if not (out / REFINED).exists():
        return Refinement()
    remedy = "remove it and continue with --resume and --refine, which chooses them again"
    content = read_record(out / REFINED, ("wanted", "rounds"), remedy)
    return Refinement(int(content["wanted"]), content["rounds"])


def want(plan: Plan, number: int) -> None:
    """Note in the folder how many further temperatures there shall be.

    Raises:
        ValueError: for a number that cannot be chosen, or one that is smaller than that of the scan so far.
    """
    check_number(plan, number)
    before = read_refinement(plan.out)
    if number < before.wanted:
        raise ValueError(
            f"{plan.out} has {before.wanted} further temperatures, got --refine {number}: --refine says how many there "
            f"are in all; give {before.wanted} or more, or name another --out"
        )
    if number > before.wanted:
        _write(plan.out, before._replace(wanted=number))


def check_number(plan: Plan, number: int) -> None:
    """Raise ValueError if this many temperatures cannot be put between those of the grid."""
    temperatures = plan.settings["temperatures"]
    if not 1 <= number <= MOST:
        raise ValueError(f"--refine must be from 1 to {MOST}, the number of further temperatures, got {number}")
    if plan.instances.by_size:
        raise ValueError(
            "--refine chooses temperatures from the results of one system of each size: leave it out with --instances, "
            "and give more temperatures"
        )
    if len(temperatures) < 2:
        raise ValueError(
            f"--refine puts temperatures between others, and the grid has T = {temperatures[0]:g} alone: give "
            f"--temperature LOW:HIGH:N"
        )


def all_points(plan: Plan, n_rounds: int | None = None) -> list[Point]:
    """The points of the grid and of the first rounds, in the order of the table: by size, then by temperature.

    Args:
        plan: the plan of the grid.
        n_rounds: number of rounds; None for all so far.
    """
    points, number = plan.points, len(plan.points)
    for each in read_refinement(plan.out).rounds[:n_rounds]:
        new = []
        for t in each["temperatures"]:
            new += [refined_point(plan, shape, t, number + k, points) for k, shape in enumerate(plan.later)]
            number += len(plan.later)
        points = points + new
    order = {shape: k for k, shape in enumerate(plan.later)}
    return sorted(points, key=lambda point: (order[point.shape], point.temperature))


def choose_round(plan: Plan) -> str:
    """Choose the temperatures of the next round, and write them; all points so far must be finished.

    Returns:
        What was chosen and why, as a line.

    Raises:
        ArithmeticError: if there is neither a crossing nor a maximum.
    """
    before = read_refinement(plan.out)
    done = [read_point(point.record) for point in all_points(plan)]
    features = features_of(*(_curves(done, names) for names in (CROSSING, PEAKED)))
    present = sorted({float(point["temperature"]) for point in done})
    if not features:
        raise ArithmeticError(
            f"no crossing and no maximum lies between T = {present[0]:g} and {present[-1]:g}: no temperatures are "
            f"added; scan others in another --out"
        )
    chosen = next_temperatures(present, features, min(before.missing, _size_of_round(len(before.temperatures))))
    content = {"temperatures": chosen, "features": list(map(str, features))}
    _write(plan.out, before._replace(rounds=[*before.rounds, content]))
    return f"T = {', '.join(f'{t:g}' for t in chosen)} for the {_shortened(features)}"


def _size_of_round(n: int) -> int:
    """Two at first; half as many as there are later on, so that many come in few rounds."""
    return max(2, n // 2)


def _curves(points: Sequence[Tree], names: Sequence[str]) -> dict[str, list[Curve]]:
    """Curves of each quantity, one for each size."""
    return {name: [_curve(name, shape, points) for shape in _shapes(points)] for name in names}


def _curve(name: str, shape: Shape, points: Sequence[Tree]) -> Curve:
    """The curve of one size: of the values that are trusted, or of all if these are few."""
    here = [
        point for point in points if tuple(point["shape"]) == shape and not fault_of(point["estimates"].get(name, {}))
    ]
    trusted = [point for point in here if verdict_of(point["estimates"]).reliable]
    taken = trusted if len(trusted) >= LEAST_TRUSTED else here
    value, error = ([point["estimates"][name][key] for point in taken] for key in ("value", "error"))
    return Curve(shape[0], [point["temperature"] for point in taken], value, error)


def _shapes(points: Sequence[Tree]) -> list[Shape]:
    return list(dict.fromkeys(tuple(point["shape"]) for point in points))


def _shortened(features: Sequence[Feature]) -> str:
    return f"{features[0]}" + (f" and {len(features) - 1} more" if len(features) > 1 else "")


def _write(out: Path, refinement: Refinement) -> None:
    write_record(out / REFINED, refinement._asdict())
