"""Corrections to scaling: errors that contain them, and the maxima of coarse grids."""

import numpy as np
import pytest

from latticear.scaling import Curve, peaks, power_law

SIZES = np.array([8.0, 16.0, 32.0])


def test_the_error_of_a_power_contains_what_corrections_do():
    value = SIZES ** (26 / 15) * (1 - 0.15 * (SIZES / 8) ** -0.8)  # as the susceptibility of the Potts model, q = 3
    plain = power_law(SIZES, value, 0.005 * value, correction=None)
    assert plain.exponent - 26 / 15 > 4 * plain.error
    allowed = power_law(SIZES, value, 0.005 * value)
    assert abs(allowed.exponent - 26 / 15) < 2 * allowed.error
    assert plain.error < allowed.systematic < allowed.error < 0.1
    given = power_law(SIZES, value, 0.005 * value, correction=0.8)
    assert given.exponent == pytest.approx(26 / 15, abs=0.03)
    larger = power_law(8 * SIZES, value, 0.005 * value)
    assert larger.error == pytest.approx(allowed.error)


def test_wrong_corrections_are_refused():
    for wrong in (0.0, -1.0, "large"):
        with pytest.raises(ValueError, match="correction must be 'allowed', None, or an exponent above zero"):
            power_law(SIZES, SIZES, 0.1 * SIZES, correction=wrong)
    with pytest.raises(ValueError, match="needs 3 sizes or more, got 2"):
        power_law(SIZES[:2], SIZES[:2], 0.1 * SIZES[:2], correction=0.8)


def test_heights_are_not_low_on_a_coarse_grid():
    """30 repeats: the mean has an error of 0.18; that of the polynomials themselves is -0.7."""
    t, z = np.linspace(2.05, 2.45, 11), []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        y = 1 / (1 + 0.15 * ((t - 2.25) * 16 - 1) ** 2)
        top = peaks([Curve(16, t, y + 0.005 * rng.standard_normal(11), 0.005)]).peaks[0]
        z.append((top.height - 1) / top.height_error)
    assert abs(np.mean(z)) < 0.55
    assert 0.5 < np.std(z) < 1.5


def test_four_temperatures_do_not_say_how_high_a_maximum_is():
    found = peaks([Curve(8, [2.0, 2.2, 2.4, 2.6], [0.5, 0.9, 1.0, 0.7], 0.01)])
    assert "4 temperatures are too few to say by how much the height" in found.warnings[0]
