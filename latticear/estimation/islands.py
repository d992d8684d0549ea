"""Populations that never meet: resampling within each, and estimates with errors from the spread between them.

Index suffixes: r island, p particle of an island.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates, Value
from latticear.estimation.importance import delta_error, weighted_estimates
from latticear.estimation.measurement import Measurement
from latticear.estimation.weights import effective_sample_size, log_mean_exp
from latticear.exact import ExactResult

__all__ = ["MIN_ISLANDS", "island_estimates"]


MIN_ISLANDS = 10
"""Fewer do not know their spread well enough for error bars."""
MIN_AGREEMENT = 0.5
"""ESS of the islands below which their spread is too large for error bars."""


def island_estimates(
    log_w: Array,
    parts: Sequence[Measurement],
    n_sites: int,
    temperature: float,
    judge: ExactResult | None,
    *,
    method: str | None,
    diagnostics: dict[str, float],
    reasons: list[str],
    pareto_k: float | None = None,
    related: float | None = None,
) -> Estimates:
    """All estimates from islands: ratios of sums over them, with errors from their spread.

    Args:
        log_w: `(R, P)`; the mean of exp of it over an island is that island's unbiased estimate of Z.
        parts: what was measured of all particles, island by island.
        n_sites: N.
        temperature: T.
        judge: exact values to stand beside the estimates, or None.
        method: what `Estimates.method` is to say.
        diagnostics, reasons: what is known already, to which more is added.
        pareto_k: of the weights; None where it means nothing.
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
    ess_error = ess * (1 - ess) * math.sqrt(2 / (n_islands - 1))  # of a sample variance of about normal numbers
    if agreement < MIN_AGREEMENT:
        reasons = [
            f"the islands disagree about Z (ESS {agreement:.2g} of {n_islands} of them): more particles",
            *reasons,
        ]
    vectors = {name: _weighted(w, column([part.values[name] for part in parts])) for name in parts[0].values}
    return weighted_estimates(
        column([part.energy for part in parts]),
        column([part.m for part in parts]),
        log_w,
        column([part.balance[:, 0] for part in parts]),
        vectors,
        n_sites,
        temperature,
        judge,
        method=method,
        ess=(ess, ess_error),
        diagnostics={"ess_islands": agreement, **diagnostics},
        reasons=reasons,
        pareto_k=pareto_k,
        related=related,
    )


def _weighted(w: Array, values: Array) -> tuple[Value, Value]:
    """Average of values `(R, P)` or `(R, P, k)` with weights `(R, P)` of mean one, and its error between islands."""
    columns = values.reshape(*w.shape, -1)
    means = (w[..., None] * columns).mean((0, 1))
    errors = np.array([delta_error(w * (columns[..., k] - mean)) for k, mean in enumerate(means)])
    return (means, errors) if values.ndim == 3 else (float(means[0]), float(errors[0]))
