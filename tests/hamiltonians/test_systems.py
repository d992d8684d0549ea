"""Energies, heat bath and symmetries of every Hamiltonian, against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from support.blume_capel import BlumeCapel

import latticear as la
from latticear.exact import all_configurations
from latticear.hamiltonians import (
    AbstractHamiltonian,
    Ising,
    check_temperature,
    hamiltonian_from_dict,
)

SYSTEMS = [
    Ising((3, 4)),
    Ising((2, 2), coupling=-0.7, field=0.4),
    Ising((3, 5), field=-0.3, periodic=(False, True)),
    Ising((1, 6), periodic=False),
    BlumeCapel((3, 3)),
    BlumeCapel((2, 4), field=0.5, periodic=(True, False)),
]


ENERGIES = st.floats(-2, 2).filter(lambda x: x == 0 or abs(x) >= 1e-30)


@settings(max_examples=40)
@given(
    st.tuples(st.integers(2, 5), st.integers(2, 5)),
    st.tuples(st.booleans(), st.booleans()),
    ENERGIES,
    ENERGIES,
    st.integers(0, 1000),
)
def test_ising_energy_is_that_of_a_loop(shape, periodic, coupling, field, seed):
    ising = Ising(shape, coupling, field, periodic)
    spins = torch.randint(2, (3, *shape), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    energies = ising.energy(spins)
    assert energies.dtype == torch.float64
    for spin, energy in zip(spins, energies, strict=True):
        s = spin.flatten().tolist()
        expected = -coupling * sum(s[i] * s[j] for i, j in ising.bonds.tolist()) - field * sum(s)
        assert abs(energy.item() - expected) < 1e-12


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_table_energy_is_the_special_one(system):
    tokens = all_configurations(system.shape, system.n_tokens)[:4096]
    assert (system.token_energy(tokens) - AbstractHamiltonian.token_energy(system, tokens)).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float32, torch.float64])
def test_any_dtype_of_spins(dtype):
    assert Ising((4, 4), field=0.5).energy(torch.ones(2, 4, 4, dtype=dtype)).tolist() == [-40.0, -40.0]


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_conditional_energies_are_differences_of_the_whole_energy(system):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(system.n_tokens, (4, *system.shape), generator=generator)
    every = torch.arange(system.n_sites)
    local = system.conditional_energies(tokens, every)
    for site in range(system.n_sites):
        for token in range(system.n_tokens):
            changed = tokens.clone()
            changed.flatten(1)[:, site] = token
            difference = system.token_energy(changed) - system.token_energy(tokens)
            held = local[torch.arange(4), site, tokens.flatten(1)[:, site]]
            assert (local[:, site, token] - held - difference).abs().max() < 1e-12


def test_couplings_multiply_bonds_per_configuration():
    ising = Ising((3, 3), coupling=1.5, field=0.2)
    spins = torch.randint(2, (5, 3, 3)) * 2 - 1
    n_bonds = len(ising.bonds)
    assert torch.allclose(ising.energy(spins, torch.ones(n_bonds)), ising.energy(spins))
    per_sample = torch.randn(5, n_bonds, dtype=torch.float64)
    flat = spins.flatten(1).double()
    i, j = ising.bonds.T
    expected = -1.5 * (per_sample * flat[:, i] * flat[:, j]).sum(1) - 0.2 * flat.sum(1)
    assert torch.allclose(ising.energy(spins, per_sample), expected)


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_spin_flip_says_what_the_energy_does(system):
    tokens = all_configurations(system.shape, system.n_tokens)[:4096]
    same = torch.allclose(system.token_energy(tokens), system.token_energy(system.n_tokens - 1 - tokens))
    assert system.spin_flip == same


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_symmetries_leave_the_energy_as_it_is(system):
    """And no reflection, rotation or translation that does so is left out."""
    tokens = torch.randint(system.n_tokens, (20, *system.shape), generator=torch.Generator().manual_seed(0))
    energy = system.token_energy(tokens)

    def keeps(image):
        seen = tokens.flatten(1)[:, image].view_as(tokens)
        return torch.allclose(system.token_energy(seen), energy, rtol=1e-12)

    assert all(keeps(image) for image in system.symmetries.draw(30, np.random.default_rng(0)))
    grid = system.lattice.symmetries
    assert len(system.symmetries.point) == sum(map(keeps, grid.point))
    for axis, wraps in enumerate(system.lattice.periodic):
        if wraps and keeps(grid.translation((1, 0) if axis == 0 else (0, 1))):
            assert system.symmetries.steps[axis] == 1


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_spins_and_tokens_are_inverse(system):
    tokens = torch.randint(system.n_tokens, (4, *system.shape))
    assert torch.equal(system.tokens(system.spins(tokens)).long(), tokens)


def test_json_round_trip():
    ising = Ising((3, 5), coupling=-0.5, field=0.1, periodic=(True, False))
    again = hamiltonian_from_dict(ising.to_dict())
    assert again.to_dict() == ising.to_dict()
    assert again.lattice == ising.lattice


@pytest.mark.parametrize(
    ("spins", "message"),
    [
        (torch.ones(2, 4, 3), r"spins must have shape \(B, 3, 4\), got \(2, 4, 3\)"),
        (torch.ones(3, 4), "spins must have shape"),
        (torch.zeros(1, 3, 4), "spins of Ising must be one of"),
        (torch.full((1, 3, 4), float("nan")), "got nan"),
        (torch.full((1, 3, 4), 2), "got 2"),
    ],
)
def test_bad_spins(spins, message):
    with pytest.raises(ValueError, match=message):
        Ising((3, 4)).energy(spins)


def test_bad_couplings_and_parameters():
    with pytest.raises(ValueError, match="couplings must have shape"):
        Ising((3, 3)).energy(torch.ones(1, 3, 3), torch.ones(5))
    with pytest.raises(ValueError, match="coupling must be finite"):
        Ising((3, 3), coupling=float("nan"))
    with pytest.raises(ValueError, match="Hamiltonian must be one of"):
        hamiltonian_from_dict({"name": "izing"})
    with pytest.raises(ValueError, match="cannot be built from"):
        hamiltonian_from_dict({"name": "ising", "shape": [3, 3], "filed": 1})


PAIR = {"states": [-1, 1], "pair": [[-1, 1], [1, -1]]}


@pytest.mark.parametrize("bonds", [[(0, 1), (1, 2), (1, 0)], [(0, 1), (1, 2), (0, 1)]])
def test_a_bond_listed_twice_is_refused(bonds):
    lattice = la.Lattice((1, 4), periodic=False)
    with pytest.raises(
        ValueError, match=rf"each pair of sites once, got \(0, 1\) and \({bonds[2][0]}, {bonds[2][1]}\)"
    ):
        la.PairHamiltonian(lattice, **PAIR, bonds=bonds)
    with pytest.raises(ValueError, match="each pair of sites once"):
        la.PairHamiltonian(lattice, **PAIR, bonds=torch.tensor(bonds))
    with pytest.raises(ValueError, match="each pair of sites once"):
        hamiltonian_from_dict({"name": "pair", "shape": [1, 4], "periodic": False, "bonds": [list(b) for b in bonds]})


def test_bonds_that_the_lattice_doubles_are_right():
    lattice = la.Lattice((2, 4))
    ising = la.Ising((2, 4))
    every = all_configurations((2, 4), 2)
    for bonds in (None, lattice.bonds, lattice.nearest):
        pair = la.PairHamiltonian(lattice, **PAIR, bonds=bonds)
        assert torch.equal(pair.token_energy(every), ising.token_energy(every))
    with pytest.raises(ValueError, match="each pair of sites once"):
        la.PairHamiltonian(lattice, **PAIR, bonds=torch.cat([lattice.bonds, lattice.bonds[:1]]))


def test_bonds_of_lattice_code_keep_their_signs_and_are_read_back():
    lattice = la.Lattice((4, 4), antiperiodic=(False, True))
    farther = lattice.joined([(0, 2)])  # each pair twice, once across the boundary, with the opposite sign
    pair = la.PairHamiltonian(lattice, **PAIR, bonds=farther)
    every = torch.randint(2, (50, 4, 4), dtype=torch.uint8)
    assert not pair.token_energy(every).any()
    again = hamiltonian_from_dict(pair.to_dict())
    assert torch.equal(again.bond_energies, pair.bond_energies)
    with pytest.raises(ValueError, match="each pair of sites once"):
        la.PairHamiltonian(lattice, **PAIR, bonds=farther.ends)


def test_the_pair_hamiltonian_of_a_config():
    values = {"name": "pair", "shape": [3, 3], "couplings": 0.7, "field": 0.2}
    every = all_configurations((3, 3), 2)
    energy = hamiltonian_from_dict(values).token_energy(every)
    torch.testing.assert_close(energy, la.Ising((3, 3), 0.7, 0.2).token_energy(every))
    potts = hamiltonian_from_dict(
        {"name": "pair", "shape": [2, 3], "states": [0, 1, 2], "pair": [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]}
    )
    three = all_configurations((2, 3), 3)
    assert torch.equal(potts.token_energy(three), la.Potts((2, 3)).token_energy(three))


def test_couplings_of_ones_own():
    matrix = torch.tensor([[0.0, 1.0, -2.0], [1.0, 0.0, 0.5], [-2.0, 0.5, 0.0]])
    glass = la.SherringtonKirkpatrick((1, 3), couplings=matrix, field=0.1)
    spins = torch.tensor([[[1.0, -1.0, 1.0]]])
    assert glass.energy(spins).item() == pytest.approx(1.0 + 2.0 + 0.5 - 0.1)
    assert torch.equal(hamiltonian_from_dict(glass.to_dict()).bond_energies, glass.bond_energies)
    with pytest.raises(ValueError, match=r"symmetric, got J\[0, 1\] = 1 and J\[1, 0\] = 0; a triangle .* J \+ J.T"):
        la.SherringtonKirkpatrick((1, 3), couplings=matrix.triu())
    with pytest.raises(ValueError, match=r"zero on the diagonal, got J\[0, 0\] = 1"):
        la.SherringtonKirkpatrick((1, 3), couplings=matrix + torch.eye(3))
    with pytest.raises(ValueError, match=r"couplings must be \(3, 3\), got shape \(2, 2\)"):
        la.SherringtonKirkpatrick((1, 3), couplings=matrix[:2, :2])
    for cls in (la.EdwardsAnderson, la.SherringtonKirkpatrick):
        with pytest.raises(ValueError, match=r"numbers, got 'glass.h5'; read a file by la.data.read_couplings, "):
            cls((2, 3), couplings="glass.h5")


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan"), 1e-320])
def test_bad_temperature(temperature):
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        check_temperature(temperature)


@pytest.mark.gpu
def test_cuda_gives_the_same_energies():
    for system in SYSTEMS:
        tokens = torch.randint(system.n_tokens, (7, *system.shape))
        assert torch.allclose(system.token_energy(tokens.cuda()).cpu(), system.token_energy(tokens))


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_region_energy_is_what_some_sites_change(system):
    """Its difference is that of the whole energy; over all sites it is the whole energy."""
    generator = torch.Generator().manual_seed(0)
    old, new = torch.randint(system.n_tokens, (2, 20, *system.shape), generator=generator)
    sites = torch.randperm(system.n_sites, generator=generator)[: system.n_sites // 2]
    mixed = old.flatten(1).index_copy(1, sites, new.flatten(1)[:, sites]).view_as(old)
    change = system.region_energy(mixed, sites) - system.region_energy(old, sites)
    assert (change - system.token_energy(mixed) + system.token_energy(old)).abs().max() < 1e-12
    whole = system.region_energy(old, torch.arange(system.n_sites))
    assert (whole - system.token_energy(old)).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: la.Potts((3, 3), q=1), "q must be an integer, 2 or more, got 1"),
        (lambda: la.Phi4((3, 3), levels=1), "levels must be an integer, 2 or more"),
        (lambda: la.Phi4((3, 3), cutoff=0.0), "cutoff must be positive"),
        (lambda: la.EdwardsAnderson((3, 3), distribution="uniform"), "distribution must be one of"),
        (
            lambda: la.EdwardsAnderson((3, 3), couplings=[[1.0, 2.0]]),
            r"couplings must be \(2, 3, 3\), got shape \(1, 2\)",
        ),
        (lambda: la.EdwardsAnderson((3, 3), geometry="triangular"), "needs a square lattice"),
        (lambda: la.Ising((3, 3), next_nearest=1.0, geometry="triangular"), "next-nearest neighbours are defined on"),
        (lambda: la.Ising((3, 4), geometry="honeycomb"), "needs an even extent y"),
        (lambda: la.Ising((3, 4), geometry="kagome"), "geometry must be one of"),
        (lambda: la.Ising((3, 4), periodic=False, antiperiodic=True), "is open and cannot be antiperiodic"),
        (lambda: la.Ising((3, 4), missing=[(3, 0)]), r"must lie on the 3x4 lattice, counted from 0, got \(3, 0\)"),
        (lambda: la.PairHamiltonian(la.Lattice((2, 3)), [0, 1], [[0, 1], [2, 0]]), "pair must be symmetric"),
        (lambda: la.PairHamiltonian(la.Lattice((2, 3)), [1, 0], [[0, 1], [1, 0]]), "two or more ascending numbers"),
        (lambda: la.PairHamiltonian(la.Lattice((2, 3)), [0, 1], [[0, 1], [1, 0]], bonds=[(1, 1)]), "to itself"),
        (lambda: la.CustomHamiltonian(3.0, [-1, 1], (3, 3)), "energy must be a function of spins"),
        (lambda: la.CustomHamiltonian(lambda s: 1j * s.sum((1, 2)), [-1, 1], (3, 3)), "energy must be real"),
        (lambda: la.CustomHamiltonian(lambda s: s, [-1, 1], (3, 3)), r"must map spins \(B, H, W\) to \(B,\)"),
        (
            lambda: la.CustomHamiltonian(lambda s: s.sum((1, 2)), [-1, 1], (3, 3)).bias(1.0),
            "has no list of bonds",
        ),
    ],
)
def test_what_makes_no_system_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
