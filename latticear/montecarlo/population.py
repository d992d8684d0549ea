"""Population annealing: islands of replicas that are cooled, weighted and resampled step by step.

An island is a group of replicas that is never mixed with others. Index suffixes: r island, p replica of an island.
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
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature, check_unrestricted
from latticear.montecarlo.heatbath import heat_bath
from latticear.montecarlo.resampling import effective_fraction, systematic
from latticear.processes import ALONE, Processes, Share
from latticear.random_numbers import generator
from latticear.samples import Samples, token_dtype
from latticear.threads import wait_passively

__all__ = ["MAX_ISLANDS", "NAME", "Population", "anneal", "annealed_population", "equally_weighted", "families"]

NAME = "population-annealing"
"""Name of the method on the command line and in provenance."""
MAX_ISLANDS = 32
"""Default number of islands, if there are enough replicas."""
MIN_REPLICAS = 10
"""Smallest number of replicas on an island."""
N_PILOT = 1000
"""Number of replicas of the pilot run that chooses the temperatures."""


class Population:
    """Islands of replicas at a common inverse temperature, which is 0 initially.

    Several processes divide the islands; each has generators of the same state, and R is the number of its own islands.

    Attributes:
        share: which of all replicas these are.
        islands: which of all islands these are.
        tokens: `(R P, H, W)`.
        energy: float64 `(R, P)`.
        log_z: float64 `(R,)`; `exp(log_z)` is each island's estimate of Z, which is unbiased if the temperatures were
            not chosen from the energies of the same replicas.
        origin: int64 `(R P,)`, index of the initial replica from which each replica descends.
        beta: inverse temperature of all replicas.

    References:
        K. Hukushima and Y. Iba, AIP Conf. Proc. 690 (2003) 200; J. Machta, Phys. Rev. E 82 (2010) 026704, eqs. 4-7.
    """

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        size: tuple[int, int],
        rng: np.random.Generator,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        wait_passively()
        self.islands, per_island = processes.share(size[0]), size[1]
        rows = slice(self.islands.rows.start * per_island, self.islands.rows.stop * per_island)
        self.share = Share(math.prod(size), rows, processes)
        n, q = len(self.share), hamiltonian.n_tokens
        self._rng = rng
        self.beta = 0.0
        zeros = torch.zeros(n, *hamiltonian.shape, dtype=token_dtype(q), device=device)
        self._replicas = heat_bath(hamiltonian, zeros, rng, self.share)
        # A sweep at infinite temperature draws all tokens uniformly.
        self._replicas.sweep(torch.zeros(n, dtype=torch.float64, device=device))
        self.energy = self._replicas.energies().view(len(self.islands), per_island)
        self.log_z = torch.full_like(self.energy[:, 0], hamiltonian.n_sites * math.log(q))
        self.origin = torch.arange(rows.start, rows.stop, device=device)

    def cool(self, beta: float, n_sweeps: int) -> None:
        """Change the inverse temperature: weight and resample the replicas, then sweep them at the new temperature."""
        log_w = (self.beta - beta) * self.energy
        self.log_z = self.log_z + log_w.logsumexp(1) - math.log(log_w.shape[1])
        lots = torch.from_numpy(self._rng.random(self.islands.n)[self.islands.rows]).to(log_w)
        rows = systematic(log_w, lots, torch.ones_like(lots, dtype=torch.bool))
        self._replicas.take(rows, self.share)
        self.origin, self.beta = self.origin[rows], beta
        for _ in range(n_sweeps):
            self._replicas.sweep(torch.full(rows.shape, beta, dtype=torch.float64, device=rows.device))
        self.energy = self._replicas.energies().view_as(self.energy)

    @property
    def tokens(self) -> Tensor:
        return self._replicas.tokens()


def families(origin: Tensor) -> tuple[float, float]:
    """Measures of the family sizes, `(rho_t, rho_s)`; n divided by either is an effective number of families.

    A family is the set of all replicas that descend from one initial replica. rho_t is the mean square family size
    `n sum_f p_f^2`, where p_f is the share of family f in the population; rho_s is n divided by the exponential of the
    entropy, `n exp(sum_f p_f ln p_f)`. Both are 1 initially.

    Args:
        origin: int64 `(n,)`, index of the initial replica from which each of the n replicas descends.

    References:
        W. Wang, J. Machta and H. G. Katzgraber, Phys. Rev. E 92 (2015) 063307, section II.
    """
    n = len(origin)
    share = origin.bincount(minlength=n).double() / n
    return float(n * share.square().sum()), float(n * torch.special.entr(share).sum().neg().exp())


def anneal(
    population: Population, betas: list[float], n_sweeps: int, report: Callable[[int, int], None] | None = None
) -> None:
    """Cool a population through the given inverse temperatures, in rising order up to that of the target."""
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
    processes: Processes = ALONE,
) -> Samples:
    """Islands of replicas cooled from infinite temperature to T, with their weights.

    Each step to a lower temperature weights the replicas of an island by `exp(-(beta' - beta) E)`, resamples them
    (systematically, to the same number of replicas) and makes heat-bath sweeps. The product of the mean weights of all
    steps and of Z at infinite temperature is an unbiased estimate of Z. The temperatures are chosen in a pilot run of
    1000 replicas with its own random numbers, so that the weights of each step have an ESS of `overlap`. They are fixed
    before the main run, because temperatures chosen from its own energies would bias Z.

    Args:
        hamiltonian: any Hamiltonian.
        temperature: temperature T > 0 of the target.
        n: total number of replicas, rounded down to a multiple of the number of islands.
        n_islands: number of islands; by default 32, or one for each 10 replicas if that is less.
        n_sweeps: heat-bath sweeps after each temperature step.
        overlap: ESS of the weights of each temperature step, in (0, 1); larger values give more temperatures.
        seed: seed of all random numbers of the simulation.
        device: device of the replicas.
        report: function called after each temperature with the number of temperatures done and their total number.
        processes: the processes that divide the islands, by number; each makes this call with the same arguments and
            gets all replicas, which do not depend on how many processes there are.

    Returns:
        All replicas, island by island. `records` has `log_w`, the ln Z of the island of each replica, and `ancestor`,
        the index of the initial replica from which it descends; `la.estimation.estimate_population` needs both.
        Replicas of different islands have different weights; `equally_weighted` resamples them.

    Raises:
        ValueError: for a number out of range, or fewer than 10 replicas on an island.
    """
    check_is_hamiltonian(hamiltonian)
    check_unrestricted(hamiltonian, "population annealing", "la.monte_carlo")
    temperature, seed = check_temperature(temperature), check_seed(seed)
    size, n_sweeps = _size(n, n_islands), check_integer("n_sweeps", n_sweeps, least=1)
    if not 0 < overlap < 1:
        raise ValueError(f"overlap must lie between 0 and 1, got {overlap!r}")
    where, joint = torch.device(device), hamiltonian.joint
    pilot = Population(joint, (1, N_PILOT), generator(seed, "annealing pilot"), where)
    betas = _schedule(pilot, 1 / temperature, n_sweeps, overlap)
    population = Population(joint, size, generator(seed, "annealing"), where, processes)
    anneal(population, betas, n_sweeps, report)
    plan = {"n_islands": size[0], "n_replicas": math.prod(size), "n_sweeps": n_sweeps, "n_temperatures": len(betas)}
    return Samples(
        hamiltonian.split(population.share.joined(population.tokens)),
        None,
        seed,
        provenance={"method": NAME, **plan, "temperature": temperature},
        records={
            "log_w": population.islands.joined(population.log_z).repeat_interleave(size[1]),
            "ancestor": population.share.joined(population.origin),
        },
    )


def equally_weighted(samples: Samples) -> Samples:
    """Resample configurations by their weights, `records["log_w"]`: an equal number of them in random order.

    The configurations are not independent: some occur several times, and those of a family have a common ancestor.
    """
    rng = generator(samples.seed, "annealing weights")
    log_w = samples.records["log_w"].view(1, -1)
    lot = torch.from_numpy(rng.random(1)).to(log_w)
    rows = systematic(log_w, lot, torch.ones_like(lot, dtype=torch.bool))
    chosen = rows[torch.from_numpy(rng.permutation(len(rows))).to(rows.device)]
    return replace(samples, tokens=samples.tokens[chosen], records={})


def _schedule(pilot: Population, target: float, n_sweeps: int, overlap: float) -> list[float]:
    """Inverse temperatures up to the target; between neighbours the weights of the pilot run have the ESS `overlap`."""
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
    return float(brentq(excess, pilot.beta, target, rtol=1e-6))  # the ESS decreases with beta


def _size(n: int, n_islands: int | None) -> tuple[int, int]:
    """The number of islands, and the number of replicas on each island."""
    n = check_integer("n", n, least=MIN_REPLICAS)
    n_islands = check_integer("n_islands", n_islands, least=1, default=min(MAX_ISLANDS, n // MIN_REPLICAS))
    if n < MIN_REPLICAS * n_islands:
        raise ValueError(f"{n_islands} islands need at least {MIN_REPLICAS * n_islands} replicas, got n = {n}")
    return n_islands, n // n_islands
