"""Which judge is called, and that it is right."""

from __future__ import annotations

import math

import pytest
import torch
from support.pairs import Pairs, assert_same, random_pairs

from latticear.exact import enumerate_states, exact_result, kasteleyn, kaufman, transfer_matrix
from latticear.hamiltonians import Ising
from latticear.lattice import Lattice


@pytest.mark.parametrize(
    ("hamiltonian", "method"),
    [
        (Ising((4, 4)), "magnetization_resolved"),
        (Ising((5, 5), -1.0, 0.3), "magnetization_resolved"),
        (Ising((7, 7), periodic=False), "magnetization_resolved"),
        (Ising((16, 16)), "kaufman"),
        (Ising((64, 32), -1.0), "kaufman"),
        (Ising((3, 5), -1.0), "magnetization_resolved"),
        (Ising((17, 17), periodic=False), "kasteleyn"),
        (Ising((17, 17), field=0.1, periodic=False), "transfer_matrix"),
        (random_pairs((2, 4), False, (-0.5, 0.5)), "enumerate_states"),
        (random_pairs((4, 4), True, (-1, 1), extra=[(0, 10)]), "enumerate_states"),
        (random_pairs((5, 5), False, (-0.5, 0.5)), "transfer_matrix"),
        (random_pairs((5, 5), False, (-1, 1), extra=[(0, 12)]), None),
        (random_pairs((8, 8), True, (-0.5, 0.5), extra=Lattice((8, 8)).next_nearest.ends.tolist()), "transfer_matrix"),
        (Ising((8, 8), next_nearest=-0.6), "magnetization_resolved"),
        (Ising((8, 8), -1.0, 0.3, geometry="triangular"), "magnetization_resolved"),
        (Ising((16, 16), next_nearest=-0.6), None),
        (Ising((16, 16), field=0.1), None),
        (Ising((15, 16), -1.0), "kasteleyn"),
        (Ising((32, 32), periodic=False), "kasteleyn"),
        (Ising((128, 128), periodic=False), None),
        (Ising((512, 512)), "kaufman"),
    ],
    ids=str,
)
def test_the_most_complete_quick_method_is_chosen(hamiltonian, method):
    result = exact_result(hamiltonian, 2.0)
    assert (result and result.method) == method


def test_results_are_those_of_the_methods():
    assert exact_result(Ising((16, 16), 0.7), 2.0) == kaufman((16, 16), 2.0, 0.7)
    small = Ising((3, 4), -1.0, 0.2)
    assert exact_result(small, 2.0).to_dict() == pytest.approx(enumerate_states(small, 2.0).to_dict(), rel=1e-11)


def test_tables_decide_and_not_the_class():
    ising = Ising((16, 16), 0.7)
    same = Pairs(ising.lattice, [-1, 1], ising.bonds, ising.bond_energies, ising.site_energies)
    assert exact_result(same, 2.0) == kaufman((16, 16), 2.0, 0.7)
    tables = ising.bond_energies.clone()
    tables[5] *= -1
    glass = Pairs(ising.lattice, [-1, 1], ising.bonds, tables, ising.site_energies)
    assert exact_result(glass, 2.0) == kasteleyn(glass, 2.0)
    constant = torch.zeros(256, 2).index_fill(0, torch.tensor([3]), 0.25)
    shifted = exact_result(Pairs(ising.lattice, [-1, 1], ising.bonds, ising.bond_energies, constant), 2.0)
    assert shifted.log_z == pytest.approx(kaufman((16, 16), 2.0, 0.7).log_z - 0.125, rel=1e-13)
    fields = constant * torch.tensor([1, -1])
    assert exact_result(Pairs(ising.lattice, [-1, 1], ising.bonds, ising.bond_energies, fields), 2.0) is None


def test_frustration_at_low_temperature_falls_back_to_logarithms():
    frustrated = Ising((7, 7), -1.0)
    result = exact_result(frustrated, 1e-3)
    assert result.method == "transfer_matrix"
    assert_same(result, transfer_matrix(frustrated, 1e-3))
    assert result.abs_magnetization is None


def test_refuses_temperatures():
    with pytest.raises(ValueError, match="temperature must be positive"):
        exact_result(Ising((4, 4)), -math.inf)


def test_a_result_of_another_system_is_not_put_beside_estimates():
    result = exact_result(Ising((4, 4)), 2.0)
    assert result.values_for(16, 2.0) == result.to_dict()
    for n_sites, temperature in ((9, 2.0), (16, 2.1)):
        with pytest.raises(ValueError, match=r"the exact result is of 16 sites at T = 2, the estimates are of"):
            result.values_for(n_sites, temperature)
