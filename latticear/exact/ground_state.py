"""Ground-state energies and degeneracies that are exact: by sums over all configurations, strips, and Pfaffians."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latticear.exact.enumeration import all_configurations
from latticear.exact.lowest import lowest_of_strip
from latticear.exact.planar import kasteleyn, kasteleyn_work
from latticear.exact.strip import find_strip
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian
from latticear.hamiltonians.levels import Levels, energy_levels
from latticear.tables import Table

__all__ = ["TOLERANCE", "GroundState", "exact_ground_state"]

TOLERANCE = 1e-9
"""Energies that differ by less than this, in units of the largest bond energy, are taken to be equal."""

MAX_ENUMERATED = 2**16
MAX_STRIP = 2**30
MAX_PFAFFIANS = 2**25
"""Limits on the work of the methods, so that each takes some ten seconds at most."""

TEMPERATURES = (0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)
"""Temperatures at which the Pfaffians are computed, in units of the largest coupling, until the limit is reached."""

ENOUGH = 1e-12
"""Relative rounding error of ln Z and energies that the bounds allow for."""


@dataclass(frozen=True)
class GroundState:
    """The lowest energy of a system, and how many configurations have it.

    Attributes:
        energy: E_0, extensive.
        n_sites: N.
        method: how it was found.
        proven: whether `energy` is the lowest energy for certain; otherwise it is the lowest that a search found, and
            so an upper bound.
        degeneracy: number of configurations with this energy; None if it is not known.
        entropy: ln of the degeneracy, where that is known, if only to some digits; else None.
        bounds: lower and upper bound on the energy that are certain; equal to it if it is proven exactly.
        tokens: a configuration with this energy, `(H, W)` or `(C, H, W)`; None if the method gives none.
    """

    energy: float
    n_sites: int
    method: str
    proven: bool = True
    degeneracy: int | None = None
    entropy: float | None = None
    bounds: tuple[float, float] | None = None
    tokens: Tensor | None = None

    @property
    def energy_per_site(self) -> float:
        """E_0 / N."""
        return self.energy / self.n_sites

    @property
    def entropy_per_site(self) -> float | None:
        """ln g / N for g configurations of lowest energy: the entropy at T = 0."""
        return None if self.entropy is None else self.entropy / self.n_sites

    def to_dict(self) -> dict[str, float | int | str | bool | list[float] | None]:
        """The numbers as JSON values."""
        return {
            "ground_state_energy": self.energy,
            "ground_state_energy_per_site": self.energy_per_site,
            "degeneracy": self.degeneracy,
            "ground_state_entropy": self.entropy,
            "ground_state_entropy_per_site": self.entropy_per_site,
            "proven": self.proven,
            "bounds": None if self.bounds is None else list(self.bounds),
            "method": self.method,
        }

    def table(self) -> Table:
        """The numbers as a table of text."""
        rows = [("energy", f"{self.energy:.12g}"), ("energy_per_site", f"{self.energy_per_site:.12g}")]
        if self.degeneracy is not None:
            rows.append(("degeneracy", str(self.degeneracy)))
        if self.entropy is not None and self.entropy_per_site is not None:
            rows += [("entropy", f"{self.entropy:.10g}"), ("entropy_per_site", f"{self.entropy_per_site:.10g}")]
        note = "proven: no configuration has a lower energy"
        if not self.proven:
            least = "" if self.bounds is None else f"; it is at least {self.bounds[0]:.8g}"
            what = "the lowest energy that was found" if self.tokens is not None else "<E> at a low temperature"
            note = f"not proven: {what}, an upper bound{least}"
        return Table(f"ground state, N = {self.n_sites} ({self.method})", ("quantity", "value"), rows, [note])

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def exact_ground_state(hamiltonian: AbstractHamiltonian, method: str | None = None) -> GroundState | None:
    """The ground state by a method that proves it; None if none is feasible in some ten seconds.

    Args:
        hamiltonian: any system.
        method: "enumerate_states", "transfer_matrix" or "kasteleyn"; None for the first of these that does.

    Raises:
        ValueError: for another method, or a system that it does not cover.
    """
    check_is_hamiltonian(hamiltonian)
    if method is not None:
        return METHODS[method](hamiltonian)
    joint = hamiltonian.joint
    if joint.n_tokens**joint.n_sites <= MAX_ENUMERATED:
        return by_enumeration(hamiltonian)
    if joint.composition is not None or not joint.has_bonds:
        return None
    strip = find_strip(joint)
    if strip is not None and strip.work * joint.n_tokens <= MAX_STRIP:
        return by_strip(hamiltonian)
    if kasteleyn_work(joint) <= MAX_PFAFFIANS:
        return by_pfaffians(hamiltonian)
    return None


def by_enumeration(hamiltonian: AbstractHamiltonian) -> GroundState:
    """The lowest of all energies, with the number of configurations that have it, and one of these."""
    joint = hamiltonian.joint
    tokens = all_configurations(joint.shape, joint.n_tokens)
    tokens = tokens[joint.allowed(tokens)]
    energy = torch.cat([joint.token_energy(part) for part in tokens.split(2**15)])
    lowest = energy <= energy.min() + _tolerance(joint)
    g = int(lowest.sum())
    first = hamiltonian.split(tokens[lowest][:1])[0]
    return GroundState(
        float(energy.min()),
        joint.n_sites,
        "enumerate_states",
        degeneracy=g,
        entropy=math.log(g),
        bounds=(float(energy.min()),) * 2,
        tokens=first,
    )


def by_strip(hamiltonian: AbstractHamiltonian) -> GroundState:
    """The lowest energy and its degeneracy by a transfer matrix in the algebra of minima and counts."""
    joint = hamiltonian.joint
    energy, g = lowest_of_strip(joint, _tolerance(joint))
    return GroundState(
        energy, joint.n_sites, "transfer_matrix", degeneracy=g, entropy=math.log(g), bounds=(energy, energy)
    )


def by_pfaffians(hamiltonian: AbstractHamiltonian) -> GroundState:
    """Bounds on the lowest energy and its degeneracy from exact free energies and energies at low temperatures.

    With g configurations of lowest energy E_0, `g exp(-E_0 / T) <= Z`, and no average energy is below E_0, so that

        F(T) + T ln g <= E_0 <= U(T)

    at any T. Where energies have levels (+-J couplings), E_0 is certain as soon as a single level is left between the
    bounds. Then the share of the ground states is at least `1 - (U - E_0) / D` for a gap D, and
    `g = Z exp(E_0 / T) p(E_0)` is certain as soon as a single even number is left.
    """
    joint = hamiltonian.joint
    levels = energy_levels(joint)
    size = float(_largest(joint))
    low, high, entropy = -math.inf, math.inf, None
    degeneracy: int | None = None
    for share in TEMPERATURES:
        t = share * size
        try:
            exact = kasteleyn(hamiltonian, t)
        except ArithmeticError:  # the digits of Z are lost
            break
        assert exact.energy_per_site is not None
        u, free = exact.energy_per_site * joint.n_sites, -t * exact.log_z
        slack = ENOUGH * joint.n_sites * size + t * 10 ** -(exact.digits or 0)
        low, high = max(low, free + t * math.log(2) - slack), min(high, u + slack)
        if levels is None:
            entropy = math.log(2) if high - low < TOLERANCE * size else None
            if entropy is not None:
                degeneracy = 2
                break
            continue
        possible = _between(levels, low, high)
        if len(possible) == 1:
            (ground,) = possible
            most = exact.log_z + ground / t  # ln of g / p(E_0)
            share_of_ground = 1 - (u - ground + slack) / levels.spacing
            error = 10 ** -(exact.digits or 0)
            if share_of_ground > 0:
                top, bottom = most + error, most + math.log(share_of_ground) - error
                entropy = (top + bottom) / 2 if top - bottom < 1e-6 else None
                degeneracy = _even_between(bottom, top)
                if degeneracy is not None:
                    entropy = math.log(degeneracy)
                    break
    if not math.isfinite(high):
        raise ValueError(
            "kasteleyn has no digits of Z left at any of the temperatures: use transfer_matrix on a narrow lattice"
        )
    if levels is not None and len(possible := _between(levels, low, high)) == 1:
        return GroundState(
            possible[0], joint.n_sites, "kasteleyn", degeneracy=degeneracy, entropy=entropy, bounds=(possible[0],) * 2
        )
    proven = high - low < TOLERANCE * size
    return GroundState(
        high, joint.n_sites, "kasteleyn", proven=proven, degeneracy=degeneracy, entropy=entropy, bounds=(low, high)
    )


METHODS: dict[str, Callable[[AbstractHamiltonian], GroundState]] = {
    "enumerate_states": by_enumeration,
    "transfer_matrix": by_strip,
    "kasteleyn": by_pfaffians,
}
"""The methods that prove a ground state, by name."""


def _largest(hamiltonian: AbstractHamiltonian) -> float:
    tables = hamiltonian.bond_energies
    return max(float(tables.abs().max()) if len(tables) else 0.0, float(hamiltonian.site_energies.abs().max()), 1e-300)


def _tolerance(hamiltonian: AbstractHamiltonian) -> float:
    return TOLERANCE * (_largest(hamiltonian) if hamiltonian.has_bonds else 1.0)


def _between(levels: Levels, low: float, high: float) -> list[float]:
    """The levels between two bounds; three of them at most."""
    first = math.ceil((low - levels.first) / levels.spacing)
    return [e for k in range(first, first + 3) if (e := levels.first + levels.spacing * k) <= high]


def _even_between(low: float, high: float) -> int | None:
    """The even number between exp(low) and exp(high), if there is a single one."""
    if high > 40:  # more digits than a float has
        return None
    first = 2 * math.ceil(math.exp(low) / 2 - 1e-12)
    last = 2 * math.floor(math.exp(high) / 2 + 1e-12)
    return first if first == last else None
