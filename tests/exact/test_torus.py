"""Kaufman against transfer matrices, Pfaffians and the finite-size scaling of Ferdinand and Fisher."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.pairs import assert_same

from latticear.exact import T_C, enumerate_states, kaufman, onsager, transfer_matrix
from latticear.hamiltonians import Ising

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ising.json").read_text())
TEMPERATURES = [0.4, 1.5, 2.2, T_C, 2.3, 4.0, 1e3]


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 2), (2, 9), (3, 3), (3, 5), (4, 4), (4, 7), (6, 4), (6, 6)])
def test_equals_the_transfer_matrix(shape, temperature):
    assert_same(kaufman(shape, temperature), transfer_matrix(Ising(shape), temperature))


@pytest.mark.parametrize("coupling", [-1.0, -0.3, 0.0, 2.5])
@pytest.mark.parametrize("shape", [(2, 2), (2, 6), (4, 4), (4, 6)])
def test_equals_the_transfer_matrix_for_other_couplings(shape, coupling):
    assert_same(kaufman(shape, 1.7, coupling), transfer_matrix(Ising(shape, coupling), 1.7))


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (3, 4)])
def test_equals_enumeration(shape):
    assert_same(kaufman(shape, 2.0), enumerate_states(Ising(shape), 2.0))


def test_shape_may_be_turned():
    assert kaufman((12, 31), 2.1) == kaufman((31, 12), 2.1)


@pytest.mark.parametrize("temperature", [1.5, 2.2, T_C, 2.3, 5.0])
def test_energy_and_heat_capacity_are_derivatives(temperature):
    beta, step = 1 / temperature, 1e-4
    lower, middle, upper = (kaufman((16, 24), 1 / b) for b in (beta - step, beta, beta + step))
    energy = (lower.log_z - upper.log_z) / (2 * step * middle.n_sites)
    assert middle.energy_per_site == pytest.approx(energy, rel=1e-5)
    slope = (lower.energy_per_site - upper.energy_per_site) / (2 * step)
    assert middle.heat_capacity_per_site == pytest.approx(beta**2 * slope, rel=1e-5)


def test_is_smooth_at_the_critical_temperature():
    below, at, above = (kaufman((64, 64), T_C * (1 + x)) for x in (-1e-10, 0, 1e-10))
    for key in ("log_z", "energy_per_site", "heat_capacity_per_site"):
        left, middle, right = (getattr(result, key) for result in (below, at, above))
        assert middle == pytest.approx((left + right) / 2, rel=1e-11)
        assert left == pytest.approx(right, rel=1e-7)


@pytest.mark.parametrize("temperature", [1e-6, 0.01, 0.05, 1.0, 100.0, 1e6])
def test_large_lattices_are_finite_and_close_to_infinite(temperature):
    finite, infinite = kaufman((512, 512), temperature), onsager(temperature)
    shift = temperature * math.log(2) / 512**2 if temperature < T_C else 0.0
    assert finite.free_energy_per_site + shift == pytest.approx(infinite.free_energy_per_site, rel=1e-14)
    assert finite.energy_per_site == pytest.approx(infinite.energy_per_site, abs=1e-14)
    assert finite.heat_capacity_per_site == pytest.approx(infinite.heat_capacity_per_site, abs=1e-14)


def test_finite_size_scaling_of_the_energy():
    """e_L = -sqrt 2 + a / L + O(L^-3): doubling L divides what is left by 8."""
    amplitude = GOLDEN["ferdinand_fisher_energy"]["value"]
    thetas = [
        2 * sum(math.exp(-math.pi * (n + 0.5) ** 2) for n in range(6)),
        1 + 2 * sum(math.exp(-math.pi * n**2) for n in range(1, 6)),
        1 + 2 * sum((-1) ** n * math.exp(-math.pi * n**2) for n in range(1, 6)),
    ]
    exact = -2 * math.prod(thetas) / sum(thetas)
    assert exact == pytest.approx(amplitude, abs=5e-8)
    left = [kaufman((L, L), T_C).energy_per_site + math.sqrt(2) - exact / L for L in (16, 32, 64, 128)]
    assert np.array(left[:-1]) / np.array(left[1:]) == pytest.approx(8 * np.ones(3), rel=0.02)


def test_finite_size_scaling_of_the_partition_function():
    def excess(L: int) -> float:
        return kaufman((L, L), T_C).log_z + L**2 * onsager(T_C).free_energy_per_site / T_C

    limit = GOLDEN["ferdinand_fisher_log_z"]["value"]
    assert math.log(2**0.25 + 2**-0.5) == pytest.approx(limit, abs=5e-8)
    left = [excess(L) - math.log(2**0.25 + 2**-0.5) for L in (16, 32, 64, 128)]
    assert np.array(left[:-1]) / np.array(left[1:]) == pytest.approx(4 * np.ones(3), rel=0.02)
    assert excess(512) == pytest.approx(limit, abs=1e-6)


def test_golden_torus():
    free_energy = kaufman((16, 16), 1 / 0.44).free_energy_per_site
    assert free_energy == pytest.approx(GOLDEN["torus_16_free_energy"]["value"], abs=1e-12)


def test_golden_torus_from_pfaffians():
    log_z = pfaffian_log_z((16, 16), 0.44, periodic=True)
    assert -log_z / 256 / 0.44 == pytest.approx(GOLDEN["torus_16_free_energy"]["value"], abs=1e-12)


def test_golden_open_lattice():
    log_z = transfer_matrix(Ising((16, 16), periodic=False), 1 / 0.44).log_z
    assert log_z == pytest.approx(GOLDEN["open_16_log_z"]["value"], abs=1e-11)


def test_golden_open_lattice_from_a_pfaffian():
    log_z = pfaffian_log_z((16, 16), 0.44, periodic=False)
    assert log_z == pytest.approx(GOLDEN["open_16_log_z"]["value"], abs=1e-11)


@pytest.mark.parametrize("beta", [0.3, 0.44, 0.6])
@pytest.mark.parametrize("periodic", [True, False])
def test_pfaffians_equal_enumeration(beta, periodic):
    """The second method must itself be right, on both sides of the transition."""
    exact = enumerate_states(Ising((3, 4), periodic=periodic), 1 / beta).log_z
    assert pfaffian_log_z((3, 4), beta, periodic) == pytest.approx(exact, rel=1e-12)


def test_refuses_what_the_formula_does_not_cover():
    with pytest.raises(ValueError, match=r"odd extent is frustrated, got shape \(4, 5\)"):
        kaufman((4, 5), 2.0, coupling=-1.0)
    with pytest.raises(ValueError, match="must have extent 2 or more"):
        kaufman((1, 5), 2.0)
    with pytest.raises(ValueError, match="coupling must be a finite number, got inf"):
        kaufman((4, 4), 2.0, coupling=math.inf)
    with pytest.raises(ValueError, match="temperature must be positive"):
        kaufman((4, 4), -2.0)


def pfaffian_log_z(shape: tuple[int, int], beta: float, periodic: bool) -> float:
    """ln Z of the zero-field Ising model from Grassmann integrals over four variables a site."""
    height, width = shape
    n_bonds = 2 * height * width if periodic else 2 * height * width - height - width
    prefactor = height * width * math.log(2) + n_bonds * math.log(math.cosh(beta))
    if not periodic:
        return prefactor + log_pfaffian(grassmann(shape, beta, 0, 0))[1]
    # at beta = 0 the matrix is that of the sites alone: its sign is common to all four
    common = log_pfaffian(grassmann(shape, 0.0, 0, 0))[0]
    terms = {(x, y): log_pfaffian(grassmann(shape, beta, x, y)) for x in (1, -1) for y in (1, -1)}
    top = max(log for _, log in terms.values())
    signed = {key: common * sign * math.exp(log - top) for key, (sign, log) in terms.items()}
    return prefactor + top + math.log((sum(signed.values()) - 2 * signed[1, 1]) / 2)


def grassmann(shape: tuple[int, int], beta: float, wrap_x: int, wrap_y: int) -> np.ndarray:
    """The antisymmetric matrix of R, L, U, D at every site; bonds across the boundary times wrap."""
    height, width = shape
    t, matrix = math.tanh(beta), np.zeros((4 * height * width, 4 * height * width))
    for y in range(height):
        for x in range(width):
            right, left, up, down = 4 * (y * width + x) + np.arange(4)
            for a, b in ((right, left), (up, down), (right, up), (right, down), (left, down)):
                matrix[a, b] += 1
            matrix[left, up] -= 1
            east, north = y * width + (x + 1) % width, (y + 1) % height * width + x
            matrix[right, 4 * east + 1] += t * (wrap_x if x == width - 1 else 1)
            matrix[up, 4 * north + 3] += t * (wrap_y if y == height - 1 else 1)
    return matrix - matrix.T


def log_pfaffian(matrix: np.ndarray, block: int = 64) -> tuple[float, float]:
    """Sign and logarithm of the Pfaffian, eliminating a block of variables at a time."""
    sign, log = 1.0, 0.0
    while len(matrix):
        corner, side, rest = matrix[:block, :block], matrix[:block, block:], matrix[block:, block:]
        s, value = small_log_pfaffian(corner.copy())
        sign, log = sign * s, log + value
        matrix = rest + side.T @ np.linalg.solve(corner, side)
    return sign, log


def small_log_pfaffian(a: np.ndarray) -> tuple[float, float]:
    """Gauss elimination by congruence with pivoting (Parlett and Reid)."""
    sign, log = 1.0, 0.0
    for k in range(0, len(a), 2):
        pivot = k + 1 + int(np.argmax(np.abs(a[k, k + 1 :])))
        if pivot != k + 1:
            a[[k + 1, pivot]] = a[[pivot, k + 1]]
            a[:, [k + 1, pivot]] = a[:, [pivot, k + 1]]
            sign = -sign
        value = a[k, k + 1]
        sign, log = sign * np.sign(value), log + math.log(abs(value))
        tau, column = a[k, k + 2 :] / value, a[k + 1, k + 2 :].copy()
        a[k + 2 :, k + 2 :] += np.outer(column, tau) - np.outer(tau, column)
    return sign, log
