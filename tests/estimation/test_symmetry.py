"""Chains that have seen one of two phases: observables that tell them apart are not trusted, others are not blamed."""

import warnings

import numpy as np
import pytest

import latticear as la
from latticear.estimation.quantity import Estimate
from latticear.estimation.symmetry import with_asymmetry

OWN = {
    "m": lambda s: s.double().mean((1, 2)),
    "positive": lambda s: (s.double().mean((1, 2)) > 0).double(),
    "pair": lambda s: (s[:, 0, 0] * s[:, 0, 1]).double(),
}


def _chains(n_chains: int, n: int = 2000, **options):
    ising = la.Ising((6, 6))
    schedule = {"method": "metropolis", "n_chains": n_chains, "thermalization": 100, "thinning": 1, "seed": 3}
    batches = la.monte_carlo(ising, 1.5, n=n, **(schedule | options))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        return la.estimation.estimate_chains(batches, ising, 1.5, observables=OWN)


def test_a_chain_that_never_flips_is_told_by_what_changes_under_a_flip():
    found = _chains(1)
    assert abs(found["m"].value) > 0.9  # it is zero
    assert found["m"].verdict == found["positive"].verdict == "not trusted"
    assert "under a flip of all spins" in found["m"].verdict.reasons[0]
    assert not any("flip" in reason for reason in found["pair"].verdict.reasons)


def test_chains_that_flip_are_not_blamed():
    found = _chains(20, 4000, method="swendsen-wang")
    assert all(not found[name].objections for name in OWN)


def test_without_the_symmetry_nothing_is_compared():
    ising = la.Ising((4, 4), field=0.5)
    batches = la.monte_carlo(ising, 1.5, n=2000, n_chains=20, seed=0)
    found = la.estimation.estimate_chains(batches, ising, 1.5, observables=OWN)
    assert found["m"].value > 0.5
    assert not found["m"].objections


@pytest.mark.parametrize(
    ("difference", "error", "blamed"),
    [(0.0, 0.0, False), (1e-16, 0.0, False), (1.0, 0.0, True), (0.4, 0.1, False), (0.5, 0.1, True)],
)
def test_the_size_of_the_difference(difference, error, blamed):
    estimate = Estimate(1.0, 0.1, n=100, ess=1.0)
    assert bool(with_asymmetry(estimate, difference, error).objections) == blamed
    array = Estimate(np.ones(2), np.full(2, 0.1), n=100, ess=1.0)
    assert bool(with_asymmetry(array, [0.0, difference], [0.1, error]).objections) == blamed
