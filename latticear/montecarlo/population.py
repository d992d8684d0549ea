"""Population annealing: islands of replicas that are cooled, weighed and resampled step by step.

Index suffixes: r island, p replica of an island.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from latticear.arguments import check_integer, check_seed
from latticear.hamiltonians.base import AbstractHamiltonian, check_temperature
from latticear.montecarlo.heatbath import heat_bath
from latticear.montecarlo.resampling import effective_fraction, systematic
from latticear.random_numbers import generator
from latticear.samples import Samples, token_dtype

__all__ = ["MAX_ISLANDS", "NAME", "Population", "anneal", "annealed_population", "equally_weighted", "families"]

NAME = "population-annealing"
"""As the command line and provenance call it."""
MAX_ISLANDS = 32
"""By default."""
MIN_REPLICAS = 10
"""On an island."""
N_PILOT = 1000


class Population:
    """Islands of replicas at one inverse temperature, 0 to begin with.

    Attributes:
        tokens: `(R P, H, W)`.
        energy: float64 `(R, P)`.
        log_z: float64 `(R,)`; exp of it is each island's estimate of Z, without bias for any schedule that is not
            chosen by the same replicas.
        origin: int64 `(R P,)`, which of the first replicas each one descends from.
        beta: of all.

    References:
        K. Hukushima and Y. Iba, AIP Conf. Proc. 690 (2003) 200; J. Machta, Phys. Rev. E 82 (2010) 026704, eqs. 4-7.
    """

    def __init__(
        self, hamiltonian: AbstractHamiltonian, size: tuple[int, int], rng: np.random.Generator, device: torch.device
    ) -> None:
        n, q = math.prod(size), hamiltonian.n_tokens
        self._rng = rng
        self.beta = 0.0
        zeros = torch.zeros(n, *hamiltonian.shape, dtype=token_dtype(q), device=device)
        self._replicas = heat_bath(hamiltonian, zeros, rng)
        # At infinite temperature all tokens are drawn afresh.
        self._replicas.sweep(torch.zeros(n, dtype=torch.float64, device=device))
        self.energy = self._replicas.energies().view(size)
        self.log_z = torch.full_like(self.energy[:, 0], hamiltonian.n_sites * math.log(q))
        self.origin = torch.arange(n, device=device)

    def cool(self, beta: float, n_sweeps: int) -> None:
        """Go to another inverse temperature: weigh and resample the replicas, then sweep them there."""
        log_w = (self.beta - beta) * self.energy
        self.log_z = self.log_z + log_w.logsumexp(1) - math.log(log_w.shape[1])
        lots = torch.from_numpy(self._rng.random(len(log_w))).to(log_w)
        rows = systematic(log_w, lots, torch.ones_like(lots, dtype=torch.bool))
        self._replicas.take(rows)
        self.origin, self.beta = self.origin[rows], beta
        for _ in range(n_sweeps):
            self._replicas.sweep(torch.full(rows.shape, beta, dtype=torch.float64, device=rows.device))
        self.energy = self._replicas.energies().view_as(self.energy)

    @property
    def tokens(self) -> Tensor:
        return self._replicas.tokens()


def families(origin: Tensor) -> tuple[float, float]:
    """`(rho_t, rho_s)`: mean square family size, and n over the exponential of the families' entropy; 1 at first.

    Args:
        origin: int64 `(n,)`, which of the first n replicas each one descends from.

    References:
        W. Wang, J. Machta and H. G. Katzgraber, Phys. Rev. E 92 (2015) 063307, section II.
    """
    n = len(origin)
    share = origin.bincount(minlength=n).double() / n
    return float(n * share.square().sum()), float(n * torch.special.entr(share).sum().neg().exp())


def anneal(
    population: Population, betas: list[float], n_sweeps: int, report: Callable[[int, int], None] | None = None
) -> None:
    """Cool a population through inverse temperatures, from the first above 0 to that of the target."""
    for k, beta in enumerate(betas):
        population.cool(beta, n_sweeps)
        if report is not None:
            report(k + 1, len(betas))


def annealed_population(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    n_islands: int | None = None,
    n_sweeps: int = 10,
    overlap: float = 0.9,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, int], None] | None = None,
) -> Samples:
    """Islands of replicas cooled from infinite temperature to T, with their weights.

    Each step to a lower temperature weighs the replicas of an island by `exp(-(beta' - beta) E)`, resamples them
    (systematically, to their old number) and makes heat-bath sweeps. The product of the steps' mean weights is an
    estimate of Z without bias. The temperatures are those at which the weights of a pilot population, with a random
    stream of its own, keep an ESS of `overlap`; those of the run itself are then fixed, for a schedule that looked at
    its replicas would bias Z.

    Args:
        hamiltonian: any.
        temperature: T > 0 of the target.
        n: replicas of all islands together, rounded down to a multiple of their number.
        n_islands: by default 32, or one for each 10 replicas if that is less.
        n_sweeps: after each step.
        overlap: ESS of the weights of a step, in (0, 1): nearer to 1 means more temperatures.
        seed: of all of it.
        device: where the replicas live.
        report: called with the number of temperatures that are done, and that of all.

    Returns:
        All replicas, island by island. `records` has `log_w`, the ln Z of a replica's island, and `ancestor`, which of
        the first replicas it descends from: `la.estimation.estimate_population` needs both. They are not equally
        probable before `equally_weighted`.

    Raises:
        ValueError: for a number out of range, or fewer than 10 replicas on an island.
    """
    temperature, seed = check_temperature(temperature), check_seed(seed)
    size, n_sweeps = _size(n, n_islands), check_integer("n_sweeps", n_sweeps, least=1)
    if not 0 < overlap < 1:
        raise ValueError(f"overlap must lie between 0 and 1, got {overlap!r}")
    where, joint = torch.device(device), hamiltonian.joint
    pilot = Population(joint, (1, N_PILOT), generator(seed, "annealing pilot"), where)
    betas = _schedule(pilot, 1 / temperature, n_sweeps, overlap)
    population = Population(joint, size, generator(seed, "annealing"), where)
    anneal(population, betas, n_sweeps, report)
    plan = {"n_islands": size[0], "n_replicas": math.prod(size), "n_sweeps": n_sweeps, "n_temperatures": len(betas)}
    return Samples(
        hamiltonian.split(population.tokens),
        None,
        seed,
        provenance={"method": NAME, **plan, "temperature": temperature},
        records={"log_w": population.log_z.repeat_interleave(size[1]), "ancestor": population.origin},
    )


def equally_weighted(samples: Samples) -> Samples:
    """As many of the configurations, resampled by the weights that they carry, `records["log_w"]`, in any order.

    They are not independent: some are there several times, and those of a family are related.
    """
    rng = generator(samples.seed, "annealing weights")
    log_w = samples.records["log_w"].view(1, -1)
    lot = torch.from_numpy(rng.random(1)).to(log_w)
    rows = systematic(log_w, lot, torch.ones_like(lot, dtype=torch.bool))
    chosen = rows[torch.from_numpy(rng.permutation(len(rows))).to(rows.device)]
    return replace(samples, tokens=samples.tokens[chosen], records={})


def _schedule(pilot: Population, target: float, n_sweeps: int, overlap: float) -> list[float]:
    """Inverse temperatures at which the weights of the pilot's replicas have the ESS asked for."""
    betas: list[float] = []
    while not betas or betas[-1] < target:
        betas.append(_next(pilot, target, overlap))
        pilot.cool(betas[-1], n_sweeps)
    return betas


def _next(pilot: Population, target: float, overlap: float) -> float:
    energy = pilot.energy[0]

    def excess(beta: float) -> float:
        return float(effective_fraction((pilot.beta - beta) * energy)) - overlap

    if excess(target) >= 0:
        return target
    return float(brentq(excess, pilot.beta, target, rtol=1e-6))  # the ESS falls all the way


def _size(n: int, n_islands: int | None) -> tuple[int, int]:
    """Islands, and replicas of each."""
    n = check_integer("n", n, least=MIN_REPLICAS)
    n_islands = check_integer("n_islands", n_islands, least=1, default=min(MAX_ISLANDS, n // MIN_REPLICAS))
    if n < MIN_REPLICAS * n_islands:
        raise ValueError(f"{n_islands} islands need at least {MIN_REPLICAS * n_islands} replicas, got n = {n}")
    return n_islands, n // n_islands
