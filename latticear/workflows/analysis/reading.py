"""What a scan says about each quantity: a curve for each size, and the points that are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from latticear.hamiltonians import AbstractHamiltonian
from latticear.runs.config import parse_config
from latticear.scaling import Curve
from latticear.workflows.scan.point import size_name
from latticear.workflows.scan.records import fault_of, read_point, stored_settings
from latticear.workflows.scan.refined import read_refinement
from latticear.workflows.words import verdict_of

__all__ = ["LEAST_POINTS", "LeftOut", "Scan", "read_scan"]

LEAST_POINTS = 4
"""Number of temperatures that a size needs."""

Tree = Mapping[str, Any]


class LeftOut(NamedTuple):
    """A value that is not analysed.

    Attributes:
        size: HxW.
        temperature: T.
        quantity: name of the quantity; None for all of this point.
        reason: why.
    """

    size: str
    temperature: float
    quantity: str | None
    reason: str

    def __str__(self) -> str:
        what = "" if self.quantity is None else f"{self.quantity} "
        return f"{what}{self.size} T = {self.temperature:g}: {self.reason}"


class Scan(NamedTuple):
    """The finished points of a scan.

    Attributes:
        folder: where it is.
        systems: the system of each size, by its name, ascending.
        points: the results of its finished points, `scan_run` describes them.
        n_planned: number of points of the finished scan.
        untrusted: points, by (size, temperature), whose values are not trusted, with the reason.
    """

    folder: Path
    systems: Mapping[str, AbstractHamiltonian]
    points: Sequence[Tree]
    n_planned: int
    untrusted: dict[tuple[str, float], str]

    @property
    def system(self) -> AbstractHamiltonian:
        """The system of the smallest size."""
        return next(iter(self.systems.values()))

    @property
    def sizes(self) -> list[str]:
        """The sizes that have points, ascending."""
        return list(dict.fromkeys(_size(point) for point in self.points))

    def has(self, quantity: str) -> bool:
        """Whether the quantity was measured at any point."""
        return any(quantity in point["estimates"] for point in self.points)

    def left_out(self, include_untrusted: bool) -> list[LeftOut]:
        """Points that are left out because they are not trusted."""
        if include_untrusted:
            return []
        return [LeftOut(size, t, None, f"not trusted: {reason}") for (size, t), reason in self.untrusted.items()]

    def curves(self, quantity: str, include_untrusted: bool) -> tuple[list[Curve], list[LeftOut]]:
        """A curve for each size that has enough values of a quantity, and the values that are left out.

        A size is its height, in which all lengths of the analysis are measured.
        """
        out: list[LeftOut] = []
        values: dict[str, list[tuple[float, float, float]]] = {size: [] for size in self.sizes}
        lengths = {_size(point): float(point["shape"][0]) for point in self.points}
        for point in self.points:
            size, t = _size(point), float(point["temperature"])
            if (size, t) in self.untrusted and not include_untrusted:
                continue
            entry = point["estimates"].get(quantity) or {}
            why = _fault(entry, include_untrusted)
            if why:
                out.append(LeftOut(size, t, quantity, why))
            else:
                values[size].append((t, float(entry["value"]), float(entry["error"])))
        curves = []
        for size, rows in values.items():
            if len(rows) >= LEAST_POINTS:
                curves.append(Curve(lengths[size], *zip(*rows, strict=True)))
        return curves, out


def read_scan(folder: Path) -> Scan:
    """Read the points of a scan, finished or not.

    Raises:
        ValueError: if the folder is not that of a scan, if a file in it is damaged, or for a scan of sizes of
            different shape, or of sizes with too few temperatures.
        OSError: if a file cannot be read.
    """
    settings = stored_settings(folder)
    if not settings:
        raise ValueError(f"{folder} is not the folder of a scan: make one with latticear scan ... --out {folder}")
    points = [read_point(file) for file in sorted((folder / "points").glob("*.json"))]
    points.sort(key=lambda point: (math.prod(point["shape"]), point["shape"], point["temperature"]))
    planned, temperatures = settings["sizes"], [*settings["temperatures"], *read_refinement(folder).temperatures]
    counts = {size: sum(_size(point) == size for point in points) for size in planned}
    enough = [size for size, count in counts.items() if count >= LEAST_POINTS]
    if len(enough) < min(2, len(planned)):
        found = ", ".join(f"{size}: {count}" for size, count in counts.items())
        n = len(temperatures)
        todo = "give it more" if n < LEAST_POINTS else "continue the scan with --resume"
        raise ValueError(
            f"{folder}: {'two sizes need' if len(planned) > 1 else 'one size needs'} {LEAST_POINTS} temperatures or "
            f"more{' each' if len(planned) > 1 else ''}, got {found} of {n}; {todo}"
        )
    shapes = [tuple(point["shape"]) for point in points]
    if len({height * shapes[0][1] == width * shapes[0][0] for height, width in shapes}) > 1:
        raise ValueError(f"{folder}: all sizes must have the same ratio of height to width, got {', '.join(planned)}")
    systems = {size: parse_config(settings["configs"][size]).target.system for size in planned}
    untrusted = {}
    for point in points:
        verdict = verdict_of(point["estimates"])
        if not verdict.reliable:
            untrusted[_size(point), float(point["temperature"])] = "; ".join(verdict.reasons)
    return Scan(folder, systems, points, len(planned) * len(temperatures), untrusted)


def _fault(entry: Tree, include_untrusted: bool) -> str:
    """Why a value cannot be analysed; empty if it can."""
    why = fault_of(entry)
    if not why and not include_untrusted and entry.get("verdict") == "not trusted":
        return f"not trusted: {'; '.join(entry.get('reasons', ()))}"
    return why


def _size(point: Tree) -> str:
    return size_name(tuple(point["shape"]))
