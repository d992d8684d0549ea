"""Derivatives carried along against those written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from latticear.exact.jets import Jet

X = 0.7
VARIABLE = Jet(X, 1.0, 0.0)


@pytest.mark.parametrize(
    ("jet", "expected"),
    [
        (VARIABLE * VARIABLE + 3, (X**2 + 3, 2 * X, 2)),
        (2 - VARIABLE**3, (2 - X**3, -3 * X**2, -6 * X)),
        (1 / X * VARIABLE / VARIABLE**2, (1 / X**2, -1 / X**3, 2 / X**4)),
        ((2 * VARIABLE).exp(), (np.exp(2 * X), 2 * np.exp(2 * X), 4 * np.exp(2 * X))),
        ((VARIABLE**2).log(), (2 * np.log(X), 2 / X, -2 / X**2)),
        (VARIABLE.log1p(), (np.log1p(X), 1 / (1 + X), -1 / (1 + X) ** 2)),
        (VARIABLE.sqrt(), (X**0.5, 0.5 * X**-0.5, -0.25 * X**-1.5)),
        ((np.array([1.0, 2.0]) * VARIABLE**2).sum(), (3 * X**2, 6 * X, 6)),
        (-VARIABLE - 1, (-X - 1, -1, 0)),
    ],
)
def test_derivatives(jet, expected):
    assert (jet.value, jet.first, jet.second) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_quotients_and_logarithms_of_tiny_and_huge_numbers(scale):
    """The square of the number is no number; its derivatives relative to it are."""
    x = Jet(scale, -2 * scale, 4 * scale)  # of scale exp(-2 t)
    ratio, log = (3 * x) / x, x.log()
    assert (ratio.value, ratio.first, ratio.second) == pytest.approx((3, 0, 0), abs=1e-14)
    assert (log.value, log.first, log.second) == pytest.approx((np.log(scale), -2, 0), rel=1e-14)
