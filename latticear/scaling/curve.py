"""A quantity of one lattice size at several temperatures: the data of all analyses of scaling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from latticear.arrays import Array

__all__ = ["Curve", "check_curves"]


@dataclass(frozen=True, init=False, eq=False)
class Curve:
    """Values `y(L, T)` of one size with errors, which are independent unless their covariance is given.

    Args:
        size: L, the linear extent.
        temperature: temperatures, in any order.
        value: the quantity at each of them.
        error: one standard deviation at each of them, or one number for all; 0 for values that are exact.
        covariance: `(n, n)`, of the values at all temperatures, for errors that are correlated, as those of averages
            over the same instances are; None for independent ones.

    Attributes:
        size: L.
        temperature: `(n,)`, ascending.
        value, error: `(n,)`, in the same order.
        covariance: `(n, n)`, in the same order; None for independent errors.

    Raises:
        ValueError: for numbers that are not finite, a size that is not positive, arrays of different lengths, a
            temperature that is given twice, negative errors, errors of which some are zero and others not, or a
            covariance of another shape.

    Example:
        >>> Curve(8, [2.3, 2.2], [0.5, 0.6], 0.01)
        Curve(L = 8, 2 temperatures from 2.2 to 2.3)
    """

    size: float
    temperature: Array
    value: Array
    error: Array
    covariance: Array | None

    def __init__(
        self,
        size: float,
        temperature: ArrayLike,
        value: ArrayLike,
        error: ArrayLike,
        covariance: ArrayLike | None = None,
    ) -> None:
        given = {"temperature": temperature, "value": value, "error": error}
        t, y, e = (_finite(name, values, size) for name, values in given.items())
        if not np.isfinite(size) or size <= 0:
            raise ValueError(f"size must be a positive number, got {size!r}")
        e = np.full(t.shape, float(e)) if e.ndim == 0 else e
        if not t.ndim == y.ndim == 1 or not t.shape == y.shape == e.shape:
            raise ValueError(
                f"L = {size:g}: temperature, value and error must be lists of one length, got shapes {t.shape}, "
                f"{y.shape} and {e.shape}"
            )
        c = None if covariance is None else _finite("covariance", covariance, size)
        if c is not None and c.shape != (*t.shape, *t.shape):
            raise ValueError(f"L = {size:g}: covariance must have shape {(*t.shape, *t.shape)}, got {c.shape}")
        order = np.argsort(t, kind="stable")
        t, y, e = t[order], y[order], e[order]
        if (twice := t[1:][np.diff(t) == 0]).size:
            raise ValueError(f"L = {size:g}: temperature {twice[0]:g} is given twice")
        if (e < 0).any() or ((e == 0).any() and (e > 0).any()):
            raise ValueError(
                f"L = {size:g}: errors must be positive, or all zero for exact values, got {e.min():g} to {e.max():g}"
            )
        c = None if c is None else c[np.ix_(order, order)]
        of = {"size": float(size), "temperature": t, "value": y, "error": e, "covariance": c}
        for name, content in of.items():
            object.__setattr__(self, name, content)

    def __len__(self) -> int:
        return len(self.temperature)

    def __repr__(self) -> str:
        t = self.temperature
        of = f" from {t[0]:g} to {t[-1]:g}" if len(t) else ""
        return f"Curve(L = {self.size:g}, {len(t)} temperatures{of})"

    @property
    def is_exact(self) -> bool:
        """Whether the values have no errors."""
        return not self.error.any()

    def within(self, low: float, high: float) -> Curve:
        """The part of the curve at temperatures from `low` to `high`."""
        here = (self.temperature >= low) & (self.temperature <= high)
        covariance = None if self.covariance is None else self.covariance[np.ix_(here, here)]
        return Curve(self.size, self.temperature[here], self.value[here], self.error[here], covariance)

    def replicas(self, n: int, rng: np.random.Generator) -> Array:
        """`(n, len(self))`: values with normal errors added, for a parametric bootstrap."""
        if self.covariance is None:
            return self.value + self.error * rng.standard_normal((n, len(self)))
        variance, axes = np.linalg.eigh(self.covariance)
        return self.value + (np.sqrt(np.maximum(variance, 0.0)) * rng.standard_normal((n, len(self)))) @ axes.T


def check_curves(curves: Iterable[Curve], *, least_sizes: int = 2, least_points: int = 3) -> list[Curve]:
    """The curves by ascending size.

    Raises:
        ValueError: for fewer sizes or temperatures than are needed, or a size that is given twice.
    """
    ordered = sorted(curves, key=lambda curve: curve.size)
    sizes = [curve.size for curve in ordered]
    if len(sizes) < least_sizes:
        raise ValueError(f"scaling needs at least {least_sizes} sizes, got {len(sizes)}")
    for curve, following in zip(ordered, [*sizes[1:], None], strict=True):
        if curve.size == following:
            raise ValueError(f"size {curve.size:g} is given twice; put all its temperatures into one curve")
        if len(curve) < least_points:
            raise ValueError(f"L = {curve.size:g} has {len(curve)} temperatures, and {least_points} are needed")
    return ordered


def _finite(name: str, values: ArrayLike, size: float) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"L = {size:g}: {name} must be finite, got {int((~np.isfinite(array)).sum())} NaN or infinite")
    return array
