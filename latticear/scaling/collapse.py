"""Data collapse: the critical temperature and exponents with which all sizes lie on one curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import least_squares

from latticear.arrays import Array, Ints
from latticear.estimation.numbers import with_error
from latticear.scaling.averages import LEAST_P, Model, averaged, p_value, quality
from latticear.scaling.corrections import ALLOWED, OF_HEIGHT, Allowance, Correction, allowance_of
from latticear.scaling.curve import Curve, check_curves
from latticear.tables import Table

__all__ = ["Collapse", "Parameter", "collapse"]

NAMES = ("critical_temperature", "inverse_nu", "exponent")

WINDOWS = tuple(0.7**k for k in range(9))
"""Widths of the part of the scaling variable around T_c that is fitted, as fractions of the widest."""

LEAST_DEGREE, MAX_DEGREE = 2, 12
STARTS = (1.0, 0.6, 1.6)
"""Values of 1/nu from which the search begins."""

INVERSE_NU, EXPONENT, CURVATURE = (0.1, 5.0), 5.0, 5.0
"""Range of 1/nu, and largest absolute values of the exponent and the curvature of the scaling variable."""

N_LINE = 3
"""Number of coefficients of the polynomial that each correction is multiplied with."""

TOLERANCE = {"ftol": 1e-6, "xtol": 1e-6}
"""Changes of chi^2 and of the parameters at which a fit ends, relative to them."""

SPARE = 3
"""Least number of degrees of freedom of a fit."""


class Parameter(NamedTuple):
    """A fitted number with its error.

    Attributes:
        value: the number.
        error: one standard deviation; 0 if the number was given.
    """

    value: float
    error: float

    def __str__(self) -> str:
        return with_error(self.value, self.error)


@dataclass(frozen=True)
class Collapse:
    """A data collapse `y L^-kappa = f((T - T_c) L^(1/nu))`.

    Attributes:
        critical_temperature: T_c.
        inverse_nu: 1/nu.
        exponent: kappa: 0 for a dimensionless quantity, -beta/nu for |m|, gamma/nu for the susceptibility.
        covariance: of these three.
        systematic: the part of the error of each that is due to corrections to scaling.
        chi2, dof: quality of the best fit.
        degree: degree of its master curve.
        window: range of `x = (T - T_c) L^(1/nu)` that the best fit covers, (lowest, highest).
        smallest_size: the smallest size in the best fit.
        n_models: number of fits over which was averaged.
        coefficients: of the master curve of the best fit, in Chebyshev polynomials of x divided by `scale`.
        best: T_c, 1/nu and kappa of the best fit, to which the coefficients belong.
        scale: the unit of x for the coefficients.
        curvature: c of the scaling variable `x = u L^(1/nu)`, `u = (T - T_c) (1 + c (T - T_c) / T_c)`, of the best fit.
        warnings: reasons not to trust it.
    """

    critical_temperature: Parameter
    inverse_nu: Parameter
    exponent: Parameter
    covariance: Array
    systematic: tuple[float, float, float]
    chi2: float
    dof: int
    degree: int
    window: tuple[float, float]
    smallest_size: float
    n_models: int
    coefficients: Array
    best: tuple[float, float, float]
    scale: float
    curvature: float
    warnings: tuple[str, ...]

    def scaled(self, curve: Curve) -> Curve:
        """The points of a curve in the variables of the best fit, `(T - T_c) L^(1/nu)` and `y L^-kappa`."""
        _, inverse_nu, kappa = self.best
        theta = np.array([*self.best, self.curvature])
        x, factor = _bent(curve.temperature, theta) * curve.size**inverse_nu, curve.size**-kappa
        return Curve(curve.size, x, curve.value * factor, curve.error * factor)

    def master(self, x: Array) -> Array:
        """The master curve f(x) of the best fit."""
        return np.asarray(chebyshev.chebval(x / self.scale, self.coefficients), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {name: getattr(self, name)._asdict() for name in NAMES} | {
            "covariance": self.covariance.tolist(),
            "systematic": dict(zip(NAMES, self.systematic, strict=True)),
            "chi2": self.chi2,
            "dof": self.dof,
            "degree": self.degree,
            "window": list(self.window),
            "smallest_size": self.smallest_size,
            "n_models": self.n_models,
            "warnings": list(self.warnings),
        }

    def table(self) -> Table:
        """The parameters as a table of text."""
        rows = [
            (name, str(getattr(self, name)), f"{part:.1g}" if part else "")
            for name, part in zip(NAMES, self.systematic, strict=True)
        ]
        low, high = self.window
        note = (
            f"{quality(self.chi2, self.dof)} of the best of {self.n_models} fits: sizes from {self.smallest_size:g}, "
            f"(T - T_c) L^(1/nu) from {low:.3g} to {high:.3g}, degree {self.degree}"
        )
        return Table("data collapse", ("parameter", "value", "of it by corrections"), rows, [note], self.warnings)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def collapse(
    curves: Iterable[Curve],
    *,
    critical_temperature: float | None = None,
    inverse_nu: float | None = None,
    exponent: float | None = None,
    start: float | None = None,
    correction: Correction = ALLOWED,
) -> Collapse:
    """T_c, 1/nu and the exponent kappa with which `y L^-kappa` of all sizes is one function of `(T - T_c) L^(1/nu)`.

    The function is a polynomial, fitted by weighted least squares together with the parameters (its coefficients, which
    are linear, are eliminated). How many points around T_c are fitted, how many small sizes are left out and the degree
    are not decided: the result is an average over all these fits, each with the weight `exp(-(chi^2 + 2 k - 2 n) / 2)`
    (`latticear.scaling.averages`), so that an error contains the scatter between them. The error of a single fit is
    that of the linearised fit (the inverse of the Hessian).

    Corrections to scaling are part of each fit, `y L^-kappa = f(x) + sum_k L^-omega_k g_k(x)` with parabolas g_k. Their
    exponents are hardly ever determined, so two are taken, 0.8 and 1.75; their amplitudes are fitted, with a normal
    prior of standard deviation 10 % of height and slope at the smallest size.
    Far from T_c the scaling variable is not linear in T: x has a second order in T - T_c, whose coefficient in units of
    1/T_c has a prior of standard deviation 1. So the errors contain what such corrections can do, as far as the data do
    not exclude them.

    Args:
        curves: a curve for each of two or more sizes; with independent errors above zero.
        critical_temperature: T_c, if it is known; fitted otherwise.
        inverse_nu: 1/nu, if it is known.
        exponent: kappa, if it is known: 0 for the Binder cumulant.
        start: where the search for T_c begins; by default in the middle of the temperatures.
        correction: omega, if it is known: one correction with this exponent, of any amplitude; None for no corrections.

    Raises:
        ValueError: for fewer than two sizes, errors that are zero, or too few points.

    References:
        K. Slevin and T. Ohtsuki, Phys. Rev. Lett. 82 (1999) 382, for the polynomial and its corrections.
        G. P. Lepage et al., Nucl. Phys. B Proc. Suppl. 106 (2002) 12, for priors in such fits.
        G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413, for the elimination of the coefficients.

    Example:
        >>> t = np.linspace(2.1, 2.4, 7)
        >>> data = [Curve(L, t, L**-0.125 * np.exp(-0.5 * (t - 2.25) * L), 0.001) for L in (4, 8, 16)]
        >>> round(collapse(data).critical_temperature.value, 2)
        2.25
    """
    ordered = check_curves(curves)
    for curve in ordered:
        if curve.is_exact:
            raise ValueError(f"L = {curve.size:g} has no errors, and a collapse weighs each value by its error")
        if curve.covariance is not None:
            raise ValueError(
                f"L = {curve.size:g} has a covariance of its temperatures, and a collapse takes errors to be "
                f"independent: leave it out"
            )
    allowance = allowance_of(correction, OF_HEIGHT)
    problem = _Problem(ordered, (critical_temperature, inverse_nu, exponent), allowance)
    theta, window = problem.begin(start)
    fits = list(problem.fits(theta, window))
    if not fits:
        raise ValueError(
            f"a collapse needs more temperatures around T_c: {problem.n} values of {len(ordered)} sizes are fewer than "
            f"its parameters and {SPARE}, or a size has fewer than 3"
        )
    mean, covariance, _ = averaged([fit.model for fit in fits])
    best = min(fits, key=lambda fit: fit.model.criterion)
    return _result(problem, fits, mean, covariance, best)


class _Fit(NamedTuple):
    """One fit: its model (T_c, 1/nu, kappa), the master curve and its unit, the smallest size, the span, and more."""

    model: Model
    coefficients: Array
    degree: int
    scale: float
    smallest: float
    span: tuple[float, float]
    points: Ints
    theta: Array


class _Problem:
    """The points of all curves, and fits of parts of them.

    Args:
        curves: by ascending size.
        given: T_c, 1/nu and kappa, None where it is fitted.
        allowance: the corrections to scaling.
    """

    def __init__(
        self, curves: list[Curve], given: tuple[float | None, float | None, float | None], allowance: Allowance
    ) -> None:
        self.curves, self.allowance = curves, allowance
        self.given = (*given, None if allowance.is_known else 0.0)
        self.size = np.concatenate([np.full(len(curve), curve.size) for curve in curves])
        self.t, self.y, self.e = (
            np.concatenate([getattr(curve, name) for curve in curves]) for name in ("temperature", "value", "error")
        )
        self.n = len(self.t)
        self.unit = curves[0].size
        self.height = float(np.sqrt(np.mean(curves[0].value ** 2)))
        self.free = [k for k, value in enumerate(self.given) if value is None]
        self.n_free = sum(k < 3 for k in self.free)
        low = np.array([self.t.min(), INVERSE_NU[0], -EXPONENT, -CURVATURE])
        high = np.array([self.t.max(), INVERSE_NU[1], EXPONENT, CURVATURE])
        self.bounds = low, high

    def x(self, theta: Array) -> Array:
        """u(T) (L / L_min)^(1/nu): the scaling variable in units of the smallest size."""
        return _bent(self.t, theta) * (self.size / self.unit) ** theta[1]

    def begin(self, start: float | None) -> tuple[Array, float]:
        """Parameters from which all fits begin, and the widest window."""
        middle = float((self.t.min() + self.t.max()) / 2) if start is None else start
        tries = []
        for inverse_nu in STARTS:
            guess = np.array([middle, inverse_nu, 0.0, 0.0])
            theta = np.array([known if known is not None else x for known, x in zip(self.given, guess, strict=True)])
            points = np.arange(self.n)
            for _ in range(2):
                degree = min(6, len(points) - self.n_free - SPARE - 1)
                if degree < 1:
                    break
                scale = float(np.abs(self.x(theta)[points]).max())
                theta, residuals, _ = self.solve(points, degree, theta, scale)
                tries.append((float((residuals**2).sum() / len(points)), theta))
        theta = min(tries, key=lambda pair: pair[0])[1] if tries else theta
        return theta, float(np.abs(self.x(theta)).max())

    def fits(self, theta: Array, widest: float) -> Iterator[_Fit]:
        """Fits of all windows, smallest sizes and degrees."""
        sizes = [curve.size for curve in self.curves]
        for smallest in sizes[: max(1, len(sizes) - 1)]:
            for window in WINDOWS:
                near = np.abs(self.x(theta)) <= window * widest * (1 + 1e-9)
                points = np.flatnonzero(near & (self.size >= smallest))
                counts = [int((self.size[points] == size).sum()) for size in sizes if size >= smallest]
                if min(counts) >= 3:
                    yield from self._degrees(points, theta, smallest)

    def _degrees(self, points: Ints, theta: Array, smallest: float) -> Iterator[_Fit]:
        """Fits of rising degree, up to the second one in a row that is no better than the best before."""
        scale = float(np.abs(self.x(theta)[points]).max())
        best, worse = np.inf, 0
        extra = N_LINE * self.allowance.n_free
        for degree in range(LEAST_DEGREE, MAX_DEGREE + 1):
            n_parameters = degree + 1 + extra + self.n_free
            if len(points) < n_parameters + SPARE or worse == 2:
                return
            theta, residuals, covariance = self.solve(points, degree, theta, scale)  # begins where the last one ended
            found = theta
            model = Model(found[:3], covariance[:3, :3], float((residuals**2).sum()), len(points), n_parameters)
            worse = worse + 1 if model.criterion >= best else 0
            best = min(best, model.criterion)
            x = self.x(found)[points]
            span = float(x.min()), float(x.max())
            yield _Fit(model, self.master(points, degree, found, scale), degree, scale, smallest, span, points, found)

    def solve(self, points: Ints, degree: int, theta: Array, scale: float) -> tuple[Array, Array, Array]:
        """Parameters, residuals in units of the errors, and covariance of the parameters."""
        free = self.free

        def full(part: Array) -> Array:
            values = theta.copy()
            values[free] = part
            return values

        if not free:
            return theta, self.residuals(points, degree, theta, scale), np.zeros((4, 4))
        low, high = (bound[free] for bound in self.bounds)
        begin = np.clip(theta[free], low + 1e-9, high - 1e-9)
        done = least_squares(
            lambda part: self.residuals(points, degree, full(part), scale),
            begin,
            bounds=(low, high),
            x_scale="jac",
            **TOLERANCE,
        )
        covariance = np.zeros((4, 4))
        covariance[np.ix_(free, free)] = np.linalg.pinv(done.jac.T @ done.jac)
        return full(done.x), done.fun, covariance

    def residuals(self, points: Ints, degree: int, theta: Array, scale: float) -> Array:
        """Deviations from the best master curve for these parameters, in units of the errors."""
        design, target = self._design(points, degree, theta, scale)
        q, _ = np.linalg.qr(design)
        prior = [theta[3]] if self.allowance.is_known else []
        return np.concatenate([target - q @ (q.T @ target), prior])

    def master(self, points: Ints, degree: int, theta: Array, scale: float) -> Array:
        """Coefficients of the best master curve for these parameters, without the correction."""
        design, target = self._design(points, degree, theta, scale)
        found = np.linalg.lstsq(design, target, rcond=None)[0][: degree + 1]
        return np.asarray(found * self.unit ** -theta[2], dtype=np.float64)

    def systematic(self, fit: _Fit) -> Array:
        """The share of the variance of each parameter that is due to the corrections, of unknown amplitudes."""
        free = [k for k in self.free if k < 3]
        if not free or not self.allowance.powers:
            return np.zeros(3)
        design, target = self._design(fit.points, fit.degree, fit.theta, fit.scale)
        solution = np.linalg.lstsq(design, target, rcond=None)[0]
        n = len(fit.points)
        known = design[:n, fit.degree + 1 :] @ solution[fit.degree + 1 :]  # the corrections, in units of the errors

        def residuals(part: Array) -> Array:
            theta = fit.theta.copy()
            theta[free] = part
            columns, y = self._design(fit.points, fit.degree, theta, fit.scale)
            q, _ = np.linalg.qr(columns[:n, : fit.degree + 1])
            rest = y[:n] - known
            return np.asarray(rest - q @ (q.T @ rest), dtype=np.float64)

        jacobian = least_squares(residuals, fit.theta[free], max_nfev=1).jac
        alone = np.diag(np.linalg.pinv(jacobian.T @ jacobian))
        total = np.diag(fit.model.covariance)[free]
        share = np.zeros(3)
        share[free] = np.clip(1 - alone / np.maximum(total, 1e-300), 0, 1)
        return share

    def _design(self, points: Ints, degree: int, theta: Array, scale: float) -> tuple[Array, Array]:
        """The columns of the linear fit, and what is fitted, in units of the errors; the prior in the last rows."""
        x, size = self.x(theta)[points] / scale, self.size[points]
        factor = (size / self.unit) ** theta[2] / self.e[points]
        columns, target = chebyshev.chebvander(x, degree), self.y[points] / self.e[points]
        if not self.allowance.powers:
            return columns * factor[:, None], target
        steepness = float(np.std(self.y[points] * (size / self.unit) ** -theta[2]))
        powers = self.allowance.columns(size, self.unit)
        lines = (self.height * columns[:, :1], *(steepness * columns[:, k : k + 1] for k in range(1, N_LINE)))
        columns = np.concatenate([columns, *(powers * line for line in lines)], axis=1)
        n = N_LINE * len(self.allowance.powers)
        prior = np.concatenate([np.zeros((n, degree + 1)), self.allowance.weight * np.eye(n)], axis=1)
        return np.concatenate([columns * factor[:, None], prior]), np.concatenate([target, np.zeros(n)])


def _bent(t: Array, theta: Array) -> Array:
    """u(T) = (T - T_c) (1 + c (T - T_c) / T_c): what enters the scaling variable, to second order."""
    return (t - theta[0]) * (1 + theta[3] * (t - theta[0]) / theta[0])


def _result(problem: _Problem, fits: list[_Fit], mean: Array, covariance: Array, best: _Fit) -> Collapse:
    model = best.model
    errors = np.sqrt(np.diag(covariance))
    of_corrections = tuple((errors * np.sqrt(problem.systematic(best))).tolist())
    t_c, inverse_nu, kappa = (Parameter(float(x), float(error)) for x, error in zip(mean, errors, strict=True))
    warnings = []
    if len(problem.curves) == 2:
        warnings.append(
            "two sizes alone do not show corrections to scaling; the errors rest on what is allowed for them"
        )
    if p_value(model.chi2, model.dof) < LEAST_P:
        warnings.append(
            f"the sizes do not collapse: {quality(model.chi2, model.dof)}; take temperatures that are closer to T_c or "
            f"larger sizes; the errors are enlarged"
        )
    bounds = (bound[:3] for bound in problem.bounds)
    for name, value, low, high, k in zip(NAMES, model.values, *bounds, range(3), strict=True):
        if k in problem.free and min(value - low, high - value) < 0.01 * (high - low):
            warnings.append(f"{name} is at the edge of its range, {value:.4g}: the points do not determine it")
    unit = float(problem.unit ** model.values[1])
    return Collapse(
        critical_temperature=t_c,
        inverse_nu=inverse_nu,
        exponent=kappa,
        covariance=covariance,
        systematic=of_corrections,
        chi2=model.chi2,
        dof=model.dof,
        degree=best.degree,
        window=(best.span[0] * unit, best.span[1] * unit),
        smallest_size=best.smallest,
        n_models=len(fits),
        coefficients=best.coefficients,
        best=(float(model.values[0]), float(model.values[1]), float(model.values[2])),
        scale=best.scale * unit,
        curvature=float(best.theta[3]),
        warnings=tuple(warnings),
    )
