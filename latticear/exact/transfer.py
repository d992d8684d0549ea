"""The transfer matrix, site by site: any pair energies and fields on a narrow strip."""

from __future__ import annotations

import numpy as np

from latticear.exact.mixture import Mixture, mix, result_of
from latticear.exact.replacement import Ints, Replacement
from latticear.exact.result import ExactResult
from latticear.exact.strip import Strip, strip_of
from latticear.hamiltonians.base import AbstractHamiltonian, check_temperature

__all__ = ["transfer_matrix"]

CHUNK = 2**16
BLOCK = 2**13


def transfer_matrix(hamiltonian: AbstractHamiltonian, temperature: float) -> ExactResult:
    """Exact ln Z, energy and heat capacity of a narrow strip with arbitrary bond tables and fields.

    The weight of everything above a row, given that row's q^W states, moves down one site at a time: a
    vertical bond is a q x q factor on one digit of the row state (H. A. Kramers and G. H. Wannier, Phys.
    Rev. 60, 252 (1941); site by site: K. Binder, Physica 62, 508 (1972)). A bond that leans to a later column
    keeps its old site, one digit more, until that column is reached: one for diagonals, another where both
    go around a row. Around a periodic strip there is one such vector for each first row. H W q^W numbers are
    computed for an open strip, q^W times as many for a periodic one, each q^k-fold with k digits more. Every
    weight carries the mean and variance of its energy, so derivatives in beta are exact, and is kept as its
    logarithm, so no temperature overflows.

    Args:
        hamiltonian: bonds within a row or between any two sites of adjacent rows, wrapping or not; or the
            same with rows and columns exchanged. The cheaper direction is used.
        temperature: T > 0, in the unit of the couplings.

    Raises:
        ValueError: for other bonds, if the row states would not fit in memory (2^25 numbers: Ising strips of
            width 25 that are open lengthwise, 12 if periodic; with both diagonals 24 and 12, around a row 23
            and 11), or for a temperature that is not positive and finite.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> ring = transfer_matrix(Ising((1, 6), periodic=(False, True)), temperature=1.0)
        >>> print(f"{ring.log_z:.10f}, {np.log((2 * np.cosh(1)) ** 6 + (2 * np.sinh(1)) ** 6):.10f}")
        6.9398296388, 6.9398296388
    """
    beta = 1 / check_temperature(temperature)
    total = log_partition(strip_of(hamiltonian.joint), beta)
    return result_of("transfer_matrix", hamiltonian.n_sites, temperature, total)


def log_partition(strip: Strip, beta: float) -> Mixture:
    """ln Z, <E> and var(E) of a strip: scalars in a Mixture."""
    parts = [_sweep(strip, beta, starts) for starts in strip.start_chunks(CHUNK)]
    return mix(Mixture(*map(np.array, zip(*parts, strict=True))))


def _sweep(strip: Strip, beta: float, starts: Ints) -> Mixture:
    """The summed weight of all configurations whose first row is one of `starts` (open strips: any)."""
    first = strip.row_energies(0)
    if strip.wraps:
        energy = first[starts] + strip.pair_energies(0, starts) + strip.row_energies(1)[:, None]
    else:
        energy = first[:, None]
    weights = Mixture(-beta * energy, energy, np.zeros_like(energy))
    for row in range(2 if strip.wraps else 1, strip.n_rows):
        for replacement in strip.replacements(row - 1):
            weights = _replace_site(weights, replacement, beta)
        weights = weights.shift(strip.row_energies(row)[:, None], beta)
    if strip.wraps:
        weights = weights.shift(strip.pair_energies(strip.n_rows - 1, starts), beta)
    return mix(Mixture(*(x.reshape(-1) for x in weights)))


def _replace_site(weights: Mixture, replacement: Replacement, beta: float) -> Mixture:
    """Sum over the old sites that are needed no more; the new site becomes the last digit.

    After W calls every site has been replaced and the digits are back in their order.
    """
    n_starts = weights.log_weight.shape[1]
    old = Mixture(*(replacement.summed_first(x) for x in weights))
    n_rest, q = old.log_weight.shape[1], len(replacement.table)
    new = Mixture(*(np.empty((n_rest, q, n_starts)) for _ in range(3)))
    # blocks that stay in the cache: the arithmetic is elementwise and would wait for memory otherwise
    step = max(1, BLOCK // n_starts)
    for rest in (slice(k, k + step) for k in range(0, n_rest, step)):
        block = Mixture(*(x[:, rest] for x in old))
        for token, energies in enumerate(replacement.table):
            summed = mix(block.shift(energies[:, None, None], beta))
            for target, values in zip(new, summed, strict=True):
                target[rest, token] = values
    replaced = Mixture(*(x.reshape(-1, n_starts) for x in new))
    if not replacement.held:
        return replaced
    return replaced.shift(replacement.held_energies()[:, None], beta)
