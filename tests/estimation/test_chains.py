"""Estimates from chains: neural MCMC and Monte Carlo, against enumeration."""

import math

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation.neural_metropolis import _independence_metropolis
from latticear.exact import all_configurations, enumerate_states
from latticear.observables import correlation

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
    estimates = la.estimation.estimate_chains(chains, ising, TEMPERATURE, exact=exact)
    assert estimates.n == 20_000  # the trimmed last batch is left out
    assert estimates.diagnostics["tau_int_energy"] >= 0.4
    for name in set(exact.to_dict()) & set(estimates):
        assert abs(estimates[name].deviation) < 4, name
    assert estimates["correlation"].value.shape == estimates["correlation"].error.shape == (2,)


def test_frozen_chains_are_told():
    """At T = 0.4 no configuration but the ground state is seen: errors of zero, which say nothing by themselves."""
    ising = la.Ising((4, 4))
    batches = list(la.monte_carlo(ising, 0.4, n=1000, method="swendsen-wang"))
    alone, beside = (la.estimation.estimate_chains(batches, ising, 0.4, exact=exact) for exact in (None, "auto"))
    assert alone["energy_per_site"].error == 0
    assert alone.verdict == "unchecked"
    assert "no variation in 1,000 configurations" in str(alone)
    assert beside["energy_per_site"].verdict == "trusted"


def drawn(ising, temperature: float, n: int, generator: torch.Generator) -> list[la.Samples]:
    """Independent configurations, as chains of twenty that decorrelate at once."""
    states = all_configurations(ising.shape, 2)
    p = (-ising.token_energy(states) / temperature).softmax(0)
    tokens = states[torch.multinomial(p, n, replacement=True, generator=generator)]
    return [la.Samples(part, None, 0) for part in tokens.split(n // 20)]


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
def test_errors_that_rest_on_few_rare_events_are_told():
    """Of n configurations of a cold magnet 0.4 % are excited; z of each run is about `(k - <k>) / sqrt(k)`.

    Of a fresh seed a value without a doubt leaves 4.5 errors less than once in a hundred runs of this test (Poisson
    distribution with k >= 30), and nothing that was dropped would have left 3.9 once in ten.
    """
    ising, temperature = la.Ising((3, 4)), 1.0
    exact = enumerate_states(ising, temperature)
    generator = torch.Generator().manual_seed(0)
    names = ("energy_per_site", "heat_capacity_per_site", "abs_magnetization")
    kept, dropped = [], []
    for n, runs in ((1200, 80), (12000, 20)):
        for _ in range(runs):
            found = la.estimation.estimate_chains(
                drawn(ising, temperature, n, generator), ising, temperature, exact=exact
            )
            off = [math.inf if found[name].unvaried else found[name].deviation for name in names]
            trusted = not any(found[name].doubts or found[name].objections or found[name].unvaried for name in names)
            (kept if trusted else dropped).append(off)
    assert len(kept) > 10
    assert np.abs(kept).max() < 4.5
    assert len(dropped) > 60
    assert np.abs(dropped).max() > 3.9
    assert np.square(dropped).mean() > 1.5


def test_a_single_quantity_may_be_unreliable():
    """Binder's cumulant of an antiferromagnet rests on the few configurations that are not."""
    ising, rare = la.Ising((3, 3), coupling=-1.0), {"aligned": lambda s: (s.mean((1, 2)).abs() > 0.5).double()}
    batches = drawn(ising, 1.2, 3200, torch.Generator().manual_seed(0))
    found = la.estimation.estimate_chains(batches, ising, 1.2, observables=rare)
    assert found["aligned"].value == pytest.approx(3 / 3200)
    doubtful = {name for name, estimate in found.items() if estimate.doubts or estimate.objections}
    assert {"binder_cumulant", "aligned"} <= doubtful
    assert not {"energy_per_site", "abs_magnetization"} & doubtful
    assert found["binder_cumulant"].verdict == "unchecked"
    assert "few rare events" in found.to_dict()["binder_cumulant"]["reasons"][0]
    assert "reliable" not in found.to_dict()["energy_per_site"]


@pytest.mark.parametrize(
    ("system", "temperature"), [(la.Ising((7, 7), coupling=-1.0), 2.269), (la.Potts((8, 8), 3), 1.0)]
)
def test_what_varies_by_rounding_makes_no_chain_short(system, temperature):
    """The correlation at distance zero is one."""
    method = {"method": "heat-bath", "n_chains": 40, "thinning": 8}
    chains = list(la.monte_carlo(system, temperature, n=4000, seed=0, **method))
    values = np.stack([correlation(system.vectors_of(batch.tokens), system.lattice)[:, 0] for batch in chains])
    assert 0 < np.ptp(values) < 1e-13
    found = la.estimation.estimate_chains(chains, system, temperature)["correlation"]
    assert found.error[0] == 0
    assert found.tau_int < 3
    assert not any("too short" in reason for reason in found.verdict.reasons)


def test_arrays_say_how_many_configurations_they_need():
    """Of ten measurements of each chain one number of two grows all along."""
    steps = iter(range(10))
    own = {"slow": lambda s: torch.stack([s.mean((1, 2)), torch.full((len(s),), float(next(steps)))], 1)}
    system = la.Ising((4, 4), field=0.1)
    chains = la.monte_carlo(system, 5.0, n=1000, n_chains=100, seed=0)
    (reason,) = la.estimation.estimate_chains(chains, system, 5.0, observables=own)["slow"].verdict.reasons
    assert (
        reason == "the chains are too short for its autocorrelation time: it needs about 2,000 configurations or more"
    )


def test_short_chains_are_told(ising):
    chains = la.monte_carlo(la.Ising((8, 8)), 2.3, n=40, n_chains=4, thermalization=0, thinning=1, seed=0)
    with pytest.warns(
        la.UnreliableEstimateWarning, match=r"too short for their autocorrelation time .* they need about \d[0,]* conf"
    ):
        estimates = la.estimation.estimate_chains(chains, la.Ising((8, 8)), 2.3)
    assert not estimates.reliable


def test_bad_input(ising, model):
    with pytest.raises(ValueError, match="need at least 20 samples"):
        la.neural_mcmc(model.sample(10), ising, TEMPERATURE)
    with pytest.raises(ValueError, match="no log_q"):
        la.neural_mcmc(la.monte_carlo(ising, TEMPERATURE, n=100), ising, TEMPERATURE)
    with pytest.raises(ValueError, match="at least two measurements"):
        la.estimation.estimate_chains(la.monte_carlo(ising, TEMPERATURE, n=10, n_chains=10), ising, TEMPERATURE)
