"""Exact results at fixed composition: the sum over all compositions is Z, and two methods agree."""

import itertools

import numpy as np
import pytest

import latticear as la
from latticear.exact import enumerate_states, result_by
from latticear.exact.canonical import canonical_result
from latticear.exact.tabulated import Tabulated

EXTENSIVE = ("log_z", "energy_per_site", "heat_capacity_per_site", "abs_magnetization", "magnetization_squared")


def compositions(n_sites: int, q: int):
    """All compositions of q states."""
    return (c for c in itertools.product(range(n_sites + 1), repeat=q) if sum(c) == n_sites)


@pytest.mark.parametrize(
    ("system", "temperature"),
    [
        (la.Ising((3, 4)), 2.0),
        (la.Ising((3, 3), coupling=-1.0, field=0.3, periodic=(True, False)), 1.5),
        (la.BlumeCapel((2, 3), crystal_field=0.5), 1.0),
        (la.Potts((2, 3), q=3), 1.2),
    ],
)
def test_the_sum_over_all_compositions_is_z(system, temperature):
    parts = [
        enumerate_states(la.FixedComposition(system, counts), temperature)
        for counts in compositions(system.n_sites, system.n_tokens)
    ]
    whole = enumerate_states(system, temperature)
    log_z = np.logaddexp.reduce([part.log_z for part in parts])
    assert log_z == pytest.approx(whole.log_z, abs=1e-12)
    p = np.exp([part.log_z - log_z for part in parts])
    energies = np.array([part.energy_per_site for part in parts])
    assert p @ energies == pytest.approx(whole.energy_per_site, abs=1e-12)


def test_z_of_kaufman_is_the_sum_over_magnetisations_of_a_larger_lattice():
    system = la.Ising((4, 6))
    parts = [la.exact_result(la.FixedComposition(system, (24 - n, n)), 2.2) for n in range(25)]
    assert {part.method for part in parts} == {"magnetization_resolved"}
    assert np.logaddexp.reduce([part.log_z for part in parts]) == pytest.approx(
        la.kaufman((4, 6), 2.2).log_z, abs=1e-11
    )


@pytest.mark.parametrize("counts", [(8, 8), (5, 11), (1, 15), (16, 0)])
def test_transfer_matrix_is_enumeration(counts):
    system = la.FixedComposition(la.Ising((4, 4), field=0.2), counts)
    one, other = canonical_result(system, 2.0), enumerate_states(system, 2.0)
    for name in EXTENSIVE:
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-7), name
    assert one.log_z == pytest.approx(other.log_z, abs=1e-12)


def test_a_uniform_field_is_a_constant():
    fixed = {h: enumerate_states(la.FixedComposition(la.Ising((3, 4), field=h), (5, 7)), 2.0) for h in (0.0, 0.7)}
    assert fixed[0.7].log_z - fixed[0.0].log_z == pytest.approx(0.7 * 2 / 2.0, abs=1e-12)
    assert fixed[0.7].heat_capacity_per_site == pytest.approx(fixed[0.0].heat_capacity_per_site, abs=1e-12)


def test_the_table_has_the_allowed_configurations_alone():
    table = Tabulated(la.FixedComposition(la.Ising((3, 3)), (4, 5)), 2.0)
    assert len(table.tokens) == 126
    assert np.exp(table.log_p).sum() == pytest.approx(1)


@pytest.mark.parametrize("method", ["kaufman", "kasteleyn", "transfer-matrix", "tensor-network"])
def test_methods_of_free_composition_are_refused(method):
    with pytest.raises(ValueError, match=r"does not keep a fixed composition, got .8, 8.: use exact_result"):
        result_by(method, la.FixedComposition(la.Ising((4, 4)), (8, 8)), 2.0)


def test_nothing_is_shown_where_nothing_is_known():
    assert la.exact_result(la.FixedComposition(la.Ising((32, 32)), (512, 512)), 2.0) is None
    with pytest.raises(ValueError, match="magnetization_resolved is for two states at fixed composition, got 3"):
        result_by("magnetization-resolved", la.FixedComposition(la.BlumeCapel((2, 2)), (1, 1, 2)), 2.0)
    with pytest.raises(ArithmeticError, match="underflows"):
        canonical_result(la.FixedComposition(la.Ising((4, 4)), (8, 8)), 0.005)
