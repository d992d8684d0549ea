"""Curves: what is refused, and the order of temperatures."""

import numpy as np
import pytest

from latticear.scaling import Curve, collapse, crossings

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
