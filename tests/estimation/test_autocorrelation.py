"""Autocorrelation times of processes whose times are known, and the coverage of the errors made from them.

Seeds are fixed, so a test passes or fails for good; the rates stated are those of a fresh seed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from latticear.estimation.autocorrelation import integrated_autocorrelation_time, mean_error


def autoregressive(r: float, length: int, n_chains: int, rng: np.random.Generator) -> np.ndarray:
    """Stationary AR(1), variance 1, rho(t) = r^t, tau_int = (1 + r) / (2 (1 - r))."""
    noise = rng.normal(size=(length, n_chains)) * math.sqrt(1 - r**2)
    noise[0] /= math.sqrt(1 - r**2)
    return lfilter([1], [1, -r], noise, axis=0)


def exact_tau(r: float) -> float:
    return (1 + r) / (2 * (1 - r))


@pytest.mark.parametrize("shape", [(20_000,), (20_000, 1), (500, 40), (10, 2000)])
def test_white_noise_has_one_half(shape):
    tau = integrated_autocorrelation_time(np.random.default_rng(1).normal(size=shape))
    assert abs(tau.tau - 0.5) < 4 * tau.error  # false alarm: 6e-5
    assert 0 < tau.error < 0.02
    assert tau.reliable
    assert (tau.length, tau.n_chains) == (shape[0], math.prod(shape[1:]))


@pytest.mark.parametrize(("length", "n_chains"), [(50_000, 1), (1000, 50)])
@pytest.mark.parametrize("r", [-0.8, -0.5, 0.3, 0.7, 0.9, 0.98])
def test_autoregressive_series_have_their_known_time(r, length, n_chains):
    tau = integrated_autocorrelation_time(autoregressive(r, length, n_chains, np.random.default_rng(2)))
    assert abs(tau.tau - exact_tau(r)) < 4 * tau.error  # false alarm over the 12 cases: 1e-3
    assert tau.error < 0.25 * tau.tau
    assert tau.reliable


# Over 600 repeats the mean of z^2 has standard deviation sqrt(2 / 600) = 0.058 if z is normal; the bound is 4
# of them, false alarm 6e-5 each. The error of tau is itself an estimate that grows with tau, so that z of tau
# is skewed and its width, 0.86 to 1.11 over 2000 repeats, not quite 1: the bounds leave room for that.
@pytest.mark.parametrize(
    ("r", "length", "n_chains"),
    [(0.0, 100, 5), (0.6, 100, 20), (0.9, 200, 20), (-0.5, 100, 20), (0.8, 2000, 1)],
)
def test_errors_cover(r, length, n_chains):
    rng = np.random.default_rng(3)
    z_mean, z_tau = [], []
    for _ in range(600):
        mean, error, tau = mean_error(5 + autoregressive(r, length, n_chains, rng))
        z_mean.append((mean - 5) / error)
        z_tau.append((tau.tau - exact_tau(r)) / tau.error)
    assert abs(np.mean(np.square(z_mean)) - 1) < 4 * math.sqrt(2 / 600)
    assert 0.7 < np.std(z_tau) < 1.3
    assert abs(np.mean(z_tau)) < 0.4


def test_naive_error_would_not_cover():
    rng = np.random.default_rng(4)
    z = []
    for _ in range(200):
        mean, error, tau = mean_error(autoregressive(0.8, 200, 5, rng))
        z.append(mean / (error / math.sqrt(2 * tau.tau)))
    assert np.mean(np.square(z)) > 4  # 2 tau = 9


def test_scale_and_offset_change_nothing():
    series = autoregressive(0.7, 400, 3, np.random.default_rng(5))
    mean, error, tau = mean_error(series)
    for scale in (1e-200, 1.0, 1e200):
        scaled_mean, scaled_error, scaled_tau = mean_error(scale * (series - 1))
        assert scaled_tau.tau == pytest.approx(tau.tau, rel=1e-9)
        assert scaled_error / scale == pytest.approx(error, rel=1e-9)
        assert scaled_mean / scale == pytest.approx(mean - 1, rel=1e-9)


def test_autocovariance_is_that_of_the_definition():
    series = autoregressive(0.5, 30, 2, np.random.default_rng(6))
    tau = integrated_autocorrelation_time(series)
    d, w = series - series.mean(), tau.window
    gamma = np.array([(d[: 30 - t] * d[t:]).sum() / (2 * (30 - t)) for t in range(w + 1)])
    weights = np.array([1.0] + [2.0] * (w - 1) + [1.0])
    gamma = gamma + weights @ gamma / 60
    assert tau.tau == pytest.approx(weights @ gamma / (2 * gamma[0]), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e300])
def test_constant_series(value):
    mean, error, tau = mean_error(np.full((50, 3), value))
    assert (mean, error, tau.tau, tau.error) == (value, 0.0, 0.5, 0.0)
    assert not tau.reliable


def test_a_series_that_varies_by_rounding_is_constant():
    """A sum of 64 squares of spins by a Fourier transform; chains differ in their last bits all along."""
    rng = np.random.default_rng(0)
    bits = rng.integers(-3, 4, size=50) + rng.integers(-1, 2, size=(100, 50))
    for size in (1.0, -1e-20, 1e200):
        mean, error, tau = mean_error(size * (1 + 2.0**-52 * bits))
        assert mean == pytest.approx(size, rel=1e-14)
        assert (error, tau.tau, tau.window) == (0.0, 0.5, 0)
    assert mean_error(1 + 2.0**-30 * bits)[2].tau > 5
    assert not mean_error(1 + 2.0**-30 * bits)[2].reliable


def test_what_short_chains_need():
    rng = np.random.default_rng(7)
    for decay, length, n_chains in ((0.9, 200, 4), (0.9, 20, 40), (0.0, 20, 1)):
        tau = integrated_autocorrelation_time(autoregressive(decay, length, n_chains, rng))
        assert not tau.reliable
        longer = -(-tau.needed // n_chains)
        assert longer > length
        found = [integrated_autocorrelation_time(autoregressive(decay, 2 * longer, n_chains, rng)) for _ in range(20)]
        assert sum(each.reliable for each in found) >= 10


def test_integers_and_lists_are_series():
    assert mean_error([0, 1, 1, 0, 1, 0, 0, 1])[0] == 0.5


def test_short_chains_are_not_reliable():
    rng = np.random.default_rng(7)
    for _ in range(20):
        assert not integrated_autocorrelation_time(autoregressive(0.98, 1000, 1, rng)).reliable  # 20 tau
        assert not integrated_autocorrelation_time(autoregressive(0.98, 100, 100, rng)).reliable  # 2 tau a chain
        assert not integrated_autocorrelation_time(autoregressive(0.0, 20, 1, rng)).reliable


def test_chains_that_disagree_are_not_reliable_and_their_error_is_that_of_independent_chains():
    rng = np.random.default_rng(8)
    places = rng.choice([-1.0, 1.0], size=100)
    mean, error, tau = mean_error(places + 0.1 * rng.normal(size=(200, 100)))
    assert not tau.reliable
    assert error == pytest.approx(places.std() / 10, rel=0.1)
    assert mean == pytest.approx(places.mean(), abs=0.01)


def test_alternating_series_falls_back_to_white_noise():
    _, error, tau = mean_error(np.arange(100) % 2)
    assert tau.tau == 0.5
    assert error == pytest.approx(0.05, rel=0.02)  # as 100 fair coins
    assert not tau.reliable


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (np.zeros(1), "at least 2 steps"),
        (np.zeros(0), "at least 2 steps"),
        (np.zeros((10, 0)), "at least 2 steps"),
        (np.zeros((1, 50)), "at least 2 steps"),
        (np.zeros((4, 4, 4)), r"must have shape \(T,\) or \(T, n_chains\), got \(4, 4, 4\)"),
        (np.float64(1), "must have shape"),
        (np.array([1.0, np.nan, 2.0, np.inf]), "got 2 values that are NaN or infinite"),
        (np.ones(5) * 1j, "must be real"),
    ],
)
@pytest.mark.parametrize("function", [integrated_autocorrelation_time, mean_error])
def test_bad_series_are_refused(function, series, message):
    with pytest.raises(ValueError, match=message):
        function(series)
