"""The two cluster methods: compiled = Python bit for bit, Wolff's number of clusters, exact values at T_c.

That they draw from the Boltzmann distribution is tested in test_montecarlo.py, beside Metropolis.
"""

import math

import numpy as np
import pytest
import torch
from support.disorder import RandomTables, RandomTwoState

import latticear as la
from latticear.estimation.autocorrelation import mean_error
from latticear.exact import all_configurations
from latticear.kernels.library import library
from latticear.montecarlo import clusters
from latticear.montecarlo.clusters import SwendsenWang, Wolff, clusters_suit

T_C = 2 / math.log(1 + math.sqrt(2))

WITHOUT_FIELD = {
    "torus": la.Ising((4, 6)),
    "odd torus": la.Ising((3, 5)),
    "doubled bonds": la.Ising((2, 3)),
    "open": la.Ising((5, 4), periodic=False),
    "cylinder": la.Ising((3, 4), periodic=(True, False)),
    "row": la.Ising((1, 7), periodic=False),
    "antiferromagnet": la.Ising((4, 3), coupling=-1.0),
    "no coupling": la.Ising((3, 3), coupling=0.0),
    "random": RandomTwoState((4, 3), field=0.0),
}
IN_FIELD = {
    "field up": la.Ising((4, 5), field=0.1),
    "field down": la.Ising((3, 3), field=-0.5, periodic=False),
    "random in a field": RandomTwoState((4, 3)),
}
SYSTEMS = WITHOUT_FIELD | IN_FIELD
PAIRS = [(name, "wolff") for name in WITHOUT_FIELD] + [(name, "swendsen-wang") for name in SYSTEMS]


@pytest.mark.skipif(library() is None, reason="the kernels were not built: there was no C compiler")
@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_compiled_and_python_agree_bit_for_bit(name, method, monkeypatch):
    def run() -> torch.Tensor:
        batches = la.monte_carlo(
            SYSTEMS[name], 2.0, n=63, n_chains=21, method=method, thermalization=12, thinning=2, seed=3
        )
        return torch.cat([batch.tokens for batch in batches])

    compiled = run()
    monkeypatch.setattr(clusters, "library_for", lambda device: None)
    assert torch.equal(run(), compiled)


FRUSTRATED = {
    "odd antiferromagnet": la.Ising((3, 3), coupling=-1.0),
    "antiferromagnet in a field": la.Ising((2, 4), coupling=-1.0, field=0.1),
    "open antiferromagnet in a field": la.Ising((3, 3), coupling=-1.0, field=-0.2, periodic=False),
}


@pytest.mark.parametrize("name", [name for name, system in (SYSTEMS | FRUSTRATED).items() if system.n_sites <= 20])
def test_clusters_suit_where_one_configuration_satisfies_every_bond_and_field(name):
    """By trying all of them: the lowest energy is then the sum of the lowest of each term."""
    system = (SYSTEMS | FRUSTRATED)[name]
    lowest = system.token_energy(all_configurations(system.shape, 2)).min()
    of_terms = system.bond_energies.flatten(1).amin(1).sum() + system.site_energies.amin(1).sum()
    assert clusters_suit(system) == torch.isclose(lowest, of_terms, rtol=1e-12)
    assert not (name in FRUSTRATED and clusters_suit(system))


def test_clusters_do_not_suit_other_states():
    assert not clusters_suit(RandomTables((3, 3), 3))
    assert not clusters_suit(RandomTables((3, 3), 2))


def wolff(hamiltonian: la.Ising, temperature: float, n_chains: int = 50) -> Wolff:
    """Chains that start with all spins up."""
    tokens = torch.ones(n_chains, *hamiltonian.shape, dtype=torch.uint8)
    return Wolff(hamiltonian, temperature, tokens, np.random.default_rng(0))


@pytest.mark.parametrize("temperature", [0.5, T_C, 3.0, 1e6])
def test_a_sweep_of_wolff_flips_about_all_sites(temperature):
    chains = wolff(la.Ising((12, 12)), temperature)
    for _ in range(40):
        chains.sweep()
    chains.settle()
    clusters_, sites = chains._recent
    assert chains._n_clusters * sites / clusters_ == pytest.approx(144, rel=0.35)  # a whole number of clusters
    if temperature == 1e6:  # single sites, of which one in ten is left alone
        assert chains._n_clusters == pytest.approx(160, rel=0.02)


def test_the_number_of_clusters_is_frozen_once_settled():
    chains = wolff(la.Ising((12, 12)), 1e6)
    numbers = []
    for _ in range(4):
        numbers.append(chains._n_clusters)
        chains.sweep()
    assert numbers == [1, 2, 4, 8]
    chains.settle()
    frozen = chains._n_clusters
    chains._threshold[:] = 1 - np.exp(-2 / 0.5)  # clusters are now as large as the lattice
    chains.sweep()
    assert chains._n_clusters == frozen


def test_cold_chains_do_not_alternate():
    """At T = 0.3 one cluster is the lattice: were all flipped, the sign after two sweeps would be that before.

    It is with probability (1 + 0.8^2) / 2 = 0.82; four errors of 1000 chains are 0.049.
    """
    method = {"method": "wolff", "n_chains": 1000, "thermalization": 30, "thinning": 2}
    first, second = (b.tokens.double().mean((1, 2)) for b in la.monte_carlo(la.Ising((4, 4)), 0.3, n=2000, **method))
    assert (first == second).double().mean().item() == pytest.approx(0.82, abs=0.049)


@pytest.mark.parametrize("method", [SwendsenWang, Wolff])
def test_given_tokens_are_moved_in_place(method):
    tokens = torch.ones(3, 4, 4, dtype=torch.uint8)
    chains = method(la.Ising((4, 4)), 5.0, tokens, np.random.default_rng(0))
    for _ in range(5):
        chains.sweep()
    assert torch.equal(chains.tokens, tokens)
    assert 0 < tokens.double().mean() < 1


def test_critical_16x16():
    """Energy against Kaufman's, |m| of one method against the other; false alarm 2e-4."""
    hamiltonian, exact = la.Ising((16, 16)), la.kaufman((16, 16), T_C).energy_per_site
    measured = []
    for method in ("swendsen-wang", "wolff"):
        batches = la.monte_carlo(
            hamiltonian, T_C, n=30_000, n_chains=100, method=method, thermalization=150, thinning=3, seed=2
        )
        tokens = torch.stack([batch.tokens for batch in batches])
        energy, error, _ = mean_error(
            hamiltonian.token_energy(tokens.flatten(0, 1)).view(tokens.shape[:2]).numpy() / 256
        )
        assert abs(energy - exact) < 4 * error < 0.01
        measured.append(mean_error((tokens.double().mean((2, 3)) * 2 - 1).abs().numpy()))
    (a, error_a, _), (b, error_b, _) = measured
    assert abs(a - b) < 4 * math.hypot(error_a, error_b) < 0.02
