"""Numbers with their first two derivatives, so that a formula also gives its exact derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Jet"]


@dataclass(frozen=True)
class Jet:
    """A value with its first two derivatives in one parameter; arrays broadcast, plain numbers are constants.

    Attributes:
        value: f, float or array.
        first: f', the first derivative.
        second: f'', the second derivative.

    Example:
        >>> x = Jet(2.0, 1.0, 0.0)
        >>> x**3 + 1
        Jet(value=9.0, first=12.0, second=12.0)
    """

    value: Any
    first: Any
    second: Any

    __array_ufunc__ = None  # lets `array * jet` reach __rmul__

    def __add__(self, other: Any) -> Jet:
        other = _jet(other)
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __mul__(self, other: Any) -> Jet:
        other = _jet(other)
        return Jet(
            self.value * other.value,
            self.first * other.value + self.value * other.first,
            self.second * other.value + 2 * self.first * other.first + self.value * other.second,
        )

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Jet:
        return self * -1

    def __sub__(self, other: Any) -> Jet:
        return self + -_jet(other)

    def __rsub__(self, other: Any) -> Jet:
        return -self + other

    def __truediv__(self, other: Jet) -> Jet:
        y = other.value
        value = self.value / y  # without powers of y, which might underflow
        first = (self.first - value * other.first) / y
        return Jet(value, first, (self.second - 2 * first * other.first - value * other.second) / y)

    def __pow__(self, n: int) -> Jet:
        """The n-th power, for integers n of 2 or more."""
        x = self.value
        return self._chain(x**n, n * x ** (n - 1), n * (n - 1) * x ** (n - 2))

    def exp(self) -> Jet:
        e = np.exp(self.value)
        return self._chain(e, e, e)

    def log(self) -> Jet:
        first = self.first / self.value
        return Jet(np.log(self.value), first, self.second / self.value - first**2)

    def log1p(self) -> Jet:
        y = 1 + self.value
        return self._chain(np.log1p(self.value), 1 / y, -1 / y**2)

    def sqrt(self) -> Jet:
        root = np.sqrt(self.value)
        return self._chain(root, 0.5 / root, -0.25 / root**3)

    def sum(self) -> Jet:
        """The sum over an array's entries."""
        return Jet(*(np.sum(part) for part in (self.value, self.first, self.second)))

    def _chain(self, f: Any, df: Any, ddf: Any) -> Jet:
        """The function f of this number by the chain rule, from f, f' and f'' at its value."""
        return Jet(f, df * self.first, df * self.second + ddf * self.first**2)


def _jet(x: Any) -> Jet:
    return x if isinstance(x, Jet) else Jet(x, 0.0, 0.0)
