"""Estimates from chains: neural MCMC and Monte Carlo, against enumeration."""

import numpy as np
import pytest

import latticear as la
from latticear.chains import _independence_metropolis
from latticear.exact import enumerate_states

TEMPERATURE = 2.0


def test_neural_mcmc_agrees_with_enumeration(ising, model):
    exact = enumerate_states(ising, TEMPERATURE)
    estimates = la.neural_mcmc(model.sample(60_000, seed=1), ising, TEMPERATURE, exact=exact)
    assert estimates.reliable, estimates.warnings
    assert 0.1 < estimates.diagnostics["acceptance"] < 0.99  # the weights matter
    assert estimates["energy_per_site"].tau_int > 0.6
    assert "log_z" not in estimates
    for name in set(exact.to_dict()) & set(estimates):
        assert abs(estimates[name].deviation) < 4, name


def test_neural_mcmc_is_apart_from_the_sums_of_weights(ising, model):
    """Both routes from the same samples agree within their errors, and are not the same number."""
    samples = model.sample(30_000, seed=2)
    chain, weighed = la.neural_mcmc(samples, ising, TEMPERATURE), la.estimate(samples, ising, TEMPERATURE)
    for name in ("energy_per_site", "abs_magnetization"):
        gap = abs(chain[name].value - weighed[name].value)
        assert 0 < gap < 4 * np.hypot(chain[name].error, weighed[name].error)


def test_error_bars_of_neural_mcmc_cover(ising, model):
    """100 repeats: the sample variance of z has a standard deviation of sqrt(2 / 99) = 0.14."""
    exact = enumerate_states(ising, TEMPERATURE).to_dict()
    n = 2000
    samples = model.sample(100 * n, seed=3)
    z = []
    for k in range(100):
        estimate = la.neural_mcmc(samples[k * n : (k + 1) * n], ising, TEMPERATURE, seed=k)["energy_per_site"]
        z.append((estimate.value - exact["energy_per_site"]) / estimate.error)
    assert 0.5 < np.var(z) < 1.6
    assert abs(np.mean(z)) < 0.45


def test_independence_metropolis_has_the_target_as_its_distribution():
    """Three states with weights 1, 2, 5 under a uniform proposal; 4 errors of a chain with tau below 2.5."""
    rng = np.random.default_rng(0)
    states = rng.integers(3, size=(4000, 50))
    log_w = np.log(np.array([1.0, 2.0, 5.0]))[states]
    held, acceptance = _independence_metropolis(log_w, rng)
    share = np.bincount(states.ravel()[held[100:].ravel()], minlength=3) / held[100:].size
    assert np.abs(share - np.array([1, 2, 5]) / 8).max() < 4 * np.sqrt(5 * 0.25 / held.size)
    # acceptance = sum over pairs of p(a) q(b) min(1, w_b / w_a)
    assert acceptance == pytest.approx((1 * 3 + 2 * (0.5 + 2) + 5 * (0.2 + 0.4 + 1)) / 8 / 3, abs=0.01)


def test_equal_weights_accept_everything():
    held, acceptance = _independence_metropolis(np.zeros((50, 3)), np.random.default_rng(0))
    assert acceptance == 1
    assert np.array_equal(held, np.arange(150).reshape(50, 3))


@pytest.mark.parametrize("method", ["metropolis", "swendsen-wang"])
def test_monte_carlo_agrees_with_enumeration(ising, method):
    exact = enumerate_states(ising, TEMPERATURE)
    chains = la.monte_carlo(ising, TEMPERATURE, n=20_030, n_chains=100, method=method, thinning=5, seed=0)
    estimates = la.estimate_chains(chains, ising, TEMPERATURE, exact=exact)
    assert estimates.n == 20_000  # the trimmed last batch is left out
    assert estimates.diagnostics["tau_int_energy"] >= 0.4
    for name in set(exact.to_dict()) & set(estimates):
        assert abs(estimates[name].deviation) < 4, name
    assert estimates["correlation"].value.shape == estimates["correlation"].error.shape == (2,)


def test_frozen_chains_are_told():
    """At T = 0.4 no configuration but the ground state is seen: errors of zero, which say nothing."""
    ising = la.Ising((4, 4))
    with pytest.warns(la.UnreliableEstimateWarning, match="heat bath would change the energy"):
        estimates = la.estimate_chains(la.monte_carlo(ising, 0.4, n=1000, method="swendsen-wang"), ising, 0.4)
    assert estimates["energy_per_site"].error == 0
    assert not estimates.reliable


def test_short_chains_are_told(ising):
    chains = la.monte_carlo(la.Ising((8, 8)), 2.3, n=40, n_chains=4, thermalization=0, thinning=1, seed=0)
    with pytest.warns(la.UnreliableEstimateWarning, match="too short for their autocorrelation"):
        estimates = la.estimate_chains(chains, la.Ising((8, 8)), 2.3)
    assert not estimates.reliable


def test_bad_input(ising, model):
    with pytest.raises(ValueError, match="need at least 20 samples"):
        la.neural_mcmc(model.sample(10), ising, TEMPERATURE)
    with pytest.raises(ValueError, match="no log_q"):
        la.neural_mcmc(la.monte_carlo(ising, TEMPERATURE, n=100), ising, TEMPERATURE)
    with pytest.raises(ValueError, match="at least two measurements"):
        la.estimate_chains(la.monte_carlo(ising, TEMPERATURE, n=10, n_chains=10), ising, TEMPERATURE)
