"""Overlaps and all other estimates of a spin glass in one call."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from latticear.arguments import described
from latticear.estimation.estimates import Estimates
from latticear.estimation.importance import estimate
from latticear.estimation.named.overlaps import Overlaps
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.own_chain import estimate_chains
from latticear.estimation.reference import AUTO, Exact
from latticear.estimation.tempering import estimate_tempering
from latticear.hamiltonians import AbstractHamiltonian
from latticear.montecarlo.replicas import ParallelTempering
from latticear.samples import Samples

__all__ = ["overlaps"]


def overlaps(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
) -> Estimates:
    """Overlap distribution P(q), glass susceptibility and link overlap from pairs of samples, and all other estimates.

    It is `la.estimate(..., observables=["overlap"])` for samples with log_q, and `la.estimate_chains` for batches of
    Monte Carlo, whose pairs are configurations of different chains at the same time.

    - *Weighted samples* are paired with others, never with themselves, with weights w_i w_j. Errors are those of the
      influence of each sample on all of its pairs, less what the pairs count twice.
    - *Chains* must be independent of one another; the autocorrelation of each is part of the error.

    Args:
        samples: samples of a model, or an iterator of batches of them; or batches of Monte Carlo chains, each with one
            configuration of every chain, as `la.monte_carlo` yields them.
        hamiltonian, temperature, exact: as in `estimate`.
        observables: others that are measured too, as in `estimate`.

    Returns:
        What `la.estimate` (or `la.estimate_chains`) returns, with `overlap_distribution` (its `labels` have the values
        of q), `overlap`, `overlap_squared`, `overlap_fourth`, `overlap_binder_cumulant`, `glass_susceptibility`,
        `link_overlap`, `link_overlap_squared` and, on periodic square lattices, `glass_susceptibility_k` and
        `glass_correlation_length`: see `la.OBSERVABLES["overlap"]`.

    Raises:
        ValueError: as `la.estimate`; for a single chain, or a single batch of samples without log_q, which does not
            say which of them are independent.

    Example:
        >>> import latticear as la
        >>> glass = la.EdwardsAnderson((4, 4), seed=1)
        >>> model = la.TensorNetwork((4, 4), bias=glass.bias(1.0))
        >>> found = la.overlaps(model.sample(1000), glass, 1.0)
        >>> chi = found["glass_susceptibility"]
        >>> abs(chi.value - chi.exact) < 4 * chi.error
        True
    """
    request = Request.of(observables, hamiltonian)
    request = Request(request.own, {**request.named, Overlaps.name: Overlaps()})
    single = isinstance(samples, Samples)
    if not single and not hasattr(samples, "__iter__"):
        raise ValueError(f"samples must be la.Samples, or an iterator of batches of them, got {described(samples)}")
    batches = iter([samples] if isinstance(samples, Samples) else samples)
    first = next(batches, None)
    if not isinstance(first, Samples) or first.log_q is not None:
        again = samples if single or first is None else chain([first], batches)
        return estimate(again, hamiltonian, temperature, observables=request, exact=exact)
    if single:
        raise ValueError(
            "these samples have no log_q, and a single batch does not say which of them are independent: give the "
            "batches of la.monte_carlo, one configuration of each chain in every batch"
        )
    every: Any = chain([first], batches)
    if first.provenance.get("method") == ParallelTempering.name:
        return estimate_tempering(every, hamiltonian, temperature, observables=request, exact=exact)
    if "log_w" in first.records:
        raise ValueError(
            "overlaps need pairs of independent configurations; those of population annealing descend from one "
            "another: use la.monte_carlo(..., method='parallel-tempering')"
        )
    return estimate_chains(every, hamiltonian, temperature, observables=request, exact=exact)
