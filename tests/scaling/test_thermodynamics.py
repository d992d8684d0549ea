"""Curves over T: Kaufman's between the temperatures, errors that are right, and what is refused."""

import numpy as np
import pytest

import latticear as la
from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Estimate
from latticear.scaling import thermodynamics

ERRORS = {"free_energy_per_site": 2e-4, "energy_per_site": 3e-3, "heat_capacity_per_site": 3e-2}
SHAPE = (8, 8)


def estimates(seed, temperatures):
    rng, found = np.random.default_rng(seed), []
    for t in temperatures:
        exact = la.kaufman(SHAPE, t)
        entries = {
            name: Estimate(getattr(exact, name) + error * rng.standard_normal(), error, n=1000, ess=1.0)
            for name, error in ERRORS.items()
        }
        found.append(Estimates(entries, temperature=t, n=1000, diagnostics={}))
    return found


def test_exact_curves_lie_in_the_bands():
    """8 repeats of four quantities at 9 correlated temperatures; one in 1e4 repeats deviates by 4 errors there."""
    grid = np.linspace(1.75, 2.85, 9)
    exact = {name: [getattr(la.kaufman(SHAPE, t), name) for t in grid] for name in (*ERRORS, "entropy_per_site")}
    z = []
    for seed in range(8):
        found = thermodynamics(estimates(seed, np.linspace(1.7, 2.9, 9)), grid)
        z.append([(found.values[name] - exact[name]) / found.errors[name] for name in exact])
        assert found.errors["free_energy_per_site"].max() < 2e-4
    assert np.abs(z).max() < 4.5
    assert 0.5 < np.std(z) < 1.4


def test_the_relations_between_the_curves_hold():
    found = thermodynamics(estimates(0, np.linspace(1.7, 2.9, 9)))
    t = found.temperature
    free, energy, entropy, heat = found.values.values()
    np.testing.assert_allclose(entropy, (energy - free) / t, atol=1e-10)
    np.testing.assert_allclose(np.gradient(energy, t)[2:-2], heat[2:-2], atol=0.02)
    assert found.to_dict()["temperature"] == t.tolist()


def test_what_cannot_be_joined():
    some = estimates(0, [2.0, 2.2, 2.4])
    with pytest.raises(ValueError, match="3 temperatures or more, got 2"):
        thermodynamics(some[:2])
    with pytest.raises(ValueError, match="temperature 2 is given twice"):
        thermodynamics([some[0], *some])
    with pytest.raises(ValueError, match=r"grid must lie within the temperatures, 2 to 2\.4"):
        thermodynamics(some, [2.1, 2.5])
    lacking = Estimates({"energy_per_site": some[1]["energy_per_site"]}, temperature=2.2, n=1000, diagnostics={})
    with pytest.raises(ValueError, match=r"T = 2\.2 have no free_energy_per_site with an error bar"):
        thermodynamics([some[0], lacking, some[2]])
