"""Boundary matrix products beside other exact methods: right within the errors that they state."""

import math

import pytest

import latticear as la
from latticear.estimation.estimates import Estimate, Estimates
from latticear.exact import (
    contraction,
    enumerate_states,
    exact_result,
    kasteleyn,
    kaufman,
    magnetization_resolved,
    network,
    result_by,
    tensor_network,
    transfer_matrix,
)
from latticear.exact.result import MAX_ERROR

WITH_A_JUDGE = {
    "open, field": (la.Ising((7, 8), field=0.1, periodic=False), 2.0, 12, magnetization_resolved),
    "cylinder": (la.Ising((8, 7), field=-0.2, periodic=(True, False)), la.T_C, 24, magnetization_resolved),
    "the other cylinder": (la.Ising((8, 7), field=-0.2, periodic=(False, True)), la.T_C, 24, magnetization_resolved),
    "j1-j2": (la.Ising((8, 8), next_nearest=-0.6, periodic=False), 1.2, 16, magnetization_resolved),
    "triangular": (la.Ising((6, 8), -1.0, 0.3, geometry="triangular", periodic=False), 1.5, 16, magnetization_resolved),
    "honeycomb": (la.Ising((6, 8), geometry="honeycomb", periodic=False), 1.5, 8, transfer_matrix),
    "missing sites": (la.Ising((8, 8), periodic=False, missing=[(2, 3), (5, 5)]), 1.5, 12, magnetization_resolved),
    "glass": (la.EdwardsAnderson((12, 12), seed=3, periodic=False), 1.0, 16, kasteleyn),
    "potts": (la.Potts((6, 7), q=3, periodic=False), 1.0, 18, transfer_matrix),
    "clock": (la.Clock((5, 5), q=5, periodic=False), 1.2, 20, transfer_matrix),
    "blume-capel": (la.BlumeCapel((6, 6), crystal_field=1.966, periodic=False), 0.608, 18, magnetization_resolved),
    "an open torus at high temperature": (la.Ising((6, 6)), 4.0, 24, magnetization_resolved),
    "no cut": (la.Ising((3, 4), field=0.2, periodic=(True, False)), 2.0, 64, enumerate_states),
}


@pytest.mark.parametrize("name", WITH_A_JUDGE)
def test_right_within_its_errors(name):
    system, temperature, bond_dimension, judge = WITH_A_JUDGE[name]
    result, exact = tensor_network(system, temperature, bond_dimension=bond_dimension), judge(system, temperature)
    assert result.is_exact
    assert result.source == f"tensor_network, bond dimension {bond_dimension}"
    assert {"log_z", "energy_per_site", "entropy_per_site", "free_energy_per_site"} <= result.errors.keys()
    assert result.errors.keys() == result.to_dict().keys()
    for quantity, value in result.to_dict().items():
        known = getattr(exact, quantity)
        if known is not None:
            assert abs(value - known) <= result.errors[quantity] + 1e-9, quantity


@pytest.mark.parametrize("bond_dimension", [1, 3, 8])
@pytest.mark.parametrize(
    "system",
    [
        la.Ising((10, 10)),
        la.Ising((10, 10), periodic=(True, False)),
        la.EdwardsAnderson((10, 10), seed=1, periodic=False),
        la.EdwardsAnderson((8, 8), seed=1),
    ],
    ids=str,
)
def test_what_is_cut_too_much_is_never_called_exact(system, bond_dimension):
    result, exact = tensor_network(system, 1.1, bond_dimension=bond_dimension), exact_result(system, 1.1)
    if result.is_exact:
        assert abs(result.log_z - exact.log_z) < MAX_ERROR
        return
    with pytest.raises(ValueError, match=r"not exact: the error of ln Z, at most 0\.0001, is"):
        result.values_for(system.n_sites, 1.1)
    assert "not exact" in repr(result)


def test_the_weights_notice_what_both_contractions_miss(monkeypatch):
    """Two contractions that agree are no proof: both are made wrong by the same amount."""
    right = contraction.log_z
    system = la.Ising((8, 8), field=0.1, periodic=False)
    assert tensor_network(system, 2.0, bond_dimension=12).errors["log_z"] < 1e-6
    monkeypatch.setattr(contraction, "log_z", lambda environments: right(environments) + 0.01)
    wrong = tensor_network(system, 2.0, bond_dimension=12)
    assert wrong.errors["log_z"] == pytest.approx(0.01, rel=0.01)
    assert not wrong.is_exact


def test_the_other_side_notices_a_cut(monkeypatch):
    """Without the weights, a bond dimension that is too small is still noticed."""
    system = la.Ising((10, 10), periodic=(True, False))
    exact = kasteleyn(system, la.T_C).log_z
    monkeypatch.setattr(network._Sides, "draw", lambda self, chi, seed: network._Drawn(exact, 0.0, None))
    assert tensor_network(system, la.T_C, bond_dimension=6).errors["log_z"] > MAX_ERROR


def test_large_lattices_without_a_bond_dimension():
    """The search ends at the first bond dimension that is large enough, and finds a judge where there was none."""
    system = la.BlumeCapel((14, 14), crystal_field=0.5, field=0.1, periodic=False)
    result = exact_result(system, 2.0)
    assert result.source == "tensor_network, bond dimension 8"
    larger = tensor_network(system, 2.0, bond_dimension=16)
    assert larger.errors["log_z"] < result.errors["log_z"]
    assert abs(larger.log_z - result.log_z) < result.errors["log_z"]
    assert exact_result(system, 2.0, closed_form=True) is None
    assert exact_result(system, 2.0, seconds=0.1) is None
    assert tensor_network(la.Ising((8, 8), field=0.1, periodic=False), 2.5).bond_dimension == 8


def test_a_torus_that_does_not_converge_has_no_exact_value():
    assert exact_result(la.Ising((14, 14), field=0.1), la.T_C) is None


def test_results_by_name():
    ising = la.Ising((4, 4))
    for name in ("enumerate-states", "magnetization_resolved", "transfer-matrix", "kaufman", "kasteleyn"):
        assert result_by(name, ising, 2.0).log_z == pytest.approx(kaufman((4, 4), 2.0).log_z, rel=1e-12)
    found = result_by("tensor-network", ising, 4.0, bond_dimension=16)
    assert found.log_z == pytest.approx(kaufman((4, 4), 4.0).log_z, abs=1e-6)
    with pytest.raises(ValueError, match="method must be one of"):
        result_by("guess", ising, 2.0)
    with pytest.raises(ValueError, match="a bond dimension goes with method tensor-network, got kaufman"):
        result_by("kaufman", ising, 2.0, bond_dimension=8)
    with pytest.raises(ValueError, match="kaufman needs the Ising model without a field on a torus"):
        result_by("kaufman", la.Ising((4, 4), field=0.1), 2.0)


@pytest.mark.parametrize("wrong", [0, 1.5, "large"])
def test_refuses_bond_dimensions(wrong):
    with pytest.raises(ValueError, match="bond_dimension must be"):
        tensor_network(la.Ising((4, 4)), 2.0, bond_dimension=wrong)


def test_refuses_temperatures_at_which_weights_underflow():
    glass = la.EdwardsAnderson((8, 8), seed=0, field=0.1)
    with pytest.raises(ValueError, match=r"at T = 0\.001 the weights differ too much"):
        tensor_network(glass, 0.001, bond_dimension=4)
    assert exact_result(la.EdwardsAnderson((14, 14), seed=0, field=0.1), 0.001) is None


def test_refuses_long_bonds():
    with pytest.raises(ValueError, match="nearest and next-nearest neighbours alone"):
        tensor_network(la.SherringtonKirkpatrick((3, 5), seed=0), 1.0)


def test_its_error_is_part_of_a_deviation():
    """An estimate that is more accurate than the result beside it is not called wrong."""
    system = la.Ising((8, 8), field=0.1, periodic=False)
    result = tensor_network(system, 2.0, bond_dimension=6)
    assert result.is_exact
    off = result.log_z + result.errors["log_z"]
    entry = Estimate(off, 1e-9, n=100, ess=1.0)
    estimates = Estimates({"log_z": entry}, temperature=2.0, n=100, diagnostics={}).compared_with(result, 64)
    assert estimates["log_z"].deviation == pytest.approx(1.0, rel=1e-3)
    assert "exact values by tensor_network, bond dimension 6" in repr(estimates)
    again = Estimates.from_dict(estimates.to_dict(), 64)
    assert again["log_z"].deviation == pytest.approx(1.0, rel=1e-3)
    alone = Estimate(off, 1e-9, n=100, ess=1.0, exact=result.log_z)
    assert math.isinf(alone.deviation) or alone.deviation > 100


def test_a_sum_that_the_cut_has_lost_is_refused():
    glass = la.EdwardsAnderson((4, 4), seed=2)
    with pytest.raises(ValueError, match=r"bond dimension 8 have lost the sum at T = 0\.2; give a larger"):
        tensor_network(glass, 0.2, bond_dimension=8)
