"""Whether configurations come from a Hamiltonian at a temperature: the probabilities of single sites, and the bonds.

For any function f of the other sites, `<f (1[s_i = t] - p_t)> = 0`, where p_t is the probability of token t that a heat
bath at site i would use (Callen's identity). Two families of such averages are formed. The first counts how often a
token occurs at sites where it has a probability in some interval. The second has the energy of the bonds in each
direction, with those across the boundary apart, minus its average over the heat bath at one end. Each average is zero
within its error, which the autocorrelation of the chain determines, if the configurations belong to the Hamiltonian and
the temperature.

References:
    H. B. Callen, Phys. Lett. 4 (1963) 161.

Index suffixes: b configuration, s site, q token.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from latticear.arrays import Array
from latticear.estimation.autocorrelation import mean_error
from latticear.estimation.estimates import with_error
from latticear.hamiltonians import AbstractHamiltonian

__all__ = ["Consistency", "consistency"]

LIMIT = 4.5
"""An average that deviates from zero by more of its errors does not fit; of 50 that fit, one does in 3 of 1e4 cases."""

MIN_VARIANCE = 25.0
"""Averages over fewer random events than this are not used, since they are not normally distributed."""

MOST_SITES = 2**23
"""About this many sites are examined; measurements are left out at equal distances if there are more."""

CHUNK = 2**20
"""Number of tokens of sites that are examined at a time."""

EDGES = torch.logit(torch.tensor([0.003, 0.02, 0.08, 0.2, 0.4, 0.6, 0.8, 0.92, 0.98, 0.997], dtype=torch.float64))
"""Boundaries of the intervals of probability, as logits."""

MOST_TOKENS = 6
"""Tokens of a system with more of them are counted together in so many groups."""

MOST_DIRECTIONS = 16
"""The bonds of a system with more directions are taken together."""


class Consistency(NamedTuple):
    """The outcome of the check.

    Attributes:
        worst: the largest deviation of an average from zero, in units of its error; 0 if there is too little to check.
        reasons: what does not fit, and what would; empty if all fits.
    """

    worst: float
    reasons: list[str]


class _Residuals(NamedTuple):
    """Averages over the sites of each configuration that vanish on average over the Boltzmann distribution.

    Attributes:
        series: `(T, R, K)`, K averages for T measurements of R chains.
        variance: `(K,)`, the variance of each sum over all configurations if all sites were independent.
    """

    series: Array
    variance: Array


def consistency(tokens: Tensor, hamiltonian: AbstractHamiltonian, temperature: float) -> Consistency:
    """Check whether chains belong to a Hamiltonian and a temperature.

    Args:
        tokens: `(T, R, H, W)` or `(T, R, C, H, W)`, T measurements of R chains.
        hamiltonian: the Hamiltonian.
        temperature: T > 0.
    """
    length, n_chains = tokens.shape[:2]
    step = max(1, length * n_chains * hamiltonian.n_sites // MOST_SITES)
    joined = hamiltonian.join(tokens[::step].flatten(0, 1)).flatten(1).view(-1, n_chains, hamiltonian.n_sites)
    system = hamiltonian.joint
    residuals = _residuals(joined, system, temperature)
    worst = _worst(residuals)
    if worst <= LIMIT:
        return Consistency(worst, [])
    half = len(joined) // 2
    if _worst(_Residuals(residuals.series[half:], residuals.variance / 2)) <= LIMIT and _starts_apart(residuals, half):
        skip = f"leave them out, for example by skip={(length + 1) // 2}"
        return Consistency(worst, [f"the first measurements are not in equilibrium ({worst:.3g} errors off): {skip}"])
    return Consistency(worst, [f"{_misfit(worst, temperature)}; {_what_fits(joined, system, temperature)}"])


def _misfit(worst: float, temperature: float) -> str:
    size = f"{worst:.3g} errors off" if worst < 1e6 else "off, and nothing varies"
    return f"the chain does not fit this Hamiltonian at T = {temperature:g}: probabilities of spins are {size}"


def _what_fits(tokens: Tensor, system: AbstractHamiltonian, temperature: float) -> str:
    """The temperature at which the chain fits, if there is one."""
    found = _fitted_temperature(tokens, system, temperature)
    if found is not None and _worst(_residuals(tokens, system, found[0])) <= LIMIT:
        return f"it would fit T = {with_error(*found)}, or another coupling or field"
    return "no temperature fits: check couplings, field, boundary, and which number is which spin"


def _starts_apart(residuals: _Residuals, half: int) -> bool:
    """Whether what does not fit lies in the first half, rather than in both halves alike."""
    early, late = (np.abs(part.mean((0, 1))) for part in (residuals.series[:half], residuals.series[half:]))
    sums = early + late
    return bool(late[sums.argmax()] < early[sums.argmax()] / 3)


def _worst(residuals: _Residuals) -> float:
    """The largest deviation of an average from zero in units of its error, of those that can be judged."""
    worst = 0.0
    for series, variance in zip(np.moveaxis(residuals.series, 2, 0), residuals.variance, strict=True):
        if variance < MIN_VARIANCE or len(series) < 2:
            continue
        mean, error, tau = mean_error(series)
        if error == 0 and abs(mean) > 1e-9:
            return math.inf  # nothing varies, though many sites should have changed
        if tau.reliable and error > 0:
            worst = max(worst, abs(mean) / error)
    return worst


def _residuals(tokens: Tensor, system: AbstractHamiltonian, temperature: float) -> _Residuals:
    length, n_chains, n_sites = tokens.shape
    flat, size = tokens.reshape(-1, n_sites), max(1, CHUNK // (n_sites * system.n_tokens))
    directions = _directions(system)
    parts, variance = [], torch.zeros(0)
    for start in range(0, len(flat), size):
        part = flat[start : start + size]
        energies = _conditional_energies(part, system)
        p_bsq = (-energies / temperature).softmax(2)
        counted, spread = _counts(part, p_bsq)
        bonds, more = _bond_energies(part, p_bsq, system, directions)
        parts.append(torch.cat([counted, bonds], 1))
        new = torch.cat([spread, more])
        variance = new if not len(variance) else variance + new
    series = torch.cat(parts).view(length, n_chains, -1) / n_sites
    return _Residuals(series.numpy(), variance.numpy())


def _conditional_energies(flat: Tensor, system: AbstractHamiltonian) -> Tensor:
    every = torch.arange(system.n_sites)
    return system.conditional_energies(flat.view(-1, *system.shape), every)


def _counts(flat: Tensor, p_bsq: Tensor) -> tuple[Tensor, Tensor]:
    """How much more often tokens occur than the heat bath says, by intervals of its probability: `(B, K)`, `(K,)`."""
    q = p_bsq.shape[2]
    used = p_bsq[:, :, 1:] if q == 2 else p_bsq  # of two tokens one is enough
    n_groups = min(used.shape[2], MOST_TOKENS)
    group = torch.arange(used.shape[2]) * n_groups // used.shape[2]
    interval = torch.bucketize(torch.logit(used, 1e-12), EDGES) + group * (len(EDGES) + 1)
    occurs = torch.nn.functional.one_hot(flat.long(), q)[:, :, -used.shape[2] :]
    n = n_groups * (len(EDGES) + 1)
    index = interval.flatten(1)
    sums = torch.zeros(len(flat), n, dtype=torch.float64).scatter_add_(1, index, (occurs - used).flatten(1))
    variance = torch.zeros(n, dtype=torch.float64).index_add_(0, index.flatten(), (used * (1 - used)).flatten())
    return sums, variance


def _bond_energies(flat: Tensor, p_bsq: Tensor, system: AbstractHamiltonian, group: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of the bonds minus its average over a heat bath at either end, summed over each direction."""
    if not len(group):
        return torch.zeros(len(flat), 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    n, tokens = int(group.max()) + 1, flat.long()
    i, j = system.bonds.T
    table, bond = system.bond_energies, torch.arange(len(i))
    now = table[bond, tokens[:, i], tokens[:, j]]
    rows, columns = table.transpose(1, 2)[bond, tokens[:, j]], table[bond, tokens[:, i]]
    means = [(p_bsq[:, k] * energies).sum(2) for k, energies in ((i, rows), (j, columns))]
    spread = (p_bsq[:, i] * rows**2).sum(2) - means[0] ** 2 + (p_bsq[:, j] * columns**2).sum(2) - means[1] ** 2
    unit = float(table.abs().max()) or 1.0
    sums = torch.zeros(len(flat), n, dtype=torch.float64).index_add_(1, group, (2 * now - means[0] - means[1]) / unit)
    variance = torch.zeros(n, dtype=torch.float64).index_add_(0, group, spread.sum(0) / unit**2)
    return sums, variance


def _directions(system: AbstractHamiltonian) -> Tensor:
    """The number of the direction of each bond, `(n_bonds,)`; bonds across a boundary have directions of their own."""
    if not system.has_bonds:
        return torch.zeros(0, dtype=torch.int64)
    width = system.shape[1]
    step = torch.stack([system.bonds[:, 1] // width - system.bonds[:, 0] // width, system.bonds[:, 1] % width], 1)
    step[:, 1] -= system.bonds[:, 0] % width
    kinds, group = step.unique(dim=0, return_inverse=True)
    return group if len(kinds) <= MOST_DIRECTIONS else torch.zeros_like(group)


def _fitted_temperature(tokens: Tensor, system: AbstractHamiltonian, guess: float) -> tuple[float, float] | None:
    """The temperature at which a heat bath leaves the average energy unchanged, with its error; or None."""
    length, n_chains, n_sites = tokens.shape
    step = max(1, length * n_chains * n_sites * system.n_tokens // MOST_SITES)
    some = tokens[::step]
    flat = some.reshape(-1, n_sites)
    energies = _conditional_energies(flat, system)
    now = energies.gather(2, flat.long()[..., None])[..., 0]

    def changes(temperature: float) -> Tensor:
        return (((-energies / temperature).softmax(2) * energies).sum(2) - now).sum(1)

    def change(log_temperature: float) -> float:
        return float(changes(math.exp(log_temperature)).mean())

    low, high = math.log(guess) - 2.5, math.log(guess) + 2.5
    if not change(low) < 0 < change(high):
        return None
    root = math.exp(brentq(change, low, high, xtol=1e-6))
    slope = (change(math.log(root) + 1e-3) - change(math.log(root) - 1e-3)) / (2e-3 * root)
    return root, mean_error(changes(root).view(len(some), n_chains).numpy())[1] / slope
