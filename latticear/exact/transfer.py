"""The transfer matrix, applied site by site: any pair energies and fields on a narrow strip."""

from __future__ import annotations

import numpy as np

from latticear.exact.mixture import Mixture, mix, result_of
from latticear.exact.replacement import Ints, Replacement
from latticear.exact.result import ExactResult
from latticear.exact.strip import Strip, strip_of
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature, check_unrestricted

__all__ = ["transfer_matrix"]

CHUNK = 2**16
BLOCK = 2**13


def transfer_matrix(hamiltonian: AbstractHamiltonian, temperature: float) -> ExactResult:
    """Exact ln Z, energy and heat capacity of a narrow strip with arbitrary pair energies and fields.

    For each of the q^W states of a row there is the summed weight of everything above it. The transfer matrix moves
    this vector down one site at a time: a vertical bond is a q x q matrix that acts on one digit of the row state
    (H. A. Kramers and G. H. Wannier, Phys. Rev. 60, 252 (1941); site by site: K. Binder, Physica 62, 508 (1972)).
    A bond to a later column of the next row keeps its old site, as one digit more, until that column is
    reached: bonds along diagonals need one more digit, and a second one if the rows are periodic. A periodic strip
    needs one such vector for each state of its first row. H W q^W numbers are computed for an open strip, q^W times
    as many for a periodic one, and q^k times as many with k digits more. Each weight is stored together with the
    mean and variance of its energy, so derivatives in beta are exact, and as its logarithm, so nothing overflows at
    any temperature.

    Args:
        hamiltonian: a system with bonds within a row or between any two sites of adjacent rows, across a boundary or
            not; or the same with rows and columns exchanged. The cheaper direction is used.
        temperature: T > 0, in the unit of the couplings.

    Raises:
        ValueError: for other bonds, if the weights of the row states would not fit in memory (2^25 numbers: Ising
            strips of width 25 that are open lengthwise, 12 if periodic; with bonds along both diagonals 24 and 12, and
            with periodic rows 23 and 11), or for a temperature that is not positive and finite.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> ring = transfer_matrix(Ising((1, 6), periodic=(False, True)), temperature=1.0)
        >>> print(f"{ring.log_z:.10f}, {np.log((2 * np.cosh(1)) ** 6 + (2 * np.sinh(1)) ** 6):.10f}")
        6.9398296388, 6.9398296388
    """
    check_is_hamiltonian(hamiltonian)
    check_unrestricted(hamiltonian, "transfer_matrix", "exact_result")
    beta = 1 / check_temperature(temperature)
    total = log_partition(strip_of(hamiltonian.joint), beta)
    return result_of("transfer_matrix", hamiltonian.n_sites, temperature, total)


def log_partition(strip: Strip, beta: float) -> Mixture:
    """ln Z, <E> and var(E) of a strip, as the scalars of a `Mixture`."""
    parts = [_sweep(strip, beta, starts) for starts in strip.start_chunks(CHUNK)]
    return mix(Mixture(*map(np.array, zip(*parts, strict=True))))


def _sweep(strip: Strip, beta: float, starts: Ints) -> Mixture:
    """The weight of all configurations whose first row is in one of the states `starts` (in any, if open)."""
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
    """Sum over the old sites that are needed no longer; the new site becomes the last digit.

    After W calls every site of the row has been replaced, and the digits are in the order of the columns.
    """
    n_starts = weights.log_weight.shape[1]
    old = Mixture(*(replacement.summed_first(x) for x in weights))
    n_rest, q = old.log_weight.shape[1], len(replacement.table)
    new = Mixture(*(np.empty((n_rest, q, n_starts)) for _ in range(3)))
    # blocks fit into the cache, because elementwise arithmetic is limited by memory bandwidth otherwise
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
