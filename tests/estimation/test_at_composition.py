"""Estimates at fixed composition: free energies of all of them, their checks, and chains of one's own."""

import math

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation import independent_check
from latticear.estimation.at_composition import at_composition
from latticear.estimation.check import size_of_check
from latticear.estimation.exchanges import exchange_pairs
from latticear.exact import enumerate_states
from latticear.targets import default_model

FIXED = {"abs_magnetization": 0.25, "magnetization_squared": 0.0625, "susceptibility": 0.0, "binder_cumulant": 2 / 3}


def estimated(system: la.FixedComposition, temperature: float, n: int = 2000, **options):
    """Estimates by samples of a network that has not been trained."""
    model = default_model(system, temperature, width=4, depth=2)
    return la.estimate(model.sample(n, seed=1), system, temperature, **options)


def test_free_energies_of_all_magnetisations_add_up_to_kaufmans():
    """17 comparisons with a limit of 4 errors: a false alarm in 1 of 1000 sets of seeds."""
    temperature, parts = 2.5, []
    for up in range(17):
        found = estimated(la.FixedComposition(la.Ising((4, 4)), (16 - up, up)), temperature)
        assert abs(found["log_z"].deviation) < 4
        assert abs(found["energy_per_site"].deviation) < 4
        assert found.reliable
        parts.append(found["log_z"])
    whole = la.kaufman((4, 4), temperature).log_z
    log_z = np.logaddexp.reduce([part.value for part in parts])
    share = np.exp([part.value - log_z for part in parts])
    assert abs(log_z - whole) < 4 * math.sqrt(sum((p * part.error) ** 2 for p, part in zip(share, parts, strict=True)))


@pytest.mark.parametrize("counts", [(2, 5, 2), (1, 2, 6), (4, 1, 4)])
def test_three_counts(counts):
    system = la.FixedComposition(la.BlumeCapel((3, 3), crystal_field=0.8, field=0.3), counts)
    found = estimated(system, 1.5)
    assert found["log_z"].exact == pytest.approx(enumerate_states(system, 1.5).log_z)
    assert abs(found["log_z"].deviation) < 4
    assert abs(found["energy_per_site"].deviation) < 4


def test_what_the_composition_determines_is_marked():
    found = estimated(la.FixedComposition(la.Ising((4, 4)), magnetization=0.25), 2.5)
    for name, value in FIXED.items():
        assert (found[name].value, found[name].error) == (value, 0.0)
        assert found[name].shown_deviation == "fixed"
        assert found[name].verdict == "trusted"
    assert not found.unvaried_notes
    again = la.Estimates.from_dict(found.to_dict(), 16)
    assert again["abs_magnetization"].fixed
    assert not again.unvaried_notes
    assert "binder_cumulant" not in estimated(la.FixedComposition(la.Ising((4, 4)), (8, 8)), 2.5)
    free = la.estimate(la.PixelCNN((2, 2)).sample(2000), la.Ising((2, 2)), 8.0)
    assert at_composition(free, la.Ising((2, 2))) is free
    assert not free["abs_magnetization"].fixed


def test_samples_of_another_composition_are_refused():
    samples = la.PixelCNN((4, 4), composition=(6, 10)).sample(50)
    with pytest.raises(
        ValueError, match=r"samples must have the composition \(8, 8\), got \(6, 10\) in configuration 0"
    ):
        la.estimate(samples, la.FixedComposition(la.Ising((4, 4)), (8, 8)), 2.0)
    with pytest.raises(ValueError, match=r"at the fixed composition \(6, 10\), .* give la.FixedComposition"):
        la.estimate(samples, la.Ising((4, 4)), 2.0)
    chains = la.monte_carlo(la.FixedComposition(la.Ising((4, 4)), (6, 10)), 2.0, n=40, thermalization=2)
    with pytest.raises(ValueError, match=r"at the fixed composition \(6, 10\), .* give la.FixedComposition"):
        la.estimate_chains(chains, la.Ising((4, 4)), 2.0)


def test_the_check_is_by_enumeration_or_by_exchanges():
    small, large = (la.FixedComposition(la.Ising((4, n)), (2 * n, 2 * n)) for n in (4, 6))
    assert independent_check(small, 2.0, n=100).source == "the sum over all configurations"
    check = independent_check(large, 3.0, n=1000, seed=1)
    assert check.source == "1,024 configurations by kawasaki"
    exact = la.exact_result(large, 3.0)
    energy = check.estimates["energy_per_site"]
    assert abs(energy.value - exact.energy_per_site) < 4 * energy.error
    model = default_model(large, 3.0, width=4, depth=2)
    found = la.estimate(model.sample(4000, seed=2), large, 3.0, exact=None, check=check)
    assert found.verdict != "not trusted"
    wide = la.FixedComposition(la.Ising((24, 24)), (288, 288))
    assert size_of_check(found, large) > 0
    assert size_of_check(found, wide) == 0  # it takes longer than some seconds
    with pytest.raises(ValueError, match="swendsen-wang does not keep a fixed composition"):
        independent_check(large, 2.0, method="swendsen-wang")


def test_exchanges_are_in_balance_at_the_right_temperature_alone():
    """Chains of one's own: those of the right temperature fit, and for others the right one is named."""
    system = la.FixedComposition(la.Ising((4, 6)), (10, 14))
    tokens = torch.stack([b.tokens for b in la.monte_carlo(system, 2.5, n=6000, n_chains=30, thinning=3, seed=1)])
    spins = system.spins(tokens).numpy().astype(np.int8)
    pairs = exchange_pairs(system)
    bonds = {tuple(sorted(bond)) for bond in system.bonds.tolist()}
    assert not bonds & {tuple(sorted(pair)) for pair in pairs.T.tolist()}
    assert pairs.shape[1] > 12
    with pytest.warns(la.data.ConversionNote):
        right = la.estimate_chains(spins, system, 2.5, exact=None)
    assert right.reliable
    assert any("fits this Hamiltonian" in remark for remark in right.remarks)
    with pytest.warns(la.data.ConversionNote), pytest.warns(la.UnreliableEstimateWarning, match="exchanges are .* off"):
        wrong = la.estimate_chains(spins, system, 3.5, exact=None)
    assert "it would fit T = 2." in wrong.warnings[0]
    with pytest.raises(ValueError, match="have another one"):
        la.estimate_chains(np.ones((10, 4, 6)), system, 2.5)
