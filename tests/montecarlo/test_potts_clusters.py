"""Swendsen-Wang of Potts models against enumeration; which systems it serves."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from support.disorder import RandomTables

import latticear as la
from latticear.exact import all_configurations
from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.lattice import Lattice
from latticear.montecarlo.clusters import clusters_suit
from latticear.montecarlo.potts_clusters import PottsSwendsenWang
from latticear.montecarlo.simulation import default_method


class Potts(AbstractHamiltonian):
    """`c_b - J_b delta(t, u)` on every bond, random J_b in [low, 1], and random fields."""

    name = "test-potts"
    parameters = {}  # noqa: RUF012

    def __init__(self, shape: tuple[int, int], q: int, *, low: float = 0.0, field: float = 0.0) -> None:
        self.lattice = Lattice(shape)
        rng = np.random.default_rng(0)
        self.couplings = torch.from_numpy(rng.uniform(low, 1, size=len(self.bonds)))
        self.offsets = torch.from_numpy(rng.normal(size=len(self.bonds)))
        self.fields = torch.from_numpy(field * rng.normal(size=(self.n_sites, q)))

    @property
    def states(self) -> torch.Tensor:
        return torch.arange(self.fields.shape[1], dtype=torch.float64)

    @property
    def bond_energies(self) -> torch.Tensor:
        equal = torch.eye(self.fields.shape[1], dtype=torch.float64)
        return self.offsets[:, None, None] - self.couplings[:, None, None] * equal

    @property
    def site_energies(self) -> torch.Tensor:
        return self.fields


class Favoured(Potts):
    """All sites prefer the last state, some more than others."""

    @property
    def site_energies(self) -> torch.Tensor:
        return self.fields[:, :1].abs() * torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)


CASES = {
    "three states": (Potts((2, 3), 3), 0.9),
    "four states": (Potts((2, 2), 4), 1.0),
    "five states in a field": (Potts((2, 2), 5, field=0.6), 0.9),
    "favoured": (Favoured((2, 3), 3, field=0.5), 0.8),
    "hot": (Potts((2, 2), 3, low=1.0, field=0.5), 1e3),
}


def p_value(hamiltonian: Potts, temperature: float, at: float) -> float:
    """Chi-square of 10,000 chains at one temperature against another."""
    q, n = hamiltonian.n_tokens, hamiltonian.n_sites
    (samples,) = la.monte_carlo(
        hamiltonian, temperature, n=10_000, n_chains=10_000, method="swendsen-wang", thermalization=60, seed=1
    )
    p = (-hamiltonian.token_energy(all_configurations(hamiltonian.shape, q)) / at).softmax(0).numpy()
    index = samples.tokens.flatten(1).long() @ q ** torch.arange(n - 1, -1, -1)
    counts = np.bincount(index.numpy(), minlength=q**n)
    common = 10_000 * p >= 10
    seen, expected = counts[common].astype(float), 10_000 * p[common]
    if not common.all():
        seen, expected = np.append(seen, counts[~common].sum()), np.append(expected, 10_000 * p[~common].sum())
    return float(chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1))


@pytest.mark.parametrize("name", CASES)
def test_histogram_is_that_of_the_enumeration(name):
    hamiltonian, temperature = CASES[name]
    assert p_value(hamiltonian, temperature, temperature) > 1e-4


@pytest.mark.parametrize("name", [name for name in CASES if name != "hot"])
def test_a_temperature_off_by_15_percent_is_noticed(name):
    hamiltonian, temperature = CASES[name]
    assert p_value(hamiltonian, temperature, 1.15 * temperature) < 1e-4


def test_critical_three_states_against_the_heat_bath():
    """The 8x8 three-state Potts model at T_c = 1 / ln(1 + sqrt 3); false alarm 1e-4."""
    hamiltonian, found = Potts((8, 8), 3, low=1.0), []
    for method, thinning in (("swendsen-wang", 2), ("heat-bath", 10)):
        batches = la.monte_carlo(
            hamiltonian,
            1 / math.log(1 + math.sqrt(3)),
            n=20_000,
            n_chains=200,
            method=method,
            thermalization=300,
            thinning=thinning,
        )
        energy = [hamiltonian.token_energy(batch.tokens).numpy() for batch in batches]
        found.append(la.estimation.mean_error(np.stack(energy)))
    (a, error_a, tau_a), (b, error_b, tau_b) = found
    assert abs(a - b) < 4 * math.hypot(error_a, error_b) < 0.02 * abs(a)
    assert 2 * tau_a.tau < 10 * tau_b.tau


@pytest.mark.parametrize(
    ("hamiltonian", "suits"),
    [
        (Potts((3, 3), 3), True),
        (Favoured((3, 3), 3, field=1.0), True),
        (Potts((3, 3), 3, field=1.0), False),  # sites that want different states
        (Potts((3, 3), 3, low=-1.0), False),  # antiferromagnetic bonds
        (RandomTables((3, 3), 3), False),
    ],
)
def test_clusters_are_the_default_where_nothing_is_frustrated(hamiltonian, suits):
    assert clusters_suit(hamiltonian) is suits
    assert default_method(hamiltonian) == ("swendsen-wang" if suits else "heat-bath")
    lowest = hamiltonian.token_energy(all_configurations((3, 3), 3)).min()
    of_terms = hamiltonian.bond_energies.flatten(1).amin(1).sum() + hamiltonian.site_energies.amin(1).sum()
    assert bool(torch.isclose(lowest, of_terms, rtol=1e-12)) is suits


@pytest.mark.parametrize("hamiltonian", [Potts((2, 2), 3, low=-1.0), RandomTables((2, 2), 3)])
def test_other_bonds_are_refused(hamiltonian):
    with pytest.raises(ValueError, match=r"or bonds of energy c - J delta\(t, u\) with J >= 0"):
        la.monte_carlo(hamiltonian, 1.0, n=10, method="swendsen-wang")


def test_tokens_are_moved_in_place():
    tokens = torch.zeros(3, 4, 4, dtype=torch.uint8)
    chains = PottsSwendsenWang(Potts((4, 4), 3), 2.0, tokens, np.random.default_rng(0))
    chains.sweep()
    assert torch.equal(chains.tokens, tokens)
    assert set(tokens.unique().tolist()) == {0, 1, 2}
