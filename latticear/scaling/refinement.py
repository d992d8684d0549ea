"""Further temperatures where they tell most: around the crossings of several sizes, or around maxima."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from latticear.arguments import check_integer
from latticear.arrays import Array
from latticear.estimation.numbers import with_error
from latticear.scaling.crossings import Crossing, crossings
from latticear.scaling.curve import Curve
from latticear.scaling.peaks import Peak, peak_of

__all__ = ["Feature", "features_of", "next_temperatures"]

DROP = 0.25
"""The width of a maximum is the distance at which the curve has fallen by this share of its height."""

LEAST_WIDTH = 0.01
"""Least width of a feature, as a share of the range of temperatures."""

N_BOOTSTRAP = 100


class Feature(NamedTuple):
    """A place where further temperatures are of use.

    Attributes:
        temperature, error: where it is.
        width: the distance over which the curve changes there.
        name: what it is, in words.
    """

    temperature: float
    error: float
    width: float
    name: str

    def __str__(self) -> str:
        return f"{self.name} at T = {with_error(self.temperature, self.error)}"


def features_of(crossing: Mapping[str, Sequence[Curve]], peaked: Mapping[str, Sequence[Curve]]) -> list[Feature]:
    """The crossings of neighbouring sizes; the maxima of each size where there are no crossings.

    Args:
        crossing: curves of dimensionless quantities by name, such as the Binder cumulant.
        peaked: curves of quantities with a maximum by name, such as the susceptibility.
    """
    found = [feature for name, curves in crossing.items() for feature in _crossings(name, curves)]
    return found or [feature for name, curves in peaked.items() for feature in _maxima(name, curves)]


def next_temperatures(present: Iterable[float], features: Sequence[Feature], n: int) -> list[float]:
    """Choose n temperatures between those that are there, densest at the features.

    A temperature is put where it halves the interval that holds most of the density
    `sum_f h_f / (h_f^2 + (T - T_f)^2)`; h is the width of a feature, or the error of its temperature where that is
    larger. So the distances shrink towards the features, and never become zero.

    Args:
        present: two or more temperatures; all new ones lie between the lowest and the highest of them.
        features: where to put them, one or more.
        n: how many.

    Returns:
        The temperatures in the order in which they were chosen, rounded to a hundredth of the interval around them.

    Example:
        >>> next_temperatures([2.0, 2.2, 2.4], [Feature(2.27, 0.01, 0.05, "maximum")], 2)
        [2.276, 2.309]
    """
    all_of_them = sorted(float(t) for t in present)
    if len(all_of_them) < 2:
        raise ValueError(f"temperatures are put between two others or more, got {len(all_of_them)}")
    chosen: list[float] = []
    for _ in range(check_integer("n", n, least=1)):
        t = _halved(np.array(all_of_them), features)
        chosen.append(t)
        all_of_them = sorted([*all_of_them, t])
    return chosen


def _crossings(name: str, curves: Sequence[Curve]) -> list[Feature]:
    usable = [curve for curve in curves if len(curve) >= 3]
    if len(usable) < 2:
        return []
    by_size = {curve.size: curve for curve in usable}
    found = crossings(usable, n_bootstrap=N_BOOTSTRAP).crossings
    return [_of_crossing(name, crossing, by_size[crossing.sizes[1]]) for crossing in found]


def _of_crossing(name: str, crossing: Crossing, larger: Curve) -> Feature:
    slope = abs(float(crossing.fits[1].at(crossing.temperature, derivative=1)))
    width = float(np.ptp(larger.value)) / (4 * slope) if slope > 0 else math.inf
    a, b = crossing.sizes
    return Feature(
        crossing.temperature, crossing.error, _width(width, larger), f"crossing of {name} of L = {a:g} and {b:g}"
    )


def _maxima(name: str, curves: Sequence[Curve]) -> list[Feature]:
    found = []
    for curve in filter(len, curves):
        top = int(curve.value.argmax())
        if not 0 < top < len(curve) - 1:
            continue
        label = f"maximum of {name} of L = {curve.size:g}"
        around = float(curve.temperature[top + 1] - curve.temperature[top - 1]) / 2
        try:
            found.append(_of_peak(label, peak_of(curve), curve, around) if len(curve) > 3 else None)
        except ArithmeticError:
            found.append(None)
        if found[-1] is None:
            found[-1] = Feature(float(curve.temperature[top]), around / 2, around, label)
    return [feature for feature in found if feature is not None]


def _of_peak(label: str, peak: Peak, curve: Curve, around: float) -> Feature:
    curvature = 0.0 if peak.fit is None else -float(peak.fit.at(peak.temperature, derivative=2))
    width = math.sqrt(2 * DROP * abs(peak.height) / curvature) if curvature > 0 else around
    return Feature(peak.temperature, peak.error, _width(width, curve), label)


def _width(width: float, curve: Curve) -> float:
    full = float(np.ptp(curve.temperature))
    return float(np.clip(width, LEAST_WIDTH * full, full))


def _halved(present: Array, features: Sequence[Feature]) -> float:
    """A temperature that halves the interval which holds most of the density."""
    amount = np.diff(_cumulative(present, features))
    k = int(amount.argmax())
    low, high = present[k], present[k + 1]
    middle = (_cumulative(present[k : k + 1], features)[0] + _cumulative(present[k + 1 : k + 2], features)[0]) / 2
    left, right = low, high
    for _ in range(60):
        t = (left + right) / 2
        left, right = (t, right) if _cumulative(np.array([t]), features)[0] < middle else (left, t)
    t = float(np.clip(left, low + (high - low) / 8, high - (high - low) / 8))
    return round(t, max(0, 2 - math.floor(math.log10(high - low))))


def _cumulative(t: Array, features: Sequence[Feature]) -> Array:
    return np.asarray(
        sum(np.arctan((t - place.temperature) / max(place.width, place.error)) for place in features), dtype=np.float64
    )
