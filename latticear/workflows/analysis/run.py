"""`latticear analyse`: what a scan of several sizes says about the critical point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from latticear.arguments import did_you_mean
from latticear.estimation.estimates import Estimates
from latticear.scaling import (
    Collapse,
    CriticalPoint,
    Crossings,
    Curve,
    Peaks,
    Thermodynamics,
    collapse,
    crossings,
    known_critical_point,
    peaks,
    thermodynamics,
)
from latticear.workflows.analysis.reading import LEAST_POINTS, LeftOut, Scan, read_scan
from latticear.workflows.scan.point import size_name

__all__ = ["ANALYSED", "DEFAULT", "Analysis", "analyse_scan"]

Result = TypeVar("Result")

SAME_INSTANCES = (
    "averages over the same instances at all temperatures: no collapses and no curves over T, whose errors would take "
    "the temperatures to be independent"
)


class Way(NamedTuple):
    """How a quantity scales.

    Attributes:
        crosses: whether it is dimensionless, so that curves of two sizes cross at T_c.
        collapses: whether a data collapse is tried.
        has_peak: whether it has a maximum near T_c.
        exponent: name of the ratio of exponents, as that of `CriticalPoint`; empty for a dimensionless quantity.
        sign: kappa in units of that ratio.
    """

    crosses: bool
    collapses: bool
    has_peak: bool
    exponent: str
    sign: int


ANALYSED = {
    "binder_cumulant": Way(True, True, False, "", 0),
    "abs_magnetization": Way(False, True, False, "beta_over_nu", -1),
    "magnetization_squared": Way(False, True, False, "beta_over_nu", -2),
    "susceptibility": Way(False, True, True, "gamma_over_nu", 1),
    "heat_capacity_per_site": Way(False, False, True, "alpha_over_nu", 1),
    "correlation_length_per_size": Way(True, True, False, "", 0),
    "overlap_binder_cumulant": Way(True, True, False, "", 0),
    "glass_correlation_length_per_size": Way(True, True, False, "", 0),
}
"""The quantities that can be analysed."""

DEFAULT = (
    "binder_cumulant",
    "correlation_length_per_size",
    "abs_magnetization",
    "susceptibility",
    "heat_capacity_per_site",
    "overlap_binder_cumulant",
    "glass_correlation_length_per_size",
)
"""Those that are, if none is named and the scan has them."""


MEASURED_BY = {"overlap_binder_cumulant": "overlap", "glass_correlation_length_per_size": "overlap"}
"""The observables that give quantities of another name."""


@dataclass
class Analysis:
    """The results of an analysis.

    Attributes:
        scan: the scan.
        known: its critical point, if that is known exactly.
        curves: by quantity, the data of each size.
        crossings, collapses, peaks: by quantity.
        thermodynamics: by size, curves over the temperature.
        left_out: values that were not analysed.
        warnings: reasons not to trust a result.
    """

    scan: Scan
    known: CriticalPoint | None
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    crossings: dict[str, Crossings] = field(default_factory=dict)
    collapses: dict[str, Collapse] = field(default_factory=dict)
    peaks: dict[str, Peaks] = field(default_factory=dict)
    thermodynamics: dict[str, Thermodynamics] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The contents of analysis.json."""
        kinds: dict[str, Any] = {"crossings": self.crossings, "collapse": self.collapses, "peaks": self.peaks}
        return {
            "sizes": self.scan.sizes,
            "points": len(self.scan.points),
            "planned_points": self.scan.n_planned,
            "exact": None if self.known is None else self.known.to_dict(),
            **{kind: {name: result.to_dict() for name, result in found.items()} for kind, found in kinds.items()},
            "thermodynamics": {size: curves.to_dict() for size, curves in self.thermodynamics.items()},
            "left_out": [entry._asdict() for entry in self.left_out],
            "warnings": self.warnings,
        }


def analyse_scan(folder: Path, quantity: str | None = None, *, include_untrusted: bool = False) -> Analysis:
    """Critical temperature and exponents, maxima and thermodynamics from the finished points of a scan.

    With one size there are maxima and thermodynamics alone.

    Args:
        folder: folder of the scan, finished or not.
        quantity: a key of `ANALYSED`; None for the Binder cumulant, |m|, the susceptibility and the heat capacity.
        include_untrusted: whether to analyse values that are not trusted.

    Raises:
        ValueError: for a quantity that is not analysed, a folder that is no scan or has a damaged file, or a scan with
            too few sizes, temperatures or error bars; says which points are left out, and why.
        OSError: if a file cannot be read.
    """
    if quantity is not None and quantity not in ANALYSED:
        raise ValueError(
            f"quantity must be one of {', '.join(ANALYSED)}, got {quantity!r}{did_you_mean(quantity, ANALYSED)}"
        )
    scan = read_scan(folder)
    analysis = Analysis(scan, known_critical_point(scan.system), left_out=scan.left_out(include_untrusted))
    if quantity is not None and not scan.has(quantity):
        raise ValueError(
            f"{folder} has no {quantity}: latticear scan --observable {MEASURED_BY.get(quantity, quantity)} measures it"
        )
    for name in filter(scan.has, DEFAULT) if quantity is None else (quantity,):
        curves, left_out = scan.curves(name, include_untrusted)
        analysis.left_out += left_out
        if len(curves) >= min(2, len(scan.sizes)):
            analysis.curves[name] = curves
            _analyse(analysis, name, curves)
    if quantity is None and not scan.over_instances:
        _add_thermodynamics(analysis, include_untrusted)
    if not analysis.curves:
        raise ValueError(
            f"{folder}: fewer than two sizes have {LEAST_POINTS} temperatures with values to analyse; left out: "
            f"{_shortened(analysis.left_out)}"
            + ("" if include_untrusted or not scan.untrusted else "; --include-untrusted takes all values with errors")
        )
    return analysis


def _analyse(analysis: Analysis, name: str, curves: list[Curve]) -> None:
    way, start = ANALYSED[name], None
    if len(curves) < 2:
        if way.has_peak and (tops := _tried(analysis, name, lambda: peaks(curves))):
            analysis.peaks[name] = tops
        return
    if way.crosses and (crossed := _tried(analysis, name, lambda: crossings(curves))):
        analysis.crossings[name] = crossed
    for crossed in analysis.crossings.values():
        start = None if crossed.critical_temperature is None else crossed.critical_temperature.value
    low, high = max(c.temperature[0] for c in curves), min(c.temperature[-1] for c in curves)
    start = start if start is not None and low <= start <= high else None
    exponent = 0.0 if way.crosses else None
    collapses = way.collapses and not analysis.scan.over_instances
    if collapses and (found := _tried(analysis, name, lambda: collapse(curves, exponent=exponent, start=start))):
        analysis.collapses[name] = found
    if way.has_peak and (tops := _tried(analysis, name, lambda: peaks(curves))):
        analysis.peaks[name] = tops


def _add_thermodynamics(analysis: Analysis, include_untrusted: bool) -> None:
    """Curves over T of each size, for which that can be computed."""
    scan = analysis.scan
    for size in scan.sizes:
        points = [
            Estimates.from_dict(point["estimates"], math.prod(point["shape"]))
            for point in scan.points
            if size_name(tuple(point["shape"])) == size
            and (include_untrusted or (size, float(point["temperature"])) not in scan.untrusted)
        ]
        if len(points) >= LEAST_POINTS and (curves := _tried(analysis, size, partial(thermodynamics, points))):
            analysis.thermodynamics[size] = curves


def _tried(analysis: Analysis, name: str, compute: Callable[[], Result]) -> Result | None:
    """A result, whose warnings are noted; None, with the reason noted, where it cannot be computed."""
    try:
        result = compute()
    except ValueError as error:
        analysis.warnings.append(f"{name}: {error}")
        return None
    found = getattr(result, "warnings", ())
    analysis.warnings += [line for warning in found if (line := f"{name}: {warning}") not in analysis.warnings]
    return result


def _shortened(left_out: list[LeftOut]) -> str:
    shown = "; ".join(map(str, left_out[:3]))
    return f"{shown}; and {len(left_out) - 3} more" if len(left_out) > 3 else shown or "nothing"
