"""Whether configurations come from a Hamiltonian at a temperature, and what would fit if they do not."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from latticear.estimation.autocorrelation import mean_error
from latticear.estimation.estimates import with_error
from latticear.estimation.exchanges import exchange_energies, exchange_pairs
from latticear.estimation.residuals import (
    BALANCE,
    LIMIT,
    SPREAD,
    Residuals,
    Score,
    conditional_energies,
    residuals_of,
    worst,
)
from latticear.hamiltonians import AbstractHamiltonian

__all__ = ["Consistency", "consistency"]

LIMIT_OF_PARTS = 5.0
"""The limit for the energy balance of parts of the configurations, of which there are many."""

PARTS = (2, 3, 4, 8)
"""Into how many parts the configurations are divided."""

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")

REACH = 2.5
"""The temperatures that are tried lie within this distance of the given one, on a logarithmic scale."""

MOST_SITES = 2**23
"""Number of sites that are examined, about eight seconds' work."""


class Consistency(NamedTuple):
    """The outcome of the check.

    Attributes:
        worst: the largest deviation of an average from zero, in units of its error; 0 if there is too little to check.
        problem: what does not fit; empty if all fits.
        remedy: what would fit.
        balance: the deviation from zero of the energy balance, in units of its error; None if it cannot be judged.
        judged: whether there was enough to check.
        early: whether the first half alone does not fit.
    """

    worst: float
    problem: str = ""
    remedy: str = ""
    balance: float | None = None
    judged: bool = True
    early: bool = False

    @property
    def why(self) -> str:
        """What does not fit, and what would."""
        return "; ".join(filter(None, (self.problem, self.remedy)))


def consistency(
    tokens: Tensor, hamiltonian: AbstractHamiltonian, temperature: float | Tensor, *, most_sites: int = MOST_SITES
) -> Consistency:
    """Check whether configurations belong to a Hamiltonian and a temperature.

    The check is that of `latticear.estimation.residuals`, for all configurations and for parts of them in their order:
    of a mixture the average may fit, but the parts do not, or, where the order is random, the spread of the energies
    does not.

    Args:
        tokens: `(T, R, H, W)` or `(T, R, C, H, W)`, T measurements of R chains.
        hamiltonian: the Hamiltonian.
        temperature: T > 0; or `(T, R)`, that of each configuration.
        most_sites: about so many sites are examined; measurements are left out at equal distances if there are more.
    """
    length, n_chains = tokens.shape[:2]
    step = max(1, length * n_chains * hamiltonian.n_sites // most_sites)
    joined = hamiltonian.join(tokens[::step].flatten(0, 1).cpu()).flatten(1).view(-1, n_chains, hamiltonian.n_sites)
    used = temperature[::step].cpu() if isinstance(temperature, Tensor) else temperature
    with torch.no_grad():
        return _judged(joined, hamiltonian.joint, used)


def _judged(tokens: Tensor, system: AbstractHamiltonian, temperature: float | Tensor) -> Consistency:
    residuals = residuals_of(tokens, system, temperature)
    scores = residuals.scores
    found, balance = worst(scores.values()), scores.get(BALANCE)
    outcome = Consistency(found.errors, balance=None if balance is None else balance.errors, judged=bool(scores))
    if found.normal > LIMIT:
        if worst(score for k, score in scores.items() if k != SPREAD).normal <= LIMIT:
            problem, remedy = _of_spread(scores[SPREAD], isinstance(temperature, Tensor))
            return outcome._replace(problem=problem, remedy=remedy)
        if _late_fits(residuals) and _starts_apart(residuals):
            return outcome._replace(problem=f"the first half of them is {_size(found)}", early=True)
        what = "probabilities of spins" if system.composition is None else "probabilities of exchanges"
        problem = f"{what} are {_size(found)}"
        return outcome._replace(problem=problem, remedy=_what_fits(tokens, system, temperature))
    return _judged_in_parts(tokens, system, temperature, residuals, outcome)


def _judged_in_parts(
    tokens: Tensor,
    system: AbstractHamiltonian,
    temperature: float | Tensor,
    residuals: Residuals,
    outcome: Consistency,
) -> Consistency:
    """The outcome for configurations that fit as a whole, if a part of them does not."""
    for n in PARTS:
        for k in range(n):
            rows = slice(len(tokens) * k // n, len(tokens) * (k + 1) // n)
            found = residuals.part(rows).score(BALANCE)
            outcome = outcome._replace(judged=outcome.judged or found is not None)
            if found is not None and found.normal > LIMIT_OF_PARTS:
                problem = f"of {n} parts of equal length the {ORDINALS[k]} is {_size(found)}"
                some = temperature[rows] if isinstance(temperature, Tensor) else temperature
                remedy = _what_fits(tokens[rows], system, some)
                early = 2 * (k + 1) <= n and _late_fits(residuals)
                return outcome._replace(worst=found.errors, problem=problem, remedy=remedy, early=early)
    return outcome


def _size(score: Score) -> str:
    return f"{score.errors:.3g} errors off" if score.errors < 1e6 else "off, and nothing varies"


def _of_spread(score: Score, several: bool) -> tuple[str, str]:
    """Problem and remedy where the energies alone do not fit."""
    if several:
        problem = "the energies do not go with the temperatures given for each configuration"
        return f"{problem} ({score.errors:.3g} errors off)", "check their order"
    if score.sign < 0:
        problem = f"the energies spread more widely than at one temperature ({score.errors:.3g} errors off)"
        return problem, "several temperatures seem to be mixed; their average fits, and no single one does"
    problem = f"the energies spread less widely than at one temperature ({score.errors:.3g} errors off)"
    return problem, "the configurations seem to be a selection, or of another ensemble"


def _what_fits(tokens: Tensor, system: AbstractHamiltonian, temperature: float | Tensor) -> str:
    """The temperature at which configurations fit, if there is one."""
    nothing = "no temperature fits: check couplings, field, boundary, and which number is which spin"
    found = _fitted_factor(tokens, system, temperature)
    if found is not None:
        scores = residuals_of(tokens, system, temperature * found[0]).scores
        if worst(scores.values()).normal <= LIMIT:
            return f"it would fit {_multiple(temperature, *found)}, or another coupling or field"
        spread = scores.get(SPREAD)
        if spread is not None and spread.normal > LIMIT and spread.sign < 0:
            nothing += ", or whether several temperatures are mixed: the energies spread widely"
    found = _fitted_factor(tokens, system, temperature * -1.0)
    if found is not None and _fits(tokens, system, temperature * -found[0]):
        return f"{nothing}; with couplings and fields of the other sign {_multiple(temperature, *found)} would"
    if _fits(tokens, system, temperature * 1e9):
        return f"{nothing}; these seem to be random spins, as at infinite temperature"
    return nothing


def _fits(tokens: Tensor, system: AbstractHamiltonian, temperature: float | Tensor) -> bool:
    return worst(residuals_of(tokens, system, temperature).scores.values()).normal <= LIMIT


def _multiple(temperature: float | Tensor, factor: float, error: float) -> str:
    """A multiple of the temperature, in words."""
    if isinstance(temperature, Tensor):
        return f"temperatures that are {with_error(factor, error)} times as high"
    return f"T = {with_error(temperature * factor, temperature * error)}"


def _late_fits(residuals: Residuals) -> bool:
    late = residuals.part(slice(len(residuals.series) // 2, None))
    return worst(late.scores.values()).normal <= LIMIT


def _starts_apart(residuals: Residuals) -> bool:
    """Whether what does not fit lies in the first half, rather than in both halves alike."""
    half = len(residuals.series) // 2
    early, late = (np.abs(part.mean((0, 1))) for part in (residuals.series[:half], residuals.series[half:]))
    sums = early + late
    return bool(late[sums.argmax()] < early[sums.argmax()] / 3)


def _fitted_factor(tokens: Tensor, system: AbstractHamiltonian, guess: float | Tensor) -> tuple[float, float] | None:
    """The factor on the temperature with which a heat bath leaves the average energy unchanged, with its error."""
    length, n_chains, n_sites = tokens.shape
    step = max(1, length * n_chains * n_sites * system.n_tokens // MOST_SITES)
    some = tokens[::step]
    beta = 1 / (guess[::step] if isinstance(guess, Tensor) else torch.tensor(guess, dtype=torch.float64))
    flat = some.reshape(-1, n_sites)
    energies = conditional_energies(flat, system)
    of_exchanges = None
    if system.composition is not None:
        of_exchanges = exchange_energies(flat, energies, exchange_pairs(system))
        beta_b1 = beta.expand(len(some), n_chains).reshape(-1, 1)
    now = energies.gather(2, flat.long()[..., None])[..., 0]
    scaled = energies * beta.expand(len(some), n_chains).reshape(-1, 1, 1)

    def changes(factor: float) -> Tensor:
        if of_exchanges is not None:
            return (torch.sigmoid(-of_exchanges * beta_b1 / factor) * of_exchanges).sum(1)
        return (((-scaled / factor).softmax(2) * energies).sum(2) - now).sum(1)

    def change(log_factor: float) -> float:
        return float(changes(math.exp(log_factor)).mean())

    if change(-REACH) * change(REACH) >= 0:
        return None
    root = math.exp(brentq(change, -REACH, REACH, xtol=1e-6))
    slope = (change(math.log(root) + 1e-3) - change(math.log(root) - 1e-3)) / (2e-3 * root)
    return root, mean_error(changes(root).view(len(some), n_chains).numpy())[1] / abs(slope)
