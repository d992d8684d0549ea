"""The heat bath: rows of sites against tables, its transition matrix against enumeration, and the rarest excitations.

Seeds are fixed; each chi-square fails for a right sampler with probability 1e-4, and there are 16.
"""

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from support.disorder import RandomTables, RandomTwoState
from support.systems import SYSTEMS

import latticear as la
from latticear.exact import all_configurations
from latticear.montecarlo import heatbath, rows
from latticear.montecarlo.heatbath import RowBath, TableBath, beyond, heat_bath

JOINT = {name: system.joint for name, system in SYSTEMS.items()}
BONDED = {name: system for name, system in JOINT.items() if system.has_bonds} | {
    "random": RandomTwoState((3, 4)),
    "random tables": RandomTables((3, 3), 3),
    "no bonds": la.Ising((3, 3), coupling=0.0, field=0.3),
}
TINY = {
    "doubled bonds in a field": la.Ising((2, 3), coupling=-0.8, field=0.3),
    "all with all": la.SherringtonKirkpatrick((2, 3), seed=1),
    "antiperiodic": la.Ising((3, 2), antiperiodic=(True, False), periodic=(True, False)),
    "three states": RandomTables((2, 2), 3),
}
BETAS = (0.0, 0.7, 2.5)


def tokens(hamiltonian, n: int) -> torch.Tensor:
    return torch.randint(hamiltonian.n_tokens, (n, *hamiltonian.shape)).to(torch.uint8)


def bath(kind, hamiltonian, start: torch.Tensor):
    return kind(hamiltonian, start, torch.Generator().manual_seed(0))


def token_probabilities(energies: rows.RowEnergies, configurations: torch.Tensor, colour: int, beta) -> torch.Tensor:
    """`(q, n, B)` for the sites of a colour."""
    p = beyond(energies.rises(energies.hot(energies.sites(configurations)), colour) * -beta)
    whole = torch.cat([torch.ones_like(p[:1]), p, torch.zeros_like(p[:1])])
    return whole[:-1] - whole[1:]


@pytest.mark.parametrize("dense", [0, 10**9], ids=["selected rows", "a matrix"])
@pytest.mark.parametrize("name", BONDED)
def test_rows_give_the_conditional_probabilities_and_energies_of_the_tables(name, dense, monkeypatch):
    monkeypatch.setattr(rows, "DENSE", dense)
    hamiltonian = BONDED[name]
    energies, configurations = rows.RowEnergies(hamiltonian, torch.device("cpu")), tokens(hamiltonian, 40)
    beta = torch.linspace(0, 3, 40, dtype=torch.float64)
    for colour, group in enumerate(energies.groups):
        found = token_probabilities(energies, configurations, colour, beta).permute(2, 1, 0)
        local = hamiltonian.conditional_energies(configurations, energies.order[group])
        assert torch.allclose(found, (-beta[:, None, None] * local).softmax(2), rtol=0, atol=1e-12)
    assert sorted(torch.cat([energies.order[group] for group in energies.groups]).tolist()) == list(
        range(hamiltonian.n_sites)
    )
    hot = energies.hot(energies.sites(configurations))
    assert torch.allclose(energies.energy(hot), hamiltonian.token_energy(configurations), rtol=1e-13, atol=1e-12)
    assert torch.equal(energies.tokens(energies.cold(hot)), configurations.flatten(1))


def transition(hamiltonian, beta: float) -> torch.Tensor:
    """`[a, b]`, the probability that a sweep leads from configuration a to b, of all of them."""
    every = all_configurations(hamiltonian.shape, hamiltonian.n_tokens)
    energies = rows.RowEnergies(hamiltonian, torch.device("cpu"))
    matrix = torch.eye(len(every), dtype=torch.float64)
    for colour, group in enumerate(energies.groups):
        sites, flat = energies.order[group], every.flatten(1).long()
        others = torch.ones(hamiltonian.n_sites, dtype=torch.bool).index_fill(0, sites, False)
        p_qna = token_probabilities(energies, every, colour, beta)
        step = (flat[:, None, others] == flat[None, :, others]).all(2).double()
        for place, site in enumerate(sites.tolist()):
            step *= p_qna[flat[:, site], place].T  # [a, b]
        matrix = matrix @ step
    return matrix


@pytest.mark.parametrize("name", TINY)
def test_the_boltzmann_distribution_is_stationary(name):
    hamiltonian = TINY[name]
    energy = hamiltonian.token_energy(all_configurations(hamiltonian.shape, hamiltonian.n_tokens))
    for beta in (*BETAS, 12.0):
        matrix, p = transition(hamiltonian, beta), (-beta * energy).softmax(0)
        assert torch.allclose(matrix.sum(1), torch.ones_like(p), rtol=1e-13, atol=0)
        assert torch.allclose(p @ matrix, p, rtol=1e-11, atol=1e-15)
    assert not torch.allclose(p @ transition(hamiltonian, 11.0), p, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("kind", [RowBath, TableBath])
@pytest.mark.parametrize("name", TINY)
def test_a_sweep_follows_the_transition_matrix_at_each_configurations_own_temperature(name, kind, monkeypatch):
    monkeypatch.setattr(heatbath, "AT_ONCE", {"cpu": 10**5})  # several blocks
    hamiltonian, n = TINY[name], 40_000
    q, start = hamiltonian.n_tokens, tokens(TINY[name], 1)
    replicas = bath(kind, hamiltonian, start.repeat(len(BETAS) * n, 1, 1))
    beta = torch.tensor(BETAS, dtype=torch.float64).repeat(n)
    replicas.sweep(beta)
    powers = q ** torch.arange(hamiltonian.n_sites - 1, -1, -1)
    index = (replicas.tokens().flatten(1).long() @ powers).view(n, len(BETAS))
    first = int(start.flatten(1).long() @ powers)
    for k, each in enumerate(BETAS):
        p = transition(hamiltonian, each)[first].numpy()
        counts = np.bincount(index[:, k].numpy(), minlength=len(p))
        common = n * p > 20
        seen, expected = np.append(counts[common], counts[~common].sum()), np.append(p[common], p[~common].sum()) * n
        seen, expected = seen[expected > 1e-3], expected[expected > 1e-3]
        assert chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1) > 1e-4
        wrong = transition(hamiltonian, each + 0.15)[first].numpy()[common]
        assert chi2.sf(((counts[common] - n * wrong) ** 2 / (n * wrong)).sum(), common.sum() - 1) < 1e-4


@pytest.mark.parametrize("kind", [RowBath, TableBath])
@pytest.mark.parametrize("name", ["j1-j2", "diluted", "edwards-anderson gaussian", "blume-capel", "clock of five"])
def test_energies_are_those_of_the_configurations_after_many_sweeps(name, kind, monkeypatch):
    monkeypatch.setattr(heatbath, "AT_ONCE", {"cpu": 100})
    hamiltonian = SYSTEMS[name]
    replicas = bath(kind, hamiltonian, tokens(hamiltonian, 23))
    for _ in range(200):
        replicas.sweep(torch.linspace(0, 2, 23, dtype=torch.float64))
    expected = hamiltonian.token_energy(replicas.tokens())
    assert torch.allclose(replicas.energies(), expected, rtol=0, atol=1e-12)
    assert len(expected.unique()) > 5


@pytest.mark.parametrize("kind", [RowBath, TableBath])
def test_configurations_are_taken_and_read_by_their_numbers(kind, monkeypatch):
    monkeypatch.setattr(heatbath, "AT_ONCE", {"cpu": 40})
    hamiltonian = SYSTEMS["clock of five"]
    start = tokens(hamiltonian, 17)
    replicas, other, before = bath(kind, hamiltonian, start), bath(kind, hamiltonian, start), start.clone()
    other.sweep(torch.ones(17, dtype=torch.float64))
    assert torch.equal(start, before)
    assert not torch.equal(other.tokens(), start)
    chosen = torch.tensor([16, 3, 3, 0, 9, 12, 3, 1])
    assert torch.equal(replicas.tokens(chosen), start[chosen])
    replicas.take(chosen)
    assert torch.equal(replicas.tokens(), start[chosen])
    assert torch.equal(replicas.energies(), hamiltonian.token_energy(start[chosen])) or kind is RowBath


def test_rows_serve_few_tokens_with_bonds_and_tables_all_others():
    kinds = {name: type(heat_bath(h, tokens(h, 2), np.random.default_rng(0))) for name, h in JOINT.items()}
    assert {name for name, kind in kinds.items() if kind is TableBath} == {"phi4", "custom"}  # nine tokens


@pytest.mark.parametrize("kind", [RowBath, TableBath])
@pytest.mark.parametrize("name", ["edwards-anderson gaussian", "potts", "blume-capel"])
def test_the_coldest_bath_only_goes_downhill(name, kind):
    hamiltonian = SYSTEMS[name]
    replicas = bath(kind, hamiltonian, tokens(hamiltonian, 50))
    beta = torch.full((50,), 1e300, dtype=torch.float64)
    energies = [replicas.energies()]
    for _ in range(20):
        replicas.sweep(beta)
        energies.append(replicas.energies())
    assert bool((torch.stack(energies).diff(dim=0) < 1e-12).all())
    assert bool((energies[-1] < energies[0].min()).any())
    local = hamiltonian.conditional_energies(replicas.tokens(), torch.arange(hamiltonian.n_sites))
    now = local.gather(2, replicas.tokens().flatten(1).long()[..., None])[..., 0]
    assert torch.allclose(now, local.amin(2), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("p", "field"), [(1e-13, -1), (1e-6, 1)])
def test_rare_excitations_are_as_rare_as_they_should_be(p, field):
    """Numbers in float32 would excite a spin with probability 6e-8 at least: six times in 1e8, instead of never."""
    hamiltonian, up = la.Ising((64, 64), coupling=0.0, field=field), int(field > 0)
    beta = torch.full((1600,), 0.5 * np.log((1 - p) / p), dtype=torch.float64)
    replicas = bath(RowBath, hamiltonian, torch.full((1600, 64, 64), up, dtype=torch.uint8))
    excited, n_sweeps = 0, 16
    for _ in range(n_sweeps):
        replicas.sweep(beta)
        excited += int((replicas.tokens() != up).sum())
    expected = p * 1600 * 64**2 * n_sweeps
    assert abs(excited - expected) < 4 * np.sqrt(expected + 0.01)


@pytest.mark.parametrize("name", sorted(name for name in BONDED if BONDED[name].n_tokens <= heatbath.FEW))
def test_the_largest_uniform_numbers_give_a_token(name, monkeypatch):
    """A number within half a unit of float32 from 1, beside a probability of 0: their difference is rounded to -1."""
    system = BONDED[name]
    monkeypatch.setattr(heatbath, "uniform_columns", lambda g, n, *_: torch.full((n, 20), 1 - 2.0**-53).double())
    row_bath = bath(RowBath, system, tokens(system, 20))
    for beta in (*BETAS, 50.0):
        row_bath.sweep(torch.full((20,), beta, dtype=torch.float64))
        drawn = row_bath.tokens().long()
        assert 0 <= int(drawn.min()) <= int(drawn.max()) < system.n_tokens
