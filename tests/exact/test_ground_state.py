import math

import pytest

import latticear as la
from latticear.exact.ground_state import METHODS, exact_ground_state

EXACT = (
    (la.EdwardsAnderson((4, 3), seed=1, periodic=False), None, None),
    (la.EdwardsAnderson((3, 4), seed=2, distribution="gaussian"), None, 2),
    (la.Ising((3, 3), coupling=-1.0), None, None),
    (la.Ising((3, 4), coupling=-1.0, field=1.0), None, None),
    (la.Potts((3, 3), q=3, coupling=-1.0), 0.0, 12),
    (la.Ising((3, 3), coupling=-1.0, geometry="triangular"), None, None),
)


@pytest.mark.parametrize(("system", "energy", "degeneracy"), EXACT, ids=lambda each: type(each).__name__)
def test_a_strip_has_the_lowest_energy_and_as_many_configurations_as_enumeration_finds(system, energy, degeneracy):
    summed, strip = exact_ground_state(system, "enumerate_states"), exact_ground_state(system, "transfer_matrix")
    assert strip.energy == pytest.approx(summed.energy, abs=1e-9)
    assert strip.degeneracy == summed.degeneracy
    assert float(system.token_energy(summed.tokens[None])[0]) == pytest.approx(summed.energy)
    assert energy is None or summed.energy == energy
    assert degeneracy is None or summed.degeneracy == degeneracy


@pytest.mark.parametrize("periodic", [True, False])
def test_pfaffians_prove_energy_and_degeneracy_of_integer_couplings(periodic):
    glass = la.EdwardsAnderson((4, 5), seed=4, periodic=periodic)
    by_strip, by_pfaffians = (exact_ground_state(glass, name) for name in ("transfer_matrix", "kasteleyn"))
    assert by_pfaffians.proven
    assert by_pfaffians.energy == by_strip.energy
    assert by_pfaffians.degeneracy == by_strip.degeneracy
    assert by_pfaffians.entropy == pytest.approx(math.log(by_strip.degeneracy))


def test_pfaffians_bound_the_energy_of_gaussian_couplings():
    glass = la.EdwardsAnderson((4, 4), seed=2, distribution="gaussian", periodic=False)
    low, high = exact_ground_state(glass, "kasteleyn").bounds
    assert low - 1e-9 <= exact_ground_state(glass, "transfer_matrix").energy <= high + 1e-9
    assert high - low < 0.05


def test_numbers_of_configurations_have_more_digits_than_a_float():
    free = la.EdwardsAnderson((8, 9), couplings=0 * la.EdwardsAnderson((8, 9)).maps, periodic=False)
    found = METHODS["transfer_matrix"](free)
    assert (found.energy, found.degeneracy) == (0.0, 2**72)
