"""ln Z by contraction: exact where nothing is cut, and close to exact results of large lattices where something is."""

import pytest
import torch

import latticear as la
from latticear.exact import enumerate_states, kasteleyn, kaufman, transfer_matrix
from latticear.lookahead import Environments, RowWeights, log_z

SMALL = {
    "torus": la.Ising((3, 4), field=0.3),
    "open": la.Ising((3, 4), periodic=False),
    "cylinder": la.Ising((3, 4), periodic=(True, False), next_nearest=0.3),
    "the other cylinder": la.Ising((4, 3), periodic=(False, True), next_nearest=0.3),
    "antiperiodic": la.Ising((4, 3), antiperiodic=(False, True)),
    "triangular": la.Ising((3, 4), coupling=-1, geometry="triangular"),
    "missing sites": la.Ising((3, 4), missing=[(1, 1), (2, 3)]),
    "gaussian glass": la.EdwardsAnderson((3, 5), seed=1, distribution="gaussian", periodic=False),
    "potts": la.Potts((2, 4), q=3),
    "blume-capel": la.BlumeCapel((3, 3), crystal_field=1.0),
    "two rows": la.Ising((2, 5)),
    "two columns": la.Ising((5, 2)),
    "a row": la.Ising((1, 6), periodic=(False, True)),
    "a column": la.Ising((6, 1), periodic=(True, False)),
}


def _log_z(system, temperature, bond_dimension) -> float:
    weights = RowWeights.of_bonds(system.shape, system.bonds, system.bond_energies, system.site_energies, temperature)
    return log_z(Environments(weights, bond_dimension)).item()


@pytest.mark.parametrize("name", SMALL)
def test_without_a_cut_it_is_the_sum_over_all_configurations(name):
    assert _log_z(SMALL[name], 1.3, 512) == pytest.approx(enumerate_states(SMALL[name], 1.3).log_z, abs=1e-9)


def test_cuts_of_large_lattices_cost_little():
    t = la.T_C
    assert _log_z(la.Ising((12, 12)), t, 16) == pytest.approx(kaufman((12, 12), t).log_z, abs=3e-3)
    cylinder = la.Ising((6, 20), field=0.2, periodic=(True, False))
    assert _log_z(cylinder, t, 16) == pytest.approx(transfer_matrix(cylinder, t).log_z, abs=1e-6)
    glass = la.EdwardsAnderson((20, 20), seed=3, periodic=False)
    assert _log_z(glass, 1.0, 16) == pytest.approx(kasteleyn(glass, 1.0).log_z, abs=1e-6)


def test_instances_are_summed_together():
    system = la.Ising((3, 4), field=0.1)
    factors = torch.linspace(0.5, -1.5, 5 * len(system.bonds), dtype=torch.float64).reshape(5, -1)
    common = (system.shape, system.bonds, system.bond_energies, system.site_energies, 1.5)
    together = log_z(Environments(RowWeights.of_bonds(*common, factors), 64))
    for k in range(5):
        alone = log_z(Environments(RowWeights.of_bonds(*common, factors[k : k + 1]), 64))
        assert together[k].item() == pytest.approx(alone.item(), abs=1e-10)
