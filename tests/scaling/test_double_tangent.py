"""Double tangents and smoothing."""

import numpy as np

from latticear.scaling.double_tangent import LocalParabolas, double_tangent

X = np.linspace(-2, 2, 81)


def test_the_double_tangent_of_a_tilted_double_well():
    found = double_tangent(X, 0.7 * X - 3 * (X**2 - 1) ** 2)
    np.testing.assert_allclose(found, (0.7, -1.0, 1.0, 0.0, 3.0), atol=1e-12)


def test_a_concave_curve_has_none():
    assert double_tangent(X, -(X**2)) is None


def test_smoothing_keeps_parabolas_and_removes_noise():
    weight = np.where(np.arange(81) % 3, 2.0, 0.0)  # a third of the points unknown
    curve = 1 - 2 * X + 3 * X**2
    smooth = LocalParabolas(X, 0.5)
    np.testing.assert_allclose(smooth(np.where(weight > 0, curve, 0.0), weight), curve, atol=1e-9)
    noise = np.random.default_rng(0).standard_normal(81)
    assert smooth(noise, np.ones(81)).std() < 0.5
