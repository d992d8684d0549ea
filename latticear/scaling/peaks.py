"""Maxima of a quantity for each size, and how they grow and move with the size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from latticear.arguments import check_integer, check_seed
from latticear.arrays import Array
from latticear.estimation.numbers import with_error
from latticear.scaling.averages import quality
from latticear.scaling.curve import Curve, check_curves
from latticear.scaling.limit import Limit, limit_of
from latticear.scaling.polynomials import LocalPolynomial, local_polynomial
from latticear.scaling.powers import PowerLaw, power_law
from latticear.tables import Table

__all__ = ["Peak", "Peaks", "peak_of", "peaks", "scaling_of"]

MOST_LOST = 0.05
"""Share of replicas of the data in which the maximum may lie at the edge of the fitted points."""

N_GRID = 401


class Peak(NamedTuple):
    """The maximum of a quantity of one size.

    Attributes:
        size: L.
        temperature, error: where it is.
        height, height_error: the value there.
        chi2, dof: quality of the polynomial.
        fit: the polynomial; None if the maximum is that of reweighted histograms.
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
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Peaks:
    """Position and height of the maximum of each size, and their dependence on L.

    A polynomial of low order is fitted to the points around the largest value (`local_polynomial`); errors are those of
    a parametric bootstrap. The heights are fitted by `a L^k`, with k = gamma/nu for the susceptibility and alpha/nu for
    the heat capacity, and by `a + b ln L`, the law of the heat capacity where alpha = 0; `chi2` says which fits.

    Args:
        curves: a curve for each size, with four temperatures or more.
        exponent: 1/nu, with which the temperatures of the maxima approach T_c, or its range.
        n_bootstrap: number of replicas of the data.
        seed: seed of the replicas.

    Raises:
        ValueError: for no curves, or fewer than four temperatures of a size.

    Example:
        >>> t = np.linspace(2.1, 2.5, 9)
        >>> data = [Curve(L, t, L**1.75 / (1 + ((t - 2.27) * L - 0.8) ** 2 / 20), 0.01) for L in (4, 8)]
        >>> found = peaks(data)
        >>> print(f"{found.growth.exponent:.2f}, {found.peaks[0].temperature:.2f}")
        1.75, 2.47
    """
    rng = np.random.default_rng(check_seed(seed))
    n_bootstrap = check_integer("n_bootstrap", n_bootstrap, least=100)
    found, warnings = [], []
    for curve in check_curves(curves, least_sizes=1, least_points=4):
        try:
            found.append(peak_of(curve, curve.replicas(n_bootstrap, rng)))
        except ArithmeticError as error:
            warnings.append(str(error))
    return scaling_of(found, exponent=exponent, warnings=warnings)


def scaling_of(
    found: Iterable[Peak], *, exponent: float | tuple[float, float] = (0.5, 2.0), warnings: Iterable[str] = ()
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
    growth = power_law(sizes, height, dh) if (height > 0).all() else None
    logarithm = power_law(sizes, height, dh, logarithmic=True)
    if growth is not None:
        said += growth.warnings if logarithm.warnings else ()
    limit = limit_of(sizes, t, np.diag(dt**2), exponent)
    return Peaks(tuple(by_size), growth, logarithm, limit, (*said, *limit.warnings))


def peak_of(curve: Curve, replicas: Array) -> Peak:
    """The maximum of one curve.

    Args:
        curve: the curve.
        replicas: values of the curve with other errors, as `Curve.replicas` makes them.

    Raises:
        ArithmeticError: if the largest value lies at an end of the temperatures.
    """
    top = int(curve.value.argmax())
    ends = f"from T = {curve.temperature[0]:g} to {curve.temperature[-1]:g}"
    if top in (0, len(curve) - 1):
        raise ArithmeticError(f"L = {curve.size:g} has no maximum inside its temperatures, {ends}")
    centre = float(curve.temperature[top])
    for _ in range(2):
        fit = local_polynomial(curve, centre, least_degree=2)
        centre, height = (float(part[0]) for part in _maxima(fit, fit.coefficients[None]))
    t, y = _maxima(fit, fit.refitted(replicas))
    warnings = []
    edge = (t <= fit.low) | (t >= fit.high)
    if edge.mean() > MOST_LOST:
        warnings.append(
            f"L = {curve.size:g}: the maximum is not resolved; take more temperatures around T = {centre:.4g}"
        )
    if not fit.describes:
        warnings.append(
            f"L = {curve.size:g}: no polynomial describes the points around the maximum: {quality(fit.chi2, fit.dof)}; "
            f"take temperatures that are closer to it"
        )
    return Peak(curve.size, centre, float(t.std()), height, float(y.std()), fit.chi2, fit.dof, fit, tuple(warnings))


def _maxima(fit: LocalPolynomial, coefficients: Array) -> tuple[Array, Array]:
    """Positions and heights of the maxima of polynomials `(n, degree + 1)` between the first and last fitted point."""
    grid = np.linspace(fit.low, fit.high, N_GRID)
    values = np.stack([fit.at(np.full(len(coefficients), t), coefficients) for t in grid])
    k = np.clip(values.argmax(axis=0), 1, N_GRID - 2)
    t = grid[k]
    for _ in range(3):  # Newton steps to the zero of the derivative
        slope, curvature = (fit.at(t, coefficients, order) for order in (1, 2))
        step = np.where(curvature < 0, slope / np.where(curvature == 0, 1, curvature), 0)
        t = np.clip(t - step, grid[k - 1], grid[k + 1])
    return t, fit.at(t, coefficients)
