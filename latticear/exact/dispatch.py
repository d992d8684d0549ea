"""Choice of the exact method for a system: which methods apply to it, and how much work they are."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch

from latticear.exact.canonical import N_TEMPERATURES, canonical_result
from latticear.exact.enumeration import enumerate_states
from latticear.exact.network import converged_network, tensor_network
from latticear.exact.planar import kasteleyn, kasteleyn_work
from latticear.exact.resolved import magnetization_resolved, resolved_work
from latticear.exact.result import ExactResult
from latticear.exact.strip import find_strip
from latticear.exact.torus import kaufman
from latticear.exact.transfer import transfer_matrix
from latticear.hamiltonians.base import (
    AbstractHamiltonian,
    check_is_hamiltonian,
    check_temperature,
    check_unrestricted,
)
from latticear.hamiltonians.fixed_composition import FixedComposition

__all__ = ["exact_result", "known_result", "result_by", "torus_coupling"]

SECONDS = 5.0
"""Time on one slow core to which the limits below on the work of each method correspond."""
MAX_RESOLVED = 3 * 2**30
MAX_CONFIGURATIONS = 2**20
MAX_KASTELEYN = 2**26
MAX_TRANSFER = 2**30
MAX_NETWORK = 2**35

QUICK = 0.35
"""Seconds that an exact result may take which nobody has asked for."""
MAX_CUSTOM = 2**12
"""Number of configurations up to which `known_result` calls a user's energy function, however slow that is."""

_known: WeakKeyDictionary[AbstractHamiltonian, dict[float, ExactResult | None]] = WeakKeyDictionary()


def known_result(hamiltonian: AbstractHamiltonian, temperature: float) -> ExactResult | None:
    """The exact result that takes a fraction of a second, or None; stored for each system and temperature.

    A user's own energy function (`CustomHamiltonian`) is called only where there are at most 4096 configurations.
    """
    if not hamiltonian.joint.has_bonds and hamiltonian.n_tokens**hamiltonian.n_sites > MAX_CUSTOM:
        return None
    found = _known.setdefault(hamiltonian, {})
    if temperature not in found:
        found[temperature] = exact_result(hamiltonian, temperature, seconds=QUICK)
    return found[temperature]


def exact_result(
    hamiltonian: AbstractHamiltonian, temperature: float, *, seconds: float = SECONDS, closed_form: bool = False
) -> ExactResult | None:
    """The most complete exact result that takes a few seconds or less on one core, or None.

    In this order: the transfer matrix resolved by magnetisation, enumeration, Kaufman's torus (any size),
    Pfaffians (any couplings without fields), the plain transfer matrix, boundary matrix products where the estimated
    error of ln Z is below 1e-4. Only the first two give <|m|>. At fixed composition it is enumeration, or the first for
    two states. The choice depends on the bonds and energy tables alone,
    except that a method is replaced by the next one if rounding errors at a low temperature would make its result
    inaccurate.

    Args:
        hamiltonian: any system.
        temperature: T > 0, in the unit of the couplings.
        seconds: about how long it may take on a slow core; methods that need more work are left out.
        closed_form: leave out boundary matrix products, which have an error and take seconds.

    Raises:
        ValueError: for a temperature that is not positive and finite.

    Example:
        >>> from latticear.hamiltonians import BlumeCapel, Ising
        >>> exact_result(Ising((4, 4)), 2.0).method, exact_result(Ising((32, 32)), 2.0).method
        ('magnetization_resolved', 'kaufman')
        >>> exact_result(Ising((8, 8), next_nearest=-0.6), 2.0).method  # J1-J2
        'magnetization_resolved'
        >>> exact_result(BlumeCapel((14, 14), crystal_field=0.5, field=0.1, periodic=False), 2.0).source
        'tensor_network, bond dimension 8'
        >>> exact_result(Ising((32, 32), field=0.1), 2.0) is None
        True
    """
    check_is_hamiltonian(hamiltonian)
    temperature, hamiltonian, share = check_temperature(temperature), hamiltonian.joint, seconds / SECONDS
    if isinstance(hamiltonian, FixedComposition):
        return _canonical(hamiltonian, temperature, share)
    strip = find_strip(hamiltonian) if hamiltonian.has_bonds else None
    if strip is not None and resolved_work(strip, hamiltonian) <= share * MAX_RESOLVED:
        try:
            return magnetization_resolved(hamiltonian, temperature)
        except ArithmeticError:  # a frustrated system near T = 0; the methods below use logarithms of weights
            pass
    if hamiltonian.n_tokens**hamiltonian.n_sites <= share * MAX_CONFIGURATIONS:
        return enumerate_states(hamiltonian, temperature)
    coupling = torus_coupling(hamiltonian) if hamiltonian.has_bonds else None
    if coupling is not None:
        return kaufman(hamiltonian.shape, temperature, coupling)
    if kasteleyn_work(hamiltonian) <= share * MAX_KASTELEYN:
        try:
            return kasteleyn(hamiltonian, temperature)
        except ArithmeticError:  # terms cancel on a torus with frustrated boundary conditions, or weights underflow
            pass
    if strip is not None and strip.work * hamiltonian.n_tokens <= share * MAX_TRANSFER:
        return transfer_matrix(hamiltonian, temperature)
    return None if closed_form else converged_network(hamiltonian, temperature, share * MAX_NETWORK)


def _canonical(hamiltonian: FixedComposition, temperature: float, share: float) -> ExactResult | None:
    """The exact result at fixed composition; None if it takes more than this share of the work that is allowed."""
    if hamiltonian.n_tokens**hamiltonian.n_sites <= share * MAX_CONFIGURATIONS:
        return enumerate_states(hamiltonian, temperature)
    strip = find_strip(hamiltonian.system) if hamiltonian.has_bonds and hamiltonian.n_tokens == 2 else None
    if strip is None or N_TEMPERATURES * resolved_work(strip, hamiltonian.system) > share * MAX_RESOLVED:
        return None
    try:
        return canonical_result(hamiltonian, temperature)
    except ArithmeticError:
        return None


def result_by(
    method: str, hamiltonian: AbstractHamiltonian, temperature: float, *, bond_dimension: int | None = None
) -> ExactResult:
    """The result of one method by its name, for which a hyphen may be written in place of an underscore.

    Args:
        method: one of `METHODS`.
        hamiltonian: any system.
        temperature: T > 0, in the unit of the couplings.
        bond_dimension: chi, for `tensor_network`.

    Raises:
        ValueError: for another method, a bond dimension for one that has none, or a system that the method does not
            cover.
    """
    name = method.replace("-", "_")
    if name not in METHODS:
        raise ValueError(f"method must be one of {[name.replace('_', '-') for name in METHODS]}, got {method!r}")
    if name == "tensor_network":
        return tensor_network(hamiltonian, temperature, bond_dimension=bond_dimension)
    if bond_dimension is not None:
        raise ValueError(f"a bond dimension goes with method tensor-network, got {method}: leave it out")
    if isinstance(hamiltonian, FixedComposition) and name == "magnetization_resolved":
        return canonical_result(hamiltonian, temperature)
    return METHODS[name](hamiltonian.joint, temperature)


def _kaufman(hamiltonian: AbstractHamiltonian, temperature: float) -> ExactResult:
    check_unrestricted(hamiltonian, "kaufman", "exact_result")
    coupling = torus_coupling(hamiltonian) if hamiltonian.has_bonds else None
    if coupling is None:
        raise ValueError("kaufman needs the Ising model without a field on a torus, not frustrated by an odd extent")
    return kaufman(hamiltonian.shape, temperature, coupling)


METHODS: dict[str, Callable[[AbstractHamiltonian, float], ExactResult]] = {
    "enumerate_states": enumerate_states,
    "magnetization_resolved": magnetization_resolved,
    "transfer_matrix": transfer_matrix,
    "kaufman": _kaufman,
    "kasteleyn": kasteleyn,
    "tensor_network": tensor_network,
}
"""The methods by name."""


def torus_coupling(hamiltonian: AbstractHamiltonian) -> float | None:
    """The coupling J if the system is the zero-field Ising model on a torus that Kaufman solved, otherwise None."""
    lattice, states = hamiltonian.lattice, hamiltonian.states
    if lattice.periodic != (True, True) or not lattice.is_plain or states.tolist() != [-1, 1]:
        return None
    if not torch.equal(hamiltonian.bonds, lattice.bonds) or hamiltonian.site_energies.any():
        return None
    coupling = -hamiltonian.bond_energies[0, 0, 0]
    if not (hamiltonian.bond_energies == -coupling * torch.outer(states, states)).all():
        return None
    frustrated = coupling < 0 and (lattice.shape[0] % 2 or lattice.shape[1] % 2)
    return None if frustrated else float(coupling)
