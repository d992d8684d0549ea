"""Averages over configurations that vanish for a Hamiltonian at a temperature, and how far from zero they are.

For any function f of the other sites, `<f (1[s_i = t] - p_t)> = 0`, where p_t is the probability of token t that a heat
bath at site i would use (Callen's identity). Four families of such averages are formed. The first counts how often a
token occurs at sites where it has a probability in some interval. The second has the energy of the bonds in each
direction, with those across the boundary apart, minus its average over the heat bath at one end. The third is the
change of the energy by a heat bath at every site, the energy balance. The fourth weighs this change with the energy
that the heat bath leaves behind: it compares the spread of the energies with the temperature, and does not vanish for a
mixture of temperatures whose average energy is right.

References:
    H. B. Callen, Phys. Lett. 4 (1963) 161.

At fixed composition a heat bath of one site would change it. There the average change of the energy by exchanges of
the states of two sites takes the place of the energy balance, and the first two families are left out.

Index suffixes: b configuration, s site, p pair, q token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.estimation.autocorrelation import mean_error, recurrences
from latticear.estimation.exchanges import exchange_energies, exchange_pairs
from latticear.hamiltonians import AbstractHamiltonian

__all__ = [
    "BALANCE",
    "LIMIT",
    "SPREAD",
    "Residuals",
    "Score",
    "as_normal",
    "conditional_energies",
    "residuals_of",
    "worst",
]

LIMIT = 4.5
"""An average that deviates from zero by more of its errors does not fit; of 50 that fit, one does in 3 of 1e4 cases."""

MIN_VARIANCE = 25.0
"""Averages over fewer random events than this are not used, since they are not normally distributed."""

MIN_EVENTS = 100.0
"""The spread of the energies is not used if fewer random events than this change the energy."""

MIN_CHAINS = 8
"""The scatter of so many chains gives the error of an average where each of them is too short for that."""

FEW = 1000.0
"""With fewer random events the error for independent sites is a lower bound of the error of an average."""

N_BLOCKS = 32
"""Number of blocks whose scatter gives a second error of an average."""

CHUNK = 2**20
"""Number of tokens of sites that are examined at a time."""

EDGES = torch.logit(torch.tensor([0.003, 0.02, 0.08, 0.2, 0.4, 0.6, 0.8, 0.92, 0.98, 0.997], dtype=torch.float64))
"""Boundaries of the intervals of probability, as logits."""

MOST_TOKENS = 6
"""Tokens of a system with more of them are counted together in so many groups."""

MOST_DIRECTIONS = 16
"""The bonds of a system with more directions are taken together."""

BALANCE, SPREAD = -2, -1
"""Places of the energy balance, and of the average that compares the spread of the energies with the temperature."""


class Score(NamedTuple):
    """How far from zero an average is.

    Attributes:
        errors: the deviation in units of the error.
        normal: the same as a deviate of a normal distribution of equal probability; smaller where few independent data
            determine the error.
        sign: the sign of the average.
    """

    errors: float
    normal: float
    sign: int


class Residuals(NamedTuple):
    """Averages over the sites of each configuration that vanish on average over the Boltzmann distribution.

    Attributes:
        series: `(T, R, K)`, K averages for T measurements of R chains.
        variance: `(T, K)`, the variance of each sum over the configurations of a measurement if all sites were
            independent.
        n_sites: N.
    """

    series: Array
    variance: Array
    n_sites: int

    def part(self, rows: slice) -> Residuals:
        """Those of some of the measurements."""
        return Residuals(self.series[rows], self.variance[rows], self.n_sites)

    @property
    def scores(self) -> dict[int, Score]:
        """The deviations from zero of the averages that can be judged, by their places, counted from the end."""
        found = {k: self.score(k) for k in range(-self.series.shape[2], 0)}
        return {k: score for k, score in found.items() if score is not None}

    def score(self, k: int) -> Score | None:
        """The deviation from zero of one of the averages; None if it cannot be judged."""
        events = self.variance[:, min(k, BALANCE)].sum()
        if events < (MIN_VARIANCE if k != SPREAD else MIN_EVENTS):
            return None
        return _score(self.series[:, :, k], float(self.variance[:, k].sum()), self.n_sites)


def worst(scores: Iterable[Score]) -> Score:
    """The largest deviation; none if there is nothing to judge."""
    return max(scores, key=lambda score: score.normal, default=Score(0.0, 0.0, 0))


def _score(series: Array, variance: float, n_sites: int) -> Score | None:
    """The deviation of an average from zero in units of its error; None if it cannot be judged.

    Of three errors the largest counts: from the autocorrelation, from the scatter of blocks, and, where the events are
    so few that the others depend on their number, for sites that are independent.
    """
    if len(series) < 2:
        return None
    mean, error, tau = mean_error(series)
    sign = 1 if mean > 0 else -1
    independent = math.sqrt(variance) / (series.size * n_sites)
    if error == 0:  # nothing varies, though many sites should have changed
        return Score(math.inf, abs(mean) / independent, sign) if abs(mean) > 1e-9 else None
    if not tau.reliable:
        return _of_chains(series.mean(0))
    repeated = sum(rho for _, rho in recurrences(series, tau))
    error *= math.sqrt((tau.tau + repeated) / tau.tau)
    candidates = [(error, series.size / (2 * tau.window + 1) - 1)]
    if variance < FEW:
        candidates.append((independent, math.inf))
    if len(series) >= 2 * N_BLOCKS:
        blocks = np.array([block.mean() for block in np.array_split(series, N_BLOCKS)])
        candidates.append((float(blocks.std(ddof=1)) / math.sqrt(N_BLOCKS), N_BLOCKS - 1))
    ratios = [(abs(mean) / error, freedom) for error, freedom in candidates if error > 0]
    return Score(min(ratio for ratio, _ in ratios), min(as_normal(*pair) for pair in ratios), sign)


def _of_chains(means: Array) -> Score | None:
    """The deviation from zero of the average of chains that are too short to show their autocorrelation."""
    error = float(means.std(ddof=1)) / math.sqrt(len(means)) if len(means) >= MIN_CHAINS else 0.0
    if error == 0:
        return None
    ratio = float(means.mean()) / error
    return Score(abs(ratio), as_normal(abs(ratio), len(means) - 1), 1 if ratio > 0 else -1)


def as_normal(ratio: float, freedom: float) -> float:
    """The deviate of a normal distribution with the probability of one of Student's (Wallace's approximation)."""
    if math.isinf(freedom):
        return ratio
    return (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(ratio**2 / freedom))


def residuals_of(tokens: Tensor, system: AbstractHamiltonian, temperature: float | Tensor) -> Residuals:
    """The averages over each configuration.

    Args:
        tokens: `(T, R, N)`, T measurements of R chains.
        system: the Hamiltonian.
        temperature: T, one number, or one for each configuration, `(T, R)`.
    """
    length, n_chains, n_sites = tokens.shape
    flat, size = tokens.reshape(-1, n_sites), max(1, CHUNK // (n_sites * system.n_tokens))
    beta = 1 / torch.as_tensor(temperature, dtype=torch.float64).expand(length, n_chains).reshape(-1, 1, 1)
    directions = _directions(system)
    total = torch.cat([system.token_energy(part.view(-1, *system.shape)) for part in flat.split(size)])
    total -= total.mean()
    parts, variance = [], []
    for start in range(0, len(flat), size):
        rows = slice(start, start + size)
        energies = conditional_energies(flat[rows], system)
        if system.composition is not None:
            of_exchanges = _exchanges(flat[rows], energies, exchange_pairs(system), beta[rows, :, 0], total[rows])
            parts.append(of_exchanges[0])
            variance.append(of_exchanges[1])
            continue
        p_bsq = (-beta[rows] * energies).softmax(2)
        groups = [
            _counts(flat[rows], p_bsq),
            _bond_energies(flat[rows], p_bsq, system, directions),
            _changes(flat[rows], p_bsq, energies, total[rows]),
        ]
        parts.append(torch.cat([sums for sums, _ in groups], 1))
        variance.append(torch.cat([spread for _, spread in groups], 1))
    series, spread = (torch.cat(each).view(length, n_chains, -1) for each in (parts, variance))
    return Residuals(series.numpy() / n_sites, spread.sum(1).numpy(), n_sites)


def conditional_energies(flat: Tensor, system: AbstractHamiltonian) -> Tensor:
    """The energies that each site would have with each token, `(B, N, q)`, up to a constant for each site."""
    every = torch.arange(system.n_sites)
    return system.conditional_energies(flat.view(-1, *system.shape), every)


def _counts(flat: Tensor, p_bsq: Tensor) -> tuple[Tensor, Tensor]:
    """How much more often tokens occur than the heat bath says, by intervals of its probability: `(B, K)` twice."""
    q = p_bsq.shape[2]
    used = p_bsq[:, :, 1:] if q == 2 else p_bsq  # of two tokens one is enough
    n_groups = min(used.shape[2], MOST_TOKENS)
    group = torch.arange(used.shape[2]) * n_groups // used.shape[2]
    interval = torch.bucketize(torch.logit(used, 1e-12), EDGES) + group * (len(EDGES) + 1)
    occurs = torch.nn.functional.one_hot(flat.long(), q)[:, :, -used.shape[2] :]
    n = n_groups * (len(EDGES) + 1)
    index = interval.flatten(1)
    sums = torch.zeros(len(flat), n, dtype=torch.float64).scatter_add_(1, index, (occurs - used).flatten(1))
    variance = torch.zeros_like(sums).scatter_add_(1, index, (used * (1 - used)).flatten(1))
    return sums, variance


def _bond_energies(flat: Tensor, p_bsq: Tensor, system: AbstractHamiltonian, group: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of the bonds minus its average over a heat bath at either end, summed over each direction."""
    if not len(group):
        return torch.zeros(len(flat), 0, dtype=torch.float64), torch.zeros(len(flat), 0, dtype=torch.float64)
    n, tokens = int(group.max()) + 1, flat.long()
    i, j = system.bonds.T
    table, bond = system.bond_energies, torch.arange(len(i))
    now = table[bond, tokens[:, i], tokens[:, j]]
    rows, columns = table.transpose(1, 2)[bond, tokens[:, j]], table[bond, tokens[:, i]]
    means = [(p_bsq[:, k] * energies).sum(2) for k, energies in ((i, rows), (j, columns))]
    spread = (p_bsq[:, i] * rows**2).sum(2) - means[0] ** 2 + (p_bsq[:, j] * columns**2).sum(2) - means[1] ** 2
    unit = float(table.abs().max()) or 1.0
    sums = torch.zeros(len(flat), n, dtype=torch.float64).index_add_(1, group, (2 * now - means[0] - means[1]) / unit)
    return sums, torch.zeros_like(sums).index_add_(1, group, spread / unit**2)


def _changes(flat: Tensor, p_bsq: Tensor, energies: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """The change of the energy by a heat bath at each site, and the same times the energy that it leaves behind."""
    now = energies.gather(2, flat.long()[..., None])[..., 0]
    mean = (p_bsq * energies).sum(2)
    change = mean - now
    unit = float((energies.amax(2) - energies.amin(2)).max()) or 1.0
    spread = (p_bsq * (energies - mean[..., None]) ** 2).sum(2) / unit**2
    left = (total[:, None] + change) / unit
    sums = torch.stack([change.sum(1) / unit, (change / unit * left).sum(1)], 1)
    return sums, torch.stack([spread.sum(1), (spread * left**2).sum(1)], 1)


def _exchanges(flat: Tensor, energies: Tensor, pairs: Tensor, beta: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """The change of the energy by a heat bath of each pair, and the same times the energy that it leaves behind."""
    d_bp = exchange_energies(flat, energies, pairs)
    unit = float(d_bp.abs().max()) if d_bp.numel() else 1.0
    p_bp, d_bp = torch.sigmoid(-beta * d_bp), d_bp / (unit or 1.0)
    change, spread = p_bp * d_bp, p_bp * (1 - p_bp) * d_bp**2
    left = total[:, None] / (unit or 1.0) + change
    sums = torch.stack([change.sum(1), (change * left).sum(1)], 1)
    return sums, torch.stack([spread.sum(1), (spread * left**2).sum(1)], 1)


def _directions(system: AbstractHamiltonian) -> Tensor:
    """The number of the direction of each bond, `(n_bonds,)`; bonds across a boundary have directions of their own."""
    if not system.has_bonds:
        return torch.zeros(0, dtype=torch.int64)
    width = system.shape[1]
    step = torch.stack([system.bonds[:, 1] // width - system.bonds[:, 0] // width, system.bonds[:, 1] % width], 1)
    step[:, 1] -= system.bonds[:, 0] % width
    kinds, group = step.unique(dim=0, return_inverse=True)
    return group if len(kinds) <= MOST_DIRECTIONS else torch.zeros_like(group)
