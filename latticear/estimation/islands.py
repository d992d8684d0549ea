"""Estimates from islands, with errors from the spread between them.

An island is a group of particles that is never mixed with others: particles are resampled within their island only, so
that islands are independent.

Index suffixes: r island, p particle of an island.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates
from latticear.estimation.measurement import Measurement, observed
from latticear.estimation.quantity import Value
from latticear.estimation.replicates import BlockSums, source_of
from latticear.estimation.symmetry import with_asymmetry
from latticear.estimation.thermodynamics import delta_error, rare_events
from latticear.estimation.weighted import weighted_estimates
from latticear.estimation.weights import effective_sample_size, log_mean_exp
from latticear.exact import ExactResult

__all__ = ["MIN_ISLANDS", "island_estimates"]


MIN_ISLANDS = 10
"""Smallest number of islands whose spread is known well enough for error bars."""
MIN_AGREEMENT = 0.5
"""Effective fraction of the islands, weighted by their Z, below which their spread is too large for error bars."""


def island_estimates(
    log_w: Array,
    parts: Sequence[Measurement],
    n_sites: int,
    temperature: float,
    exact: ExactResult | None,
    *,
    method: str | None,
    diagnostics: dict[str, float],
    reasons: list[str],
    pareto_k: float | None = None,
    related: float | None = None,
) -> Estimates:
    """All estimates from islands: ratios of sums over islands, with errors from the spread between islands.

    Args:
        log_w: `(R, P)`, log weights; the mean of `exp(log_w)` over an island is its unbiased estimate of Z.
        parts: measurements of all particles, island by island.
        n_sites: N.
        temperature: T.
        exact: exact values that are stored with the estimates, or None.
        method: value of `Estimates.method`.
        diagnostics, reasons: diagnostics and reasons for distrust, to which this function adds others.
        pareto_k: shape of the tail of the weights; None if the method does not define it.
        related: as in `weighted_estimates`.
    """
    n_islands, n_particles = log_w.shape

    def column(values: Sequence[Array]) -> Array:
        joined = np.concatenate(values)
        return joined.reshape(n_islands, n_particles, *joined.shape[1:])

    w = np.exp(log_w - log_mean_exp(log_w.ravel()))
    z_r = w.mean(1)
    agreement = effective_sample_size(np.log(z_r))
    variance = delta_error(z_r[:, None] - 1) ** 2
    ess = 1 / (1 + log_w.size * variance)
    ess_error = ess * (1 - ess) * math.sqrt(2 / (n_islands - 1))  # from the error of a variance of normal variables
    if agreement < MIN_AGREEMENT:
        reasons = [
            f"the islands disagree about Z (ESS {agreement:.2g} over {n_islands} islands): use more particles",
            *reasons,
        ]
    n = log_w.size / (related or 1)
    values, asymmetry = ({name: column(each) for name, each in columns.items()} for columns in observed(parts))
    vectors = {name: _weighted(w, each, n) for name, each in values.items()}
    m = column([part.m for part in parts])
    estimates = weighted_estimates(
        column([part.energy for part in parts]),
        m,
        log_w,
        column([part.balance[:, 0] for part in parts]),
        vectors,
        n_sites,
        temperature,
        exact,
        method=method,
        ess=(ess, ess_error),
        diagnostics={"ess_islands": agreement, **diagnostics},
        reasons=reasons,
        sums={name: _sums(w, each) for name, each in values.items()},
        source=source_of(m),
        pareto_k=pareto_k,
        related=related,
    )
    for name, each in asymmetry.items():
        value, error, *_ = _weighted(w, each, n)
        estimates[name] = with_asymmetry(estimates[name], value, error)
    return estimates


def _weighted(w: Array, values: Array, n: float) -> tuple[Value, Value, Value, Value]:
    """Average of values `(R, P)` or `(R, P, k)` with weights `(R, P)` of mean one, its error, reach and rare events."""
    columns = values.reshape(*w.shape, -1)
    means = (w[..., None] * columns).mean((0, 1))
    errors = np.array([delta_error(w * (columns[..., k] - mean)) for k, mean in enumerate(means)])
    reach = np.abs(columns - means).max((0, 1))
    events = np.array([rare_events(w * (columns[..., k] - mean), n, mean) for k, mean in enumerate(means)])
    found = (means, errors, reach, events)
    return found if values.ndim == 3 else (float(means[0]), float(errors[0]), float(reach[0]), float(events[0]))


def _sums(w: Array, values: Array) -> BlockSums:
    """The weighted values `(R, P)` or `(R, P, k)` of each island, averaged over its particles."""
    columns = values.reshape(*w.shape, -1)
    pivot = columns.mean((0, 1))
    return BlockSums((w[..., None] * (columns - pivot)).mean(1), pivot, values.shape[2:])
