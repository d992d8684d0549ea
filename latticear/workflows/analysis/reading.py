"""What a scan says about each quantity: a curve for each size, and the points that are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latticear.arrays import Array
from latticear.hamiltonians import AbstractHamiltonian
from latticear.runs.config import parse_config, stored_config
from latticear.runs.trees import DIGEST
from latticear.scaling import Curve
from latticear.workflows.scan.point import size_name
from latticear.workflows.scan.records import fault_of, read_point, stored_settings
from latticear.workflows.scan.refined import read_refinement
from latticear.workflows.words import verdict_of

__all__ = ["LEAST_POINTS", "LeftOut", "Scan", "read_scan"]

LEAST_POINTS = 4
"""Number of temperatures that a size needs."""

DIVIDED = {"glass_correlation_length_per_size": "glass_correlation_length"}
"""Quantities that are others divided by the extent L."""

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
        over_instances: whether the points are averages over instances, the same ones at all temperatures of a size.
    """

    folder: Path
    systems: Mapping[str, AbstractHamiltonian]
    points: Sequence[Tree]
    n_planned: int
    untrusted: dict[tuple[str, float], str]
    over_instances: bool = False

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
        return any(DIVIDED.get(quantity, quantity) in point["estimates"] for point in self.points)

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
        taken: dict[str, list[Tree]] = {size: [] for size in self.sizes}
        for point in self.points:
            size, t = _size(point), float(point["temperature"])
            if (size, t) in self.untrusted and not include_untrusted:
                continue
            entry = point["estimates"].get(DIVIDED.get(quantity, quantity)) or {}
            why = _fault(entry, include_untrusted)
            if why:
                out.append(LeftOut(size, t, quantity, why))
            else:
                taken[size].append(point)
        return [_curve(quantity, points) for points in taken.values() if len(points) >= LEAST_POINTS], out


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
    systems = {size: _system(folder, size, settings["configs"][size]) for size in planned}
    untrusted = {}
    for point in points:
        verdict = verdict_of(point["estimates"])
        if not verdict.reliable:
            untrusted[_size(point), float(point["temperature"])] = "; ".join(verdict.reasons)
    n_planned, over_instances = len(planned) * len(temperatures), bool(settings.get("instances"))
    return Scan(folder, systems, points, n_planned, untrusted, over_instances)


def _system(folder: Path, size: str, config: dict[str, Any]) -> AbstractHamiltonian:
    """The system of a size; one that has couplings of a file is read from one of its runs."""
    if DIGEST in config["hamiltonian"]:
        return stored_config(next((folder / size).rglob("run.toml"))).target.system
    space: Any = parse_config(config).target.space
    return space  # for a network for all instances, the disorder of which they are


def _curve(quantity: str, points: Sequence[Tree]) -> Curve:
    """The curve of one size, with the covariance of averages over the same instances."""
    name = DIVIDED.get(quantity, quantity)
    shape, unit = points[0]["shape"], 1.0
    if quantity in DIVIDED:
        unit = max(shape)
    value, error = (np.array([point["estimates"][name][key] for point in points]) / unit for key in ("value", "error"))
    return Curve(shape[0], [point["temperature"] for point in points], value, error, _covariance(name, points, unit))


def _covariance(name: str, points: Sequence[Tree], unit: float) -> Array | None:
    """The covariance of averages, by a jackknife over the instances that they share; None for one system."""
    instances = [[row["digest"] for row in point.get("instances", ())] for point in points]
    if not instances[0] or any(each != instances[0] for each in instances):
        return None
    left = np.array([point["without"][name] for point in points], dtype=np.float64) / unit
    n = left.shape[1]
    return np.atleast_2d(np.cov(left)) * (n - 1) ** 2 / n


def _fault(entry: Tree, include_untrusted: bool) -> str:
    """Why a value cannot be analysed; empty if it can."""
    why = fault_of(entry)
    if not why and not include_untrusted and entry.get("verdict") == "not trusted":
        return f"not trusted: {'; '.join(entry.get('reasons', ()))}"
    return why


def _size(point: Tree) -> str:
    return size_name(tuple(point["shape"]))
