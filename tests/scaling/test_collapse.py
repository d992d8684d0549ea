"""Data collapse: known exponents are found with right errors, and what does not collapse is said."""

import numpy as np
import pytest

from latticear.scaling import Curve, collapse

T_C = 2.25


def data(seed, kappa=-0.125, inverse_nu=1.0, sizes=(8, 16, 32), error=0.004, correction=0.0):
    rng, t, curves = np.random.default_rng(seed), np.linspace(2.1, 2.4, 9), []
    for size in sizes:
        y = size**kappa * (1.0 - 0.6 * np.tanh(0.3 * (t - T_C) * size**inverse_nu) + correction * size**-1.0)
        e = error * np.abs(y).max()
        curves.append(Curve(size, t, y + e * rng.standard_normal(len(t)), e))
    return curves


@pytest.mark.parametrize(("kappa", "inverse_nu"), [(-0.125, 1.0), (0.0, 1.2), (1.75, 0.8)])
def test_parameters_are_found(kappa, inverse_nu):
    found = collapse(data(0, kappa, inverse_nu))
    pairs = zip((found.critical_temperature, found.inverse_nu, found.exponent), (T_C, inverse_nu, kappa), strict=True)
    for parameter, true in pairs:
        assert abs(parameter.value - true) < 4 * parameter.error
    assert found.inverse_nu.error < 0.15
    assert 0 < found.systematic[1] < found.inverse_nu.error
    assert found.chi2 < 3 * found.dof
    assert found.warnings == ()


def test_errors_are_right():
    """6 repeats of two parameters; benchmarks/scaling_errors.py has 200."""
    z = []
    for seed in range(6):
        found = collapse(data(seed), critical_temperature=None, exponent=-0.125)
        z.append([(found.critical_temperature.value - T_C) / found.critical_temperature.error])
        z[-1].append((found.inverse_nu.value - 1) / found.inverse_nu.error)
    assert (np.abs(np.mean(z, axis=0)) < 1.6).all()
    assert (np.std(z, axis=0) > 0.2).all()
    assert (np.std(z, axis=0) < 2).all()


def test_given_parameters_stay():
    found = collapse(data(1), critical_temperature=T_C, inverse_nu=1.0, correction=None)
    assert found.critical_temperature == pytest.approx((T_C, 0.0), abs=1e-12)
    assert found.inverse_nu == pytest.approx((1.0, 0.0), abs=1e-12)
    assert abs(found.exponent.value + 0.125) < 4 * found.exponent.error


def test_points_lie_on_the_master_curve():
    curves = data(2)
    found = collapse(curves)
    low, high = found.window
    for curve in map(found.scaled, curves):
        inside = (curve.temperature >= low) & (curve.temperature <= high)
        off = (curve.value - found.master(curve.temperature)) / curve.error
        assert np.sqrt(np.mean(off[inside] ** 2)) < 1.6


def test_a_correction_is_fitted():
    plain = collapse(
        data(3, 0.0, correction=0.8, sizes=(4, 8, 16), error=0.001), exponent=0.0, inverse_nu=1.0, correction=None
    )
    better = collapse(
        data(3, 0.0, correction=0.8, sizes=(4, 8, 16), error=0.001), exponent=0.0, inverse_nu=1.0, correction=1.0
    )
    t_c = better.critical_temperature
    assert abs(t_c.value - T_C) < 4 * t_c.error
    assert abs(plain.critical_temperature.value - T_C) > 10 * plain.critical_temperature.error


def test_what_does_not_collapse_is_said():
    t = np.linspace(2.1, 2.4, 9)
    rng = np.random.default_rng(0)
    found = collapse([Curve(size, t, rng.normal(size=9), 1e-3) for size in (8, 16, 32)], exponent=0.0)
    assert any("the sizes do not collapse" in warning for warning in found.warnings)
    flat = collapse([Curve(size, t, 1 - (t - 1.5), 1e-3) for size in (8, 16)], exponent=0.0)
    assert any("two sizes alone" in warning for warning in flat.warnings)
    assert any("edge of its range" in warning for warning in flat.warnings)
