"""Levels of energy and magnetisation: every configuration is on one, and no coarser grid would do."""

import numpy as np
import pytest

import latticear as la
from latticear.exact import all_configurations
from latticear.hamiltonians.levels import Levels, energy_levels, magnetization_levels

SYSTEMS = [
    la.Ising((3, 4)),
    la.Ising((3, 3), periodic=False),
    la.Ising((2, 3), field=0.3),
    la.Potts((2, 3), q=3),
    la.BlumeCapel((2, 3), crystal_field=0.5),
    la.EdwardsAnderson((3, 3), seed=1),
    la.AshkinTeller((2, 2)),
]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.label)
def test_energies_of_all_configurations_are_levels(system):
    joint = system.joint
    energy = joint.token_energy(all_configurations(joint.shape, joint.n_tokens)).numpy()
    levels = energy_levels(system)
    index = levels.index_of(energy)
    np.testing.assert_allclose(levels.values[index], energy, atol=1e-9)
    assert index.min() >= 0
    assert np.gcd.reduce(index - index[0]) == 1


def test_magnetisations_are_levels():
    assert magnetization_levels(la.BlumeCapel((2, 2))) == Levels(-1.0, 0.25, 9)
    assert magnetization_levels(la.Potts((2, 2), q=3)) is None  # the length of a vector


def test_energies_without_a_common_divisor_have_no_levels():
    assert energy_levels(la.Phi4((3, 3))) is None
    assert energy_levels(la.CustomHamiltonian(lambda s: s.sum((1, 2)), [-1, 1], (2, 2))) is None
