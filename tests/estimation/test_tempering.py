"""Parallel tempering against enumeration: every rung, the free energy, its error bar, and the ladder itself.

That the target's configurations follow the Boltzmann distribution is tested in test_montecarlo.py. "Agrees" means
within 4 errors; seeds are fixed.
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from support.disorder import WITHOUT_CLUSTERS as SYSTEMS

import latticear as la
from latticear.estimation.autocorrelation import mean_error
from latticear.estimation.tempering import bennett, estimate_tempering, parallel_tempering
from latticear.exact import all_configurations
from latticear.montecarlo.replicas import ParallelTempering, spaced


def replicas(hamiltonian, temperature: float, n_chains: int, sweeps: int) -> ParallelTempering:
    """Chains that have thermalised and settled."""
    tokens = torch.zeros(n_chains, *hamiltonian.shape, dtype=torch.uint8)
    chains = ParallelTempering(hamiltonian, temperature, tokens, np.random.default_rng(0))
    for _ in range(sweeps):
        chains.sweep()
    chains.settle()
    return chains


@pytest.mark.parametrize("name", SYSTEMS)
def test_free_energy_and_observables_agree_with_enumeration(name):
    hamiltonian, temperature = SYSTEMS[name]
    exact = la.exact.enumerate_states(hamiltonian, temperature)
    found = parallel_tempering(
        hamiltonian, temperature, n=6000, n_chains=60, thermalization=400, thinning=5, exact=exact, seed=1
    )
    assert found.reliable
    compared = [e for e in found.values() if e.exact is not None]
    assert len(compared) == 9
    for estimate in compared:  # false alarm over all systems: 3e-3
        assert abs(estimate.deviation) < 4
    assert 0 < found["log_z"].error < 0.05 * abs(found["log_z"].value)
    off = la.exact.enumerate_states(hamiltonian, 1.15 * temperature)
    if name != "hot":
        assert abs(found["log_z"].value - off.log_z) > 10 * found["log_z"].error


def test_every_rung_has_its_own_temperature():
    hamiltonian, temperature = SYSTEMS["three states"]
    chains = replicas(hamiltonian, temperature, 200, 300)
    series = []
    for _ in range(100):
        chains.sweep()
        series.append(chains.energies.numpy())
    energies = hamiltonian.token_energy(all_configurations(hamiltonian.shape, 3))
    assert len(chains.betas) > 2
    for k, beta in enumerate(chains.betas.tolist()):
        mean, error, _ = mean_error(np.stack(series)[..., k])
        assert abs(mean - float(((-beta * energies).softmax(0) * energies).sum())) < 4 * error
    assert torch.allclose(chains.energies[:, 0], hamiltonian.token_energy(chains.tokens), rtol=1e-14, atol=0)


def test_overlap_of_free_spins_is_one_over_n():
    found = parallel_tempering(la.Ising((3, 3), coupling=0.0), 1.0, n=3000, n_chains=30, thermalization=200)[
        "overlap_squared"
    ]
    assert abs(found.value - 1 / 9) < 4 * found.error < 0.05
    assert "overlap_squared" not in parallel_tempering(
        la.Ising((2, 2)), 3.0, n=400, n_chains=1, thermalization=100, thinning=2
    )


def test_overlap_of_free_potts_states_is_that_of_their_vectors():
    """`<(sum_i s_i . s'_i / N)^2> = 1 / (N d)`, whatever the states are called; d = q - 1."""
    found = parallel_tempering(la.Potts((3, 3), coupling=0.0), 1.0, n=3000, n_chains=30, thermalization=100)
    assert abs(found["overlap_squared"].value - 1 / 18) < 4 * found["overlap_squared"].error < 0.05


def test_acceptance_ratio_of_two_gaussians():
    """Energies N(0, 1) at beta = 0 are N(-1, 1) at beta = 1, and ln of the ratio is 1/2; errors are those of 300 runs.

    The sum of squared z-scores leaves the range below once in 5000 seeds.
    """
    rng = np.random.default_rng(0)
    z = []
    for _ in range(300):
        hot, cold = rng.normal(size=(2, 50, 20))
        ratio = bennett(cold - 1, hot, 1.0)
        z.append((ratio.value - 0.5) / mean_error(ratio.influence)[1])
    assert chi2.ppf(1e-4, 300) < np.square(z).sum() < chi2.ppf(1 - 1e-4, 300)
    assert abs(np.mean(z)) < 4 / math.sqrt(300)


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")  # no thermalisation to be sure of
def test_error_of_ln_z_is_that_of_many_runs():
    hamiltonian, temperature = SYSTEMS["random"]
    exact = la.exact.enumerate_states(hamiltonian, temperature)
    schedule = {"n": 1000, "n_chains": 50, "thermalization": 100, "thinning": 3}
    z = [
        parallel_tempering(hamiltonian, temperature, exact=exact, seed=seed, **schedule)["log_z"].deviation
        for seed in range(30)
    ]
    assert chi2.ppf(1e-4, 30) < np.square(z).sum() < chi2.ppf(1 - 1e-4, 30)


def test_temperatures_are_placed_at_equal_parts_of_the_barrier():
    assert np.allclose(spaced(np.array([2.0, 1.0, 0.0]), np.array([0.8, 0.2])), [2, 1.375, 0])
    assert np.allclose(spaced(np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0])), [2, 1.5, 1, 0.5, 0])
    assert np.array_equal(spaced(np.array([2.0, 1.0, 0.0]), np.zeros(2)), [2, 0])


def test_ladder_sets_itself():
    chains = replicas(la.Ising((12, 12)), 2.0, 20, 300)
    ladder = chains.betas
    assert (ladder[0], ladder[-1]) == (0.5, 0)
    assert bool((ladder.diff() < 0).all())
    for _ in range(300):
        chains.sweep()
    assert chains.acceptance.min() > 0.3
    assert chains.acceptance.mean() < 0.65


def test_ladder_is_fixed_once_settled():
    chains = replicas(la.Ising((12, 12)), 2.0, 5, 3)  # before it could set itself
    ladder = chains.betas.clone()
    for _ in range(60):
        chains.sweep()
    assert torch.equal(chains.betas, ladder)


def test_a_round_trip_begins_and_ends_at_the_target():
    chains = replicas(la.Ising((2, 2)), 1e6, 3, 10)  # two rungs, exchanged in every other sweep
    trips = []
    for _ in range(8):
        chains.sweep()
        trips.append(round(chains.round_trips * 3 * (len(trips) + 1)))
    assert trips == [0, 0, 0, 0, 3, 3, 6, 6]  # the first to reach infinity had not been at the target before


def test_round_trips_are_as_many_as_rejections_let_through():
    """Syed et al., theorem 1: where energies forget each other between two exchanges, as they nearly do here."""
    chains = replicas(la.Ising((3, 3)), 5.0, 100, 100)
    for _ in range(400):
        chains.sweep()
    rejection = 1 - chains.acceptance
    assert chains.round_trips == pytest.approx(float(1 / (2 + 2 * (rejection / (1 - rejection)).sum())), rel=0.04)


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
def test_a_trimmed_last_batch_is_left_out():
    schedule = {"n": 25, "n_chains": 10, "thermalization": 20, "thinning": 3, "seed": 5}
    batches = list(la.monte_carlo(la.Ising((3, 4)), 2.0, method="parallel-tempering", **schedule))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [len(batch.records["ladder"]) for batch in batches] == [10, 10, 5]
    found = estimate_tempering(batches, la.Ising((3, 4)), 2.0)
    assert found.n == 20
    without = estimate_tempering(batches[:2], la.Ising((3, 4)), 2.0)
    assert found["log_z"].value == without["log_z"].value
    assert found["energy_per_site"].value == without["energy_per_site"].value


def test_a_free_energy_that_rests_on_rare_events_is_unreliable(monkeypatch):
    monkeypatch.setattr("latticear.estimation.tempering.events_of", lambda influence, tau, value: 2.9)
    found = parallel_tempering(la.Ising((3, 3)), 3.0, n=1000, n_chains=20, thermalization=200)
    few = {"log_z", "free_energy_per_site", "entropy_per_site", "overlap_squared"}
    assert {name for name, estimate in found.items() if estimate.doubts} >= few


def test_replicas_that_have_not_travelled_are_distrusted():
    with pytest.warns(la.UnreliableEstimateWarning):
        found = parallel_tempering(la.Ising((8, 8)), 2.0, n=20, n_chains=10, thermalization=100, thinning=1)
    assert not found.reliable
    assert any("round trips from the target temperature" in reason for reason in found.warnings)
    assert not found["log_z"].reliable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 19}, "10 chains need at least two measurements each, n = 20, got 19"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"n_chains": 0}, "n_chains must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        parallel_tempering(la.Ising((2, 2)), **{"temperature": 2.0, "n": 100, "n_chains": 10, **changes})


@pytest.mark.gpu
def test_on_the_gpu():
    hamiltonian, temperature = SYSTEMS["three states"]
    exact = la.exact.enumerate_states(hamiltonian, temperature)
    found = parallel_tempering(
        hamiltonian, temperature, n=400, n_chains=20, thermalization=150, exact=exact, device="cuda"
    )
    assert all(abs(e.deviation) < 4 for e in found.values() if e.exact is not None)
