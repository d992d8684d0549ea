"""Observables and free energies by population annealing, with errors from the spread between islands."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping

import torch

from latticear.arguments import check_integer
from latticear.deprecated import renamed_keywords
from latticear.estimation.estimates import Estimates
from latticear.estimation.islands import MIN_ISLANDS, island_estimates
from latticear.estimation.measurement import Measurement, Observable, measurements
from latticear.estimation.simulated import Simulated
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.montecarlo.population import MIN_REPLICAS, NAME, annealed_population, equally_weighted, families
from latticear.samples import Samples

__all__ = ["estimate_population", "population_annealing"]

MIN_FAMILIES = 10
"""Effective number on an island; fewer, and no spread tells what the others would have found."""


def estimate_population(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
) -> Estimates:
    """Observables and the free energy from islands of replicas that were cooled together.

    Replicas of one family are not independent. Islands never meet: ln Z is the logarithm of the mean of the islands' Z,
    observables are averages over islands weighted by their Z, and error bars come from the spread between islands
    (delta method; `jackknife_error` leaves one out at a time): `(value - exact) / error` follows Student's t with as
    many degrees of freedom as there are islands, less one. What no replica has found no spread can tell; the families
    say how many independent ones are left, and fewer than ten rare events among them make an error unreliable.

    Args:
        samples: of `la.montecarlo.annealed_population`.
        hamiltonian, temperature: those of the population.
        observables, exact: as in `estimate`.

    Returns:
        As `estimate`, without pareto_k. `ess` is the fraction of n that independent samples with equal weights would
        need for the same error of Z. `diagnostics` has the ESS over islands, the number of temperatures, and `rho_t`
        and `rho_s` of the families: n over them is how many count.

    Raises:
        ValueError: for other samples, or fewer than 10 islands.
    """
    temperature = check_temperature(temperature)
    source = "la.montecarlo.annealed_population"
    population = Simulated(samples, temperature, method=NAME, needs="log_w", source=source)
    parts: list[Measurement] = []
    log_w, ancestors = [], []
    for batch in population:
        parts += measurements(batch, hamiltonian, [temperature], observables)
        log_w.append(batch.records["log_w"])
        ancestors.append(batch.records["ancestor"])
    n_islands = check_integer("n_islands", population.provenance["n_islands"], least=MIN_ISLANDS)
    log_w_rp = torch.cat(log_w).view(n_islands, -1)
    rho_t, rho_s = families(torch.cat(ancestors))
    n_families, n_replicas = log_w_rp.shape[1] / rho_t, log_w_rp.shape[1]
    reasons = []
    if n_families < MIN_FAMILIES:
        reasons.append(f"only {n_families:.2g} families are left on an island of {n_replicas}: more replicas or sweeps")
    result = island_estimates(
        log_w_rp.cpu().numpy(),
        parts,
        hamiltonian.n_sites,
        temperature,
        exact,
        method=None,
        diagnostics={"n_temperatures": float(population.provenance["n_temperatures"]), "rho_t": rho_t, "rho_s": rho_s},
        reasons=reasons,
        related=rho_t,
    )
    result.warn()
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
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
    report: Callable[[int, int], None] | None = None,
    each: Callable[[Samples], object] | None = None,
) -> Estimates:
    """Observables and the free energy by cooling populations of replicas step by step.

    `la.montecarlo.annealed_population`, then `estimate_population`: there are the method and the errors.

    Args:
        hamiltonian: any.
        temperature: T > 0 of the target.
        n: replicas of all islands together, rounded down to a multiple of their number.
        n_islands: at least 10; by default 32, or one for each 10 replicas if that is less.
        n_sweeps: after each step.
        overlap: ESS of the weights of a step, in (0, 1): nearer to 1 means more temperatures.
        seed: of all of it.
        device: where the replicas live.
        observables, exact: as in `estimate`.
        report: called with the number of temperatures that are done, and that of all.
        each: deprecated; called with the configurations of `la.montecarlo.equally_weighted`.

    Returns:
        As `estimate_population`.

    Raises:
        ValueError: for a number out of range, fewer than 10 islands, or 10 replicas on each.

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
        instead = "la.montecarlo.annealed_population and la.montecarlo.equally_weighted give the configurations"
        warnings.warn(f"each will be removed: {instead}", DeprecationWarning, stacklevel=3)
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
