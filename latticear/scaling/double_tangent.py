"""The double tangent of a curve, and the smoothing that it needs where the curve was measured."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from latticear.arrays import Array

__all__ = ["DoubleTangent", "LocalParabolas", "double_tangent"]


class DoubleTangent(NamedTuple):
    """The straight line that touches a curve at two points and lies above it between them.

    Of the entropy S(E) it is Maxwell's construction: `P(E) = exp(S(E) - E / T) / Z` has two maxima of one height where
    1/T is the slope of the line.

    Attributes:
        slope: of the line.
        low, high: where it touches: the energies of the two maxima.
        valley: where the curve is farthest below it: the energy of the minimum between them.
        depth: how far: `ln(P_max / P_min)`.
    """

    slope: float
    low: float
    high: float
    valley: float
    depth: float


def double_tangent(x: Array, y: Array) -> DoubleTangent | None:
    """The deepest double tangent of the curve through some points; None if there is none, as for a concave curve.

    Args:
        x: ascending, `(M,)`.
        y: `(M,)`.

    Example:
        >>> x = np.linspace(-2, 2, 401)
        >>> found = double_tangent(x, 3 * x - (x**2 - 1) ** 2)
        >>> [round(abs(value), 3) for value in found]
        [3.0, 1.0, 1.0, 0.0, 1.0]
    """
    hull: list[int] = []
    for j in range(len(x)):
        while len(hull) > 1 and _is_below(x, y, hull[-2], hull[-1], j):
            hull.pop()
        hull.append(j)
    found = [_tangent(x, y, a, b) for a, b in pairwise(hull) if b - a > 1]
    return max(found, key=lambda tangent: tangent.depth, default=None)


def _is_below(x: Array, y: Array, a: int, b: int, c: int) -> bool:
    """Whether point b lies on or below the line from point a to point c."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) <= (y[c] - y[a]) * (x[b] - x[a]))


def _tangent(x: Array, y: Array, a: int, b: int) -> DoubleTangent:
    slope = (y[b] - y[a]) / (x[b] - x[a])
    gap = y[a] + slope * (x[a : b + 1] - x[a]) - y[a : b + 1]
    k = int(gap.argmax())
    return DoubleTangent(float(slope), float(x[a]), float(x[b]), float(x[a + k]), float(gap[k]))


class LocalParabolas:
    """Smoothing: the value at each point is that of a parabola fitted to the points around it.

    A term of the curve that is linear in x makes no difference to what is smoothed, and a parabola is left as it is.

    Args:
        x: ascending, `(M,)`.
        width: half the width of the window.
    """

    def __init__(self, x: Array, width: float) -> None:
        distance = (x - x[:, None]) / width  # [m, j]: from point m to point j
        kernel = np.maximum(0.0, 1 - distance**2)
        self._powers = np.stack([kernel * distance**k for k in range(5)])

    def __call__(self, y: Array, weight: Array) -> Array:
        """The smoothed curve, `(M,)`.

        Args:
            y: `(M,)`; values without weight may be anything finite.
            weight: `(M,)`, inverse variances, or numbers in proportion to them.
        """
        moments = self._powers @ weight
        sides = (self._powers[:3] @ (weight * y)).T
        matrices = moments[np.add.outer(np.arange(3), np.arange(3))].transpose(2, 0, 1)
        inverse = np.linalg.pinv(matrices, rcond=1e-12, hermitian=True)
        return np.asarray(np.einsum("mj,mj->m", inverse[:, 0], sides), dtype=np.float64)
