"""The magnetisation-resolved transfer matrix against enumeration and against a Fourier transform."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.pairs import Pairs, boundary, random_pairs, with_diagonals

from latticear.exact import (
    T_C,
    all_configurations,
    enumerate_states,
    exact_result,
    magnetization_distribution,
    magnetization_resolved,
    resolved as resolved_module,
    transfer_matrix,
)
from latticear.hamiltonians import Ising, Potts
from latticear.lattice import Lattice

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ising.json").read_text())
WITH_DIAGONALS = [
    (shape, states)
    for shape in itertools.product((2, 3, 4), (2, 3, 4, 5))
    for states in ((-1, 1), (-1, 0, 2))
    if len(states) ** math.prod(shape) <= 2**16
]
MOMENTS = ("abs_magnetization", "magnetization_squared", "magnetization_fourth")


def moments(result):
    return [getattr(result, key) for key in MOMENTS]


@pytest.mark.parametrize("shape", [(4, 4), (3, 3), (2, 5), (1, 6)])
@pytest.mark.parametrize("periodic", [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize(("coupling", "field"), [(1.0, 0.0), (-1.0, 0.4), (0.6, -0.3)])
def test_equals_enumeration_for_ising(shape, periodic, coupling, field):
    ising = Ising(shape, coupling, field, boundary(shape, periodic))
    found, expected = (f(ising, 2.1).to_dict() for f in (magnetization_resolved, enumerate_states))
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("states", [(-1, 0, 1), (-3, 1, 5), (0, 2), (-2, 1, 2)])
def test_equals_enumeration_for_integer_states(states):
    system = random_pairs((4, 2), (True, False), states, seed=5)
    found, expected = (f(system, 1.4).to_dict() for f in (magnetization_resolved, enumerate_states))
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-12)


def test_two_potts_states_are_the_ends_of_a_line_not_their_numbers():
    potts = Potts((3, 2), q=2)
    found, expected = (f(potts, 1.0).to_dict() for f in (magnetization_resolved, enumerate_states))
    assert found == pytest.approx(expected, rel=1e-11)
    assert magnetization_resolved(potts, 0.05).abs_magnetization == pytest.approx(1)


@pytest.mark.parametrize(("shape", "states"), WITH_DIAGONALS)
@pytest.mark.parametrize("periodic", [(False, False), (True, False), (False, True), (True, True)])
def test_equals_enumeration_with_diagonals(shape, periodic, states, monkeypatch):
    system = with_diagonals(shape, periodic, states, seed=9)
    expected = pytest.approx(enumerate_states(system, 1.4).to_dict(), rel=1e-11, abs=1e-12)
    assert magnetization_resolved(system, 1.4).to_dict() == expected
    monkeypatch.setattr(resolved_module, "MAX_FULL", 0)  # site by site, the slow twin of a matrix between rows
    assert magnetization_resolved(system, 1.4).to_dict() == expected


def test_distribution_equals_a_histogram_of_all_configurations():
    system = random_pairs((3, 3), (True, False), (-1, 0, 2), seed=6)
    tokens = all_configurations((3, 3), 3)
    total = system.spins(tokens).sum((1, 2)).numpy()
    weight = np.exp(-system.token_energy(tokens).numpy() / 1.2)
    values, probability = magnetization_distribution(system, 1.2)
    expected = [weight[total == value].sum() / weight.sum() for value in values]
    assert values.tolist() == list(range(-9, 19))
    assert probability == pytest.approx(np.array(expected), rel=1e-11, abs=1e-15)


def test_golden_magnetization_of_the_critical_torus():
    expected = [GOLDEN[f"torus_8_critical_{key}"]["value"] for key in MOMENTS]
    assert moments(magnetization_resolved(Ising((8, 8)), T_C)) == pytest.approx(expected, rel=2e-12)


def test_golden_magnetization_from_complex_activities():
    """Second method: Z(z) = trace of the 8th power of a dense matrix, at the 65th roots of unity."""
    row = 2 * all_configurations((1, 8), 2).view(256, 8).double().numpy() - 1
    inside = np.exp((row * np.roll(row, 1, axis=1)).sum(1) / T_C - 16 / T_C)
    down = np.exp((row @ row.T) / T_C)
    ups = (row.sum(1) + 8) / 2
    z = np.exp(-2j * np.pi * np.arange(33) / 65)
    values = [np.trace(np.linalg.matrix_power(down * (inside * x**ups), 8)) for x in z]
    weight = np.fft.irfft(values, 65)
    m = (2 * np.arange(65) - 64) / 64
    found = [weight @ f / weight.sum() for f in (np.abs(m), m**2, m**4)]
    assert found == pytest.approx([GOLDEN[f"torus_8_critical_{key}"]["value"] for key in MOMENTS], rel=2e-12)


def test_thermodynamics_are_those_of_the_transfer_matrix():
    resolved, plain = (f(Ising((5, 7)), 2.0) for f in (magnetization_resolved, transfer_matrix))
    assert resolved.log_z == plain.log_z
    assert resolved.heat_capacity_per_site == plain.heat_capacity_per_site


def test_low_temperature_of_an_unfrustrated_system():
    assert moments(magnetization_resolved(Ising((6, 6)), 1e-3)) == pytest.approx([1, 1, 1], abs=1e-12)
    # an infinitesimal field at T = 0: one of the two ordered states
    m, p = magnetization_distribution(Ising((6, 6), field=1.0), 1e-2)
    assert (m[-1], p[-1]) == (36, 1)


def test_underflow_is_found_and_named():
    with pytest.raises(ArithmeticError, match="frustrated system underflows"):
        magnetization_resolved(Ising((7, 7), -1.0), 1e-3)


def test_partial_underflow_is_found_too():
    """Two ground states, one of which has no weight left in float64 until the last site makes up for it."""
    lattice = Lattice((4, 1), periodic=False)
    tables = np.array([[[-1e4, 1e4], [1e4, -1e4]]] * 3)
    system = Pairs(lattice, [-1, 1], lattice.bonds, tables, [[400, -400], [0, 0], [-200, 200], [-200, 200]])
    assert transfer_matrix(system, 1.0).entropy_per_site == pytest.approx(math.log(2) / 4, abs=1e-11)
    with pytest.raises(ArithmeticError, match="frustrated system underflows"):
        magnetization_resolved(system, 1.0)
    fallback = exact_result(system, 1.0)
    assert (fallback.method, fallback.abs_magnetization) == ("enumerate_states", pytest.approx(1.0, abs=1e-11))


def test_refuses_states_without_a_lattice_of_magnetisations():
    with pytest.raises(ValueError, match=r"integer states, got \[-0.5, 0.5\]"):
        magnetization_resolved(random_pairs((2, 2), False, (-0.5, 0.5)), 1.0)


def test_refuses_too_much_work():
    with pytest.raises(ValueError, match=r"2\^\d+\.\d weights .* use a narrower strip"):
        magnetization_resolved(Ising((12, 12)), 2.0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        magnetization_resolved(Ising((3, 3)), math.nan)
