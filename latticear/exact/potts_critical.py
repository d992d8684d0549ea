"""The Potts model on the infinite square lattice at its transition."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["PottsTransition", "potts_transition"]


class PottsTransition(NamedTuple):
    """Exact values at the transition, k_B = 1.

    Attributes:
        temperature: T_c, in the unit of the coupling.
        energy_per_site: <E>/N; for a transition with latent heat, the mean of the two phases.
        latent_heat_per_site: difference of the energies of the two phases; 0 for a continuous transition, q <= 4.
        correlation_length: that of the disordered phase, in lattice spacings; infinite for q <= 4.
        interface_tension: free energy of an interface between an ordered and the disordered phase, per length; in the
            unit of the coupling.
    """

    temperature: float
    energy_per_site: float
    latent_heat_per_site: float
    correlation_length: float
    interface_tension: float


def potts_transition(q: int, coupling: float = 1.0) -> PottsTransition:
    """Temperature, energy and latent heat of the transition of the ferromagnetic Potts model on the square lattice.

    The model is `H = -J sum delta(s, s')` with q states on the infinite lattice.

    Self-duality gives `T_c = J / ln(1 + sqrt q)` and the mean energy `-J (1 + 1 / sqrt q)` a site; for q > 4 the latent
    heat is `2 J (1 + 1 / sqrt q) tanh(theta / 2) prod_n tanh^2(n theta)` with `2 cosh theta = sqrt q`. The correlation
    length is `1 / xi = 4 sum_n ln[(1 + w_n) / (1 - w_n)]`, n = 0, 1, ..., with
    `w_n = 1 / (sqrt 2 cosh[(n + 1/2) pi^2 / theta])` and the same theta, and the interface tension, by duality and
    complete wetting, `T_c / (2 xi)`.

    Args:
        q: number of states, 2 or more.
        coupling: J > 0.

    Raises:
        ValueError: if q is not an integer of 2 or more, or the coupling is not positive and finite.

    References:
        R. J. Baxter, J. Phys. C 6 (1973) L445; F. Y. Wu, Rev. Mod. Phys. 54 (1982) 235, section V.
        E. Buffenoir and S. Wallon, J. Phys. A 26 (1993) 3045 (correlation length); C. Borgs and W. Janke, J. Phys. I
        France 2 (1992) 2011 (interface tension).

    Example:
        >>> transition = potts_transition(10)
        >>> f"{transition.temperature:.6f} {transition.latent_heat_per_site:.6f}"
        '0.701232 0.696049'
    """
    if not isinstance(q, int) or q < 2:
        raise ValueError(f"q must be a whole number, 2 or more, got {q!r}")
    if not (math.isfinite(coupling) and coupling > 0):
        raise ValueError(f"coupling must be positive and finite, got {coupling}")
    root = math.sqrt(q)
    temperature, energy = coupling / math.log1p(root), -coupling * (1 + 1 / root)
    latent_heat, inverse_length = 0.0, 0.0
    if q > 4:
        theta = math.acosh(root / 2)
        n_factors = math.ceil(20 / theta)  # beyond, 1 - tanh(n theta) < 1e-17
        product = math.prod(math.tanh(n * theta) ** 2 for n in range(1, n_factors + 1))
        latent_heat = -2 * energy * math.tanh(theta / 2) * product
        inverse_length = _inverse_length(theta)
    length = 1 / inverse_length if inverse_length else math.inf
    return PottsTransition(temperature, energy, latent_heat, length, temperature * inverse_length / 2)


def _inverse_length(theta: float) -> float:
    """1 / xi of the disordered phase at the transition."""
    n_terms = math.ceil(20 * theta / math.pi**2) + 1  # beyond, w_n < 1e-17 w_0
    w = [1 / (math.sqrt(2) * math.cosh((n + 0.5) * math.pi**2 / theta)) for n in range(n_terms)]
    return 4 * sum(math.log((1 + x) / (1 - x)) for x in w)
