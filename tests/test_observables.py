"""Estimators from moments, their influences, and the correlation function."""

import warnings

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation.thermodynamics import rare_events, thermodynamics, thermodynamics_of_moments
from latticear.lattice import Lattice
from latticear.observables import correlation


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=400)
    return rng.normal(-30, 4, size=400), rng.uniform(-1, 1, size=400), weights / weights.mean()


def _moments(energy, m, weights):
    features = np.stack([energy, energy**2, np.abs(m), m**2, m**4], axis=-1)
    return (weights[:, None] * features).mean(0) / weights.mean()


def test_both_routes_agree(data):
    energy, m, weights = data
    values = thermodynamics(energy, m, weights, 1.7, 25)
    moments = thermodynamics_of_moments(_moments(energy, m, weights), 1.7, 25)
    assert values.keys() == moments.keys()
    for name, quantity in values.items():
        assert quantity.value == pytest.approx(float(moments[name]), rel=1e-9), name


def test_influence_is_the_derivative_in_a_sample_s_weight(data):
    energy, m, weights = data
    step = 1e-6
    values = thermodynamics(energy, m, weights, 1.7, 25)
    for k in (0, 17, 399):
        more = weights.copy()
        more[k] *= 1 + step
        moved = thermodynamics_of_moments(_moments(energy, m, more), 1.7, 25)
        base = thermodynamics_of_moments(_moments(energy, m, weights), 1.7, 25)
        for name, quantity in values.items():
            slope = (moved[name] - base[name]) / step * len(weights)
            assert slope == pytest.approx(quantity.influence[k], rel=1e-3, abs=1e-5), name


def test_influences_have_mean_zero(data):
    for name, quantity in thermodynamics(*data, 1.7, 25).items():
        assert abs(quantity.influence.mean()) < 1e-9, name


def test_rare_events_are_counted():
    influence = np.zeros((100, 10))
    influence[::20, 3] = 7e-150  # five of a thousand
    influence -= influence.mean()
    assert rare_events(influence, 1000) == pytest.approx(5 * 0.995 / 0.99**2)
    assert rare_events(influence, 500) == pytest.approx(rare_events(influence, 1000) / 2)
    assert rare_events(-influence, 1000, scale=1e-140) == pytest.approx(rare_events(influence, 1000))
    assert rare_events(influence, 1000, scale=1e-130) == np.inf  # rounding
    assert rare_events(np.zeros(10), 10) == np.inf
    assert rare_events(np.array([3.0, -3.0, 0.0, 0.0]), 4) == np.inf  # harmless: of both signs


@pytest.mark.parametrize("periodic", [True, False, (True, False)])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (1, 6)])
def test_correlation_by_loops(shape, periodic):
    if shape[0] == 1 and periodic is not False:
        periodic = (False, True)
    lattice = Lattice(shape, periodic)
    spins = torch.randint(2, (3, *shape), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    result = correlation(spins[..., None], lattice)
    reach = [n // 2 if p else n - 1 for n, p in zip(shape, lattice.periodic, strict=True)]
    assert result.shape == (3, max(reach) + 1)
    for r in range(max(reach) + 1):
        directions = []
        for axis in (0, 1):
            if r > reach[axis]:
                continue
            pairs = []
            for y in range(shape[0]):
                for x in range(shape[1]):
                    there = [y, x]
                    there[axis] += r
                    if lattice.periodic[axis]:
                        there[axis] %= shape[axis]
                    if there[axis] < shape[axis]:
                        pairs.append(spins[:, y, x] * spins[:, there[0], there[1]])
            directions.append(torch.stack(pairs).mean(0))
        assert torch.allclose(result[:, r], torch.stack(directions).mean(0))
    assert (result[:, 0] == 1).all()


def test_no_magnetisation_in_any_sample_leaves_binder_s_cumulant_unknown_alone():
    energy, m, weights = np.array([-8.0, -4.0, -8.0]), np.zeros(3), np.ones(3)
    values = thermodynamics(energy, m, weights, 1.0, 4)
    moments = thermodynamics_of_moments(_moments(energy, m, weights), 1.0, 4)
    for found in ({name: quantity.value for name, quantity in values.items()}, moments):
        assert np.isnan(found.pop("binder_cumulant"))
        assert np.isfinite(list(found.values())).all()


def test_cold_antiferromagnet_has_averages():
    ising = la.Ising((4, 4), coupling=-1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        found = la.parallel_tempering(ising, 0.3, n=100, n_chains=10, thermalization=200)
    assert found["energy_per_site"].value == pytest.approx(-2)
    assert found["abs_magnetization"].value == 0
