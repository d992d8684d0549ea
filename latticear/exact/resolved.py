"""The transfer matrix resolved by magnetisation: the distribution of M, hence <|m|>, <m^2> and <m^4>."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from latticear.exact.mixture import Array, result_of
from latticear.exact.replacement import Ints, Replacement
from latticear.exact.result import ExactResult
from latticear.exact.strip import MAX_NUMBERS, Strip, row_sums, strip_of
from latticear.exact.transfer import log_partition
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature, check_unrestricted

__all__ = ["magnetization_distribution", "magnetization_resolved", "resolved_work"]

MAX_WORK = 2**35
CHUNK = 2**18
BLOCK = 2**16
GROUP = 16
MAX_FULL = 2**10  # a matrix of 8 MB


def magnetization_resolved(hamiltonian: AbstractHamiltonian, temperature: float) -> ExactResult:
    """Exact thermodynamics of a narrow strip including <|m|>, <m^2> and <m^4>.

    m = M/N, and M is the sum of the spins.

    Args:
        hamiltonian: a system that `transfer_matrix` covers, with `states` that are integers.
        temperature: T > 0, in the unit of the couplings.

    Raises:
        ValueError: for a system or temperature that `transfer_matrix` refuses, for states that are not integers, or
            if the computation would take minutes.
        ArithmeticError: if weights underflow, see `magnetization_distribution`.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> exact = magnetization_resolved(Ising((8, 8)), 2 / math.log(1 + math.sqrt(2)))
        >>> print(f"{exact.abs_magnetization:.12f}")
        0.777331092787
    """
    check_is_hamiltonian(hamiltonian)
    check_unrestricted(hamiltonian, "magnetization_resolved", "exact_result")
    hamiltonian = hamiltonian.joint
    strip = _feasible_strip(hamiltonian)
    total = log_partition(strip, 1 / check_temperature(temperature))
    magnetization, probability = _distribution(strip, hamiltonian, temperature, float(total.log_weight))
    m = magnetization / hamiltonian.n_sites
    return replace(
        result_of("magnetization_resolved", hamiltonian.n_sites, temperature, total),
        abs_magnetization=float(probability @ np.abs(m)),
        magnetization_squared=float(probability @ m**2),
        magnetization_fourth=float(probability @ m**4),
    )


def magnetization_distribution(hamiltonian: AbstractHamiltonian, temperature: float) -> tuple[Ints, Array]:
    """The exact probability of every value of M, the sum of the spins.

    The weight of all rows above a row is resolved by their magnetisation: it is a polynomial in z, in which every
    site contributes a factor z^spin. All its coefficients are positive, so nothing cancels.

    Args:
        hamiltonian: a system that `transfer_matrix` covers, with `states` that are integers.
        temperature: T > 0, in the unit of the couplings.

    Returns:
        The values of M in ascending order, int64 `(K,)`, and the probability of each, float64 `(K,)`.

    Raises:
        ValueError: for a system or temperature that `transfer_matrix` refuses, for states that are not integers, or
            if the computation would take minutes.
        ArithmeticError: if weights that contribute to the result underflow, which is detected by comparing ln Z with
            `transfer_matrix`. This happens only for frustrated systems, at temperatures of a few hundredths of their
            couplings.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> m, p = magnetization_distribution(Ising((1, 2), periodic=False), temperature=1.0)
        >>> m.tolist(), bool(np.isclose(p[0] / p[1], math.e**2 / 2))
        ([-2, 0, 2], True)
    """
    check_unrestricted(hamiltonian, "magnetization_distribution", "exact_result")
    hamiltonian = hamiltonian.joint
    strip = _feasible_strip(hamiltonian)
    log_z = float(log_partition(strip, 1 / check_temperature(temperature)).log_weight)
    return _distribution(strip, hamiltonian, temperature, log_z)


def resolved_work(strip: Strip, hamiltonian: AbstractHamiltonian) -> float:
    """Number of weights that `magnetization_distribution` computes; inf if the states are not integers.

    The weights of wide rows with bonds that do not run straight down count twice, as they take about twice the time.
    """
    by_site = strip.n_states > MAX_FULL and not strip.is_straight
    try:
        return strip.work * _length(strip, _levels(hamiltonian)[2]) / (1 if by_site else 2)
    except ValueError:
        return math.inf


def _distribution(
    strip: Strip, hamiltonian: AbstractHamiltonian, temperature: float, log_z: float
) -> tuple[Ints, Array]:
    """The values of M and their probabilities, whose sum is checked against ln Z."""
    lowest, spacing, levels = _levels(hamiltonian)
    chunks = strip.start_chunks(CHUNK // _length(strip, levels))
    scales, histograms = zip(*(_sweep(strip, levels, 1 / temperature, s) for s in chunks), strict=True)
    top = max(scales)
    weight = np.exp(np.array(scales) - top) @ np.stack(histograms)
    total = float(weight.sum())
    lost = math.inf if total == 0 else abs(math.log(total) + top - log_z)
    if lost > 1e-12 * max(100.0, abs(log_z)):
        raise ArithmeticError(
            f"at temperature {temperature} the weight of this frustrated system underflows in the resolved "
            "transfer matrix; use transfer_matrix, enumerate_states or a higher temperature"
        )
    return lowest * hamiltonian.n_sites + spacing * np.arange(len(weight), dtype=np.int64), weight / total


def _levels(hamiltonian: AbstractHamiltonian) -> tuple[int, int, Ints]:
    """The smallest spin, the spacing of spins, and the level of each token.

    The spacing is the greatest common divisor of the differences between spins; the level of a token is the number of
    spacings between its spin and the smallest one.
    """
    if hamiltonian.vectors.shape[1] > 1:
        raise ValueError(f"the magnetisation of {type(hamiltonian).__name__} is a vector; use enumerate_states")
    counted = hamiltonian.vectors[:, 0].numpy()  # the states, unless a system overrides `vectors`
    whole = np.rint(counted).astype(np.int64)
    if not np.array_equal(whole, counted):
        raise ValueError(f"magnetization_resolved needs integer states, got {counted.tolist()}")
    above = whole - whole.min()
    spacing = max(1, math.gcd(*above.tolist()))
    return int(whole.min()), spacing, above // spacing


def _length(strip: Strip, levels: Ints) -> int:
    return strip.n_rows * strip.width * int(levels.max()) + 1


def _row_levels(levels: Ints, width: int) -> Ints:
    """The sum of the levels of all sites, for every row state: `(q^W,)`."""
    return row_sums(np.tile(levels, (width, 1)).astype(np.float64)).astype(np.int64)


def _feasible_strip(hamiltonian: AbstractHamiltonian) -> Strip:
    levels, strip = _levels(hamiltonian)[2], strip_of(hamiltonian)
    work, memory = resolved_work(strip, hamiltonian), strip.n_states * _length(strip, levels)
    if work > MAX_WORK or memory > MAX_NUMBERS:
        raise ValueError(
            f"magnetization_resolved would compute 2^{math.log2(work):.1f} weights and hold "
            f"2^{math.log2(memory):.1f} at a time, at most 2^{math.log2(MAX_WORK):.0f} and "
            f"2^{math.log2(MAX_NUMBERS):.0f} are allowed; use a narrower strip, or transfer_matrix, which "
            "gives ln Z, energy and heat capacity alone"
        )
    return strip


def _sweep(strip: Strip, levels: Ints, beta: float, starts: Ints) -> tuple[float, Array]:
    """The weight of configurations with the first row among `starts`, resolved by the sum of their levels.

    Returns:
        log_scale and histogram; `exp(log_scale) * histogram[k]` is the weight of configurations whose levels add up to
        k.
    """
    row_levels = _row_levels(levels, strip.width)
    first = strip.row_energies(0)
    if strip.wraps:
        energy = first[starts] + strip.pair_energies(0, starts) + strip.row_energies(1)[:, None]
        level = row_levels[starts] + row_levels[:, None]
    else:
        energy, level = first[:, None], row_levels[:, None]
    rows_done = 2 if strip.wraps else 1
    log_scale = -beta * energy.min()
    weights = np.zeros((*energy.shape, rows_done * int(row_levels.max()) + 1))
    np.put_along_axis(weights, level[..., None], np.exp(-beta * (energy - energy.min()))[..., None], axis=2)
    for row in range(rows_done, strip.n_rows):
        weights, shift = _replace_row(weights, strip, row - 1, beta)
        weights = _add_levels(weights, row_levels)
        energy = strip.row_energies(row)
        weights *= np.exp(-beta * (energy - energy.min()))[:, None, None]
        top = weights.max() or 1.0  # if all weights underflow, the caller detects it
        weights /= top
        log_scale += shift - beta * energy.min() + math.log(top)
    if not strip.wraps:
        return float(log_scale), weights.sum((0, 1))
    energy = strip.pair_energies(strip.n_rows - 1, starts)
    closing = np.exp(-beta * (energy - energy.min())).reshape(-1)
    return float(log_scale - beta * energy.min()), closing @ weights.reshape(len(closing), -1)


def _replace_row(weights: Array, strip: Strip, step: int, beta: float) -> tuple[Array, float]:
    """Sum over the old row; also returns the logarithm of the factor that was taken out of the weights."""
    multiply, log_scale = _row_factor(strip, step, beta)
    summed = np.empty_like(weights)
    # pieces of the histogram that stay in the cache for the whole row
    size = max(1, BLOCK // weights[..., 0].size)
    for part in (slice(k, k + size) for k in range(0, weights.shape[2], size)):
        summed[..., part] = multiply(weights[..., part])
    return summed, log_scale


def _row_factor(strip: Strip, step: int, beta: float) -> tuple[Callable[[Array], Array], float]:
    """The function that multiplies weights by the transfer matrix from row `step` to the next row.

    Also returns the logarithm of the factor that was taken out of the matrix.
    """
    row = strip.replacements(step)
    if strip.is_straight:
        factors, log_scale = _boltzmann([replacement.table for replacement in row], beta)
        size = max(1, int(math.log(GROUP, strip.n_tokens)))
        groups = [reduce(_kron, factors[k : k + size]) for k in range(0, len(factors), size)]
        return partial(_apply, groups), log_scale
    if strip.n_states <= MAX_FULL:  # more multiplications than site by site, but in one matrix product
        factors, log_scale = _boltzmann([strip.pair_energies(step, np.arange(strip.n_states))], beta)
        return partial(_apply, factors), log_scale
    factors, log_scale = _boltzmann([replacement.table for replacement in row], beta)
    held, log_held = _boltzmann([replacement.held_energies() for replacement in row], beta)
    return partial(_apply_by_site, row, factors, held), log_scale + log_held


def _boltzmann(energies: list[Array], beta: float) -> tuple[list[Array], float]:
    """Boltzmann factors scaled to at most 1, and the logarithm of the scale that was taken out of all of them."""
    lowest = np.array([energy.min() for energy in energies])
    factors = [np.exp(-beta * (energy - low)) for energy, low in zip(energies, lowest, strict=True)]
    return factors, float(-beta * lowest.sum())


def _kron(left: Array, right: Array) -> Array:
    return np.kron(left, right).astype(np.float64, copy=False)


def _apply(groups: list[Array], weights: Array) -> Array:
    """Multiply each group of columns by its factor; after the last one the axes are in their original order."""
    shape = weights.shape
    for factor in groups:
        summed = factor @ weights.reshape(len(factor), -1)
        weights = summed.reshape(len(factor), -1, *shape[1:]).swapaxes(0, 1)
    return weights.reshape(shape)


def _apply_by_site(row: list[Replacement], factors: list[Array], held: list[Array], weights: Array) -> Array:
    """Like `_apply` for bonds that do not run straight down, where the number of digits changes with each site."""
    others = weights.shape[1:]
    for replacement, factor, held_factor in zip(row, factors, held, strict=True):
        old = replacement.summed_first(weights)
        summed = (factor @ old.reshape(len(old), -1)).reshape(len(factor), *old.shape[1:])
        weights = summed.swapaxes(0, 1).reshape(-1, *others)
        if replacement.held:
            weights *= held_factor[:, None, None]
    return weights


def _add_levels(weights: Array, row_levels: Ints) -> Array:
    """Shift the histogram of every row state up by the sum of the levels in that row."""
    length = weights.shape[2]
    moved = np.zeros((*weights.shape[:2], length + int(row_levels.max())))
    for level in np.unique(row_levels):
        rows = np.flatnonzero(row_levels == level)
        moved[rows, :, level : level + length] = weights[rows]
    return moved
