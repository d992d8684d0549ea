"""Exact distributions that take a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from latticear.arrays import Array
from latticear.exact.dispatch import MAX_RESOLVED, QUICK, SECONDS
from latticear.exact.energies import energy_distribution
from latticear.exact.resolved import magnetization_distribution, resolved_work
from latticear.exact.strip import find_strip
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["known_energies", "known_magnetizations"]

Found = tuple[Array, Array] | None

_energies: WeakKeyDictionary[AbstractHamiltonian, dict[float, Found]] = WeakKeyDictionary()
_magnetizations: WeakKeyDictionary[AbstractHamiltonian, dict[float, Found]] = WeakKeyDictionary()


def known_energies(hamiltonian: AbstractHamiltonian, temperature: float) -> Found:
    """What `energy_distribution` returns, if that takes a fraction of a second, else None; stored for each system."""
    return _stored(_energies, _of_energy, hamiltonian, temperature)


def known_magnetizations(hamiltonian: AbstractHamiltonian, temperature: float) -> Found:
    """Magnetisations per site and their probabilities, if they take a fraction of a second, else None; stored."""
    return _stored(_magnetizations, _of_magnetization, hamiltonian, temperature)


def _stored(
    store: WeakKeyDictionary[AbstractHamiltonian, dict[float, Found]],
    find: Callable[[AbstractHamiltonian, float], Found],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
) -> Found:
    found = store.setdefault(hamiltonian, {})
    if temperature not in found:
        suits = hamiltonian.joint.has_bonds and hamiltonian.composition is None
        found[temperature] = find(hamiltonian, temperature) if suits else None
    return found[temperature]


def _of_energy(hamiltonian: AbstractHamiltonian, temperature: float) -> Found:
    try:
        return energy_distribution(hamiltonian, temperature, seconds=QUICK)
    except ValueError:
        return None


def _of_magnetization(hamiltonian: AbstractHamiltonian, temperature: float) -> Found:
    joint = hamiltonian.joint
    strip = find_strip(joint)
    if strip is None or resolved_work(strip, joint) > QUICK / SECONDS * MAX_RESOLVED:
        return None
    try:
        values, probability = magnetization_distribution(joint, temperature)
    except (ValueError, ArithmeticError):  # a vector, or a frustrated system near T = 0
        return None
    return values / joint.n_sites, probability
