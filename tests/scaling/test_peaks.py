"""Maxima, power laws and limits."""

import numpy as np
import pytest

import latticear as la
from latticear.exact import T_C
from latticear.scaling import Curve, limit_of, peaks, power_law


def test_exact_maxima_of_the_heat_capacity():
    """Kaufman's C has its maximum where the derivative vanishes; C_max grows as a logarithm, and approaches T_c."""
    t = np.linspace(2.2, 2.6, 9)
    curves = []
    for size in (8, 12, 16, 24):
        values = [la.kaufman((size, size), x).heat_capacity_per_site for x in t]
        curves.append(Curve(size, t, values, 0.0))
    found = peaks(curves, exponent=1.0)
    assert len(found.peaks) == 4
    for peak in found.peaks:
        size = int(peak.size)
        around = [la.kaufman((size, size), peak.temperature + dt).heat_capacity_per_site for dt in (-0.01, 0, 0.01)]
        assert max(around) == around[1]
        assert peak.height == pytest.approx(around[1], rel=1e-3)
    assert found.logarithm.chi2 < found.growth.chi2
    assert found.logarithm.exponent == pytest.approx(0.4945, abs=0.03)  # 2 / pi (ln(1 + sqrt 2) / ...)^2: Onsager
    assert found.critical_temperature.value == pytest.approx(T_C, abs=0.01)


def test_errors_are_right():
    """60 repeats; the rate of false alarms is below 1e-3. The polynomial is of a degree that may be too high."""
    t, z = np.linspace(2.05, 2.45, 11), []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        curves = []
        for size in (8, 16):
            y = size**1.75 * np.exp(-(((t - 2.25) * size - 1) ** 2) / 20)
            e = 0.01 * y.max()
            curves.append(Curve(size, t, y + e * rng.standard_normal(len(t)), e))
        found = peaks(curves, correction=None)
        top = found.peaks[1]
        z.append([(top.temperature - 2.3125) / top.error, (top.height - 16**1.75) / top.height_error])
        z[-1].append((found.growth.exponent - 1.75) / found.growth.error)
    assert (np.abs(np.mean(z, axis=0)) < 0.7).all()
    assert (np.std(z, axis=0) > 0.5).all()
    assert (np.std(z, axis=0) < 1.4).all()


def test_a_maximum_at_the_end_is_left_out():
    t = np.linspace(2.0, 2.4, 5)
    found = peaks([Curve(8, t, t, 0.01), Curve(16, t, -((t - 2.2) ** 2), 0.01)])
    assert [peak.size for peak in found.peaks] == [16]
    assert found.growth is None
    assert "L = 8 has no maximum inside its temperatures, from T = 2 to 2.4" in found.warnings[0]


def test_power_laws():
    size = np.array([4, 8, 16, 32])
    law = power_law(size, 3.0 * size**1.75, 0.01 * size**1.75)
    assert law.exponent == pytest.approx(1.75)
    assert law.amplitude == pytest.approx(3.0)
    assert not law.warnings
    corrected = power_law(size, 3.0 * size**1.75 * (1 + 20.0 * size**-4.0), 0.003 * size**1.75)
    assert corrected.smallest_size > 4  # what the smallest size adds is left out
    assert abs(corrected.exponent - 1.75) < 3 * corrected.error
    assert power_law(size, 1 + 0.5 * np.log(size), np.full(4, 0.01), logarithmic=True).exponent == pytest.approx(0.5)
    with pytest.raises(ValueError, match="at least 2 sizes"):
        power_law([4], np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="positive values"):
        power_law([4, 8], np.array([-1.0, 1.0]), np.ones(2))


def test_limits():
    size = np.array([4.0, 8.0, 16.0, 32.0])
    y = 2.25 + 0.8 * size**-1.5
    exact = limit_of(size, y, np.zeros((4, 4)))
    assert exact.value == pytest.approx(2.25, abs=1e-3)
    one = limit_of([8.0], np.array([2.3]), np.array([[0.01]]))
    assert (one.value, one.error, one.exponent) == (2.3, 0.1, None)
    known = limit_of(size[:2], y[:2], 1e-6 * np.eye(2), exponent=1.5)
    unknown = limit_of(size[:2], y[:2], 1e-6 * np.eye(2))
    assert known.value == pytest.approx(2.25)
    assert unknown.error > 3 * known.error  # the exponent is unknown, and two values do not tell it
    with pytest.raises(ValueError, match="exponent must be positive"):
        limit_of(size, y, np.eye(4), exponent=-1.0)
