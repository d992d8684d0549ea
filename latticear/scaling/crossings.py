"""Where curves of two sizes cross, and the critical temperature that follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from latticear.arguments import check_integer, check_seed
from latticear.arrays import Array
from latticear.estimation.numbers import with_error
from latticear.scaling.averages import quality, weights_of
from latticear.scaling.corrections import ALLOWED, OF_HEIGHT, allowance_of
from latticear.scaling.curve import Curve, check_curves
from latticear.scaling.limit import Limit, limit_of
from latticear.scaling.polynomials import LocalPolynomial, local_polynomials
from latticear.tables import Table

__all__ = ["Crossing", "Crossings", "crossings"]

SIGNIFICANT = 2.0
"""Errors by which two curves must differ on both sides of a crossing."""

MOST_POLYNOMIALS = 6
"""Number of polynomials of a curve that are taken into account."""

N_GRID, N_NEWTON = 101, 8
"""Temperatures among which a change of sign is looked for, and steps of Newton's method."""

MOST_LOST = 0.05
"""Share of replicas of the data in which two curves may fail to cross."""


class Crossing(NamedTuple):
    """The point where the curves of two sizes cross.

    Attributes:
        sizes: the two sizes, ascending.
        temperature, error: T, and its error.
        value, value_error: the quantity there.
        chi2, dof: quality of the two best polynomials.
        fits: these two.
    """

    sizes: tuple[float, float]
    temperature: float
    error: float
    value: float
    value_error: float
    chi2: float
    dof: int
    fits: tuple[LocalPolynomial, LocalPolynomial]


@dataclass(frozen=True)
class Crossings:
    """Crossings of neighbouring sizes, and their limit.

    Attributes:
        crossings: by ascending size.
        covariance: covariance of their temperatures; two crossings share the data of a size.
        critical_temperature: their limit of infinite size; None without a crossing.
        warnings: reasons not to trust them, and pairs of sizes that do not cross.
    """

    crossings: tuple[Crossing, ...]
    covariance: Array
    critical_temperature: Limit | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        names = ("sizes", "temperature", "error", "value", "value_error", "chi2", "dof")
        t_c = self.critical_temperature
        return {
            "crossings": [{name: getattr(crossing, name) for name in names} for crossing in self.crossings],
            "covariance": self.covariance.tolist(),
            "critical_temperature": None if t_c is None else t_c._asdict(),
            "warnings": list(self.warnings),
        }

    def table(self) -> Table:
        """The crossings as a table of text."""
        rows = [
            (
                " and ".join(f"{size:g}" for size in crossing.sizes),
                with_error(crossing.temperature, crossing.error),
                with_error(crossing.value, crossing.value_error),
                f"{crossing.chi2:.2g}/{crossing.dof}",
            )
            for crossing in self.crossings
        ]
        notes = [] if self.critical_temperature is None else [f"T_c = {self.critical_temperature}"]
        return Table("crossings", ("sizes", "T", "value", "chi^2/dof"), rows, notes, self.warnings)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def crossings(
    curves: Iterable[Curve],
    *,
    exponent: float | tuple[float, float] = (1.0, 4.0),
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Crossings:
    """Temperatures at which curves of neighbouring sizes cross, and T_c by extrapolation in 1/L.

    For quantities that do not depend on the size at T_c: the Binder cumulant, or the correlation length divided by L.
    Polynomials of low order are fitted to the points around each crossing, with several numbers of points and degrees,
    which count by how well they describe them (`latticear.scaling.averages`). Errors are those of a parametric
    bootstrap over the data, with the covariance of a curve where it has one, and over the polynomials. All sizes are
    varied together, so that the covariance of two crossings which share a size is known.

    A crossing of the sizes L and L' counts at `sqrt(L L')` in the extrapolation `T_c + a L^-e`, e = 1/nu + omega,
    because its amplitude then depends on L'/L in second order only. One crossing alone is not extrapolated; the error
    of T_c then contains how far corrections to scaling of 10 % at the smaller size can move it.

    Args:
        curves: a curve for each of two or more sizes, with three temperatures or more.
        exponent: e, or its range; see `limit_of`. It is 1 + 7/4 for the Ising model on the square lattice.
        n_bootstrap: number of replicas of the data.
        seed: seed of the replicas.

    Raises:
        ValueError: for fewer than two sizes, or fewer than three temperatures of a size.

    References:
        K. Binder, Z. Phys. B 43 (1981) 119, section 4.

    Example:
        >>> t = np.linspace(2.1, 2.4, 7)
        >>> found = crossings([Curve(L, t, 0.6 - 0.1 * (t - 2.25) * L, 0.001) for L in (4, 8, 16)])
        >>> [round(crossing.temperature, 6) for crossing in found.crossings]
        [2.25, 2.25]
        >>> abs(found.critical_temperature.value - 2.25) < 1e-6
        True
    """
    ordered = check_curves(curves)
    rng = np.random.default_rng(check_seed(seed))
    n_bootstrap = check_integer("n_bootstrap", n_bootstrap, least=100)
    replicas = [curve.replicas(n_bootstrap, rng) for curve in ordered]
    found: list[Crossing] = []
    samples: list[Array] = []
    warnings: list[str] = []
    for (a, of_a), (b, of_b) in pairwise(zip(ordered, replicas, strict=True)):
        try:
            crossing, sample = _crossing((a, b), (of_a, of_b), rng, warnings)
        except ArithmeticError as error:
            warnings.append(str(error))
            continue
        found.append(crossing)
        samples.append(sample)
    covariance = _covariance([crossing.error for crossing in found], samples)
    limit = None
    if found:
        sizes = [float(np.sqrt(np.prod(crossing.sizes))) for crossing in found]
        limit = limit_of(sizes, np.array([crossing.temperature for crossing in found]), covariance, exponent)
        warnings += limit.warnings
        if len(found) == 1:
            limit = limit._replace(error=float(np.hypot(limit.error, _allowed_shift(found[0]))))
            warnings.append(
                "one crossing alone is not extrapolated; the error of T_c has what corrections to scaling may change"
            )
    return Crossings(tuple(found), covariance, limit, tuple(warnings))


def _allowed_shift(crossing: Crossing) -> float:
    """How far corrections of the allowed size move the crossing of two sizes from T_c."""
    allowance = allowance_of(ALLOWED, OF_HEIGHT)
    apart = np.diff(allowance.columns(np.array(crossing.sizes), crossing.sizes[0]), axis=0)
    steeper = float(_difference(crossing.fits, np.array(crossing.temperature), derivative=1))
    size = allowance.size * abs(crossing.value) * float(np.linalg.norm(apart))
    return size / abs(steeper) if steeper else math.inf


def _crossing(
    curves: tuple[Curve, Curve], replicas: tuple[Array, Array], rng: np.random.Generator, warnings: list[str]
) -> tuple[Crossing, Array]:
    """The crossing of two curves, and its temperature in each replica.

    Each replica takes one of the polynomials of each curve, by their weights: the spread of the replicas contains the
    scatter between the polynomials.
    """
    a, b = curves
    name = f"{a.size:g} and {b.size:g}"
    guess = _guess(a, b, name)
    choices = [_weighed(curve, guess) for curve in curves]
    best = choices[0].fits[0], choices[1].fits[0]
    guess = _root(best, guess, name)
    picks = np.stack(
        [rng.choice(len(choice.weights), len(replicas[0]), p=choice.weights) for choice in choices], axis=1
    )
    t, value, central = (np.full(len(picks), np.nan) for _ in range(3))
    for i, j in np.unique(picks, axis=0).tolist():
        here = (picks == (i, j)).all(axis=1)
        fits = choices[0].fits[i], choices[1].fits[j]
        try:
            central[here] = _root(fits, guess, name)
        except ArithmeticError:
            continue
        coefficients = [fit.refitted(values[here]) for fit, values in zip(fits, replicas, strict=True)]
        t[here] = _roots(fits, central[here], coefficients)
        value[here] = fits[0].at(t[here], coefficients[0])
    lost = np.isnan(t)
    if lost.all():
        raise ArithmeticError(f"L = {name}: no polynomials through the points around T = {guess:g} cross")
    if lost.mean() > MOST_LOST:
        warnings.append(
            f"L = {name}: in {lost.mean():.0%} of the replicas of the data the curves do not cross nearby; the error "
            f"is too small"
        )
    for curve, fit in zip(curves, best, strict=True):
        if not fit.describes:
            warnings.append(
                f"L = {curve.size:g}: no polynomial describes the points around the crossing: "
                f"{quality(fit.chi2, fit.dof)}; take temperatures that are closer to it"
            )
    crossing = Crossing(
        (a.size, b.size),
        float(np.nanmean(central)),
        _spread(t[~lost]),
        float(np.mean(value[~lost])),
        _spread(value[~lost]),
        sum(fit.chi2 for fit in best),
        sum(fit.dof for fit in best),
        best,
    )
    return crossing, np.where(lost, np.nanmean(t), t)


class _Weighed(NamedTuple):
    """Polynomials around a temperature, the best first, with their weights."""

    fits: list[LocalPolynomial]
    weights: Array


def _weighed(curve: Curve, centre: float) -> _Weighed:
    fits = sorted(local_polynomials(curve, centre), key=lambda fit: fit.criterion)[:MOST_POLYNOMIALS]
    weights = weights_of(np.array([fit.criterion for fit in fits]))
    return _Weighed(fits, weights)


def _roots(fits: tuple[LocalPolynomial, LocalPolynomial], start: Array, coefficients: list[Array]) -> Array:
    """Zeros of the differences of polynomials `(n, degree + 1)` by Newton steps; nan where there is none nearby."""
    low, high = max(fit.low for fit in fits), min(fit.high for fit in fits)
    t = start
    for _ in range(N_NEWTON):
        gap, slope = (_difference(fits, t, coefficients, k) for k in (0, 1))
        t = np.clip(t - gap / np.where(slope == 0, np.inf, slope), low, high)
    unsolved = np.abs(_difference(fits, t, coefficients)) > 1e-6 * np.abs(fits[0].coefficients).max()
    return np.where(unsolved, np.nan, t)


def _guess(a: Curve, b: Curve, name: str) -> float:
    """Where the straight lines between the points cross most clearly.

    Raises:
        ArithmeticError: if they do not differ by two errors on both sides of any temperature.
    """
    low, high = (
        max(a.temperature[0], b.temperature[0]),
        min(a.temperature[-1], b.temperature[-1]),
    )
    t = np.unique(np.concatenate([a.temperature, b.temperature]))
    t = t[(t >= low) & (t <= high)]
    if len(t) < 2:
        raise ArithmeticError(f"L = {name} have no temperatures in common")
    gap = np.interp(t, b.temperature, b.value) - np.interp(t, a.temperature, a.value)
    error = np.hypot(np.interp(t, b.temperature, b.error), np.interp(t, a.temperature, a.error))
    z = gap / np.where(error > 0, error, 1e-300)
    best, clearest = None, 0.0
    for k in range(1, len(t)):
        left, right = z[:k], z[k:]
        clarity = max(min(-left.min(), right.max()), min(left.max(), -right.min()))
        if gap[k - 1] * gap[k] <= 0 and clarity > clearest:
            best, clearest = k, clarity
    if best is None or clearest < SIGNIFICANT:
        raise ArithmeticError(
            f"L = {name} do not cross clearly between T = {low:g} and {high:g}: no temperature has differences of "
            f"{SIGNIFICANT:g} errors on both sides"
        )
    k = best
    share = 0.5 if gap[k] == gap[k - 1] else gap[k - 1] / (gap[k - 1] - gap[k])
    return float(t[k - 1] + share * (t[k] - t[k - 1]))


def _root(fits: tuple[LocalPolynomial, LocalPolynomial], guess: float, name: str) -> float:
    """The zero of the difference of two polynomials that is nearest to a temperature."""
    low, high = max(fit.low for fit in fits), min(fit.high for fit in fits)
    t = np.linspace(low, high, N_GRID)
    gap = _difference(fits, t)
    k = np.flatnonzero(gap[1:] * gap[:-1] <= 0)
    if not len(k):
        raise ArithmeticError(f"L = {name}: the polynomials through the points around T = {guess:g} do not cross")
    near = k[np.abs(t[k] - guess).argmin()]
    return float(brentq(lambda x: float(_difference(fits, np.array(x))), t[near], t[near + 1], xtol=1e-14))


def _difference(
    fits: tuple[LocalPolynomial, LocalPolynomial],
    t: Array,
    coefficients: Sequence[Array | None] = (None, None),
    derivative: int = 0,
) -> Array:
    (a, b), (of_a, of_b) = fits, coefficients
    return b.at(t, of_b, derivative) - a.at(t, of_a, derivative)


def _spread(sample: Array) -> float:
    """Half the range that holds 68 % of a sample: one standard deviation, without the tails."""
    low, high = np.quantile(sample, [0.158655, 0.841345])
    return float(high - low) / 2


def _covariance(errors: list[float], samples: list[Array]) -> Array:
    if not errors:
        return np.zeros((0, 0))
    correlation = np.eye(len(errors))
    if len(errors) > 1 and all(error > 0 for error in errors):
        correlation = np.corrcoef(samples)
    return np.outer(errors, errors) * correlation
