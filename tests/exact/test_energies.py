"""The exact distribution of the energy, against the sum over all configurations and against moments."""

import numpy as np
import pytest

import latticear as la
from latticear.exact import energy_distribution, enumerate_states, kaufman, transfer_matrix
from latticear.exact.energies import _strip, _torus
from latticear.exact.strip import find_strip
from latticear.hamiltonians.levels import energy_levels

T = 2.3


def by_method(system, method):
    levels = energy_levels(system)
    log_z = _torus(system, levels, 1.0) if method == "torus" else _strip(find_strip(system), levels, 1.0)
    theta = 2 * np.pi * np.arange(levels.n // 2 + 1) / (levels.n * levels.spacing)
    z = log_z(1 / T - 1j * theta)
    return levels, np.fft.irfft(np.exp(z - z[0].real - 1j * theta * levels.first).conj(), levels.n)


@pytest.mark.parametrize(
    ("system", "method"),
    [
        (la.Ising((3, 4)), "torus"),
        (la.Ising((4, 3)), "strip"),
        (la.Ising((4, 4), coupling=-1.0), "torus"),
        (la.Ising((3, 3), coupling=0.7), "torus"),
        (la.Ising((3, 3), field=0.5, periodic=False), "strip"),
        (la.Potts((3, 3), q=3), "strip"),
        (la.BlumeCapel((2, 4)), "strip"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.label,
)
def test_complex_temperatures_give_what_the_sum_over_all_configurations_gives(system, method):
    energy, p = energy_distribution(system, T)  # enumerated
    levels, found = by_method(system, method)
    full = np.zeros(levels.n)
    full[levels.index_of(energy)] = p
    np.testing.assert_allclose(found, full, atol=1e-12)


def test_moments_of_a_large_torus():
    energy, p = energy_distribution(la.Ising((24, 16)), T)
    exact = kaufman((24, 16), T)
    mean = p @ energy
    assert mean / 384 == pytest.approx(exact.energy_per_site, abs=1e-11)
    assert p @ (energy - mean) ** 2 / T**2 / 384 == pytest.approx(exact.heat_capacity_per_site, abs=1e-8)


def test_a_strip_of_potts_spins():
    potts = la.Potts((5, 3), q=4)
    energy, p = energy_distribution(potts, 1.1)
    assert p @ energy / 15 == pytest.approx(transfer_matrix(potts, 1.1).energy_per_site, abs=1e-11)


def test_fixed_composition_is_enumerated():
    system = la.FixedComposition(la.Ising((3, 4)), magnetization=0.0)
    energy, p = energy_distribution(system, T)
    assert p @ energy / 12 == pytest.approx(enumerate_states(system, T).energy_per_site)


def test_what_it_refuses():
    for system in (la.Phi4((4, 4)), la.Potts((12, 12), q=3), la.Ising((12, 12), field=0.1)):
        with pytest.raises(ValueError, match="energy_distribution covers equidistant"):
            energy_distribution(system, T)
