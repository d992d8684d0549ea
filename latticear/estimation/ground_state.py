"""The ground state of a system: proven where an exact method reaches it, else the lowest energy of a search."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from latticear.arguments import check_integer, check_seed
from latticear.exact.ground_state import METHODS, TOLERANCE, GroundState, exact_ground_state
from latticear.exact.planar import kasteleyn_work
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian
from latticear.montecarlo import monte_carlo
from latticear.montecarlo.replicas import ParallelTempering

__all__ = ["SEARCH", "ground_state"]

SEARCH = ParallelTempering.name
COLD = 0.2
"""Temperature of the search, in units of the root mean square of the energies of bonds."""

N_CHAINS, SWEEPS = 8, 256
"""Number of chains, and of sweeps before the first configuration that is looked at, during which the ladder adapts."""

MAX_BOUNDED = 2**28
"""Work of a Pfaffian up to which a search is compared with the bounds that Pfaffians give."""


def ground_state(
    hamiltonian: AbstractHamiltonian, method: str | None = None, *, n: int = 6000, seed: int = 0
) -> GroundState:
    """The lowest energy of a system, and how many configurations have it where that can be proven.

    - *Enumeration*, for up to 2^16 configurations, and a *transfer matrix* for narrow lattices of any bonds and fields
      (two states: tori up to 11x11, open lattices up to about 20 wide) keep the lowest energy and the number of
      configurations that have it: both are exact integers for +-J couplings.
    - *Pfaffians* (two states, nearest neighbours, no field): `F(T) + T ln 2 <= E_0 <= U(T)` at low temperatures; +-J
      energies are certain when a single level is left between the bounds. On a torus they lose digits in the cold.
    - *Parallel tempering*, for any system, finds a configuration; its energy is an upper bound, which is proven only
      if the bounds of the Pfaffians leave nothing below it.

    Args:
        hamiltonian: any system.
        method: "enumerate-states", "transfer-matrix", "kasteleyn" or "parallel-tempering"; None takes the first that
            proves the energy in some ten seconds, and parallel tempering where none does.
        n: number of configurations that the search looks at, of 8 chains, one after each sweep.
        seed: seed of the search.

    Returns:
        `energy`, `energy_per_site`, `degeneracy`, `entropy` (its logarithm), `proven`, `bounds`, `method` and, where
        configurations were looked at, `tokens` of one with this energy.

    Raises:
        ValueError: for an unknown method, or a system that it does not cover.

    Example:
        >>> import latticear as la
        >>> glass = la.EdwardsAnderson((6, 6), seed=3)
        >>> ground = la.ground_state(glass)
        >>> ground.energy, ground.degeneracy, ground.proven
        (-50.0, 42, True)
    """
    check_is_hamiltonian(hamiltonian)
    n, seed = check_integer("n", n, least=2 * N_CHAINS), check_seed(seed)
    name = None if method is None else method.replace("-", "_")
    if name is not None and name not in {*METHODS, SEARCH.replace("-", "_")}:
        known = [each.replace("_", "-") for each in METHODS]
        raise ValueError(f"method must be one of {[*known, SEARCH]}, got {method!r}")
    if name in METHODS:
        found = exact_ground_state(hamiltonian, name)
        assert found is not None
        return found
    proof = None if name is not None else exact_ground_state(hamiltonian)
    if proof is not None and proof.proven:
        return proof
    return _bounded(_searched(hamiltonian, n, seed), proof or _bounds(hamiltonian))


def _searched(hamiltonian: AbstractHamiltonian, n: int, seed: int) -> GroundState:
    """The lowest energy among configurations of replicas that were cooled and heated."""
    size = _scale(hamiltonian)
    energy, tokens = float("inf"), None
    schedule: dict[str, Any] = {"n_chains": N_CHAINS, "thermalization": SWEEPS, "thinning": 1}
    for batch in monte_carlo(hamiltonian, COLD * size, n=n, method=SEARCH, seed=seed, **schedule):
        energies = hamiltonian.token_energy(batch.tokens)
        best = int(energies.argmin())
        if float(energies[best]) < energy:
            energy, tokens = float(energies[best]), batch.tokens[best].clone()
    return GroundState(energy, hamiltonian.n_sites, SEARCH, proven=False, tokens=tokens)


def _scale(hamiltonian: AbstractHamiltonian) -> float:
    """Root mean square of the differences of bond energies: 1 for couplings +-1."""
    joint = hamiltonian.joint
    if not joint.has_bonds:
        return 1.0
    tables = joint.bond_energies
    spread = (tables.amax((1, 2)) - tables.amin((1, 2))) / 2
    local = torch.zeros(joint.n_sites, dtype=torch.float64)
    for end in joint.bonds.T:
        local.index_add_(0, end, spread**2)
    fields = joint.site_energies
    local += ((fields.amax(1) - fields.amin(1)) / 2) ** 2
    return max(float((local / 4).mean().sqrt()), 1e-12)  # four bonds of +-1 at each site give 1


def _bounds(hamiltonian: AbstractHamiltonian) -> GroundState | None:
    """Bounds by Pfaffians, where they take seconds."""
    joint = hamiltonian.joint
    if joint.composition is not None or not joint.has_bonds or kasteleyn_work(joint) > MAX_BOUNDED:
        return None
    try:
        return exact_ground_state(hamiltonian, "kasteleyn")
    except ValueError:
        return None


def _bounded(found: GroundState, proof: GroundState | None) -> GroundState:
    """The result of a search with the bounds of an exact method."""
    if proof is None or proof.bounds is None:
        return found
    if proof.proven and proof.energy < found.energy:
        return proof
    low = proof.bounds[0]
    tight = proof.proven or found.energy - low <= TOLERANCE * abs(found.energy)
    of_both = f"{found.method}, bounded by {proof.method}"
    if tight:
        return replace(
            found, proven=True, method=of_both, degeneracy=proof.degeneracy, entropy=proof.entropy, bounds=proof.bounds
        )
    return replace(found, bounds=(low, found.energy), method=of_both)
