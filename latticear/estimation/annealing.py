"""Observables and free energies by population annealing, with errors from the spread between islands."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import torch

from latticear.arguments import check_integer
from latticear.deprecated import renamed_keywords
from latticear.estimation.completion import complete
from latticear.estimation.estimates import Estimates
from latticear.estimation.islands import MIN_ISLANDS, island_estimates
from latticear.estimation.measurement import Measurement, measurements
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.pairs.listening import refuse_pairs
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.estimation.simulated import Simulated
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.montecarlo.population import MIN_REPLICAS, NAME, annealed_population, equally_weighted, families
from latticear.samples import Samples

__all__ = ["estimate_population", "population_annealing"]

MIN_FAMILIES = 10
"""Smallest effective number of families on an island for which the spread between islands is a reliable error."""


def estimate_population(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
) -> Estimates:
    """Observables and the free energy from islands of replicas that were cooled together.

    A family is the set of all replicas that descend from one initial replica; its members are not independent. An
    island is a group of replicas that is never mixed with others, so that islands are independent: ln Z is the
    logarithm of the mean of the islands' estimates of Z, observables are averages over islands weighted by these
    estimates, and error bars come from the spread between islands (delta method; `jackknife_error` leaves one island
    out at a time). `(value - exact) / error` follows Student's t distribution, and its number of degrees of freedom is
    the number of islands minus one. The spread does not show states that no replica has reached. The family sizes give
    the number of independent replicas; an error that depends on fewer than 30 rare events among these stays
    unchecked.

    Args:
        samples: samples made by `la.montecarlo.annealed_population`.
        hamiltonian, temperature: Hamiltonian and temperature with which the population was simulated.
        observables, exact: as in `estimate`.

    Returns:
        The quantities that `estimate` returns, except pareto_k. `ess` is the fraction of n that independent samples
        with equal weights would need for the same error of Z. `diagnostics` has the ESS over islands, the number of
        temperatures, and the family measures `rho_t` and `rho_s` (see `latticear.montecarlo.population.families`): n
        divided by either is an effective number of families.

    Raises:
        ValueError: if the samples were made by another method, or on fewer than 10 islands.
    """
    temperature = check_temperature(temperature)
    request = Request.of(observables, hamiltonian)
    refuse_pairs(request, "population annealing")
    source = "la.montecarlo.annealed_population"
    population = Simulated(samples, hamiltonian, temperature, method=NAME, needs="log_w", source=source)
    parts: list[Measurement] = []
    log_w, ancestors = [], []
    for batch in population:
        parts += measurements(batch, hamiltonian, [temperature], request)
        log_w.append(batch.records["log_w"])
        ancestors.append(batch.records["ancestor"])
    n_islands = check_integer("n_islands", population.provenance["n_islands"], least=MIN_ISLANDS)
    log_w_rp = torch.cat(log_w).view(n_islands, -1)
    rho_t, rho_s = families(torch.cat(ancestors))
    n_families, n_replicas = log_w_rp.shape[1] / rho_t, log_w_rp.shape[1]
    reasons = []
    if n_families < MIN_FAMILIES:
        reasons.append(
            f"only {n_families:.2g} families (descendants of one initial replica) are left on an island of "
            f"{n_replicas} replicas: use more replicas or sweeps"
        )
    known = reference(exact, hamiltonian, temperature)
    result = island_estimates(
        log_w_rp.cpu().numpy(),
        parts,
        hamiltonian.n_sites,
        temperature,
        known,
        method=None,
        diagnostics={"n_temperatures": float(population.provenance["n_temperatures"]), "rho_t": rho_t, "rho_s": rho_s},
        reasons=reasons,
        related=rho_t,
    )
    complete(result, hamiltonian, request, known).warn()
    return result


@renamed_keywords(n_replicas="n")
def population_annealing(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    n_islands: int | None = None,
    n_sweeps: int = 10,
    overlap: float = 0.9,
    seed: int = 0,
    device: str = "cpu",
    observables: Observables | None = None,
    exact: Exact = AUTO,
    report: Callable[[int, int], None] | None = None,
    each: Callable[[Samples], object] | None = None,
) -> Estimates:
    """Observables and the free energy by cooling populations of replicas step by step.

    Calls `la.montecarlo.annealed_population`, whose docstring describes the method, and then `estimate_population`,
    whose docstring describes the errors.

    Args:
        hamiltonian: any Hamiltonian.
        temperature: temperature T > 0 of the target.
        n: total number of replicas, rounded down to a multiple of the number of islands.
        n_islands: number of islands, at least 10; by default 32, or one for each 10 replicas if that is less.
        n_sweeps: heat-bath sweeps after each temperature step.
        overlap: ESS of the weights of each temperature step, in (0, 1); larger values give more temperatures.
        seed: seed of all random numbers of the simulation.
        device: device of the replicas.
        observables, exact: as in `estimate`.
        report: function called after each temperature with the number of temperatures done and their total number.
        each: deprecated; function called with the configurations of `la.montecarlo.equally_weighted`.

    Returns:
        Estimates as `estimate_population` returns them.

    Raises:
        ValueError: for a number out of range, fewer than 10 islands, or fewer than 10 replicas on each island.

    References:
        K. Hukushima and Y. Iba, AIP Conf. Proc. 690 (2003) 200; J. Machta, Phys. Rev. E 82 (2010) 026704; adaptive
        steps: L. Barash, M. Weigel, M. Borovsky, W. Janke and L. Shchur, Comput. Phys. Commun. 220 (2017) 341.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4), coupling=-1.0, field=0.5)
        >>> estimates = la.population_annealing(ising, 1.5, n=3200)
        >>> abs(estimates["log_z"].value - la.exact.enumerate_states(ising, 1.5).log_z) < 4 * estimates["log_z"].error
        True
    """
    n = check_integer("n", n, least=MIN_ISLANDS * MIN_REPLICAS)
    if n_islands is not None:
        n_islands = check_integer("n_islands", n_islands, least=MIN_ISLANDS)
    if each is not None:
        instead = "la.montecarlo.annealed_population and la.montecarlo.equally_weighted"
        message = f"the argument `each` will be removed; get the configurations from {instead}"
        warnings.warn(message, DeprecationWarning, stacklevel=3)
    samples = annealed_population(
        hamiltonian,
        temperature,
        n=n,
        n_islands=n_islands,
        n_sweeps=n_sweeps,
        overlap=overlap,
        seed=seed,
        device=device,
        report=report,
    )
    if each is not None:
        each(equally_weighted(samples))
    return estimate_population(samples, hamiltonian, temperature, observables=observables, exact=exact)
