"""Exact distributions that take a fraction of a second."""

from __future__ import annotations

from latticear.arrays import Array
from latticear.exact.dispatch import MAX_RESOLVED, QUICK, SECONDS
from latticear.exact.energies import energy_distribution
from latticear.exact.resolved import magnetization_distribution, resolved_work
from latticear.exact.strip import find_strip
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["known_energies", "known_magnetizations"]


def known_energies(hamiltonian: AbstractHamiltonian, temperature: float) -> tuple[Array, Array] | None:
    """What `energy_distribution` returns, if that takes a fraction of a second, else None."""
    if not hamiltonian.joint.has_bonds or hamiltonian.composition is not None:
        return None
    try:
        return energy_distribution(hamiltonian, temperature, seconds=QUICK)
    except ValueError:
        return None


def known_magnetizations(hamiltonian: AbstractHamiltonian, temperature: float) -> tuple[Array, Array] | None:
    """Magnetisations per site and their probabilities, if they take a fraction of a second, else None."""
    joint = hamiltonian.joint
    if not joint.has_bonds or joint.composition is not None:
        return None
    strip = find_strip(joint)
    if strip is None or resolved_work(strip, joint) > QUICK / SECONDS * MAX_RESOLVED:
        return None
    try:
        values, probability = magnetization_distribution(joint, temperature)
    except (ValueError, ArithmeticError):  # a vector, or a frustrated system near T = 0
        return None
    return values / joint.n_sites, probability
