"""Every Hamiltonian is judged, and the judge sees what is wrong with a wrong one."""

import pytest
import torch
from support.disorder import RandomTables
from support.systems import SYSTEMS

import latticear as la
from latticear.hamiltonians import HAMILTONIANS, hamiltonian_from_dict

ALWAYS = ["local", "region", "heat bath", "symmetries"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_passes(name):
    passed = la.check_hamiltonian(SYSTEMS[name])
    assert set(ALWAYS) <= set(passed)
    if SYSTEMS[name].has_bonds:
        assert {"energy", "known neighbours", "enumeration"} <= set(passed)
    assert ("spin flip" in passed) == SYSTEMS[name].spin_flip
    assert ("components" in passed) == (SYSTEMS[name].n_components > 1)


def test_every_named_system_is_there():
    named = set(HAMILTONIANS.values()) - {la.EdwardsAndersonDisorder}  # whose instances are Edwards-Anderson systems
    assert {type(system) for system in SYSTEMS.values()} >= named


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.has_bonds])
def test_what_is_saved_is_the_same_system(name):
    system = SYSTEMS[name]
    again = hamiltonian_from_dict(system.to_dict())
    assert again.to_dict() == system.to_dict()
    assert again.lattice == system.lattice
    tokens = torch.randint(system.n_tokens, (20, *system.size))
    assert torch.equal(again.token_energy(tokens), system.token_energy(tokens))


def test_tables_without_any_symmetry_pass():
    assert "spin flip" not in la.check_hamiltonian(RandomTables((3, 3), 3))


class _Wrong(la.Ising):
    """An Ising model with one mistake."""

    mistake = ""

    def token_energy(self, tokens, couplings=None):
        energy = super().token_energy(tokens, couplings)
        return energy + 0.1 * tokens[:, 0, 0] if self.mistake == "energy" else energy

    def conditional_energies(self, tokens, sites):
        energies = super().conditional_energies(tokens, sites)
        if self.mistake == "local":
            energies = energies * 2
        return energies

    def region_energy(self, tokens, sites):
        return super().region_energy(tokens, sites[:-1] if self.mistake == "region" else sites)

    @property
    def spin_flip(self):
        return self.mistake == "spin flip" or super().spin_flip

    @property
    def symmetries(self):
        return self.lattice.symmetries


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("energy", "must be the sum over bonds and sites"),
        ("local", "must be the global one"),
        ("region", "change of the energy of a region"),
        ("spin flip", "energy after a spin flip"),
        ("symmetries", "symmetry of the lattice"),
    ],
)
def test_mistakes_are_seen(mistake, message):
    wrong = _Wrong((3, 4), field=0.3, missing=[(0, 1)] if mistake == "symmetries" else [])
    wrong.mistake = mistake
    with pytest.raises(AssertionError, match=message):
        la.check_hamiltonian(wrong)
