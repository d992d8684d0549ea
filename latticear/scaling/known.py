"""Critical points that are known exactly."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction

from latticear.exact.infinite import critical_temperature
from latticear.exact.potts_critical import potts_transition
from latticear.hamiltonians import AbstractHamiltonian, Ising, Potts

__all__ = ["CriticalPoint", "known_critical_point"]

EXPONENTS = {
    2: ("1", "1/8", "7/4", "0"),
    3: ("6/5", "2/15", "26/15", "2/5"),
    4: ("3/2", "1/8", "7/4", "1"),
}
"""1/nu, beta/nu, gamma/nu and alpha/nu of the Potts model in two dimensions, by the number of states."""


@dataclass(frozen=True)
class CriticalPoint:
    """Temperature and exponents of a continuous transition of an infinite system in two dimensions.

    Attributes:
        temperature: T_c.
        inverse_nu: 1/nu.
        beta_over_nu: |m| at T_c falls as `L^(-beta/nu)`.
        gamma_over_nu: the susceptibility grows as `L^(gamma/nu)`.
        alpha_over_nu: the heat capacity grows as `L^(alpha/nu)`; as ln L if it is 0.
        source: where the values come from.
        remark: what else is known; empty if there is nothing.
    """

    temperature: float
    inverse_nu: float
    beta_over_nu: float
    gamma_over_nu: float
    alpha_over_nu: float
    source: str
    remark: str = ""

    def to_dict(self) -> dict[str, float | str]:
        """The values as JSON."""
        return asdict(self)


def known_critical_point(hamiltonian: AbstractHamiltonian) -> CriticalPoint | None:
    """The critical point of a system on the square lattice if it is known exactly, else None.

    It is known for the ferromagnetic Ising model without a field and the ferromagnetic Potts model of 2, 3 or 4 states,
    with the couplings of nearest neighbours alone and none missing. Boundary conditions do not matter to an infinite
    system.

    Args:
        hamiltonian: the system, of any size.

    References:
        L. Onsager, Phys. Rev. 65 (1944) 117; C. N. Yang, Phys. Rev. 85 (1952) 808; F. Y. Wu, Rev. Mod. Phys. 54 (1982)
        235, section V and table II.

    Example:
        >>> known_critical_point(Potts((8, 8), q=3)).inverse_nu
        1.2
    """
    if not isinstance(hamiltonian, Ising | Potts) or 1 in hamiltonian.shape:
        return None
    if hamiltonian.lattice.geometry != "square" or hamiltonian.lattice.missing:
        return None
    if isinstance(hamiltonian, Ising):
        if hamiltonian.coupling <= 0 or hamiltonian.field or hamiltonian.next_nearest:
            return None
        return _point(2, critical_temperature(hamiltonian.coupling), "Onsager 1944, Yang 1952")
    if hamiltonian.q not in EXPONENTS or hamiltonian.coupling <= 0:
        return None
    t_c = potts_transition(hamiltonian.q, hamiltonian.coupling).temperature
    return _point(hamiltonian.q, t_c, "Baxter 1973, Wu 1982")


def _point(q: int, t_c: float, source: str) -> CriticalPoint:
    remark = "the powers of L have logarithmic corrections" if q == 4 else ""
    inverse_nu, beta, gamma, alpha = (float(Fraction(text)) for text in EXPONENTS[q])
    return CriticalPoint(t_c, inverse_nu, beta, gamma, alpha, source, remark)
