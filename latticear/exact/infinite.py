"""The Ising model on the infinite square lattice (Onsager 1944)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from scipy.integrate import quad

from latticear.hamiltonians.base import check_temperature

__all__ = ["T_C", "InfiniteResult", "critical_temperature", "onsager"]

T_C = 2 / math.log(1 + math.sqrt(2))
"""Critical temperature of the Ising model on the square lattice for J = 1."""


@dataclass(frozen=True)
class InfiniteResult:
    """Exact thermodynamics per site of the infinite lattice; energies in the unit of the coupling, k_B = 1.

    Attributes:
        temperature: T.
        free_energy_per_site: -T ln Z / N.
        energy_per_site: <E>/N.
        heat_capacity_per_site: beta^2 var(E)/N; infinite at T_c.
        spontaneous_magnetization: m per site, 0 at and above T_c; for J < 0 the staggered one, of (-1)^(x+y) s.
    """

    temperature: float
    free_energy_per_site: float
    energy_per_site: float
    heat_capacity_per_site: float
    spontaneous_magnetization: float

    @property
    def entropy_per_site(self) -> float:
        """S/N = beta (U - F)/N."""
        return (self.energy_per_site - self.free_energy_per_site) / self.temperature


def critical_temperature(coupling: float = 1.0) -> float:
    """T_c = 2 |J| / ln(1 + sqrt 2), in the unit of the coupling.

    Example:
        >>> print(f"{critical_temperature():.6f}")
        2.269185
    """
    return abs(coupling) * T_C


def onsager(temperature: float, coupling: float = 1.0) -> InfiniteResult:
    """Exact thermodynamics of the zero-field Ising model on the infinite square lattice.

    With K = |J|/T and `k = 2 sinh 2K / cosh^2 2K`,

        ln Z / N = ln(2 cosh 2K) + 1/pi int_0^(pi/2) ln[(1 + sqrt(1 - k^2 sin^2 x)) / 2] dx,

    L. Onsager, Phys. Rev. 65, 117 (1944); the magnetisation is `(1 - sinh(2K)^-4)^(1/8)`, C. N. Yang, Phys.
    Rev. 85, 808 (1952). Energy and heat capacity are given by elliptic integrals, rearranged so that no terms
    cancel: both keep their relative accuracy at any temperature.

    Args:
        temperature: T > 0, in the unit of the coupling.
        coupling: J; for J < 0 the magnetisation is the staggered one, and all else is as for |J|.

    Raises:
        ValueError: for a temperature that is not positive and finite, or a coupling that is not a finite number.

    Example:
        >>> print(f"{onsager(T_C).energy_per_site:.10f}, {onsager(2.0).spontaneous_magnetization:.6f}")
        -1.4142135624, 0.911319
    """
    if not math.isfinite(coupling):
        raise ValueError(f"coupling must be a finite number, got {coupling!r}")
    K = abs(coupling) / check_temperature(temperature)
    decay = math.exp(-2 * K)
    sech, tanh = 2 * decay / (1 + decay**2), math.tanh(2 * K)
    k1 = (tanh - sech) * (tanh + sech)  # 2 tanh^2 2K - 1, negative above T_c; k^2 + k1^2 = 1
    critical = k1 == 0 or temperature == critical_temperature(coupling)
    log_z = 2 * K + math.log1p(decay**2) + _integral(k1) / math.pi
    if critical:
        energy, heat = math.sqrt(2) * abs(coupling), math.inf
    else:
        first, second = _derivatives(sech, tanh, k1)
        energy, heat = abs(coupling) * first, K**2 * second
    return InfiniteResult(
        temperature=float(temperature),
        free_energy_per_site=-float(temperature) * log_z,
        energy_per_site=0.0 - energy,
        heat_capacity_per_site=heat,
        spontaneous_magnetization=0.0 if critical else _magnetization(K, k1),
    )


def _integral(k1: float) -> float:
    """int_0^(pi/2) ln[(1 + sqrt(1 - k^2 sin^2 x)) / 2] dx.

    The angle is measured from pi/2, where the integrand is nearly singular at T_c.
    """

    def integrand(x: float) -> float:
        root = math.hypot(math.sin(x), k1 * math.cos(x))
        return math.log1p((root - 1) / 2)

    width = min(max(abs(k1), 1e-8), 0.5)
    ends = [0.0, width, math.sqrt(width), math.pi / 2]
    pieces = [quad(integrand, a, b, epsabs=1e-14, epsrel=1e-13)[0] for a, b in pairwise(ends)]
    return math.fsum(pieces)


def _derivatives(sech: float, tanh: float, k1: float) -> tuple[float, float]:
    """First and second derivative of ln Z / N with respect to K, at any temperature other than T_c.

    With `D = (K(k) - pi/2) / k^2` and the c_n of the arithmetic-geometric mean of 1 and k1 (Abramowitz and
    Stegun 17.6) they are `2 tanh 2K + 8/pi k1 tanh 2K sech^2 2K D` and `16/pi sech^4 2K [D + 4 tanh^2 2K K(k)
    sum_(n>0) 2^(n-1) (c_n/k^2)^2]`.
    """
    a, b = 1.0, abs(k1)
    k_squared = (2 * sech * tanh) ** 2
    ratio = 1 / (2 * (1 + b))  # c_n / k^2
    total, weighted, power = 0.0, 0.0, 1.0
    while True:
        a, b = (a + b) / 2, math.sqrt(a * b)
        total += ratio
        weighted += power * ratio**2
        if ratio * k_squared < 1e-17 * a:
            break
        ratio, power = ratio**2 * k_squared / (2 * (a + b)), 2 * power
    elliptic, D = math.pi / (2 * a), math.pi / (2 * a) * total
    first = 2 * tanh + 8 / math.pi * k1 * tanh * sech**2 * D
    second = 16 / math.pi * sech**4 * (D + 4 * tanh**2 * elliptic * weighted)
    return first, second


def _magnetization(K: float, k1: float) -> float:
    if k1 <= 0:
        return 0.0
    log_sinh = 2 * K + math.log1p(-math.exp(-4 * K)) - math.log(2)
    return (-math.expm1(-4 * log_sinh)) ** 0.125
