"""A system at fixed composition has the energies of the system, and its own symmetry and known-neighbour term."""

import pytest
import torch

import latticear as la
from latticear.hamiltonians import hamiltonian_from_dict


def test_it_passes_the_contract():
    for system in (
        la.FixedComposition(la.Ising((3, 4), field=0.3), (5, 7)),
        la.FixedComposition(la.BlumeCapel((3, 3), crystal_field=1.9), (3, 3, 3)),
        la.FixedComposition(la.EdwardsAnderson((3, 4), seed=1), (6, 6)),
    ):
        assert {"energy", "local", "region", "symmetries", "known neighbours"} <= set(la.check_hamiltonian(system))


def test_it_is_saved():
    system = la.FixedComposition(la.Ising((3, 4), field=0.3, periodic=False), magnetization=-0.5)
    again = hamiltonian_from_dict(system.to_dict())
    assert again.composition == (9, 3)
    assert again.to_dict() == system.to_dict()
    assert hamiltonian_from_dict(la.Ising((3, 4)).to_dict()).composition is None


@pytest.mark.parametrize(
    ("system", "composition", "symmetric"),
    [
        (la.Ising((4, 4)), (8, 8), True),
        (la.Ising((4, 4)), (7, 9), False),
        (la.Ising((4, 4), field=0.1), (8, 8), False),
        (la.BlumeCapel((2, 4)), (2, 4, 2), True),
        (la.BlumeCapel((2, 4)), (1, 4, 3), False),
    ],
)
def test_the_spin_flip_is_a_symmetry_where_the_composition_has_it(system, composition, symmetric):
    assert la.FixedComposition(system, composition).spin_flip == symmetric


def test_of_the_field_the_deviation_from_its_average_is_in_the_known_neighbours():
    def term(field) -> torch.Tensor:
        pair = [[-1.0, 1.0], [1.0, -1.0]]
        system = la.PairHamiltonian(la.Lattice((2, 2)), [-1, 1], pair, field=field)
        bias = la.FixedComposition(system, (2, 2)).bias(2.0)
        bias.attach(torch.zeros(2, 2, dtype=torch.long))  # no known neighbours
        return bias(torch.zeros(1, 2, 2, dtype=torch.long))[0]

    assert term([[0.7, 0.7], [0.7, 0.7]]).abs().max() < 1e-12
    assert torch.allclose(term([[0.0, 0.0], [0.0, 0.8]]), term([[1.0, 1.0], [1.0, 1.8]]))
    assert torch.allclose(term([[0.0, 0.0], [0.0, 0.8]])[1], torch.tensor([[-0.1, -0.1], [-0.1, 0.3]]).double())


def test_allowed_configurations():
    system = la.FixedComposition(la.Ising((2, 2)), (1, 3))
    tokens = torch.tensor([[[0, 1], [1, 1]], [[0, 0], [1, 1]], [[1, 1], [1, 0]]])
    assert system.allowed(tokens).tolist() == [True, False, True]
    assert la.Ising((2, 2)).allowed(tokens).all()
    with pytest.raises(ValueError, match=r"data must have the composition \(1, 3\), got \(2, 2\) in configuration 1"):
        system.check_allowed(tokens, "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give composition or magnetization, and not both"),
        ({"composition": (8, 8), "magnetization": 0.0}, "and not both"),
        ({"composition": (8, 9)}, r"with the sum 16, got \(8, 9\) with the sum 17"),
        ({"composition": "ab"}, "integers, got 'ab'"),
        ({"magnetization": "half"}, "magnetization must be a number, got str 'half'"),
        ({"magnetization": float("nan")}, "magnetization must lie in -1 to 1, got nan"),
        ({"magnetization": 0.2}, "take 0.125 or 0.25, got 0.2"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        la.FixedComposition(la.Ising((4, 4)), **arguments)


def test_other_systems_are_refused():
    for system in (
        la.Components(la.AshkinTeller((2, 2))),
        la.EdwardsAndersonDisorder((2, 2)),
        la.FixedComposition(la.Ising((2, 2)), (2, 2)),
    ):
        with pytest.raises(ValueError, match="a composition is that of one system with one state at each site"):
            la.FixedComposition(system, (2, 2))
    with pytest.raises(ValueError, match="magnetization is for a system of two states, got 2 states of potts"):
        la.FixedComposition(la.Potts((2, 2), q=2), magnetization=0.0)
    with pytest.raises(ValueError, match="a Hamiltonian is needed"):
        la.FixedComposition("ising", (2, 2))
