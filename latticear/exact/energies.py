"""The exact distribution of the energy, from partition functions at complex temperatures."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from latticear.arrays import Array
from latticear.exact.dispatch import torus_coupling
from latticear.exact.enumeration import all_configurations
from latticear.exact.strip import Strip, find_strip
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature, check_unrestricted
from latticear.hamiltonians.levels import Levels, energy_levels

__all__ = ["energy_distribution", "is_listed"]

Complex = NDArray[np.complex128]

MAX_ROWS = 2**10
"""Largest number of states of a row: its transfer matrix, a full one, has 16 MB."""

SECONDS = 5.0
"""Time on one slow core to which the limits below correspond."""
MAX_PRODUCTS, MAX_FACTORS = 2**31, 2**25
"""Number of multiplications of matrices, and of factors of Kaufman's formula, in this time."""

MAX_STATES = 2**16
"""Number of configurations up to which all are listed."""


def energy_distribution(
    hamiltonian: AbstractHamiltonian, temperature: float, *, seconds: float = 4 * SECONDS
) -> tuple[Array, Array]:
    """The exact probability of each energy that can occur.

    Where energies are equidistant, `P(E) = (1/n) sum_j exp(-2 pi i j k / n) Z(beta - i theta_j) / Z(beta)` with
    `theta_j = 2 pi j / (n spacing)`: as many partition functions at complex temperatures as there are levels. Kaufman's
    formula has them for the Ising model on a torus of any size, a transfer matrix for narrow strips; the smallest
    systems are enumerated. The errors of probabilities are about 1e-13, whatever their size.

    Args:
        hamiltonian: a system.
        temperature: T > 0, in the unit of the couplings.
        seconds: about how long it may take on a slow core.

    Returns:
        The energies, ascending, extensive, `(K,)`, and the probability of each, `(K,)`.

    Raises:
        ValueError: for a system that none of the three methods covers in this time.

    References:
        P. D. Beale, Phys. Rev. Lett. 76 (1996) 78 (the density of states of the torus from Kaufman's formula).

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> energy, p = energy_distribution(Ising((2, 2), periodic=False), temperature=2.0)
        >>> energy.tolist(), bool(np.isclose(p[0] / p[1], math.exp(2) * 2 / 12))
        ([-4.0, 0.0, 4.0], True)
    """
    check_is_hamiltonian(hamiltonian)
    beta = 1 / check_temperature(temperature)
    joint = hamiltonian.joint
    if is_listed(hamiltonian):
        return _listed(hamiltonian, beta)
    check_unrestricted(hamiltonian, "energy_distribution", "samples")
    levels, log_z, share = energy_levels(hamiltonian), None, seconds / SECONDS
    if levels is not None:
        log_z = _torus(hamiltonian, levels, share) or _strip(find_strip(joint), levels, share)
    if levels is None or log_z is None:
        raise ValueError(
            "energy_distribution covers equidistant energies of the Ising model without a field on a torus and of "
            f"strips with at most {MAX_ROWS} states of a row, and systems of at most {MAX_STATES} configurations, "
            f"got {hamiltonian.label}"
        )
    theta = 2 * math.pi * np.arange(levels.n // 2 + 1) / (levels.n * levels.spacing)
    z = log_z(np.asarray(beta - 1j * theta, dtype=np.complex128))
    phi = np.exp(z - z[0].real - 1j * theta * levels.first)
    p = np.fft.irfft(phi.conj(), levels.n)
    return levels.values, np.maximum(p, 0.0) / np.maximum(p, 0.0).sum()


def is_listed(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether all configurations are listed, so that the exact probability of an energy that none has is 0."""
    joint = hamiltonian.joint
    return joint.n_tokens**joint.n_sites <= MAX_STATES


def _listed(hamiltonian: AbstractHamiltonian, beta: float) -> tuple[Array, Array]:
    """All configurations by their energy; energies that differ by rounding errors are one."""
    joint = hamiltonian.joint
    tokens = all_configurations(joint.shape, joint.n_tokens)
    energy = joint.token_energy(tokens[joint.allowed(tokens)]).numpy()
    top = np.abs(energy).max()
    rounded = np.round(energy / top, 12) if top else energy
    _, first, where = np.unique(rounded, return_index=True, return_inverse=True)
    weight = np.bincount(where.ravel(), np.exp(-beta * (energy - energy.min())))
    return energy[first], weight / weight.sum()


def _torus(hamiltonian: AbstractHamiltonian, levels: Levels, share: float) -> Callable[[Complex], Complex] | None:
    """ln Z of the Ising model on a torus at complex beta; None for another system, or too large a one."""
    coupling, shape = torus_coupling(hamiltonian), hamiltonian.shape
    if not coupling or min(shape) * levels.n > share * MAX_FACTORS:
        return None
    return lambda beta: _kaufman(min(shape), max(shape), abs(coupling) * beta)


def _kaufman(n: int, M: int, K: Complex) -> Complex:
    """ln Z of Kaufman's formula (see `latticear.exact.kaufman`) for complex K, `(R,)`.

    Angles come in pairs theta, 2 pi - theta with the same factors, and so no square root has a sign that matters; the
    factors of theta = 0 and pi are known without a root: `(2 sinh 2K)^(M/2) exp(+-M gamma / 2)` is `(exp(2K) - 1)^M`
    and `(1 + exp(-2K))^M` at 0, `(exp(2K) + 1)^M` and `(1 - exp(-2K))^M` at pi.
    """
    alone = {
        0: (np.exp(2 * K) - 1, 1 + np.exp(-2 * K)),
        1: (np.exp(2 * K) + 1, 1 - np.exp(-2 * K)),
    }
    terms = []
    for parity in (1, 0):
        single = [of_pi for of_pi in alone if (n * of_pi) % 2 == parity]  # k = 0 and k = n
        angles = np.pi * np.arange(parity, n, 2) / n
        growth, ratio = _root(K, angles[angles > 0])
        log_growth = M * np.log(growth).sum(1)
        for sign in (1, -1):
            total = log_growth + np.log((1 + sign * ratio**M) ** 2).sum(1)
            for of_pi in single:
                up, down = alone[of_pi]
                total = total + _log_sum(M * np.log(up), M * np.log(down), sign)
            terms.append(total)
    top = np.max([term.real for term in terms], axis=0)
    with np.errstate(divide="ignore"):
        return top + np.log(sum(np.exp(term - top) for term in terms)) - math.log(2)


def _root(K: Complex, theta: Array) -> tuple[Complex, Complex]:
    """`2 sinh 2K exp(gamma)`, the larger root, and `exp(-gamma)`: `(R, n_angles)` each."""
    s = 2 * np.sinh(2 * K)[:, None]
    half = 2 * np.cosh(2 * K)[:, None] ** 2 - s * np.cos(theta)
    root = np.sqrt(half**2 - s**2)
    larger = np.where((half * root.conj()).real >= 0, half + root, half - root)
    return larger, s / larger


def _log_sum(a: Complex, b: Complex, sign: int) -> Complex:
    """ln(exp(a) + sign exp(b))."""
    top = np.maximum(a.real, b.real)
    with np.errstate(divide="ignore"):
        return np.asarray(top + np.log(np.exp(a - top) + sign * np.exp(b - top)))


def _strip(strip: Strip | None, levels: Levels, share: float) -> Callable[[Complex], Complex] | None:
    """ln Z of a narrow strip at complex beta, by full transfer matrices; None for one that is too wide."""
    if strip is None or strip.n_states > MAX_ROWS:
        return None
    work = strip.n_states**2 * strip.n_starts * strip.n_rows * (levels.n // 2 + 1)
    if work > share * MAX_PRODUCTS:
        return None
    every = np.arange(strip.n_states)
    rows = [strip.row_energies(row) for row in range(strip.n_rows)]
    steps = [strip.pair_energies(row, every) for row in range(strip.n_rows - 1)]
    closing = strip.pair_energies(strip.n_rows - 1, every) if strip.wraps else None

    def one(beta: complex) -> complex:
        weights, log_scale = np.exp(-beta * (rows[0] - rows[0].min())), -beta * rows[0].min()
        weights = np.diag(weights) if strip.wraps else weights[:, None]
        for step, row in zip(steps, rows[1:], strict=True):
            energy = step + row[:, None]
            weights = np.exp(-beta * (energy - energy.min())) @ weights
            top = np.abs(weights).max()
            weights, log_scale = weights / top, log_scale - beta * energy.min() + math.log(top)
        if closing is None:
            return complex(log_scale + cmath.log(weights.sum()))
        last = np.exp(-beta * (closing - closing.min()))
        return complex(log_scale - beta * closing.min() + cmath.log((last * weights).sum()))

    return lambda betas: np.array([one(beta) for beta in betas.tolist()])
