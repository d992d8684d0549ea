"""Independent configurations of the target, by which estimates are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latticear.arguments import check_integer
from latticear.arrays import Array
from latticear.estimation.chains import estimate_chains
from latticear.estimation.estimates import JUDGED, Estimates, quiet
from latticear.estimation.forward import forward_ess_of, forward_log_weights
from latticear.estimation.measurement import Observable
from latticear.estimation.tempering import estimate_tempering
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.montecarlo.clusters import SwendsenWang, clusters_suit
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import monte_carlo
from latticear.random_numbers import random_stream

__all__ = ["MOST", "Check", "independent_check", "size_of_check"]

FEWEST, MOST = 1000, 8000
"""Smallest and largest number of configurations of a check that nobody has asked for."""

MOST_SITES = 2**21
"""Number of sites of all configurations together up to which a check that nobody has asked for goes."""

N_CHAINS = 32


@dataclass(frozen=True)
class Check:
    """Configurations of the target by a method that knows nothing of the samples, and what follows from them.

    Attributes:
        method: name of the method.
        estimates: estimates from these configurations alone, without exact values.
        log_w: `(m,)`, log importance weights of these configurations for the model that is checked, not normalised;
            None if no model is checked.
        n_chains: number of chains; the configurations are ordered by time, and within it by chain.
        n_independent: number of independent configurations that the m configurations amount to.
    """

    method: str
    estimates: Estimates
    log_w: Array | None
    n_chains: int
    n_independent: float

    @property
    def n(self) -> int:
        """Number of configurations."""
        return self.estimates.n

    @property
    def source(self) -> str:
        """The check in words."""
        return f"{self.n:,} configurations by {self.method.replace('-', ' ')}"

    @property
    def forward_ess(self) -> Any:
        """The forward ESS of the model as an `Estimate`; None if no model is checked."""
        return None if self.log_w is None else forward_ess_of(self.log_w)


def independent_check(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int = FEWEST,
    model: AbstractModel | None = None,
    condition: Tensor | None = None,
    observables: Mapping[str, Observable] | None = None,
    seed: int = 0,
) -> Check:
    """Draw independent configurations of the Boltzmann distribution to check estimates with.

    They come from Swendsen-Wang clusters where these flip whole phases at once, and otherwise from parallel tempering,
    whose replicas are drawn anew at infinite temperature again and again: neither is held by barriers at the target
    temperature, as single spin flips are, and neither knows which part of the distribution a network has learnt.

    Args:
        hamiltonian, temperature: the target.
        n: number of configurations; rounded up to a multiple of the number of chains.
        model: the model that drew the samples; its log-probability of the configurations shows whether it would have
            drawn them. None for estimates without a model.
        condition: the condition of the model, if it has one.
        observables: the user's observables, as in `estimate`; those that are not given here stay unchecked.
        seed: seed of the chains; they are independent of all samples and chains of the same seed.

    Raises:
        ValueError: for a number of configurations below 100, a model of another system, or as `monte_carlo`.
    """
    check_is_hamiltonian(hamiltonian)
    temperature, n = check_temperature(temperature), check_integer("n", n, least=100)
    method = SwendsenWang.name if clusters_suit(hamiltonian) else ParallelTempering.name
    n_chains = min(N_CHAINS, n // 20)
    own = int(random_stream(seed, "check").generate_state(1, np.uint64)[0])
    total = -(-n // n_chains) * n_chains
    batches = list(monte_carlo(hamiltonian, temperature, n=total, method=method, n_chains=n_chains, seed=own))
    estimator: Any = estimate_chains if method == SwendsenWang.name else estimate_tempering
    with quiet():
        estimates = estimator(batches, hamiltonian, temperature, observables=observables, exact=None)
    slowest = max(estimates[name].tau_int or 0.5 for name in JUDGED)
    log_w = None
    if model is not None:
        tokens = torch.cat([batch.tokens for batch in batches])
        log_w = forward_log_weights(model, tokens, hamiltonian, temperature, condition)
    return Check(method, estimates, log_w, n_chains, total * min(1.0, 0.5 / slowest))


def size_of_check(estimates: Estimates, n_sites: int) -> int:
    """Number of configurations that a check of these estimates needs, within the limits of this file.

    A check of m configurations does not see a part of the distribution of probability 3 / m or less; this should be
    less than the error of ln Z.
    """
    error = float(estimates["log_z"].error) if "log_z" in estimates else 1 / math.sqrt(estimates.n)
    most = max(FEWEST, min(MOST, MOST_SITES // n_sites))
    return int(min(max(3 / max(error, 1e-9), FEWEST), most))
