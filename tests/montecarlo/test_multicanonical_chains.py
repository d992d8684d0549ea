"""Multicanonical chains against sums over all configurations; the kernel against Python."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

import latticear as la
from latticear.exact import all_configurations
from latticear.montecarlo import multicanonical_chains
from latticear.montecarlo.multicanonical_chains import _Chains

CASES = {
    "three states, doubled bonds, a field": (la.BlumeCapel((2, 3), crystal_field=0.5, field=0.25), (0.6, 2.0)),
    "glass": (la.EdwardsAnderson((3, 3), seed=1), (0.8, 4.0)),
    "Potts": (la.Potts((2, 3), q=4), (0.5, 1.5)),
}


def chains(case, n_chains):
    hamiltonian, temperatures = CASES[case]
    return _Chains(hamiltonian, *temperatures, n_chains, np.random.default_rng(0))


def p_value(case, wrong=0.0):
    """Chi-square of the configurations of 5000 chains, if each has the weight of the level `wrong` levels away."""
    hamiltonian, _ = CASES[case]
    q, n = hamiltonian.n_tokens, hamiltonian.n_sites
    found = chains(case, 5000)
    found.learn(20)
    found.measured(1, 60)
    every = all_configurations(hamiltonian.shape, q)
    level = found.levels.index_of(hamiltonian.token_energy(every).numpy())
    p = np.exp(np.interp(level + wrong, np.arange(found.levels.n), found.log_weights))
    expected = 5000 * p / p.sum()
    index = torch.from_numpy(found._tokens).long() @ q ** torch.arange(n - 1, -1, -1)
    counts = np.bincount(index.numpy(), minlength=q**n)
    order = np.argsort(-expected)
    bins = (np.cumsum(expected[order]) / 20 - 1e-9).astype(int)
    expected, counts = np.bincount(bins, expected[order]), np.bincount(bins, counts[order])
    common = expected >= 10
    return chi2.sf(((counts - expected)[common] ** 2 / expected[common]).sum(), common.sum() - 1)


@pytest.mark.parametrize("case", CASES)
def test_configurations_come_with_the_weight_of_their_energy(case):
    assert p_value(case) > 1e-4  # 3 of these: a false alarm once in 3000
    assert p_value(case, wrong=0.5) < 1e-4


def test_all_energies_are_equally_frequent_and_give_the_density_of_states():
    potts = la.Potts((3, 3), q=3)
    found = la.multicanonical(potts, (0.5, 20.0), n=100_000, seed=1)
    energy, g = np.unique(potts.token_energy(all_configurations((3, 3), 3)).numpy().round(9), return_counts=True)
    level = np.searchsorted(found.level, energy - 1e-6)
    n = np.array([(abs(found.energies - each) < 1e-6).sum() for each in energy])
    inside = (energy >= found.window[0]) & (energy <= found.window[1])
    assert inside.sum() > 5
    assert n[inside].max() < 1.2 * n[inside].min()
    often = n > 1000
    log_g = np.log(n[often]) - found.log_weight[level[often]]
    assert np.ptp(log_g - np.log(g[often])) < 0.15  # counts of 1000, correlated over a few sweeps
    assert np.ptp(np.log(n[often]) - np.log(g[often])) > 3


def test_the_kernel_draws_what_python_draws(monkeypatch):
    for hamiltonian, temperatures in CASES.values():
        found = la.multicanonical(hamiltonian, temperatures, n=60, n_chains=3, learning=40, seed=5)
        with monkeypatch.context() as patch:
            patch.setattr(multicanonical_chains, "library", lambda: None)
            slow = la.multicanonical(hamiltonian, temperatures, n=60, n_chains=3, learning=40, seed=5)
        assert (found.energies == slow.energies).all()
        assert (found.log_weight == slow.log_weight).all()
        assert found.window == slow.window


def test_chains_cross_the_valley():
    """Energies of the valley have a probability of exp(-6) there, so that chains at one temperature hardly cross it."""
    potts, t = la.Potts((12, 12), q=30), la.exact.potts_transition(30).temperature
    found = la.multicanonical(potts, (0.93 * t, 1.07 * t), n=20_000, n_chains=4, seed=1)
    phase = np.digitize(found.energies, found.window)
    ends = [row[row != 1] for row in phase.T]
    assert sum((np.diff(row) != 0).sum() for row in ends) > 5


def test_wrong_input_is_told():
    potts = la.Potts((3, 3), q=3)
    for arguments, message in (
        ((la.Phi4((2, 2)), (0.5, 2.0), 100), "need bonds and equidistant energies"),
        ((la.FixedComposition(potts, composition=(3, 3, 3)), (0.5, 2.0), 100), "does not keep a fixed composition"),
        ((potts, (2.0, 0.5), 100), "the lower and the higher one, got 2 and 0.5"),
        ((potts, 0.7, 100), "temperatures must be two, the lower and the higher one, got float"),
        ((potts, np.array([0.01, 0.011, 2.0]), 100), "temperatures must be two"),
        ((potts, (0.5, 2.0), 8), "n must be"),
        ((potts, (0.01, 0.011), 100), "take temperatures that lie farther apart"),
    ):
        with pytest.raises(ValueError, match=message):
            la.multicanonical(arguments[0], arguments[1], n=arguments[2])
