"""Free energies and observables by sequential Monte Carlo, with errors from the spread between islands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latticear.estimation.completion import complete
from latticear.estimation.estimates import Estimates
from latticear.estimation.islands import island_estimates
from latticear.estimation.measurement import Measurement, measurements
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.pairs.listening import refuse_pairs
from latticear.estimation.particles import METHOD, resampled_particles, size_of
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.estimation.simulated import Simulated, counted
from latticear.estimation.weights import EVEN, KHAT_LIMIT, effective_sample_size, pareto_k
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.samples import Samples

__all__ = ["estimate_particles", "sequential_monte_carlo"]


def estimate_particles(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
) -> Estimates:
    """Free energy and observables from islands of weighted particles.

    Particles that share ancestors are not independent. An island is a group of particles that is never mixed with
    others, so that islands are independent: ln Z is the logarithm of the mean of the islands' estimates of Z,
    observables are ratios of sums over islands, and error bars come from the spread between islands (delta method;
    `jackknife_error` leaves one island out at a time). Error bars cannot be trusted, and a warning is issued, if the Z
    of the islands vary too much (ESS over islands below 1/2) or the weights of a step have a heavy tail. The spread
    does not show configurations that no particle has reached: with few particles and a poor model, ln Z is too low on
    every island; compare the results of two values of n to detect this.

    Args:
        samples: samples made by `resampled_particles`, with all islands of the run.
        hamiltonian, temperature: Hamiltonian and temperature with which the particles were drawn.
        observables, exact: as in `estimate`.

    Returns:
        The quantities that `estimate` returns. `ess` is the fraction of n that independent samples with equal weights
        would need for the same error of Z; `pareto_k` is the largest k-hat of the weights after any step. `diagnostics`
        has the ESS over islands, the mean ESS of the final particles within an island, the average number of
        resamplings, the average fraction of surviving ancestors, and `r_squared_k`: the part of the variance of the log
        weights that f_k explains.

    Raises:
        ValueError: if the samples were made by another method, or if islands are missing.
    """
    temperature = check_temperature(temperature)
    request = Request.of(observables, hamiltonian)
    refuse_pairs(request, "sequential Monte Carlo")
    source = "la.estimation.resampled_particles"
    drawn = Simulated(samples, hamiltonian, temperature, method=METHOD, needs="history", source=source)
    parts: list[Measurement] = []
    records: list[dict[str, Tensor]] = []
    for batch in drawn:
        parts += measurements(batch, hamiltonian, [temperature], request)
        records.append({name: values.cpu() for name, values in batch.records.items()})
    provenance = drawn.provenance
    size = provenance["n_islands"], provenance["n_particles"]
    column = {name: torch.cat([record[name] for record in records]) for name in records[0]}
    if len(column["log_w"]) != math.prod(size):
        raise ValueError(f"{size[0]} islands of {size[1]} particles were drawn, got {len(column['log_w'])} particles")
    log_w = column["log_w"].view(size).numpy()
    ancestors = torch.tensor([island.unique().numel() for island in column["ancestor"].view(size)])
    diagnostics = {
        "ess_particles": float(np.mean([effective_sample_size(row) for row in log_w])),
        "resampled": float(column["resampled"].view(size)[:, 0].double().mean()),
        "ancestors": float(ancestors.double().mean()) / size[1],
        **{f"r_squared_{k}": explained for k, explained in enumerate(provenance["r_squared"])},
    }
    reasons = []
    tail = max(pareto_k(weights) for weights in column["history"].T.numpy())
    if tail > KHAT_LIMIT and diagnostics["ess_particles"] <= EVEN:
        reasons.append(f"the weights of a step have a heavy tail (Pareto k-hat {tail:.2f} > {KHAT_LIMIT})")
    known = reference(exact, hamiltonian, temperature)
    result = island_estimates(
        log_w,
        parts,
        hamiltonian.n_sites,
        temperature,
        known,
        method=METHOD,
        diagnostics=diagnostics,
        reasons=reasons,
        pareto_k=tail,
    )
    complete(result, hamiltonian, request, known).warn()
    return result


def sequential_monte_carlo(
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    n_islands: int | None = None,
    n_pilot: int = 2000,
    pilot: Tensor | None = None,
    seed: int = 0,
    device: str | None = None,
    condition: Tensor | None = None,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    report: Callable[[int, int], None] | None = None,
) -> Estimates:
    """Free energy and observables from particles that are resampled between the steps of a model.

    Calls `resampled_particles`, whose docstring describes the method, and then `estimate_particles`, whose docstring
    describes the errors.

    Args:
        model: a model that draws in steps, such as `MultiscalePixelCNN`.
        hamiltonian, temperature: Hamiltonian and temperature of the target.
        n: total number of particles, rounded down to a multiple of the number of islands.
        n_islands, n_pilot, pilot: as in `resampled_particles`.
        seed: seed of all random numbers of the simulation.
        device: device to which the model is moved first; None leaves it where it is.
        condition: the condition, one row for all particles, if the model has one.
        observables, exact: as in `estimate`.
        report: function called after each batch of islands with the number of particles done and their total number.

    Returns:
        Estimates as `estimate_particles` returns them.

    Raises:
        ValueError: as `resampled_particles`.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4))
        >>> model = la.MultiscalePixelCNN((4, 4), bias=ising.bias(2.269))
        >>> estimates = la.sequential_monte_carlo(model, ising, 2.269, n=2000)
        >>> abs(estimates["log_z"].value - la.exact.enumerate_states(ising, 2.269).log_z) < 4 * estimates["log_z"].error
        True
    """
    if device is not None:
        model.to(device)
    options: dict[str, Any] = {"n_islands": n_islands, "n_pilot": n_pilot, "pilot": pilot, "condition": condition}
    drawn = resampled_particles(model, hamiltonian, temperature, n=n, seed=seed, **options)
    batches = counted(drawn, math.prod(size_of(n, n_islands)), report)
    return estimate_particles(batches, hamiltonian, temperature, observables=observables, exact=exact)
