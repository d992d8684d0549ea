"""The transfer matrix against enumeration, on random pair energies of every legal kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latticear.exact import ExactResult, enumerate_states, transfer_matrix
from latticear.hamiltonians import AbstractHamiltonian, Ising
from latticear.lattice import Lattice

SHAPES = [(1, 2), (1, 5), (6, 1), (2, 2), (2, 3), (3, 2), (3, 3), (2, 4), (4, 2), (5, 2)]


class Pairs(AbstractHamiltonian):
    """Any bonds with any tables: what a system that someone adds may look like."""

    name = "pairs"
    bonds = states = bond_energies = site_energies = None
    parameters = property(lambda self: {})

    def __init__(self, lattice, states, bonds, bond_energies, site_energies):
        self.lattice = lattice
        self.bonds = bonds
        self.states = torch.as_tensor(states, dtype=torch.float64)
        self.bond_energies = torch.as_tensor(bond_energies, dtype=torch.float64)
        self.site_energies = torch.as_tensor(site_energies, dtype=torch.float64)


def random_pairs(shape, periodic, states=(-1, 0, 1), seed=0, extra=()):
    """Site-dependent random tables and fields, bonds stored in either direction, and some extra bonds."""
    rng = np.random.default_rng(seed)
    lattice = Lattice(shape, periodic)
    bonds = torch.cat([lattice.bonds, torch.tensor(extra, dtype=torch.long).view(-1, 2)])
    turned = torch.from_numpy(rng.random(len(bonds)) < 0.5)
    bonds[turned] = bonds[turned].flip(1)
    q = len(states)
    return Pairs(lattice, states, bonds, rng.normal(size=(len(bonds), q, q)), rng.normal(size=(lattice.n_sites, q)))


def boundary(shape, periodic):
    return tuple(wraps and extent > 1 for wraps, extent in zip(periodic, shape, strict=True))


def assert_same(result: ExactResult, expected: ExactResult, tolerance: float = 1e-12) -> None:
    keys = ("log_z", "energy_per_site", "heat_capacity_per_site")
    found = [getattr(result, key) for key in keys]
    assert found == pytest.approx([getattr(expected, key) for key in keys], rel=tolerance, abs=tolerance)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.sampled_from(SHAPES),
    periodic=st.tuples(st.booleans(), st.booleans()),
    states=st.sampled_from([(-1, 1), (-1, 0, 1)]),
    seed=st.integers(0, 2**32 - 1),
    temperature=st.floats(0.3, 30.0),
)
def test_equals_enumeration_for_random_tables(shape, periodic, states, seed, temperature):
    system = random_pairs(shape, boundary(shape, periodic), states, seed)
    assert_same(transfer_matrix(system, temperature), enumerate_states(system, temperature), 1e-11)


@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (4, 3), (4, 4), (2, 6)])
@pytest.mark.parametrize("periodic", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("coupling", "field"), [(1.0, 0.0), (-1.0, 0.3), (0.7, -0.5)])
def test_equals_enumeration_for_ising(shape, periodic, coupling, field):
    ising = Ising(shape, coupling, field, periodic)
    assert_same(transfer_matrix(ising, 1.9), enumerate_states(ising, 1.9))


def test_bonds_of_any_range_within_a_row():
    system = random_pairs((3, 4), (True, False), (-1, 1), seed=3, extra=[(0, 2), (7, 4), (8, 10), (8, 11)])
    assert_same(transfer_matrix(system, 1.3), enumerate_states(system, 1.3))


def test_bonds_of_any_range_within_a_column_turn_the_strip():
    system = random_pairs((4, 3), (False, True), (-1, 1), seed=4, extra=[(0, 6), (1, 10), (9, 3)])
    assert_same(transfer_matrix(system, 1.3), enumerate_states(system, 1.3))


def test_open_system_is_exact_on_a_wide_lattice_in_both_orientations():
    results = [transfer_matrix(Ising(shape, 1.0, 0.2, False), 2.5) for shape in ((5, 11), (11, 5))]
    assert_same(results[0], results[1])


def test_ring_has_the_eigenvalues_of_a_two_by_two_matrix():
    K, h, n = 0.7, 0.3, 1000
    root = math.sqrt(math.sinh(h) ** 2 + math.exp(-4 * K))
    upper, lower = (K + math.log(math.cosh(h) + sign * root) for sign in (1, -1))
    exact = n * upper + math.log1p(math.exp(n * (lower - upper)))
    ring = transfer_matrix(Ising((1, n), K, h, (False, True)), 1.0)
    assert ring.log_z == pytest.approx(exact, rel=1e-13)


def test_energy_and_heat_capacity_are_derivatives():
    ising, beta, step = Ising((5, 6), 1.0, 0.1), 0.45, 1e-4
    lower, middle, upper = (transfer_matrix(ising, 1 / b) for b in (beta - step, beta, beta + step))
    assert middle.energy_per_site == pytest.approx((lower.log_z - upper.log_z) / (60 * step), rel=1e-6)
    slope = (lower.energy_per_site - upper.energy_per_site) / (2 * step)
    assert middle.heat_capacity_per_site == pytest.approx(beta**2 * slope, rel=1e-6)


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 0.02])
def test_low_temperatures_do_not_overflow(temperature):
    result = transfer_matrix(Ising((6, 6)), temperature)
    assert result.log_z == pytest.approx(72 / temperature + math.log(2), rel=1e-15)
    assert result.energy_per_site == -2
    assert result.heat_capacity_per_site == pytest.approx(0, abs=1e-30)


def test_frustrated_ground_states_are_counted_at_low_temperature():
    ring = transfer_matrix(Ising((1, 5), -1.0, periodic=(False, True)), 0.01)
    assert ring.entropy_per_site == pytest.approx(math.log(10) / 5, abs=1e-12)


def test_high_temperature_limit():
    result = transfer_matrix(Ising((4, 5)), 1e8)
    assert result.entropy_per_site == pytest.approx(math.log(2), rel=1e-15)
    assert result.energy_per_site == pytest.approx(-2e-8, rel=1e-7)
    assert result.heat_capacity_per_site == pytest.approx(2e-16, rel=1e-7)


def test_a_missing_doubled_bond_would_be_seen():
    """Negative control: with each bond of the 2 x 2 torus counted once, the numbers differ."""
    torus, single = (enumerate_states(Ising((2, 2), periodic=p), 2.0).log_z for p in (True, False))
    assert abs(torus - single) > 1
    assert transfer_matrix(Ising((2, 2)), 2.0).log_z == pytest.approx(torus, rel=1e-14)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(16, 16\) lattice with 2 values .* 2\^32\.0 numbers.*width 25 or less"):
        transfer_matrix(Ising((16, 16)), 2.0)
    with pytest.raises(ValueError, match=r"2\^30\.0 numbers"):
        transfer_matrix(Ising((30, 40), periodic=False), 2.0)


def test_refuses_diagonal_bonds():
    system = random_pairs((3, 3), False, extra=[(0, 4)])
    with pytest.raises(ValueError, match=r"bond from \(0, 0\) to \(1, 1\)|bond from \(1, 1\) to \(0, 0\)"):
        transfer_matrix(system, 2.0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_refuses_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        transfer_matrix(Ising((3, 3)), temperature)
