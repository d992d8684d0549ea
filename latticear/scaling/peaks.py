"""Maxima of a quantity for each size, and how they grow and move with the size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from latticear.estimation.numbers import with_error
from latticear.scaling.averages import Model, averaged, quality
from latticear.scaling.corrections import ALLOWED, Correction
from latticear.scaling.curve import Curve, check_curves
from latticear.scaling.limit import Limit, limit_of
from latticear.scaling.polynomials import LocalPolynomial, local_polynomials
from latticear.scaling.powers import PowerLaw, power_law
from latticear.tables import Table

__all__ = ["Peak", "Peaks", "peak_of", "peaks", "scaling_of"]

N_GRID = 401

HIGHER = 2
"""By how much the degree of a polynomial is raised for its maximum."""


class Peak(NamedTuple):
    """The maximum of a quantity of one size.

    Attributes:
        size: L.
        temperature, error: where it is.
        height, height_error: the value there.
        chi2, dof: quality of the best polynomial.
        fit: the best polynomial; None if the maximum is that of reweighted histograms.
        warnings: reasons not to trust it.
    """

    size: float
    temperature: float
    error: float
    height: float
    height_error: float
    chi2: float = 0.0
    dof: int = 0
    fit: LocalPolynomial | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Peaks:
    """Maxima of several sizes.

    Attributes:
        peaks: by ascending size; sizes without a maximum inside their temperatures are left out.
        growth: the power of L with which the heights grow; None for fewer than two sizes.
        logarithm: the same as `a + b ln L`.
        critical_temperature: limit of the temperatures, which approach T_c as `L^(-1/nu)`; None for fewer than two.
        warnings: reasons not to trust them, and sizes that are left out.
    """

    peaks: tuple[Peak, ...]
    growth: PowerLaw | None
    logarithm: PowerLaw | None
    critical_temperature: Limit | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        names = ("size", "temperature", "error", "height", "height_error", "chi2", "dof")
        fits = {name: getattr(self, name) for name in ("growth", "logarithm", "critical_temperature")}
        return {
            "peaks": [{name: getattr(peak, name) for name in names} for peak in self.peaks],
            **{name: None if fit is None else fit._asdict() for name, fit in fits.items()},
            "warnings": list(self.warnings),
        }

    def table(self) -> Table:
        """The maxima as a table of text."""
        rows = [
            (
                f"{peak.size:g}",
                with_error(peak.temperature, peak.error),
                with_error(peak.height, peak.height_error),
                f"{peak.chi2:.2g}/{peak.dof}",
            )
            for peak in self.peaks
        ]
        notes = []
        if self.growth is not None and self.logarithm is not None:
            law = self.logarithm
            notes.append(f"height ~ L^k, k = {self.growth}")
            notes.append(f"or height = a + b ln L, b = {law}")
        if self.critical_temperature is not None:
            notes.append(f"T_c = {self.critical_temperature}")
        return Table("maxima", ("L", "T", "height", "chi^2/dof"), rows, notes, self.warnings)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def peaks(
    curves: Iterable[Curve],
    *,
    exponent: float | tuple[float, float] = (0.5, 2.0),
    correction: Correction = ALLOWED,
) -> Peaks:
    """Position and height of the maximum of each size, and their dependence on L.

    Polynomials of low order are fitted to the points around the largest value. Position and height are averages over
    the numbers of points and the degrees (`latticear.scaling.averages`), with errors by linear propagation and the
    scatter between the fits. They are those of polynomials whose degree is higher by two than that by which they are
    weighed: a polynomial that agrees with the points within errors may still be a good part of an error too low at the
    maximum. The heights are fitted by `a L^k`, with k = gamma/nu for the susceptibility and alpha/nu
    for the heat capacity, and by `a + b ln L`, the law of the heat capacity where alpha = 0; `chi2` says which fits.

    Args:
        curves: a curve for each size, with four temperatures or more.
        exponent: 1/nu, with which the temperatures of the maxima approach T_c, or its range.
        correction: corrections to the power law of the heights, as for `power_law`.

    Raises:
        ValueError: for no curves, or fewer than four temperatures of a size.

    Example:
        >>> t = np.linspace(2.1, 2.5, 9)
        >>> data = [Curve(L, t, L**1.75 / (1 + ((t - 2.27) * L - 0.8) ** 2 / 20), 0.01) for L in (4, 8)]
        >>> found = peaks(data)
        >>> print(f"{found.growth.exponent:.2f}, {found.peaks[0].temperature:.2f}")
        1.75, 2.47
    """
    found, warnings = [], []
    for curve in check_curves(curves, least_sizes=1, least_points=4):
        try:
            found.append(peak_of(curve))
        except ArithmeticError as error:
            warnings.append(str(error))
    return scaling_of(found, exponent=exponent, correction=correction, warnings=warnings)


def scaling_of(
    found: Iterable[Peak],
    *,
    exponent: float | tuple[float, float] = (0.5, 2.0),
    correction: Correction = ALLOWED,
    warnings: Iterable[str] = (),
) -> Peaks:
    """How maxima depend on L; `peaks` finds them in curves, `Reweighting.peak` in histograms."""
    by_size = sorted(found, key=lambda peak: peak.size)
    said = [*warnings, *(warning for peak in by_size for warning in peak.warnings)]
    if len(by_size) < 2:
        return Peaks(tuple(by_size), None, None, None, tuple(said))
    sizes = [peak.size for peak in by_size]
    t, dt, height, dh = (
        np.array([getattr(peak, name) for peak in by_size])
        for name in ("temperature", "error", "height", "height_error")
    )
    growth = power_law(sizes, height, dh, correction=correction) if (height > 0).all() else None
    logarithm = power_law(sizes, height, dh, logarithmic=True)
    if growth is not None:
        said += growth.warnings if logarithm.warnings else ()
    limit = limit_of(sizes, t, np.diag(dt**2), exponent)
    return Peaks(tuple(by_size), growth, logarithm, limit, (*said, *limit.warnings))


def peak_of(curve: Curve) -> Peak:
    """The maximum of one curve.

    Raises:
        ArithmeticError: if the largest value lies at an end of the temperatures, or no polynomial has a maximum.
    """
    top = int(curve.value.argmax())
    ends = f"from T = {curve.temperature[0]:g} to {curve.temperature[-1]:g}"
    if top in (0, len(curve) - 1):
        raise ArithmeticError(f"L = {curve.size:g} has no maximum inside its temperatures, {ends}")
    centre = float(curve.temperature[top])
    fits = local_polynomials(curve, centre, 2)
    pairs = [(fit, raised) for fit in fits if (raised := fit.raised(curve, HIGHER)) is not None]
    tops = [
        found for pair in pairs or zip(fits, fits, strict=True) if (found := _top(curve, *pair, centre)) is not None
    ]
    if not tops:
        raise ArithmeticError(f"L = {curve.size:g}: no polynomial has a maximum around T = {centre:g}")
    mean, covariance, model = averaged([found.model for found in tops])
    best = next(found.fit for found in tops if found.model is model)
    error, height_error = (float(x) for x in np.sqrt(np.diag(covariance)))
    warnings = []
    neighbours = curve.temperature[top - 1 : top + 2]
    if error > np.ptp(neighbours) / 2:
        warnings.append(
            f"L = {curve.size:g}: the maximum is not resolved; take more configurations, or temperatures further apart"
        )
    if not pairs and not curve.is_exact:
        warnings.append(
            f"L = {curve.size:g}: {len(curve)} temperatures are too few to say by how much the height of the maximum "
            f"comes out too low; add some around it"
        )
    if not best.describes:
        warnings.append(
            f"L = {curve.size:g}: no polynomial describes the points around the maximum: "
            f"{quality(best.chi2, best.dof)}; take temperatures that are closer to it"
        )
    return Peak(
        curve.size, float(mean[0]), error, float(mean[1]), height_error, best.chi2, best.dof, best, tuple(warnings)
    )


class _Top(NamedTuple):
    """A polynomial, and the position and height of its maximum."""

    fit: LocalPolynomial
    model: Model


def _top(curve: Curve, weighed: LocalPolynomial, fit: LocalPolynomial, near: float) -> _Top | None:
    """The maximum of a polynomial nearest to a temperature; None if it has none inside the fitted points.

    Args:
        curve: the curve.
        weighed: the polynomial of lower degree by which the result is weighed.
        fit: the polynomial.
        near: the temperature.
    """
    t = np.linspace(fit.low, fit.high, N_GRID)
    slope = fit.at(t, derivative=1)
    falls = np.flatnonzero((slope[:-1] > 0) & (slope[1:] <= 0))
    if not len(falls):
        return None
    k = falls[np.abs(t[falls] - near).argmin()]
    left, right = t[k], t[k + 1]
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (middle, right) if fit.at(middle, derivative=1) > 0 else (left, middle)
    place = (left + right) / 2
    curvature = float(fit.at(place, derivative=2))
    response = np.stack([-fit.response(place, 1) / curvature, fit.response(place, 0)])  # of position and height
    if curve.covariance is None:
        covariance = (response * curve.error[fit.points] ** 2) @ response.T
    else:
        covariance = response @ curve.covariance[fit.points, fit.points] @ response.T
    values = np.array([place, float(fit.at(place))])
    n_parameters = weighed.degree + 1
    return _Top(weighed, Model(values, covariance, weighed.chi2, weighed.dof + n_parameters, n_parameters))
