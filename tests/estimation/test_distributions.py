"""Distributions and profiles: exact from all configurations, with errors from samples, and told where they are not."""

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation.estimates import quiet
from latticear.exact import all_configurations, energy_distribution, magnetization_distribution
from latticear.samples import Samples

T = 2.3
NAMES = ["energy_distribution", "energy_profile", "magnetization_distribution", "magnetization_profile"]
JOINT = "energy_magnetization_distribution"


def everything(system):
    """All configurations, each four times in random places, as samples of a uniform model."""
    tokens = all_configurations(system.shape, system.n_tokens).repeat(4, 1, 1)
    tokens = tokens[torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))]
    return Samples(tokens, torch.full((len(tokens),), -system.n_sites * np.log(system.n_tokens)), 0)


def corrected(found):
    """What the correction for the bias of the logarithm adds to ln Z."""
    return found["log_z"].value - found["log_z"].exact


@pytest.fixture(scope="module")
def ising():
    system = la.Ising((3, 3), periodic=False)
    with quiet():  # each configuration once is no sample: the errors mean nothing
        return system, la.estimate(everything(system), system, T, observables=[*NAMES, JOINT])


def test_all_configurations_give_the_exact_distributions(ising):
    system, found = ising
    energy, p = energy_distribution(system, T)
    estimate = found["energy_distribution"]
    levels = np.searchsorted(estimate.labels["energy"], energy - 1e-9)
    np.testing.assert_allclose(estimate.value[levels], p, atol=1e-13)
    m, of_m = magnetization_distribution(system, T)
    np.testing.assert_allclose(found["magnetization_distribution"].value, of_m, atol=1e-13)
    np.testing.assert_allclose(found["magnetization_distribution"].labels["m"], m / 9)
    for name in NAMES:
        np.testing.assert_allclose(found[name].value, found[name].exact, atol=1e-12, err_msg=name)
    shift = corrected(found)
    for name, factor in (("log_density_of_states", 1), ("magnetization_free_energy", -T)):
        np.testing.assert_allclose(found[name].value, found[name].exact + factor * shift, atol=1e-11, err_msg=name)


def test_the_density_of_states_counts(ising):
    _, found = ising
    states = np.exp(found["log_density_of_states"].value - corrected(found))
    energy = found["log_density_of_states"].labels["energy"]
    assert np.nansum(states) == pytest.approx(512)
    assert states[energy == -12] == pytest.approx(2)


def test_the_absolute_profile_is_the_canonical_free_energy(ising):
    system, found = ising
    profile = found["magnetization_free_energy"]
    for m, value in zip(profile.labels["m"], profile.value, strict=True):
        canonical = la.exact_result(la.FixedComposition(system, magnetization=m), T)
        assert value + T * corrected(found) == pytest.approx(9 * canonical.free_energy_per_site, abs=1e-6)
    np.testing.assert_allclose(found["magnetization_profile"].value - profile.value, T * found["log_z"].value)


def test_the_joint_distribution_has_both_as_margins(ising):
    _, found = ising
    joint = found[JOINT]
    for label, name in (("energy", "energy_distribution"), ("m", "magnetization_distribution")):
        alone = found[name]
        sums = [joint.value[joint.labels[label] == x].sum() for x in alone.labels[label]]
        np.testing.assert_allclose(sums, alone.value, atol=1e-13)


def test_samples_agree_and_bins_without_configurations_are_nan():
    system = la.Ising((4, 4))
    samples = la.TensorNetwork((4, 4), bias=system.bias(1.8), bond_dimension=4).sample(400, seed=1)
    found = la.estimate(samples, system, 1.8, observables=NAMES)
    for name in (*NAMES, "log_density_of_states", "magnetization_free_energy"):
        assert found[name].verdict == "trusted", name
        assert found[name].largest_deviation < 4
    rare = found["magnetization_distribution"].value == 0
    assert rare.any()
    assert np.isnan(found["magnetization_distribution"].error[rare]).all()
    assert np.isnan(found["magnetization_profile"].value[rare]).all()
    assert np.isfinite(found["magnetization_profile"].error[~np.isnan(found["magnetization_profile"].value)]).all()
    for name, n_levels in (("magnetization_profile", 17), ("energy_profile", 15)):  # no 4x4 has the energy -28 or 28
        (remark,) = (remark for remark in found.remarks if remark.startswith(name))
        missing = int(np.isnan(found[name].value).sum()) - (17 - n_levels)
        assert remark.startswith(f"{name}: {missing} of {n_levels} bins are nan")


def test_a_wrong_distribution_is_not_trusted():
    system = la.Ising((4, 4))
    samples = la.TensorNetwork((4, 4), bias=system.bias(2.5), bond_dimension=8).sample(400, seed=1)
    shifted = Samples(samples.tokens, samples.log_q - 0.06 * system.token_energy(samples.tokens), 0)
    shifted = Samples(shifted.tokens, shifted.log_q - shifted.log_q.max() - 1, 0)
    with pytest.warns(la.UnreliableEstimateWarning):
        found = la.estimate(shifted, system, 2.5, observables=["energy_distribution"])
    assert found["energy_distribution"].largest_deviation > 4


def test_chains_have_the_relative_profile_alone():
    system = la.Ising((3, 4))
    found = la.estimate_chains(la.monte_carlo(system, T, n=2000, seed=1), system, T, observables=NAMES)
    assert "magnetization_free_energy" not in found
    assert "log_density_of_states" not in found
    assert found["magnetization_profile"].largest_deviation < 4
    profile = found["magnetization_profile"]
    np.testing.assert_allclose(profile.value, -T * np.log(found["magnetization_distribution"].value), atol=1e-12)


@pytest.mark.parametrize("system", [la.Phi4((3, 3)), la.Potts((3, 3), q=3), la.Ising((20, 20))], ids=lambda s: s.label)
def test_bins_where_there_are_no_levels_or_too_many(system):
    batch = next(iter(la.monte_carlo(system, 1.0, n=50, n_chains=50, thermalization=20, seed=2)))
    found = la.estimate_chains([batch, batch], system, 1.0, observables=NAMES, exact=None)
    for name, label in (("energy_distribution", "energy"), ("magnetization_distribution", "m")):
        estimate = found[name]
        assert estimate.value.sum() == pytest.approx(1)
        if f"{label}_from" in estimate.labels:
            low, high = estimate.labels[f"{label}_from"], estimate.labels[f"{label}_to"]
            np.testing.assert_allclose((low + high) / 2, estimate.labels[label])
            assert len(low) <= 102
    assert f"{'energy' if system.name != 'potts' else 'm'}_from" in (
        found["energy_distribution"].labels | found["magnetization_distribution"].labels
    )


def test_bins_that_are_asked_for(ising):
    system, _ = ising
    cls = la.OBSERVABLES["magnetization_distribution"]
    with quiet():
        found = la.estimate(everything(system), system, T, observables=[cls(bins=[-1.1, -0.5, 0.5, 1.1])])
    estimate = found["magnetization_distribution"]
    np.testing.assert_allclose(estimate.value, estimate.exact)
    assert estimate.labels["m_to"].tolist() == [-0.5, 0.5, 1.1]
    for bins in (1, "ten", [2.0, 1.0, 0.0], 0.5, True):
        with pytest.raises(ValueError, match="bins"):
            cls(bins=bins)
