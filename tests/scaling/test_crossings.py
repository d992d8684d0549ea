"""Crossings: exact ones of small lattices, errors that are right, and curves that do not cross."""

import numpy as np
import pytest
from scipy.optimize import brentq

import latticear as la
from latticear.exact import T_C
from latticear.scaling import Curve, crossings

GRID = np.linspace(2.1, 2.45, 8)


def cumulant(size: int, t: float) -> float:
    """U4 of the periodic Ising model, exactly."""
    value = la.exact.magnetization_resolved(la.Ising((size, size)), t).binder_cumulant
    assert value is not None
    return value


@pytest.fixture(scope="module")
def exact_curves():
    return [Curve(size, GRID, [cumulant(size, t) for t in GRID], 0.0) for size in (3, 4, 5, 6)]


def test_exact_curves_cross_where_the_functions_do(exact_curves):
    found = crossings(exact_curves[1:], n_bootstrap=100)
    assert [crossing.sizes for crossing in found.crossings] == [(4, 5), (5, 6)]
    for crossing in found.crossings:
        a, b = map(int, crossing.sizes)
        t = brentq(lambda t, a=a, b=b: cumulant(a, t) - cumulant(b, t), 2.15, 2.35, xtol=1e-9)
        assert crossing.temperature == pytest.approx(t, abs=1e-6)
        assert crossing.value == pytest.approx(cumulant(a, t), abs=1e-6)
        assert crossing.error < 1e-8


def test_exact_crossings_approach_the_critical_temperature(exact_curves):
    found = crossings(exact_curves, n_bootstrap=100)
    off = [abs(crossing.temperature - T_C) for crossing in found.crossings]
    assert off == sorted(off, reverse=True)
    assert abs(found.critical_temperature.value - T_C) < off[-1] / 3
    with_exponent = crossings(exact_curves, exponent=2.75, n_bootstrap=100).critical_temperature
    assert abs(with_exponent.value - T_C) < off[-1] / 3


def noisy(seed: int, sizes=(8, 16, 32), error=0.003, t_c=2.25) -> list[Curve]:
    rng, t = np.random.default_rng(seed), np.linspace(2.05, 2.45, 11)
    ys = [0.61 - 0.3 * np.tanh(0.3 * (t - t_c) * size) for size in sizes]
    return [Curve(size, t, y + error * rng.standard_normal(len(t)), error) for size, y in zip(sizes, ys, strict=True)]


def test_errors_are_right():
    """40 repeats; the standard deviation of z has an error of 0.11, and so a false alarm has a probability of 1e-4."""
    z, middle = [], []
    for seed in range(40):
        found = crossings(noisy(seed), exponent=2.75, n_bootstrap=200)
        z.append((found.critical_temperature.value - 2.25) / found.critical_temperature.error)
        middle.append((found.crossings[0].temperature - 2.25) / found.crossings[0].error)
    for sample in (z, middle):
        assert abs(np.mean(sample)) < 4 / np.sqrt(40)
        assert 0.6 < np.std(sample) < 1.45


def test_neighbouring_crossings_are_correlated_and_reproducible():
    first, again = crossings(noisy(0)), crossings(noisy(0))
    assert first.to_dict() == again.to_dict()
    correlation = first.covariance[0, 1] / np.sqrt(np.prod(np.diag(first.covariance)))
    assert 0.02 < abs(correlation) < 0.9
    assert np.sqrt(first.covariance[0, 0]) == pytest.approx(first.crossings[0].error)
    assert "T_c = " in repr(first)


def test_curves_that_do_not_cross_are_named():
    t = np.linspace(2.0, 2.2, 5)
    apart = [Curve(size, t, size * 0.1 - t, 0.01) for size in (4, 8)]
    found = crossings(apart)
    assert found.crossings == ()
    assert found.critical_temperature is None
    assert "L = 4 and 8 do not cross clearly between T = 2 and 2.2" in found.warnings[0]
    elsewhere = crossings([Curve(4, t, t, 0.01), Curve(8, t + 1, t, 0.01)])
    assert "no temperatures in common" in elsewhere.warnings[0]


def test_plateaus_whose_noise_crosses_do_not_count():
    """Far below T_c all sizes have U4 = 2/3, far above it 0: differences there are noise."""
    rng, t = np.random.default_rng(1), np.linspace(1.5, 3.5, 41)
    curves = []
    for size in (8, 16):
        y = 2 / 3 / (1 + np.exp(1.5 * (t - 2.25) * size))
        curves.append(Curve(size, t, y + 0.002 * rng.standard_normal(len(t)), 0.002))
    assert crossings(curves).crossings[0].temperature == pytest.approx(2.25, abs=0.02)


def test_points_that_no_polynomial_describes_are_a_warning():
    t = np.linspace(2.0, 2.5, 9)
    rough = 0.05 * (-1.0) ** np.arange(9)
    found = crossings([Curve(4, t, rough - t, 1e-4), Curve(8, t, rough - 3 * (t - 2.25) - 2.25, 1e-4)])
    assert any("no polynomial describes" in warning for warning in found.warnings)
