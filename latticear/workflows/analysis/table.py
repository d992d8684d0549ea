"""The table of an analysis: each result with its error, beside the exact value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from latticear.estimation.numbers import with_error
from latticear.scaling import Collapse, CriticalPoint, Peaks
from latticear.scaling.corrections import OF_HEIGHT
from latticear.tables import Table
from latticear.workflows.analysis.run import ANALYSED, SAME_INSTANCES, Analysis

__all__ = ["analysis_table"]

MOST_LINES = 8
"""Number of values that are left out up to which each has a line."""

SYMBOLS = {"beta_over_nu": "beta/nu", "gamma_over_nu": "gamma/nu", "alpha_over_nu": "alpha/nu"}


class Row(NamedTuple):
    """A result: what it is, value, error, exact value or None, and chi^2/dof as text."""

    name: str
    value: float
    error: float
    exact: float | None
    quality: str

    @property
    def cells(self) -> tuple[str, ...]:
        known = "" if self.exact is None else f"{self.exact:.6g}"
        off = "" if self.exact is None or self.error <= 0 else f"{(self.value - self.exact) / self.error:+.1f} sigma"
        return self.name, with_error(self.value, self.error), known, off, self.quality


def analysis_table(analysis: Analysis) -> Table:
    """One table of all results, with notes about what was left out."""
    scan, known = analysis.scan, analysis.known
    rows = [row.cells for row in _rows(analysis)]
    notes = []
    if len(scan.points) < scan.n_planned:
        notes.append(f"unfinished: {len(scan.points)} of {scan.n_planned} points")
    if known is not None:
        notes.append(f"exact: {known.source}{'; ' + known.remark if known.remark else ''}")
    if analysis.collapses or any(tops.growth for tops in analysis.peaks.values()):
        notes.append(
            f"errors contain corrections to scaling of {OF_HEIGHT:.0%} at the smallest size, as far as the data allow "
            f"them; analysis.json has their part"
        )
    if scan.over_instances:
        notes.append(SAME_INSTANCES)
    if len(scan.sizes) == 1:
        notes.append("one size: T_c and exponents need two or more")
    notes += [f"left out: {entry}" for entry in analysis.left_out[:MOST_LINES]]
    if len(analysis.left_out) > MOST_LINES:
        notes.append(f"left out: {len(analysis.left_out) - MOST_LINES} more, which analysis.json lists")
    title = f"{type(scan.system.joint).__name__}, {', '.join(scan.sizes)}"
    return Table(title, ("result", "value", "exact", "deviation", "chi^2/dof"), rows, notes, analysis.warnings)


def _rows(analysis: Analysis) -> Iterator[Row]:
    known = analysis.known
    t_c = None if known is None else known.temperature
    for name, crossed in analysis.crossings.items():
        for crossing in crossed.crossings:
            sizes = " and ".join(f"{size:g}" for size in crossing.sizes)
            place = f"{name}, crossing of {sizes}"
            yield Row(f"T of {place}", crossing.temperature, crossing.error, None, _ratio(crossing.chi2, crossing.dof))
            yield Row(f"value of {place}", crossing.value, crossing.value_error, None, "")
        if (limit := crossed.critical_temperature) is not None:
            yield Row(f"T_c, crossings of {name}", limit.value, limit.error, t_c, _ratio(limit.chi2, limit.dof))
    for name, found in analysis.collapses.items():
        yield from _of_collapse(name, found, known)
    for name, tops in analysis.peaks.items():
        yield from _of_peaks(name, tops, known)


def _of_collapse(name: str, found: Collapse, known: CriticalPoint | None) -> Iterator[Row]:
    fit, of = _ratio(found.chi2, found.dof), f"collapse of {name}"
    yield Row(f"T_c, {of}", *found.critical_temperature, None if known is None else known.temperature, fit)
    yield Row(f"1/nu, {of}", *found.inverse_nu, None if known is None else known.inverse_nu, fit)
    way = ANALYSED[name]
    if not way.exponent:
        return
    ratio = found.exponent.value / way.sign
    exact = None if known is None else getattr(known, way.exponent)
    yield Row(f"{SYMBOLS[way.exponent]}, {of}", ratio, found.exponent.error / abs(way.sign), exact, fit)
    inverse_nu = found.inverse_nu.value
    gradient = 1 / (way.sign * inverse_nu), -ratio / inverse_nu**2  # of the ratio nu, by kappa and by 1/nu
    covariance = found.covariance
    variance = (
        gradient[0] ** 2 * covariance[2, 2]
        + gradient[1] ** 2 * covariance[1, 1]
        + 2 * gradient[0] * gradient[1] * covariance[1, 2]
    )
    symbol = SYMBOLS[way.exponent].removesuffix("/nu")
    exact = None if known is None or exact is None else exact / known.inverse_nu
    yield Row(f"{symbol}, {of}", ratio / inverse_nu, math.sqrt(max(variance, 0.0)), exact, fit)


def _of_peaks(name: str, tops: Peaks, known: CriticalPoint | None) -> Iterator[Row]:
    for peak in tops.peaks:
        fit = _ratio(peak.chi2, peak.dof)
        yield Row(f"T of the maximum of {name}, L = {peak.size:g}", peak.temperature, peak.error, None, fit)
        yield Row(f"maximum of {name}, L = {peak.size:g}", peak.height, peak.height_error, None, "")
    of = f"maxima of {name}"
    exponent = ANALYSED[name].exponent
    exact = None if known is None else getattr(known, exponent)
    if tops.growth is not None and exact != 0:
        law = tops.growth
        yield Row(f"{SYMBOLS[exponent]}, {of}", law.exponent, law.error, exact, _ratio(law.chi2, law.dof))
    if tops.logarithm is not None and exponent == "alpha_over_nu" and not exact:
        law = tops.logarithm
        yield Row(f"b of a + b ln L, {of}", law.exponent, law.error, None, _ratio(law.chi2, law.dof))
    if (limit := tops.critical_temperature) is not None:
        t_c = None if known is None else known.temperature
        yield Row(f"T_c, {of}", limit.value, limit.error, t_c, _ratio(limit.chi2, limit.dof))


def _ratio(chi2: float, dof: int) -> str:
    return f"{chi2:.2g}/{dof}" if dof > 0 else ""
