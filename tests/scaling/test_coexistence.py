"""Coexistence of two phases, from energies that are drawn from a known density of states."""

import numpy as np
import pytest
import torch

import latticear as la
from latticear.exact import potts_transition
from latticear.samples import Samples

LEVEL = np.arange(-120.0, -29.0)
LOG_P = np.log(np.exp(-((LEVEL + 95) ** 2) / 72) + np.exp(-((LEVEL + 55) ** 2) / 98) + 0.05)
"""ln P(E) at T = 1, with two maxima of one height, -95 and -55."""
POTTS = la.Potts((8, 8), q=10)
RNG = np.random.default_rng(0)


def chains(temperature, n=4000):
    p = np.exp(LOG_P + LEVEL - LEVEL / temperature - (LOG_P + LEVEL - LEVEL / temperature).max())
    return RNG.choice(LEVEL, (n, 2), p=p / p.sum())


class Energies(la.Potts):
    """A system whose energy is a level, that of the token of the first site."""

    def token_energy(self, tokens, couplings=None):
        return torch.from_numpy(LEVEL)[tokens[:, 0, 0].long()]


def weighted(n):
    log_q = 0.9 * LOG_P - np.log(np.exp(0.9 * LOG_P).sum())
    k = RNG.choice(len(LEVEL), n, p=np.exp(log_q))
    tokens = torch.zeros(n, 8, 8, dtype=torch.uint8)
    tokens[:, 0, 0] = torch.from_numpy(k)
    log_g = LOG_P + LEVEL + 200  # of each level many configurations, so that log_q < 0
    return Samples(tokens, torch.from_numpy(log_q - log_g)[k], 0)


def check(found):
    depth = float(max(LOG_P) - LOG_P[(LEVEL > -90) & (LEVEL < -60)].min())
    below = found.minimum >= LEVEL
    p = np.exp(LOG_P)
    latent = (p[~below] @ LEVEL[~below] / p[~below].sum() - p[below] @ LEVEL[below] / p[below].sum()) / 64
    beta = 1 + np.log(p[~below].sum() * 10 / p[below].sum()) / 40  # about: weights change by exp(40 d beta)
    exact = {"temperature_equal_height": 1.0, "barrier": depth, "interface_tension": depth / 16}
    for name, value in exact.items():  # 4 errors
        assert abs(found.values[name] - value) < 4 * found.errors[name], name
    assert found.values["temperature"] == pytest.approx(1 / beta, abs=0.01)
    assert found.values["latent_heat_per_site"] == pytest.approx(latent, abs=0.05)
    assert found.errors["interface_tension"] < 0.02
    assert abs(found.maxima[0] + 95) < 6
    assert abs(found.maxima[1] + 55) < 6


def test_chains_at_several_temperatures():
    found = la.coexistence([chains(t) for t in (0.97, 1.03)], POTTS, [0.97, 1.03], ratio=10, n_bootstrap=40)
    check(found)
    assert found.changes > 1000
    assert not found.warnings
    assert "interface tension" in repr(found)
    assert found.to_dict()["barrier"]["value"] == found.values["barrier"]


def test_weighted_samples():
    found = la.coexistence(weighted(8000), Energies((8, 8), q=100), ratio=10, n_bootstrap=40)
    check(found)
    assert found.changes is None


def test_multicanonical_chains():
    """Energies with a weight that is not quite that of equally frequent ones, on more levels than those that occur."""
    level = np.arange(-128.0, 1.0)
    log_weight = -0.7 * np.interp(level, LEVEL, LOG_P) - level  # of g w = P^0.3 at the levels that occur
    p = np.exp(0.3 * LOG_P)
    energies = RNG.choice(LEVEL, (4000, 2), p=p / p.sum())
    drawn = la.montecarlo.Multicanonical(energies, level, log_weight, (-100.0, -50.0), (0.97, 1.03), 0)
    found = la.coexistence(drawn, POTTS, ratio=10, n_bootstrap=40)
    check(found)
    assert found.changes > 1000
    assert not found.warnings
    with pytest.raises(ValueError, match="drawn for another system"):
        la.coexistence(drawn, la.Potts((8, 7), q=10))


def test_one_phase_is_refused_and_few_changes_are_told():
    binomial = np.repeat(np.arange(7), [10, 60, 150, 200, 150, 60, 10]).astype(float)  # ln of it is concave
    with pytest.raises(ValueError, match="one maximum at every temperature"):
        la.coexistence([RNG.permutation(binomial)], POTTS, [1.0])
    found = la.coexistence([RNG.normal(-75, 5, (1000, 2)).round()], POTTS, [1.0], n_bootstrap=20)
    assert any("may have no two phases" in text for text in found.warnings)
    stuck = np.concatenate([np.sort(chains(1.0, 1000)[:, :1], axis=0)] * 2, axis=1)
    found = la.coexistence([stuck], POTTS, [1.0], n_bootstrap=20)
    assert any("changed phase 2 times" in text for text in found.warnings)


def test_wrong_input_is_told():
    energies = chains(1.0, 50)
    for arguments, message in (
        (([energies], POTTS, [1.0, 2.0]), "one array of energies for each temperature"),
        (([energies], POTTS, 1.0), "temperatures must be a list with one or more of them, got float"),
        (([], POTTS, []), "temperatures must be a list with one or more of them, got list"),
        (([np.zeros(50)], POTTS, [1.0]), "all energies are 0: two phases differ in their energies"),
        (([energies], POTTS, [-1.0]), "positive and different"),
        (([[[[1.0]]]], POTTS, [1.0]), "energies must be finite, of shape"),
        ((weighted(200)[:50], Energies((8, 8), q=100)), "at least 100 samples"),
        ((weighted(200), Energies((8, 8), q=100), [1.0]), "samples of a model need no temperature"),
    ):
        with pytest.raises(ValueError, match=message):
            la.coexistence(*arguments)
    with pytest.raises(ValueError, match="ratio must be a positive number"):
        la.coexistence([energies], POTTS, [1.0], ratio=0)


def test_the_exact_values_of_potts():
    """Correlation lengths and `2 sigma / T` as they are usually quoted from the exact formulas."""
    for q, length in ((5, 2512.246820), (7, 48.095907), (10, 10.559519), (20, 2.695502)):
        assert potts_transition(q).correlation_length == pytest.approx(length, rel=2e-7)
    ten = potts_transition(10)
    assert 2 * ten.interface_tension / ten.temperature == pytest.approx(0.094701, abs=1e-6)
    assert potts_transition(4).interface_tension == 0


def test_gaps_between_few_levels_are_no_phases():
    ising = la.Ising((4, 4))
    samples = la.TensorNetwork((4, 4), bias=ising.bias(2.269), bond_dimension=2).sample(5000, seed=1)
    (warning,) = la.coexistence(samples, ising).warnings
    assert "only 4 levels of the energy lie between the maxima" in warning
