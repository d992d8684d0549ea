"""Pfaffians against enumeration, transfer matrices and Kaufman, for couplings of every kind."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings, strategies as st
from support.pairs import Pairs, assert_same, boundary

from latticear.exact import T_C, ExactResult, enumerate_states, kasteleyn, kaufman, transfer_matrix
from latticear.hamiltonians import Ising
from latticear.lattice import Lattice

SHAPES = [(1, 2), (1, 5), (6, 1), (2, 2), (2, 3), (3, 2), (2, 5), (6, 2), (3, 3), (3, 4), (5, 3), (4, 4)]
DISORDER = {
    "plus-minus": lambda rng, n: rng.choice([-1.0, 1.0], size=n),
    "gauss": lambda rng, n: rng.normal(size=n),
    "diluted": lambda rng, n: rng.choice([-1.0, 0.0, 1.0], size=n),
    "antiferromagnet": lambda rng, n: np.full(n, -1.0),
}


def spin_glass(shape, periodic, kind: str, seed: int) -> Pairs:
    """Random couplings and constants on nearest-neighbour bonds, shuffled and stored in either direction."""
    rng = np.random.default_rng(seed)
    lattice = Lattice(shape, periodic)
    bonds = lattice.bonds[torch.from_numpy(rng.permutation(len(lattice.bonds)))]
    turned = torch.from_numpy(rng.random(len(bonds)) < 0.5)
    bonds[turned] = bonds[turned].flip(1)
    return with_couplings(lattice, bonds, DISORDER[kind](rng, len(bonds)), constants=rng.integers(-3, 4, len(bonds)))


def with_couplings(lattice, bonds, couplings, constants=0) -> Pairs:
    pair = np.outer([-1, 1], [-1, 1])
    tables = np.broadcast_to(constants, len(bonds))[:, None, None] - np.asarray(couplings)[:, None, None] * pair
    return Pairs(lattice, [-1, 1], bonds, tables, np.full((lattice.n_sites, 2), 0.25))


def assert_digits(result: ExactResult, expected: ExactResult) -> None:
    """Agreement to the digits that the result claims, within a factor of 10."""
    assert abs(result.log_z - expected.log_z) < 10 * 10**-result.digits + 1e-15 * abs(expected.log_z)


@settings(max_examples=150)
@given(
    shape=st.sampled_from(SHAPES),
    periodic=st.tuples(st.booleans(), st.booleans()),
    kind=st.sampled_from(list(DISORDER)),
    seed=st.integers(0, 2**32 - 1),
    temperature=st.floats(0.7, 30.0),
)
def test_equals_enumeration(shape, periodic, kind, seed, temperature):
    system = spin_glass(shape, boundary(shape, periodic), kind, seed)
    exact = enumerate_states(system, temperature)
    try:
        result = kasteleyn(system, temperature)
    except ArithmeticError:  # too few digits of Z remain, as on odd tori of antiferromagnets in the cold
        reject()
    assert_same(result, exact, 1e-10 + 100 * 10**-result.digits)
    assert_digits(result, exact)


@pytest.mark.parametrize("kind", list(DISORDER))
@pytest.mark.parametrize(("shape", "periodic"), [((5, 12), True), ((10, 8), True), ((12, 7), (True, False))])
def test_equals_the_transfer_matrix_on_the_torus(shape, periodic, kind):
    system, temperature = spin_glass(shape, periodic, kind, seed=1), 2.0 if kind == "antiferromagnet" else 0.9
    assert_same(kasteleyn(system, temperature), transfer_matrix(system, temperature), 1e-11)


@pytest.mark.parametrize("temperature", [0.03, 0.2, 1.0, 1e4])
@pytest.mark.parametrize("kind", list(DISORDER))
@pytest.mark.parametrize("periodic", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_planar_lattices_keep_their_digits_at_any_temperature(shape, periodic, kind, temperature):
    system = spin_glass(shape, periodic, kind, seed=2)
    result = kasteleyn(system, temperature)
    assert_same(result, transfer_matrix(system, temperature), 1e-11)
    assert result.digits > 11


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.5, 2.2, T_C, 2.3, 5.0, 1e4])
@pytest.mark.parametrize(("shape", "coupling"), [((5, 8), 1.0), ((16, 12), 0.6), ((8, 12), -1.0)])
def test_equals_kaufman(shape, coupling, temperature):
    assert_same_as_kaufman(shape, coupling, temperature)


@pytest.mark.parametrize("temperature", [0.5, T_C, 5.0])
def test_equals_kaufman_on_a_large_torus(temperature):
    assert_same_as_kaufman((32, 32), 1.0, temperature)


def assert_same_as_kaufman(shape, coupling, temperature) -> None:
    result, exact = kasteleyn(Ising(shape, coupling), temperature), kaufman(shape, temperature, coupling)
    assert_same(result, exact, 1e-11)
    assert result.log_z == pytest.approx(exact.log_z, rel=1e-13)
    assert result.digits > 11


@pytest.mark.parametrize("shape", [(3, 3), (3, 5), (5, 5), (4, 7), (7, 7)])
def test_frustrated_antiferromagnet_on_odd_tori(shape):
    system = Ising(shape, -1.0)
    for temperature in (1.8, T_C, 4.0):
        assert_same(kasteleyn(system, temperature), transfer_matrix(system, temperature), 1e-10)


@pytest.mark.parametrize("periodic", [True, False, (True, False)])
def test_gauge_invariance(periodic):
    """Flipping a site and its couplings renames configurations."""
    lattice, rng = Lattice((9, 10), periodic), np.random.default_rng(5)
    couplings = rng.normal(size=len(lattice.bonds))
    signs = rng.choice([-1, 1], size=lattice.n_sites)
    i, j = lattice.bonds.numpy().T
    flipped = couplings * signs[i] * signs[j]
    results = [kasteleyn(with_couplings(lattice, lattice.bonds, J), 0.8) for J in (couplings, flipped)]
    assert_same(*results)


def test_symmetries_of_the_torus_change_the_rounding_only():
    lattice, rng = Lattice((8, 12)), np.random.default_rng(6)
    couplings = torch.from_numpy(rng.normal(size=len(lattice.bonds)))
    expected = kasteleyn(with_couplings(lattice, lattice.bonds, couplings), 0.8)
    for sites in lattice.symmetries.draw(4, rng):
        assert_same(kasteleyn(with_couplings(lattice, sites[lattice.bonds], couplings), 0.8), expected, 1e-11)


def test_missing_and_parallel_bonds():
    lattice, rng = Lattice((4, 4)), np.random.default_rng(7)
    chosen = lattice.bonds[torch.from_numpy(rng.choice(len(lattice.bonds), size=40))]
    system = with_couplings(lattice, chosen, rng.normal(size=40))
    assert_same(kasteleyn(system, 0.8), enumerate_states(system, 0.8), 1e-11)
    assert kasteleyn(with_couplings(lattice, chosen[:0], []), 2.0).log_z == pytest.approx(16 * math.log(2) - 2)


def test_no_coupling_leaves_free_spins():
    for coupling in (0.0, 1e-9):
        result = kasteleyn(Ising((6, 7), coupling), 1.0)
        assert result.log_z == pytest.approx(42 * math.log(2), rel=1e-14)
        assert result.energy_per_site == pytest.approx(-2 * coupling**2, abs=1e-15)


def test_the_vanishing_pfaffian_of_the_critical_point_harms_nothing():
    """One of the four changes sign there; their sum is smooth."""
    below, at, above = (kasteleyn(Ising((10, 10)), T_C * (1 + x)) for x in (-1e-9, 0, 1e-9))
    for key in ("log_z", "energy_per_site", "heat_capacity_per_site"):
        left, middle, right = (getattr(result, key) for result in (below, at, above))
        assert middle == pytest.approx((left + right) / 2, rel=1e-11)


def test_large_spin_glass_against_its_derivatives():
    system, beta, step = spin_glass((20, 20), True, "gauss", seed=3), 1.0, 1e-4
    lower, middle, upper = (kasteleyn(system, 1 / b) for b in (beta - step, beta, beta + step))
    energy = (lower.log_z - upper.log_z) / (2 * step * middle.n_sites)
    assert middle.energy_per_site == pytest.approx(energy, rel=1e-7)
    slope = (lower.energy_per_site - upper.energy_per_site) / (2 * step)
    assert middle.heat_capacity_per_site == pytest.approx(beta**2 * slope, rel=1e-7)


def test_digits_tell_the_truth_until_too_few_are_left():
    """+-J on 6x6 tori: some ground states lie above those of other boundary conditions, and Z drowns in the others."""
    refused = 0
    for seed in range(20):
        system = spin_glass((6, 6), True, "plus-minus", seed)
        for temperature in (0.5, 0.25, 0.15):
            try:
                result = kasteleyn(system, temperature)
            except ArithmeticError:
                refused += 1
            else:
                assert result.digits >= 8
                assert_digits(result, transfer_matrix(system, temperature))
    assert 3 <= refused <= 30


def test_an_unfavourable_boundary_condition_is_refused_near_zero_temperature():
    system = Ising((7, 7), -1.0)
    digits = [kasteleyn(system, temperature).digits for temperature in (4.0, 3.0, 2.0)]
    assert digits == sorted(digits, reverse=True)
    with pytest.raises(ArithmeticError, match=r"at temperature 0.2 .* digits of Z remain of the sum of four Pfaffians"):
        kasteleyn(system, 0.2)
    with pytest.raises(ArithmeticError):
        kasteleyn(system, 1e-3)


def test_weights_near_the_smallest_number_are_exact_or_refused():
    """No inf, nan or 0 that stands for one, however cold: weights and their squares underflow here."""
    refused, n = 0, 0
    for seed, shape, periodic in itertools.product(range(4), [(3, 4), (4, 2)], [(True, False), (True, True)]):
        for kind, temperature in itertools.product(("gauss", "plus-minus"), (0.01, 0.005, 0.004, 0.002, 1e-4)):
            system, n = spin_glass(shape, periodic, kind, seed), n + 1
            try:
                result = kasteleyn(system, temperature)
            except ArithmeticError:
                refused += 1
            else:
                expected = enumerate_states(system, temperature)
                assert_digits(result, expected)
                assert result.energy_per_site == pytest.approx(expected.energy_per_site, abs=1e-6)
                assert result.heat_capacity_per_site == pytest.approx(expected.heat_capacity_per_site, abs=1e-5)
    assert n // 10 < refused < n * 9 // 10


def test_frustration_that_underflows_is_named():
    with pytest.raises(ArithmeticError, match="the weights of all sets of domain walls underflow"):
        kasteleyn(spin_glass((3, 4), (True, False), "plus-minus", 0), 1e-4)


def test_refuses_what_is_no_such_system():
    lattice = Lattice((3, 4), periodic=False)
    plain = with_couplings(lattice, lattice.bonds, np.ones(len(lattice.bonds)))

    def changed(**parts):
        kept = {key: getattr(plain, key) for key in ("bonds", "bond_energies", "site_energies")}
        return Pairs(lattice, [-1, 1], **(kept | parts))

    with pytest.raises(ValueError, match=r"without fields, got energies \[-0.5, 0.5\] .* at site 0; use"):
        kasteleyn(changed(site_energies=torch.tensor([[-0.5, 0.5]] * 12)), 1.0)
    tables = plain.bond_energies.clone()
    tables[4, 0, 0] += 1
    with pytest.raises(ValueError, match=r"form c - J s s', got \[\[.*\]\] on bond 4"):
        kasteleyn(changed(bond_energies=tables), 1.0)
    tables[4, 0, 0] = math.inf
    with pytest.raises(ValueError, match="finite numbers"):
        kasteleyn(changed(bond_energies=tables), 1.0)
    for stray, ends in (((0, 5), r"\(0, 0\) to \(1, 1\)"), ((1, 1), r"\(0, 1\) to \(0, 1\)")):
        bonds = plain.bonds.clone()
        bonds[3] = torch.tensor(stray)
        with pytest.raises(ValueError, match=f"nearest neighbours, got one from {ends}"):
            kasteleyn(changed(bonds=bonds), 1.0)
    three = Pairs(lattice, [-1, 0, 1], plain.bonds, np.zeros((17, 3, 3)), np.zeros((12, 3)))
    with pytest.raises(ValueError, match="two states a site, got 3"):
        kasteleyn(three, 1.0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        kasteleyn(plain, 0.0)
