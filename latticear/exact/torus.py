"""The Ising model on a finite torus (Kaufman 1949)."""

from __future__ import annotations

import math

import numpy as np

from latticear.exact.jets import Jet
from latticear.exact.mixture import Array
from latticear.exact.result import ExactResult
from latticear.hamiltonians.base import check_temperature
from latticear.lattice import Lattice

__all__ = ["kaufman"]


def kaufman(shape: tuple[int, int], temperature: float, coupling: float = 1.0) -> ExactResult:
    """Exact ln Z, energy and heat capacity of the zero-field Ising model on a torus of any size.

    With n <= M the extents, K = J/T and `cosh gamma_k = cosh 2K coth 2K - cos(pi k / n)`,

        Z = (2 sinh 2K)^(nM/2) / 2 * [prod_odd 2 cosh(M gamma_k / 2) + prod_odd 2 sinh(M gamma_k / 2)
                                    + prod_even 2 cosh(M gamma_k / 2) + prod_even 2 sinh(M gamma_k / 2)]

    over odd and even k below 2n, where `gamma_0 = 2K + ln tanh K` is negative above T_c; B. Kaufman, Phys.
    Rev. 76, 1232 (1949). Derivatives in K are computed together with ln Z, so energy and heat capacity are
    exact and smooth at T_c. The relative error of ln Z is about 1e-15; energy and heat capacity are exact to about
    1e-15 of their largest values (a heat capacity that is exponentially small has no correct digits left).

    Args:
        shape: (H, W), both 2 or more; extent 2 has doubled bonds.
        temperature: T > 0, in the unit of the coupling.
        coupling: J; J < 0, allowed if both extents are even, gives the same result as |J|.

    Raises:
        ValueError: for a shape that is not a torus, an antiferromagnet with an odd extent (it is frustrated
            and not covered by this formula), a coupling that is not finite, or a temperature that is not positive and
            finite.

    Example:
        >>> print(f"{kaufman((16, 16), temperature=1 / 0.44).free_energy_per_site:.12f}")
        -2.116364055435
    """
    beta = 1 / check_temperature(temperature)
    lattice = Lattice(shape)
    _check_coupling(coupling, lattice.shape)
    K = abs(coupling) * beta
    log_z = _log_partition(min(lattice.shape), max(lattice.shape), K)
    n_sites = lattice.n_sites
    return ExactResult(
        method="kaufman",
        n_sites=n_sites,
        temperature=float(temperature),
        log_z=float(log_z.value),
        energy_per_site=0.0 - abs(coupling) * float(log_z.first) / n_sites,
        heat_capacity_per_site=max(0.0, K**2 * float(log_z.second) / n_sites),
    )


def _check_coupling(coupling: float, shape: tuple[int, int]) -> None:
    if not math.isfinite(coupling):
        raise ValueError(f"coupling must be a finite number, got {coupling!r}")
    if coupling < 0 and (shape[0] % 2 or shape[1] % 2):
        raise ValueError(
            f"an antiferromagnet (coupling {coupling}) on a torus with an odd extent is frustrated, got "
            f"shape {shape}; kaufman needs even extents for coupling < 0, use transfer_matrix on narrow strips"
        )


def _log_partition(n: int, M: int, K: float) -> Jet:
    """ln Z and its derivatives in K.

    This is Kaufman's formula with every growing factor taken out. With the bounded `kappa = sinh 2K / cosh^2 2K`,
    `a = 1 - kappa cos(theta)` and `b = sqrt(a^2 - kappa^2)` one has `exp(gamma) = (a + b) / kappa`, and the
    powers of kappa cancel against the powers of 2 sinh 2K.
    """
    kappa, delta, log_cosh = _functions_of(K)
    odd = _growth(kappa, delta, np.pi * (2 * np.arange(n) + 1) / n)
    even = _growth(kappa, delta, 2 * np.pi * np.arange(1, n) / n)
    sign = 1 if delta.value >= 0 else -1
    zero = delta * delta + kappa + sign * delta  # k = 0, from |gamma_0|

    plus_odd, minus_odd = _corrections(odd, kappa, M)
    plus_even, minus_even = _corrections(even, kappa, M)
    zero_decay = (kappa / zero) ** M
    bracket_odd = plus_odd + minus_odd
    bracket_even = plus_even * (1 + zero_decay) + sign * minus_even * (1 - zero_decay)

    free_odd = 0.5 * M * odd.log().sum()
    free_even = 0.5 * M * (even.log().sum() + zero.log())
    brackets = bracket_odd + bracket_even * (free_even - free_odd).exp()
    return n * M * log_cosh + (n * M / 2 - 1) * math.log(2) + free_odd + brackets.log()


def _functions_of(K: float) -> tuple[Jet, Jet, Jet]:
    """kappa, delta = tanh 2K - sech 2K (negative above T_c), and ln cosh 2K; nothing overflows."""
    decay = math.exp(-2 * K)
    s, t = 2 * decay / (1 + decay**2), math.tanh(2 * K)
    sech = Jet(s, -2 * s * t, 4 * s * (t**2 - s**2))
    tanh = Jet(t, 2 * s**2, -8 * s**2 * t)
    log_cosh = Jet(2 * K + math.log1p(decay**2) - math.log(2), 2 * t, 4 * s**2)
    return sech * tanh, tanh - sech, log_cosh


def _growth(kappa: Jet, delta: Jet, theta: Array) -> Jet:
    """a + b = kappa exp(gamma) for angles other than 0; a - kappa is computed without cancellation near T_c."""
    a_minus = delta * delta + 2 * np.sin(theta / 2) ** 2 * kappa
    b = (a_minus * (a_minus + 2 * kappa)).sqrt()
    return a_minus + kappa + b


def _corrections(growth: Jet, kappa: Jet, M: int) -> tuple[Jet, Jet]:
    """The products over all angles of 1 + exp(-M gamma) and of 1 - exp(-M gamma)."""
    decay = (kappa / growth) ** M
    return decay.log1p().sum().exp(), (-decay).log1p().sum().exp()
