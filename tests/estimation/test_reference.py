"""Exact values come by themselves, where they cost next to nothing and are of the same system."""

import pytest
import torch

import latticear as la
from latticear.exact import dispatch, known_result

T = 2.0


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
def test_every_estimator_finds_the_exact_result(model, ising):
    exact = la.exact_result(ising, T)
    chains = list(la.monte_carlo(ising, T, n=2000))
    samples = model.sample(2000)
    replicas = la.monte_carlo(ising, T, n=400, n_chains=4, method="parallel-tempering")
    found = {
        "estimate": la.estimate(samples, ising, T),
        "reweight": la.reweight(samples, ising, [3.0, T])[1],
        "neural_mcmc": la.neural_mcmc(samples, ising, T),
        "estimate_chains": la.estimation.estimate_chains(chains, ising, T),
        "estimate_tempering": la.estimation.estimate_tempering(replicas, ising, T),
        "population_annealing": la.population_annealing(ising, T, n=400),
    }
    multiscale = la.MultiscalePixelCNN((4, 4), bias=(square := la.Ising((4, 4))).bias(T))
    for name, estimate in (("smc", la.sequential_monte_carlo), ("blocks", la.block_mcmc)):
        estimates = estimate(multiscale, square, T, n=2000)
        assert estimates["energy_per_site"].exact == la.exact_result(square, T).energy_per_site, name
    for name, estimates in found.items():
        assert estimates["energy_per_site"].exact == exact.energy_per_site, name
        assert ("log_z" not in estimates) or estimates["log_z"].exact == exact.log_z, name
    assert la.estimate(samples, ising, T, exact=None)["energy_per_site"].exact is None
    assert all(e["log_z"].exact is None for e in la.reweight(samples, ising, [3.0, T], exact=None))
    assert la.reweight(samples, ising, [3.0, T], exact=[None, "auto"])[1]["log_z"].exact == exact.log_z


def test_sites_held_fixed_have_no_exact_result(model, ising):
    where = torch.zeros(3, 3, dtype=torch.bool)
    where[0] = True
    held = model.sample(1000, given=torch.ones(3, 3, dtype=torch.uint8), where=where)
    assert la.estimate(held, ising, T)["energy_per_site"].exact is None
    assert la.neural_mcmc(held, ising, T)["energy_per_site"].exact is None


def test_it_is_found_once_and_only_where_it_is_quick(monkeypatch):
    calls = []
    monkeypatch.setattr(dispatch, "exact_result", lambda *a, **k: calls.append(a) or la.exact_result(*a, **k))
    system = la.Ising((4, 4))
    assert known_result(system, T) is known_result(system, T)
    assert known_result(system, 3.0) != known_result(system, T)
    assert len(calls) == 2
    slow = la.Ising((10, 10), field=0.1)  # a transfer matrix takes seconds
    assert known_result(slow, T) is None
    assert known_result(slow, T) is None
    assert len(calls) == 3
    assert la.exact_result(slow, T, seconds=0.1) is None


def test_a_function_of_the_user_is_called_for_a_few_configurations_only():
    asked = []

    def energy(s: torch.Tensor) -> torch.Tensor:
        asked.append(len(s))
        return -(s.flatten(1).sum(1) ** 2) / 10

    small = la.CustomHamiltonian(energy, states=[-1, 1], shape=(3, 4))
    assert known_result(small, T).method == "enumerate_states"
    large = la.CustomHamiltonian(energy, states=[-1, 1], shape=(4, 4))
    asked.clear()
    assert known_result(large, T) is None
    assert asked == []


def test_anything_else_is_refused(model, ising):
    samples = model.sample(100)
    with pytest.raises(ValueError, match=r"exact must be an ExactResult, such as la.exact_result.*got dict"):
        la.estimate(samples, ising, T, exact=la.exact_result(ising, T).to_dict())
