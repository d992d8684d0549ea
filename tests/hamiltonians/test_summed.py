"""Conditionals that the energy tells, against the Boltzmann distribution with every later site summed over."""

import itertools
import math

import pytest
import torch
from support.claims import TEMPERATURE, NotExactError, claimed, is_sound
from support.disorder import RandomTables, RandomTwoState

import latticear as la
from latticear.exact import all_configurations
from latticear.hamiltonians import AbstractHamiltonian, exact_conditionals

SHAPES = [*itertools.product(range(2, 6), repeat=2), (2, 6), (6, 3), (6, 6)]
DIAGONALS, THIRD = ((1, 1), (1, -1)), ((0, 2), (2, 0))


def _model(
    hamiltonian: AbstractHamiltonian, temperature: float | None = TEMPERATURE, **options
) -> la.MultiscalePixelCNN:
    size = {"width": 4, "depth": 1, "n_condition": int(temperature is None)}
    bias = hamiltonian.bias(temperature)
    return la.MultiscalePixelCNN(hamiltonian.shape, hamiltonian.n_tokens, bias=bias, **size, **options).double()


@pytest.mark.parametrize("shape", [(4, 4), (4, 6)])
@pytest.mark.parametrize("periodic", [True, False, (True, False), (False, True)])
@pytest.mark.parametrize("coupling", [1.0, -0.7])
def test_ising(shape: tuple[int, int], periodic: bool | tuple[bool, bool], coupling: float):
    for field in (0.0, 0.3):
        ising = la.Ising(shape, coupling, field, periodic)
        model = _model(ising, periodic=periodic)
        is_sound(model, ising)
        n_exact = sum(map(len, claimed(model).values()))
        assert n_exact >= math.prod(shape) // 2 + (2 if math.prod(shape) > 16 else 1)  # edges, and some faces


def test_what_a_lattice_of_powers_of_two_gets_for_nothing():
    """Half of the sites by their heat bath, an eighth by summing over those; each half of a kind is one phase."""
    for periodic in (True, False):
        sites = claimed(_model(la.Ising((8, 8), periodic=periodic)))
        assert {key: len(part) for key, part in sites.items()} == {"0_faces": 8, "0_edges": 32}


@pytest.mark.parametrize("shape", [(4, 4), (4, 6), (5, 3)])
def test_random_couplings(shape: tuple[int, int]):
    """Fields and couplings of both signs and zero, constants in the tables, one bond across."""
    hamiltonian = RandomTwoState(shape)
    model = _model(hamiltonian)
    is_sound(model, hamiltonian)
    assert "0_edges" in claimed(model)


@pytest.mark.parametrize("periodic", [True, False, (True, False)])
@pytest.mark.parametrize("n_tokens", [2, 3])
def test_tables_without_any_symmetry(periodic: bool | tuple[bool, bool], n_tokens: int):
    hamiltonian = RandomTables((4, 4), n_tokens, periodic)
    model = _model(hamiltonian, periodic=periodic)
    is_sound(model, hamiltonian)
    assert set(claimed(model)) == {"0_faces", "0_edges"}


@pytest.mark.parametrize("temperature", [0.4, 2.269, 30.0])
def test_every_configuration_has_its_own_temperature(temperature: float):
    ising = la.Ising((4, 4), field=0.2)
    is_sound(_model(ising, None), ising, temperature)


@pytest.mark.parametrize("periodic", [True, False, (True, False)])
@pytest.mark.parametrize("further", [(), DIAGONALS, THIRD], ids=["nearest", "2nd", "3rd"])
def test_no_lattice_is_claimed_wrongly(periodic: bool | tuple[bool, bool], further: tuple[tuple[int, int], ...]):
    """Odd extents around the boundary, doubled bonds at extent 2, bonds to further sites."""
    for shape in SHAPES:
        hamiltonian = RandomTables(shape, 2, periodic, further)
        is_sound(_model(hamiltonian, periodic=periodic), hamiltonian)


def test_what_is_not_claimed_where_the_energy_does_not_tell_it():
    assert not claimed(_model(la.Ising((5, 5)), taps="regular"))  # edges meet edges around the boundary
    assert set(claimed(_model(la.Ising((2, 6))))) == {"0_edges"}  # faces meet edges twice
    diagonals = RandomTables((6, 6), 2, False, DIAGONALS)
    assert set(claimed(_model(diagonals, cell=(1, 1)))) == {"0_edge2", "0_edge3"}  # the last ones
    assert set(claimed(_model(diagonals))) == {"0_edge2of2", "0_edge3of2", "0_last"}
    assert "0_faces" not in claimed(_model(RandomTables((6, 6), 2, False, THIRD)))


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 3), (2, 5), (3, 4), (4, 4)])
@pytest.mark.parametrize("further", [(), DIAGONALS], ids=["nearest", "2nd"])
def test_still_normalised(shape: tuple[int, int], further: tuple[tuple[int, int], ...]):
    for periodic in (True, False):
        model = _model(RandomTables(shape, 2, periodic, further), periodic=periodic)
        with torch.no_grad():
            assert abs(model.log_prob(all_configurations(shape, 2)).logsumexp(0).item()) < 1e-10


def test_a_wrong_claim_is_seen():
    """The comparison itself: at another temperature, and for sites that are not independent."""
    ising = la.Ising((4, 4))
    with pytest.raises(NotExactError):
        is_sound(_model(ising), ising, TEMPERATURE + 1e-6)
    model = _model(la.Ising((4, 4), periodic=False), periodic=True)
    with pytest.raises(NotExactError):
        is_sound(model, ising)


@pytest.mark.parametrize(
    ("sites", "rank", "why"),
    [
        ([0, 1], [[0, 0, 1], [2, 2, 2], [2, 2, 2]], "a bond between them"),
        ([4], [[0, 0, 0], [0, 1, 2], [0, 2, 2]], "a later neighbour meets an unknown site"),
        ([0, 2], [[1, 2, 1], [0, 0, 0], [0, 0, 0]], "both meet the same later neighbour"),
    ],
)
def test_refused(sites: list[int], rank: list[list[int]], why: str):
    bias = la.Ising((3, 3), periodic=False).bias(1.0)
    assert exact_conditionals(bias, torch.tensor(sites), torch.tensor(rank)) is None, why


def test_accepted():
    """A site whose later neighbours are ends, and one with no later neighbour."""
    bias = la.Ising((3, 3), periodic=False).bias(1.0)
    summed = exact_conditionals(bias, torch.tensor([4]), torch.tensor([[0, 2, 0], [0, 1, 2], [0, 2, 0]]))
    assert summed is not None
    assert summed.later.sum() == 3
    bath = exact_conditionals(bias, torch.tensor([4]), torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    assert bath is not None
    assert not bath.later.any()


def test_energies_stay_float64_with_the_model():
    model = _model(la.Ising((4, 4))).half().float()
    summed = model.phases["0_faces"].summed
    assert summed.energies.dtype == summed.own.dtype == summed.field.dtype == torch.float64
