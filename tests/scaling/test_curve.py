"""Curves: what is refused, and the order of temperatures."""

import numpy as np
import pytest

from latticear.scaling import Curve, collapse, crossings, peaks

T = [2.0, 2.2, 2.4]


def test_points_are_sorted():
    curve = Curve(8, [2.4, 2.0, 2.2], [3, 1, 2], [0.3, 0.1, 0.2])
    assert curve.temperature.tolist() == T
    assert curve.value.tolist() == [1, 2, 3]
    assert curve.error.tolist() == [0.1, 0.2, 0.3]
    assert curve.within(2.1, 2.5).value.tolist() == [2, 3]
    assert Curve(8, T, [1, 2, 3], 0.5).error.tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, T, T, 0.1), "size must be a positive number, got 0"),
        ((8, T, [1, 2], 0.1), "lists of one length, got shapes"),
        ((8, T, [1, np.nan, 2], 0.1), "value must be finite, got 1 NaN"),
        ((8, [2, 2, 3], T, 0.1), "temperature 2 is given twice"),
        ((8, T, T, [0.1, 0, 0.1]), "errors must be positive, or all zero"),
        ((8, T, T, -0.1), "errors must be positive"),
        ((8, T, T, 0.1, np.eye(2)), r"covariance must have shape \(3, 3\), got \(2, 2\)"),
    ],
)
def test_wrong_curves_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Curve(*arguments)


def test_too_few_sizes_or_temperatures_are_refused():
    one, few = Curve(8, T, T, 0.1), Curve(16, T[:2], T[:2], 0.1)
    with pytest.raises(ValueError, match="at least 2 sizes, got 1"):
        crossings([one])
    with pytest.raises(ValueError, match="L = 16 has 2 temperatures, and 3 are needed"):
        crossings([one, few])
    with pytest.raises(ValueError, match="size 8 is given twice"):
        crossings([one, one])
    with pytest.raises(ValueError, match="L = 8 has no errors"):
        collapse([Curve(8, T, T, 0), Curve(16, T, T, 0)])
    with pytest.raises(ValueError, match="a collapse needs more temperatures"):
        collapse([one, Curve(16, T, T, 0.1)])


def test_a_covariance_follows_its_temperatures():
    covariance = np.array([[9.0, 3.0, 6.0], [3.0, 1.0, 2.0], [6.0, 2.0, 4.0]])
    curve = Curve(8, [2.4, 2.0, 2.2], [3, 1, 2], [3, 1, 2], covariance)
    assert curve.covariance.tolist() == [[1, 2, 3], [2, 4, 6], [3, 6, 9]]
    assert curve.within(2.1, 2.5).covariance.tolist() == [[4, 6], [6, 9]]
    moved = curve.replicas(4000, np.random.default_rng(0)) - curve.value
    assert np.allclose(moved / curve.error, moved[:, :1] / curve.error[0], atol=1e-6)  # all by as many errors
    assert np.std(moved[:, 2]) == pytest.approx(3, rel=0.05)


def test_errors_of_results_hold_the_covariance():
    """A shift of all temperatures together moves a crossing, and the height of a maximum, by all of it."""
    t = np.linspace(1.5, 2.5, 9)
    shift = np.full((9, 9), 0.01)
    flat, steep = (Curve(size, t, -slope * (t - 2), 0.1, shift) for size, slope in ((4, 1.0), (8, 3.0)))
    assert crossings([flat, steep]).crossings[0].error == pytest.approx(np.hypot(0.1, 0.1) / 2, rel=0.1)
    independent = [Curve(each.size, t, each.value, 0.1) for each in (flat, steep)]
    assert crossings(independent).crossings[0].error < 0.05
    (top,) = peaks([Curve(8, t, 1 - (t - 2) ** 2, 0.1, shift)]).peaks
    assert top.height_error == pytest.approx(0.1, rel=0.2)
    assert top.error < 0.01
    with pytest.raises(ValueError, match="L = 4 has a covariance of its temperatures"):
        collapse([flat, steep])
