"""The transfer matrix against enumeration, on random pair energies of every legal kind."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from support.pairs import QUANTITIES, assert_same, boundary, random_pairs, with_diagonals

from latticear.exact import (
    all_configurations,
    enumerate_states,
    magnetization_resolved,
    transfer_matrix,
)
from latticear.exact.strip import _read, find_strip, strip_of
from latticear.exact.transfer import log_partition
from latticear.hamiltonians import Ising, PairHamiltonian
from latticear.lattice import Lattice

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "frustrated.json").read_text())
SHAPES = [(1, 2), (1, 5), (6, 1), (2, 2), (2, 3), (3, 2), (3, 3), (2, 4), (4, 2), (5, 2)]


@settings(max_examples=60)
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


@settings(max_examples=60)
@given(
    shape=st.sampled_from(SHAPES),
    states=st.sampled_from([(-1, 1), (-1, 0, 1)]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_equals_enumeration_for_bonds_that_lean_anyhow(shape, states, seed, data):
    """Between any sites of adjacent rows, several times perhaps; three rows are all adjacent if they wrap."""
    height, width = shape
    column = st.integers(0, width - 1)
    y1 = data.draw(st.lists(st.integers(0, height - 1), max_size=6))
    extra = [(y * width + data.draw(column), (y + 1) % height * width + data.draw(column)) for y in y1]
    system = random_pairs(shape, False, states, seed, [pair for pair in extra if pair[0] != pair[1]])
    assert_same(transfer_matrix(system, 0.8), enumerate_states(system, 0.8), 1e-11)


@pytest.mark.parametrize("directions", [[(1, 1)], [(1, -1)], [(1, 1), (1, -1)]])
@pytest.mark.parametrize("periodic", [(False, False), (True, False), (False, True), (True, True)])
def test_both_directions_of_a_strip_agree(directions, periodic):
    system = with_diagonals((5, 6), periodic, seed=8, directions=directions)
    down, across = (log_partition(_read(system, transpose), 0.8) for transpose in (False, True))
    assert np.array(down) == pytest.approx(np.array(across), rel=1e-12)


def test_work_counts_the_digits_that_diagonals_keep():
    straight, both = (find_strip(Ising((8, 8), next_nearest=strength)) for strength in (0.0, -0.6))
    assert (straight.n_digits, straight.work) == (8, 64 * 2**16)
    # the first column keeps itself; of the others also the one to their left; the last lets all go
    assert (both.n_digits, both.work) == (10, 8 * (2 + 6 * 4 + 1) * 2**16)
    assert find_strip(Ising((8, 8), geometry="triangular")).n_digits == 9


def dense_torus(shape, temperature, coupling, diagonals):
    """ln Z, energy and moments of an Ising torus from the dense matrix between rows at complex activities.

    `diagonals` are J' of the bonds down to the right and down to the left.
    """
    height, width = shape
    row = 2 * all_configurations((1, width), 2).view(-1, width).double().numpy() - 1
    bonds = coupling * (row @ row.T + (row * np.roll(row, 1, axis=1)).sum(1)[:, None])
    for strength, step in zip(diagonals, (1, -1), strict=True):
        bonds += strength * np.roll(row, step, axis=1) @ row.T
    down = np.exp((bonds - bonds.max()) / temperature)
    power = np.linalg.matrix_power(down, height - 1)
    total = np.sum(power * down.T)
    energy = -np.sum(power * (bonds * down).T) / total / width
    n, ups = height * width, (row.sum(1) + width) / 2
    z = np.exp(-2j * np.pi * np.arange(n // 2 + 1) / (n + 1))
    weight = np.fft.irfft([np.trace(np.linalg.matrix_power(down * x**ups, height)) for x in z], n + 1)
    m = (2 * np.arange(n + 1) - n) / n
    moments = [weight @ f / weight.sum() for f in (np.abs(m), m**2, m**4)]
    return [np.log(total) + height * bonds.max() / temperature, energy, *moments]


FRUSTRATED = {
    "j1_j2_8": (Ising((8, 8), next_nearest=-0.6), 1.2, (-0.6, -0.6)),
    "triangular_antiferromagnet_8": (Ising((8, 8), coupling=-1.0, geometry="triangular"), 0.8, (-1.0, 0.0)),
}


@pytest.mark.parametrize("name", FRUSTRATED)
def test_golden_frustrated_tori(name):
    """Second method: the trace of the 8th power of a dense matrix between rows."""
    system, temperature, diagonals = FRUSTRATED[name]
    golden = [GOLDEN[f"{name}_{key}"]["value"] for key in QUANTITIES]
    exact = magnetization_resolved(system, temperature)
    assert [getattr(exact, key) for key in QUANTITIES] == pytest.approx(golden, rel=2e-12, abs=0)
    dense = dense_torus(system.shape, temperature, system.coupling, diagonals)
    assert dense == pytest.approx(golden, rel=1e-11, abs=1e-14)
    slope = [dense_torus((8, 8), t, system.coupling, diagonals)[1] for t in (temperature - 1e-4, temperature + 1e-4)]
    assert exact.heat_capacity_per_site == pytest.approx((slope[1] - slope[0]) / 2e-4, rel=1e-6)


def test_the_ground_states_of_j1_j2_are_four_striped_ones():
    result = transfer_matrix(Ising((8, 8), next_nearest=-0.6), 0.02)
    assert result.log_z == pytest.approx(64 * 1.2 / 0.02 + math.log(4), rel=1e-15)


def test_star_triangle_of_a_honeycomb_lattice():
    """Summing over every second site of a brick wall leaves a triangular lattice; see R. M. F. Houtappel, Physica 16,
    425 (1950). Its rows lean by turns, which on 8x8 bricks makes the same torus as rows that all lean one way."""
    K = 0.6
    coupling = math.log(math.cosh(3 * K) / math.cosh(K)) / 4
    factor = math.log(2) + math.log(math.cosh(3 * K) * math.cosh(K) ** 3) / 4
    honeycomb = transfer_matrix(Ising((8, 8), geometry="honeycomb"), 1 / K).log_z
    triangular = transfer_matrix(Ising((8, 4), geometry="triangular"), 1 / coupling).log_z
    assert triangular + 32 * factor == pytest.approx(honeycomb, rel=1e-14)


def triangular_cylinder(height, width):
    """An antiferromagnet whose ends are as free as its bulk: every triangle with a satisfied bond is a ground state.

    A bond of the rim belongs to one triangle, not two, and counts half.
    """
    lattice = Lattice((height, width), (False, True), geometry="triangular")
    y1, y2 = (lattice.bonds // width).T
    rim = (y1 == y2) & ((y1 == 0) | (y1 == height - 1))
    return PairHamiltonian(lattice, [-1, 1], [[1, -1], [-1, 1]], couplings=torch.where(rim, 0.5, 1.0))


def test_residual_entropy_of_the_triangular_antiferromagnet():
    """0.3230659669 per site (G. H. Wannier, Phys. Rev. B 7, 5017 (1973)); on cylinders of circumference W there is
    pi c sin(60 degrees) / 6 W^2 more (J. L. Cardy, J. Phys. A 17, L385 (1984), c = 1), and then terms in 1 / W^4."""
    widths = np.array([6, 9, 12])
    shorter, longer = (
        [transfer_matrix(triangular_cylinder(h, w), 0.01).entropy_per_site * h for w in widths.tolist()]
        for h in (40, 41)
    )
    bulk, slope, _ = np.linalg.solve(1 / widths[:, None] ** np.array([0.0, 2, 4]), np.subtract(longer, shorter))
    assert bulk == pytest.approx(0.3230659669, abs=2e-5)
    assert slope == pytest.approx(math.pi * math.sqrt(3) / 12, rel=0.01)


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


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, 0.02])
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


@pytest.mark.parametrize(
    ("periodic", "widest", "advice"),
    [
        ((False, False), 24, "width 24 or less if it is open"),
        ((False, True), 23, "width 23 or less if it is open"),
        ((True, True), 11, "11 if periodic"),
    ],
)
def test_widths_that_fit_are_those_of_the_message(periodic, widest, advice):
    fitting, wide = (Ising((40, width), next_nearest=-0.6, periodic=periodic) for width in (widest, widest + 1))
    assert find_strip(fitting).width == widest
    with pytest.raises(ValueError, match=rf"2\^26\.0 numbers.*{advice}"):
        strip_of(wide)


def test_refuses_bonds_that_skip_rows_and_columns():
    system = random_pairs((4, 4), False, extra=[(0, 10)])
    with pytest.raises(ValueError, match=r"bond from \(0, 0\) to \(2, 2\)|bond from \(2, 2\) to \(0, 0\)"):
        transfer_matrix(system, 2.0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_refuses_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        transfer_matrix(Ising((3, 3)), temperature)
