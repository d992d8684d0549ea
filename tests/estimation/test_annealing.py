"""Population annealing against enumeration: Z without bias, observables, error bars, families.

"Agrees" means within 4 errors; seeds are fixed.
"""

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from support.disorder import WITHOUT_CLUSTERS as SYSTEMS

import latticear as la
from latticear.estimation.annealing import population_annealing
from latticear.exact import all_configurations
from latticear.montecarlo.population import Population, anneal, annealed_population, equally_weighted, families
from latticear.montecarlo.resampling import systematic


def population(hamiltonian, size: tuple[int, int], seed: int = 0) -> Population:
    return Population(hamiltonian, size, np.random.default_rng(seed), torch.device("cpu"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_free_energy_and_observables_agree_with_enumeration(name):
    hamiltonian, temperature = SYSTEMS[name]
    exact = la.exact.enumerate_states(hamiltonian, temperature)
    found = population_annealing(hamiltonian, temperature, n=6400, exact=exact, seed=2)
    assert found.reliable
    compared = [e for e in found.values() if e.exact is not None]
    assert len(compared) == 9
    for estimate in compared:
        assert abs(estimate.deviation) < 4
    assert found["log_z"].error < 0.01 * abs(found["log_z"].value)
    if name != "hot":
        off = la.exact.enumerate_states(hamiltonian, 1.15 * temperature)
        assert abs(found["log_z"].value - off.log_z) > 10 * found["log_z"].error


@pytest.mark.parametrize(("n_sweeps", "steps"), [(0, 3), (1, 6)])
def test_z_is_unbiased_however_few_replicas_there_are(n_sweeps, steps):
    """The average over islands of 8 replicas, whose ln Z are each clearly too low; without any sweep as well."""
    hamiltonian, temperature = SYSTEMS["random"]
    exact = la.exact.enumerate_states(hamiltonian, 3 * temperature).log_z
    islands = population(hamiltonian, (20_000, 8))
    anneal(islands, np.linspace(0, 1 / (3 * temperature), steps + 1)[1:].tolist(), n_sweeps)
    z_r = (islands.log_z - exact).exp().numpy()
    assert abs(z_r.mean() - 1) < 4 * z_r.std() / np.sqrt(20_000)
    assert np.log(z_r).mean() < -4 * np.log(z_r).std() / np.sqrt(20_000)


def test_replicas_follow_the_boltzmann_distribution():
    hamiltonian, temperature = SYSTEMS["three states"]
    energies = hamiltonian.token_energy(all_configurations(hamiltonian.shape, 3))
    p = (-energies / temperature).softmax(0).numpy()
    islands = population(hamiltonian, (1, 30_000))
    anneal(islands, [0.4, 0.8, 1.1, 1 / temperature], 20)
    index = islands.tokens.flatten(1).long() @ 3 ** torch.arange(5, -1, -1)
    counts = np.bincount(index.numpy(), minlength=729)
    common = 30_000 * p > 20
    seen = np.append(counts[common], counts[~common].sum())
    expected = 30_000 * np.append(p[common], p[~common].sum())
    # After 20 sweeps nothing is left of families here, and the replicas are independent; false alarm 1e-4.
    assert chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1) > 1e-4


def test_error_of_ln_z_is_that_of_many_runs():
    hamiltonian, temperature = la.Ising((3, 3), coupling=-1.0), 1.2
    exact = la.exact.enumerate_states(hamiltonian, temperature)
    z = [
        population_annealing(hamiltonian, temperature, n=3200, n_sweeps=2, exact=exact, seed=seed) for seed in range(60)
    ]
    for name in ("log_z", "abs_magnetization"):
        squares = np.square([found[name].deviation for found in z]).sum()
        assert chi2.ppf(1e-4, 60) < squares < chi2.ppf(1 - 1e-4, 60)


def test_families_are_counted():
    islands = population(la.Ising((2, 2)), (2, 4))
    assert families(islands.origin) == pytest.approx((1, 1))
    shares = torch.tensor([0, 0, 0, 0, 4, 4, 5, 5])  # 1/2, 1/4, 1/4
    assert families(shares) == pytest.approx((8 * 0.375, 8 / np.exp(1.5 * np.log(2))))


def test_few_families_are_distrusted():
    with pytest.warns(la.UnreliableEstimateWarning, match=r"families .* are left on an island of 10 replicas"):
        found = population_annealing(la.Ising((8, 8)), 1.0, n=100, n_sweeps=1)
    assert not found.reliable


def test_few_rare_events_are_a_doubt():
    """At T = 0.5 about two replicas of 6400 are excited at all."""
    ising = la.Ising((3, 3), coupling=-1.0)
    found = population_annealing(ising, 0.5, n=6400, seed=2)
    assert "depends on few rare events, about 2" in found["energy_per_site"].doubts[0]
    assert found.verdict == "unchecked"
    found = population_annealing(ising, 1.2, n=20_000)
    assert found["binder_cumulant"].doubts
    assert not found["energy_per_site"].doubts


def test_islands_never_meet():
    islands = population(la.Ising((4, 4)), (5, 20))
    anneal(islands, [0.2, 0.4, 0.6], 1)
    assert torch.equal(islands.origin // 20, torch.arange(100) // 20)
    assert len(islands.origin.unique()) < 100
    assert torch.equal(islands.energy.flatten(), la.Ising((4, 4)).token_energy(islands.tokens))


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")  # tiny islands
def test_schedule_keeps_the_overlap_asked_for_and_ends_at_the_target():
    counts = []
    for overlap in (0.5, 0.9, 0.97):
        found = population_annealing(la.Ising((4, 4)), 2.0, n=320, overlap=overlap, n_sweeps=1)
        counts.append(found.diagnostics["n_temperatures"])
    # ln ESS of a step is about its variance: steps go as its root
    assert counts[1] / counts[0] == pytest.approx(np.sqrt(np.log(0.5) / np.log(0.9)), rel=0.35)
    assert counts[2] / counts[1] == pytest.approx(np.sqrt(np.log(0.9) / np.log(0.97)), rel=0.35)


def test_configurations_have_equal_weights():
    hamiltonian, temperature = SYSTEMS["random"]
    samples = equally_weighted(annealed_population(hamiltonian, temperature, n=6405, seed=3))
    assert len(samples) == 6400
    assert not samples.records
    assert samples.provenance["method"] == "population-annealing"
    assert samples.provenance["n_islands"] == 32
    energy = hamiltonian.token_energy(samples.tokens) / hamiltonian.n_sites
    exact = la.exact.enumerate_states(hamiltonian, temperature).energy_per_site
    assert abs(energy.mean().item() - exact) < 8 * energy.std().item() / np.sqrt(6400)  # families are correlated


def test_islands_are_resampled_by_their_z():
    log_w = torch.tensor([[0.0, 0.0, np.log(2.0), -np.inf]], dtype=torch.float64)
    rows = systematic(log_w, torch.tensor([0.3], dtype=torch.float64), torch.tensor([True]))
    assert rows.tolist() == [0, 1, 2, 2]


def test_a_seed_is_reproduced_and_another_is_not():
    runs = [population_annealing(la.Ising((3, 3)), 3.0, n=1280, seed=seed) for seed in (1, 1, 2)]
    assert runs[0]["log_z"].value == runs[1]["log_z"].value != runs[2]["log_z"].value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 99}, "n must be at least 100, got 99"),
        ({"n_islands": 9}, "n_islands must be at least 10, got 9"),
        ({"n_islands": 65}, "65 islands need at least 650 replicas, got n = 640"),
        ({"n_sweeps": 0}, "n_sweeps must be at least 1"),
        ({"overlap": 1.0}, "overlap must lie between 0 and 1, got 1.0"),
        ({"temperature": -1.0}, "temperature must be positive"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        population_annealing(la.Ising((2, 2)), **{"temperature": 2.0, "n": 640, **changes})


@pytest.mark.gpu
def test_on_the_gpu():
    hamiltonian, temperature = SYSTEMS["three states"]
    exact = la.exact.enumerate_states(hamiltonian, temperature)
    found = population_annealing(hamiltonian, temperature, n=3200, exact=exact, device="cuda")
    assert all(abs(e.deviation) < 4 for e in found.values() if e.exact is not None)
