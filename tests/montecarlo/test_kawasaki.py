"""Exchanges of states against enumeration at fixed composition.

Seeds are fixed. A chi-square fails for a right sampler with probability 1e-4, and there are ten of them.
"""

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from support.systems import plaquettes

import latticear as la
from latticear.exact.tabulated import Tabulated
from latticear.montecarlo.simulation import method_for

CASES = {
    "doubled bonds": (la.FixedComposition(la.Ising((2, 2)), (2, 2)), 3.0),
    "field": (la.FixedComposition(la.Ising((3, 3), field=0.5), (4, 5)), 3.0),
    "field that varies": (la.FixedComposition(la.EdwardsAnderson((3, 3), seed=1), (3, 6)), 1.5),
    "three states": (la.FixedComposition(la.BlumeCapel((2, 3), crystal_field=0.4, field=0.2), (1, 2, 3)), 1.5),
    "all sites joined": (la.FixedComposition(la.SherringtonKirkpatrick((2, 3), seed=2), (3, 3)), 0.8),
    "own energy": (la.FixedComposition(la.CustomHamiltonian(plaquettes, [-1, 1], (2, 4)), (4, 4)), 4.0),
}


def p_value(tokens: torch.Tensor, table: Tabulated) -> float:
    """Chi-square of the configurations, all of which are in the table."""
    q, n = table.hamiltonian.n_tokens, table.hamiltonian.n_sites
    places = q ** torch.arange(n)
    order = {key: k for k, key in enumerate((table.tokens.flatten(1).long() @ places).tolist())}
    drawn = np.bincount([order[key] for key in (tokens.flatten(1).long() @ places).tolist()], minlength=len(order))
    expected = np.exp(table.log_p) * len(tokens)
    bins = (np.cumsum(expected[(by := np.argsort(-expected))]) / 20).astype(int)
    drawn, expected = (np.bincount(bins, values[by]) for values in (drawn, expected))
    used = expected > 0
    return chi2.sf(((drawn - expected)[used] ** 2 / expected[used]).sum(), used.sum() - 1)


def drawn(system: la.FixedComposition, temperature: float, sweeps: int = 30) -> torch.Tensor:
    """One measurement of 4000 chains."""
    (samples,) = la.monte_carlo(
        system, temperature, n=4000, n_chains=4000, method="kawasaki", thermalization=sweeps, seed=1
    )
    return samples.tokens


@pytest.mark.parametrize("case", CASES)
def test_histogram_is_that_of_the_enumeration(case):
    system, temperature = CASES[case]
    tokens, table = drawn(system, temperature), Tabulated(system, temperature)
    assert table.log_p.max() - table.log_p.min() > np.log(3)
    assert p_value(tokens, table) > 1e-4
    if case in ("field that varies", "three states"):
        assert p_value(tokens, Tabulated(system, 1.5 * temperature)) < 1e-4


def test_both_kinds_of_start_forget_it():
    system, temperature = CASES["field"]
    tokens, table = drawn(system, temperature), Tabulated(system, temperature)
    assert min(p_value(half, table) for half in (tokens[::2], tokens[1::2])) > 1e-4


def test_chains_begin_random_or_with_states_apart():
    system = la.FixedComposition(la.Ising((4, 4)), (8, 8))
    start = drawn(system, 2.0, sweeps=0)
    assert start[1].flatten().tolist() == [0] * 8 + [1] * 8
    assert start[::2].double().mean(0).sub(0.5).abs().max() < 0.05
    assert bool(system.allowed(start).all())


def test_it_suits_a_fixed_composition_and_nothing_else():
    system = la.FixedComposition(la.Ising((4, 4)), (6, 10))
    assert str(method_for(system)) == "kawasaki, since exchanges of states keep the composition"
    with pytest.raises(ValueError, match=r"swendsen-wang does not keep a fixed composition, got .6, 10."):
        la.monte_carlo(system, 2.0, n=10, method="swendsen-wang")
    with pytest.raises(ValueError, match=r"kawasaki keeps the composition, which Ising.* leaves free"):
        la.monte_carlo(la.Ising((4, 4)), 2.0, n=10, method="kawasaki")
    with pytest.raises(ValueError, match="population annealing does not keep"):
        la.population_annealing(system, 2.0, n=1000)


def test_a_single_configuration_stays_as_it_is():
    (batch,) = la.monte_carlo(la.FixedComposition(la.Ising((3, 3)), (0, 9)), 2.0, n=5, n_chains=5, thermalization=3)
    assert bool((batch.tokens == 1).all())
