"""The Ising model with any couplings and no field on a planar or toroidal square lattice, by Pfaffians (Kasteleyn)."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import numpy as np

from latticear.exact.jets import Jet
from latticear.exact.mixture import Array
from latticear.exact.pfaffian import Front, Pfaffian
from latticear.exact.result import ExactResult
from latticear.exact.two_state import Couplings, couplings_of
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature, check_unrestricted

__all__ = ["kasteleyn", "kasteleyn_work"]

MIN_DIGITS = 8.0
ROUNDING = 1e-15  # relative error of a Pfaffian over sqrt(N): measured with 40-digit arithmetic up to 16x16
SMALLEST = sys.float_info.min
ELSEWHERE = "use a higher temperature, or transfer_matrix on a narrow lattice"

RIGHT, LEFT, DOWN, UP = range(4)
LEGS = np.array([[0, 1, 1, 1], [-1, 0, -1, 1], [-1, 1, 0, 1], [-1, -1, -1, 0]])
"""Matrix entries between the four variables of a plaquette. Their Pfaffian, the weight without a wall, is -1."""


def kasteleyn(hamiltonian: AbstractHamiltonian, temperature: float) -> ExactResult:
    """Exact ln Z, energy and heat capacity of any couplings without fields on a square lattice.

    The method covers ferromagnets, antiferromagnets and spin glasses, diluted or not. A configuration and its
    spin-flipped image correspond to a set of closed domain walls that run through the plaquettes. A wall has a factor
    exp(-2 beta J) for each bond that it crosses (H. A. Kramers and G. H. Wannier, Phys. Rev. 60, 252 (1941)). Four
    Grassmann variables for each plaquette generate all sets of closed walls (after C. A. Hurst and H. S. Green, J.
    Chem. Phys. 33, 1059 (1960)), each set with the sign (-1)^(h + v + h v), where h and v count how often it winds
    around the torus in each direction. The sum of four Pfaffians with signs p = +1 or a = -1 on the dual bonds across
    the two boundaries,

        Z = exp(beta sum_e J_e) / 2 * (Pf_pp + Pf_pa + Pf_ap + Pf_aa),

    keeps the sets of walls that wind an even number of times, and only these correspond to configurations (P. W.
    Kasteleyn, Physica 27, 1209 (1961); J. Math. Phys. 4, 287 (1963)). Open lattices and cylinders are planar: one
    Pfaffian is enough. If J < 0, the weight of a broken bond is factored out, so that no entry exceeds 1. Derivatives
    in beta are computed together with the Pfaffians: energy and heat capacity are exact.

    *Rounding.* A Pfaffian of these weights keeps its digits at any temperature, frustrated or not, whereas a Pfaffian
    of the high-temperature weights tanh(beta J) loses them below T = J/2. But the four Pfaffians of a torus can cancel:
    if another boundary condition (antiperiodic in some direction) has a ground-state energy that is lower by D, their
    sum is smaller than the terms by a factor exp(-beta D). The attribute `digits` of the result is the number of
    reliable digits of Z.

    Args:
        hamiltonian: two states s = -1, +1 at each site; bonds join nearest neighbours, across a boundary or not, and
            have energies `c - J s s'` with any J; single-site energies do not depend on the state.
        temperature: T > 0, in the unit of the couplings.

    Raises:
        ValueError: for other bonds or energies, or for a temperature that is not positive and finite.
        ArithmeticError: if Z has fewer than 8 reliable digits, or the weights of walls underflow.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> frustrated = kasteleyn(Ising((7, 7), coupling=-1.0), temperature=2.0)
        >>> print(f"{frustrated.energy_per_site:.10f}, {frustrated.digits:.0f} digits of Z")
        -1.1702651985, 13 digits of Z
    """
    check_is_hamiltonian(hamiltonian)
    check_unrestricted(hamiltonian, "kasteleyn", "exact_result")
    beta = 1 / check_temperature(temperature)
    couplings = couplings_of(hamiltonian)
    walls = _walls(couplings)
    total, cancelled = _sum([_pfaffian(walls, beta, y, x) for y, x in walls.sectors], walls.right.size)
    strength = float(np.abs(couplings.right).sum() + np.abs(couplings.down).sum())
    error = ROUNDING * math.sqrt(hamiltonian.n_sites) * cancelled + sys.float_info.epsilon * beta * strength
    digits = -math.log10(error)
    if not all(map(math.isfinite, (total.value, total.first, total.second))):
        raise ArithmeticError(f"at temperature {temperature} the weights of domain walls underflow; {ELSEWHERE}")
    if digits < MIN_DIGITS:
        raise ArithmeticError(
            f"at temperature {temperature} {max(0.0, digits):.1f} digits of Z remain of the sum of four Pfaffians, "
            f"{MIN_DIGITS:.0f} are required: another boundary condition has a lower ground-state energy; {ELSEWHERE}"
        )
    n_sites, slope = hamiltonian.n_sites, strength - couplings.constant
    return ExactResult(
        method="kasteleyn",
        n_sites=n_sites,
        temperature=float(temperature),
        log_z=float(beta * slope + total.value),
        energy_per_site=-float(slope + total.first) / n_sites,
        heat_capacity_per_site=max(0.0, beta**2 * float(total.second) / n_sites),
        digits=digits,
    )


def kasteleyn_work(hamiltonian: AbstractHamiltonian) -> float:
    """Approximate number of matrix entries that `kasteleyn` updates; inf for a system that it does not cover."""
    try:
        return _walls(couplings_of(hamiltonian)).work
    except ValueError:
        return math.inf


class _Walls(NamedTuple):
    """The dual lattice, whose sites are the plaquettes; each dual bond has the coupling of the bond that it crosses.

    Attributes:
        right: `(rows, columns)`; `[y, x]` is J of the bond that separates plaquette (y, x) from the one to its right.
        down: `(rows, columns)`; `[y, x]` is J of the bond that separates plaquette (y, x) from the one below.
        closed: whether the dual lattice is periodic, as a pair (y, x).
    """

    right: Array
    down: Array
    closed: tuple[bool, bool]

    @property
    def sectors(self) -> list[tuple[int, int]]:
        """For each Pfaffian that is needed, the signs (y, x) of the dual bonds across the boundaries."""
        return [(y, x) for y in (1, -1) for x in (1, -1)] if all(self.closed) else [(-1, -1)]

    @property
    def work(self) -> int:
        """Number of pivots times the number of matrix entries in the front, over all Pfaffians."""
        rows, columns = self.right.shape
        return len(self.sectors) * 2 * rows * columns * (columns * (2 if self.closed[0] else 1) + 4) ** 2

    @property
    def turned(self) -> _Walls:
        """The dual lattice with rows and columns exchanged."""
        return _Walls(self.down.T, self.right.T, (self.closed[1], self.closed[0]))


def _walls(couplings: Couplings) -> _Walls:
    """The dual lattice, turned so that the elimination runs in the cheaper direction."""
    wraps_y, wraps_x = couplings.wraps
    if wraps_y and wraps_x:
        walls = _Walls(np.roll(couplings.down, -1, 1), np.roll(couplings.right, -1, 0), (True, True))
    else:
        walls = _planar_walls(couplings.transposed if wraps_y else couplings)
    return min(walls, walls.turned, key=lambda walls: walls.work)


def _planar_walls(couplings: Couplings) -> _Walls:
    """The dual lattice of a lattice that is open in y: a cylinder whose first and last row lie outside the sites.

    Walls in these two rows cross no bonds and cost nothing; in each row they can be closed in two ways. So every
    configuration has four sets of walls, two that wind an even number of times around the cylinder and two that wind an
    odd number; the antiperiodic Pfaffian counts all of them.
    """
    open_y = np.roll(couplings.down, 1, 0)  # row 0 has J = 0: there is no bond above the first row of sites
    right = np.roll(np.concatenate([open_y, open_y[:1]]), -1, 1)
    down = np.concatenate([couplings.right, np.zeros_like(couplings.right[:1])])
    return _Walls(right, down, (False, True))


def _pfaffian(walls: _Walls, beta: float, sign_y: int, sign_x: int) -> Pfaffian:
    """The sum over sets of closed walls, with signs at the boundaries, relative to the weight of no broken bond."""
    vertices, right, down = _entries(walls, beta)
    rows, columns = walls.right.shape
    front = Front()
    legs: dict[tuple[int, int], list[int]] = {}
    for y in range(rows):
        for x in range(columns):
            legs[y, x] = front.add(vertices[y, x])
            if x > 0:
                _join(front, legs[y, x - 1][RIGHT], legs[y, x][LEFT], right[y, x - 1])
            if y > 0:
                _join(front, legs[y - 1, x][DOWN], legs[y, x][UP], down[y - 1, x])
            if x == columns - 1:
                _join(front, legs[y, x][RIGHT], legs[y, 0][LEFT], right[y, x] * (sign_x * walls.closed[1]))
            if y == rows - 1:
                _join(front, legs[y, x][DOWN], legs[0, x][UP], down[y, x] * (sign_y * walls.closed[0]))
            front.eliminate()
    return front.pfaffian()


def _join(front: Front, i: int, j: int, entry: Array) -> None:
    """Set the entry between two legs, the only one that they have outside of their plaquettes, and close them."""
    front.couple(i, j, entry)
    front.close(i, j)


def _entries(walls: _Walls, beta: float) -> tuple[Array, Array, Array]:
    """Matrix entries with their derivatives in beta.

    Returns:
        Entries between the four legs of each plaquette, `(rows, columns, 3, 4, 4)`, and entries on the dual bonds to
        the right and down, `(rows, columns, 3)` each.
    """
    right, down = np.maximum(-walls.right, 0), np.maximum(-walls.down, 0)
    legs = np.stack([right, np.roll(right, 1, 1), down, np.roll(down, 1, 0)], axis=-1)
    vertices = LEGS * _decay(legs[..., :, None] + legs[..., None, :], beta)
    return vertices, _decay(2 * np.maximum(walls.right, 0), beta), _decay(2 * np.maximum(walls.down, 0), beta)


def _decay(energy: Array, beta: float) -> Array:
    """exp(-beta energy) with its first and second derivative in beta along a new third axis."""
    return np.stack([np.ones_like(energy), -energy, energy**2], axis=2) * np.expand_dims(np.exp(-beta * energy), 2)


def _sum(sectors: list[Pfaffian], n_plaquettes: int) -> tuple[Jet, float]:
    """The logarithm of the sum over configurations with its derivatives, and the cancellation in this sum.

    The cancellation is the sum of the absolute values of the terms over the absolute value of their sum.
    """
    largest = max(sectors, key=lambda sector: sector.log.value + math.log(abs(sector.last.value) or SMALLEST))
    if not math.isfinite(largest.log.value):
        raise ArithmeticError(f"the weights of all sets of domain walls underflow; {ELSEWHERE}")
    terms = [(sector.log - largest.log).exp() * sector.last * (0.5 * (-1) ** n_plaquettes) for sector in sectors]
    total = sum(terms, start=Jet(0.0, 0.0, 0.0))
    if total.value <= 0:  # only rounding errors are left
        return total, math.inf
    return largest.log + total.log(), sum(abs(term.value) for term in terms) / total.value
