"""Enumeration against sums written out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from support.pairs import random_pairs

from latticear.exact import all_configurations, enumerate_states
from latticear.hamiltonians import Ising


def test_all_configurations_are_the_product_of_all_sites():
    tokens = all_configurations((2, 3), 3)
    assert tokens.dtype == torch.uint8
    assert tokens.shape == (729, 2, 3)
    assert tokens.flatten(1).tolist() == [list(c) for c in itertools.product(range(3), repeat=6)]


@pytest.mark.parametrize("states", [(-1, 1), (-1, 0, 1), (-0.5, 0.25, 2.0)])
def test_equals_a_sum_in_plain_python(states):
    system = random_pairs((2, 3), (True, False), states, seed=1)
    beta, n_sites = 1 / 0.8, 6
    bonds, pair, site = (getattr(system, k).tolist() for k in ("bonds", "bond_energies", "site_energies"))
    moments = np.zeros(6)
    for c in itertools.product(range(len(states)), repeat=n_sites):
        energy = sum(t[c[i]][c[j]] for (i, j), t in zip(bonds, pair, strict=True))
        energy += sum(e[t] for e, t in zip(site, c, strict=True))
        m = sum(states[t] for t in c) / n_sites
        moments += math.exp(-beta * energy) * np.array([1, energy, energy**2, abs(m), m**2, m**4])
    z = moments[0]
    e1, e2, m1, m2, m4 = moments[1:] / z
    result = enumerate_states(system, 0.8)
    assert result.log_z == pytest.approx(math.log(z), rel=1e-13)
    assert result.energy_per_site == pytest.approx(e1 / n_sites, rel=1e-12)
    assert result.heat_capacity_per_site == pytest.approx(beta**2 * (e2 - e1**2) / n_sites, rel=1e-11)
    assert result.abs_magnetization == pytest.approx(m1, rel=1e-12)
    assert result.magnetization_squared == pytest.approx(m2, rel=1e-12)
    assert result.magnetization_fourth == pytest.approx(m4, rel=1e-12)
    assert result.susceptibility == pytest.approx(beta * n_sites * (m2 - m1**2), rel=1e-11)
    assert result.binder_cumulant == pytest.approx(1 - m4 / (3 * m2**2), rel=1e-11)
    assert result.free_energy_per_site == pytest.approx(-0.8 * math.log(z) / n_sites, rel=1e-13)
    assert result.entropy_per_site == pytest.approx((beta * e1 + math.log(z)) / n_sites, rel=1e-11)


def test_chunks_join(monkeypatch):
    whole = enumerate_states(Ising((3, 4), field=0.2), 1.5)
    monkeypatch.setattr("latticear.exact.enumeration.CHUNK", 1000)
    parts = enumerate_states(Ising((3, 4), field=0.2), 1.5)
    assert parts.to_dict() == pytest.approx(whole.to_dict(), rel=1e-13)


def test_low_temperature_does_not_overflow():
    result = enumerate_states(Ising((3, 4), 1.0, 0.5), 1e-3)
    assert result.log_z == pytest.approx(30_000, rel=1e-14)
    assert (result.energy_per_site, result.abs_magnetization) == (-2.5, 1.0)


@pytest.mark.parametrize("temperature", [1e-11, 1e-18])
def test_magnetisation_where_ln_z_itself_is_rounded_by_its_size(temperature):
    result = enumerate_states(Ising((3, 3)), temperature)
    assert (result.abs_magnetization, result.susceptibility) == pytest.approx((1, 0))


def test_to_dict_has_the_keys_of_estimates():
    keys = set(enumerate_states(Ising((2, 2)), 2.0).to_dict())
    assert keys == {
        "free_energy_per_site",
        "energy_per_site",
        "entropy_per_site",
        "heat_capacity_per_site",
        "abs_magnetization",
        "magnetization_squared",
        "susceptibility",
        "binder_cumulant",
        "log_z",
    }


def test_refuses_too_many_configurations():
    with pytest.raises(ValueError, match="2 values on 25 sites"):
        enumerate_states(Ising((5, 5)), 1.0)
    with pytest.raises(ValueError, match="at most 1048576 of them, got 3 values on 16 sites"):
        all_configurations((4, 4), 3)
    with pytest.raises(ValueError, match="n_tokens must be 2 to 256, got 1"):
        all_configurations((2, 2), 1)
    with pytest.raises(ValueError, match="temperature must be positive"):
        enumerate_states(Ising((2, 2)), 0.0)
