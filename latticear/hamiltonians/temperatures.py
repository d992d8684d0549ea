"""Single temperatures and ranges of temperatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["LEAST", "MOST", "TemperatureRange", "check_temperature", "same_temperature", "temperature_or_range"]

LEAST, MOST = 1e-30, 1e30
"""The range of temperatures and of the magnitude of energies, other than 0; it has room for any unit of energy."""


class TemperatureRange(NamedTuple):
    """All temperatures from low to high.

    Attributes:
        low, high: T, in units of the coupling, 0 < low < high.
    """

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The mean of low and high."""
        return (self.low + self.high) / 2

    def spread(self, n: int) -> list[float]:
        """n equally spaced temperatures from low to high, both included."""
        return np.linspace(self.low, self.high, n).tolist()

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


def temperature_or_range(value: float | Sequence[float]) -> float | TemperatureRange:
    """Return a temperature as a float, and a pair `(low, high)` as a `TemperatureRange`.

    Raises:
        ValueError: for a temperature that is not positive and finite, or a range without low < high.
    """
    if not isinstance(value, Sequence):
        return check_temperature(value)
    if len(value) != 2:
        raise ValueError(f"a range of temperatures must be a pair (low, high), got {tuple(value)}")
    low, high = map(check_temperature, value)
    if not low < high:
        raise ValueError(f"a range of temperatures must go from low to high, got {low:g} to {high:g}")
    return TemperatureRange(low, high)


def check_temperature(temperature: float) -> float:
    """Return the temperature as a float.

    Raises:
        ValueError: unless it is a positive number from `LEAST` to `MOST`, whose powers are numbers too; an
            antiferromagnet has a negative coupling, not a negative T.
    """
    try:
        value = float(temperature)
    except (TypeError, ValueError):
        value = float("nan")
    if not LEAST <= value <= MOST:
        raise ValueError(
            f"temperature must be positive and finite ({LEAST:g} to {MOST:g}, k_B = 1, in units of the coupling), got "
            f"{temperature!r}; an antiferromagnet has coupling < 0 and T > 0"
        )
    return value


def same_temperature(a: float, b: float) -> bool:
    """Whether two temperatures are equal up to rounding, where one of them may have been rounded to single precision.

    Example:
        >>> same_temperature(2.269, np.float32(2.269)), same_temperature(2.269, 2.27)
        (True, False)
    """
    a, b = float(a), float(b)
    single = [float(np.float32(t)) for t in (a, b)]
    return math.isclose(a, b, rel_tol=1e-12) or (single[0] == single[1] and (a in single or b in single))
