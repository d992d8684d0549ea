"""Population annealing: many replicas cooled together from infinite temperature, resampled at every step.

Index suffixes: r island, p replica of an island.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from latticear.arguments import check_integer
from latticear.estimation.estimates import Estimates
from latticear.estimation.islands import MIN_ISLANDS, island_estimates
from latticear.estimation.measurement import Observable, measurements
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.montecarlo.population import Population, anneal
from latticear.montecarlo.resampling import systematic
from latticear.random_numbers import random_stream
from latticear.samples import Samples

__all__ = ["MAX_ISLANDS", "NAME", "population_annealing"]

NAME = "population-annealing"
"""As the command line and provenance call it."""
MAX_ISLANDS = 32
"""By default."""
MIN_REPLICAS = 10
"""On an island."""
N_PILOT = 1000
MIN_FAMILIES = 10
"""Effective number on an island; fewer, and no spread tells what the others would have found."""


def population_annealing(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n_replicas: int,
    n_islands: int | None = None,
    n_sweeps: int = 10,
    overlap: float = 0.9,
    seed: int = 0,
    device: str = "cpu",
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
    report: Callable[[int, int], None] | None = None,
    each: Callable[[Samples], object] | None = None,
) -> Estimates:
    """Observables and the free energy by cooling populations of replicas step by step.

    Each step to a lower temperature weighs the replicas of an island by `exp(-(beta' - beta) E)`, resamples them
    (systematically, to their old number) and makes heat-bath sweeps. The product of the steps' mean weights is an
    estimate of Z without bias. The temperatures are those at which the weights of a pilot population, with a random
    stream of its own, keep an ESS of `overlap`; those of the run itself are then fixed, for a schedule that looked at
    its replicas would bias Z.

    Replicas of one family are not independent. Islands never meet: ln Z is the logarithm of the mean of the islands' Z,
    observables are averages over islands weighted by their Z, and error bars come from the spread between islands
    (delta method; `jackknife_error` leaves one out at a time): `(value - exact) / error` follows Student's t with as
    many degrees of freedom as there are islands, less one. What no replica has found no spread can tell; the families
    say how many independent ones are left, and fewer than ten rare events among them make an error unreliable.

    Args:
        hamiltonian: any.
        temperature: T > 0 of the target.
        n_replicas: of all islands together, rounded down to a multiple of their number.
        n_islands: at least 10; by default 32, or one for each 10 replicas if that is less.
        n_sweeps: after each step.
        overlap: ESS of the weights of a step, in (0, 1): nearer to 1 means more temperatures.
        seed: of all of it.
        device: where the replicas live.
        observables, exact: as in `estimate`.
        report: called with the number of temperatures that are done, and that of all.
        each: called with `Samples` of all n configurations at the target temperature. They have equal weights, the
            islands being resampled by their Z, and are shuffled, but not independent: families are related.

    Returns:
        As `estimate`, without pareto_k. `ess` is the fraction of n that independent samples with equal weights would
        need for the same error of Z. `diagnostics` has the ESS over islands, the number of temperatures, and `rho_t`
        and `rho_s` of the families: n over them is how many count.

    Raises:
        ValueError: for a number out of range, fewer than 10 islands, or 10 replicas on each.

    References:
        K. Hukushima and Y. Iba, AIP Conf. Proc. 690 (2003) 200; J. Machta, Phys. Rev. E 82 (2010) 026704; adaptive
        steps: L. Barash, M. Weigel, M. Borovsky, W. Janke and L. Shchur, Comput. Phys. Commun. 220 (2017) 341.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4), coupling=-1.0, field=0.5)
        >>> estimates = la.population_annealing(ising, 1.5, n_replicas=3200)
        >>> abs(estimates["log_z"].value - la.exact.enumerate_states(ising, 1.5).log_z) < 4 * estimates["log_z"].error
        True
    """
    temperature, seed = check_temperature(temperature), check_integer("seed", seed, least=0)
    size, n_sweeps = _size(n_replicas, n_islands), check_integer("n_sweeps", n_sweeps, least=1)
    if not 0 < overlap < 1:
        raise ValueError(f"overlap must lie between 0 and 1, got {overlap!r}")
    where, joint = torch.device(device), hamiltonian.joint
    pilot = Population(joint, (1, N_PILOT), _random(seed, "annealing pilot"), where)
    betas = _schedule(pilot, 1 / temperature, n_sweeps, overlap)
    population = Population(joint, size, _random(seed, "annealing"), where)
    anneal(population, betas, n_sweeps, report)
    samples = Samples(hamiltonian.split(population.tokens), None, seed)
    parts = list(measurements(samples, hamiltonian, [temperature], observables))
    rho_t, rho_s = population.families
    n_families = size[1] / rho_t
    reasons = []
    if n_families < MIN_FAMILIES:
        reasons.append(f"only {n_families:.2g} families are left on an island of {size[1]}: more replicas or sweeps")
    result = island_estimates(
        population.log_z[:, None].expand(size).cpu().numpy(),
        parts,
        hamiltonian.n_sites,
        temperature,
        exact,
        method=None,
        diagnostics={"n_temperatures": float(len(betas)), "rho_t": rho_t, "rho_s": rho_s},
        reasons=reasons,
        related=rho_t,
    )
    if each is not None:
        plan = {"n_islands": size[0], "n_replicas": math.prod(size), "n_sweeps": n_sweeps, "n_temperatures": len(betas)}
        origin = {"method": NAME, **plan, "temperature": temperature}
        each(Samples(hamiltonian.split(_equal_weights(population, seed)), None, seed, provenance=origin))
    result.warn()
    return result


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
        log_w = (pilot.beta - beta) * energy
        return float((2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()) / len(energy) - overlap

    if excess(target) >= 0:
        return target
    return float(brentq(excess, pilot.beta, target, rtol=1e-6))  # the ESS falls all the way


def _equal_weights(population: Population, seed: int) -> Tensor:
    """All configurations, islands resampled by their Z, in any order: tokens `(R P, H, W)`."""
    rng = _random(seed, "annealing weights")
    log_w = population.log_z[:, None].expand_as(population.energy).reshape(1, -1)
    lot = torch.from_numpy(rng.random(1)).to(log_w)
    rows = systematic(log_w, lot, torch.ones_like(lot, dtype=torch.bool))
    return population.tokens[rows[torch.from_numpy(rng.permutation(len(rows))).to(rows.device)]]


def _size(n_replicas: int, n_islands: int | None) -> tuple[int, int]:
    """Islands, and replicas of each."""
    n = check_integer("n_replicas", n_replicas, least=MIN_ISLANDS * MIN_REPLICAS)
    default = max(MIN_ISLANDS, min(MAX_ISLANDS, n // MIN_REPLICAS))
    n_islands = check_integer("n_islands", n_islands, least=MIN_ISLANDS, default=default)
    if n < MIN_REPLICAS * n_islands:
        raise ValueError(f"{n_islands} islands need at least {MIN_REPLICAS * n_islands} replicas, got n_replicas = {n}")
    return n_islands, n // n_islands


def _random(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(random_stream(seed, purpose))
