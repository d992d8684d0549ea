"""Independent configurations of the target, by which estimates are checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latticear.arguments import check_integer
from latticear.arrays import Array
from latticear.estimation.anywhere import Anywhere
from latticear.estimation.chains import estimate_chains, estimates_of_chains, series_of
from latticear.estimation.completion import summed
from latticear.estimation.estimates import JUDGED, Estimates, quiet
from latticear.estimation.forward import forward_ess_of, forward_log_weights
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.quantity import Estimate
from latticear.estimation.tempering import estimate_tempering
from latticear.estimation.thermodynamics import thermodynamics
from latticear.exact.enumeration import enumerate_states
from latticear.exact.result import QUANTITIES
from latticear.exact.tabulated import Tabulated, can_tabulate
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.montecarlo.clusters import SwendsenWang, clusters_suit
from latticear.montecarlo.kawasaki import Kawasaki
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import monte_carlo
from latticear.random_numbers import random_stream

__all__ = ["FEWEST", "MOST", "N_CHAINS", "Check", "independent_check", "size_of_check"]

FEWEST, MOST = 1000, 8000
"""Smallest and largest number of configurations of a check that nobody has asked for."""

MOST_SITES, MOST_TEMPERED_SITES = 2**21, 2**19
"""Number of sites of all configurations together up to which a check that nobody has asked for goes: by clusters, and
by parallel tempering or exchanges, which take about ten times as long."""

N_CHAINS = 32

FULL = 200
"""Number of sites from which on half as many chains are run, each of them longer."""

MOST_TEMPERED = 400
"""Number of sites up to which parallel tempering, or exchanges at fixed composition, are a check that nobody has asked
for: larger systems take minutes."""

ENUMERATION = "enumeration"
METHODS = (ENUMERATION, SwendsenWang.name, ParallelTempering.name, Kawasaki.name)


@dataclass(frozen=True)
class Check:
    """Configurations of the target by a method that knows nothing of the samples, and what follows from them.

    Attributes:
        source: the configurations in words, such as "4,000 configurations by parallel tempering".
        estimates: estimates from these configurations alone, without exact values.
        log_w: `(m,)`, log importance weights of these configurations for the model that is checked, not normalised;
            None if no model is checked.
        n_chains: number of chains; the configurations are ordered by time, and within it by chain.
        n_independent: number of independent configurations that the m configurations amount to.
        decides: whether it is known how the configurations were made, so that agreement with them is evidence; data of
            a user, which may lack what the samples lack, can only disagree.
        anywhere: observables in configurations of every kind; None if they are not known.
    """

    source: str
    estimates: Estimates
    log_w: Array | None
    n_chains: int
    n_independent: float
    decides: bool = True
    anywhere: Anywhere | None = None

    @classmethod
    def of(
        cls,
        source: str,
        estimates: Estimates,
        tokens: Tensor,
        hamiltonian: AbstractHamiltonian,
        *,
        n_chains: int,
        model: AbstractModel | None = None,
        condition: Tensor | None = None,
    ) -> Check:
        """A check from Markov chains.

        Args:
            source: the configurations in words.
            estimates: estimates from them.
            tokens: the configurations, ordered by time and within it by chain.
            hamiltonian: the system.
            n_chains: number of chains.
            model, condition: as in `independent_check`.
        """
        slowest = max(estimates[name].tau_int or 0.5 for name in JUDGED)
        whole = tokens[: len(tokens) // n_chains * n_chains]
        log_w = None
        if model is not None:
            log_w = forward_log_weights(model, whole, hamiltonian, estimates.temperature, condition)
        return cls(source, estimates, log_w, n_chains, len(whole) * min(1.0, 0.5 / slowest))

    @property
    def forward_ess(self) -> Any:
        """The forward ESS of the model as an `Estimate`; None if no model is checked."""
        return None if self.log_w is None else forward_ess_of(self.log_w)


def check_of_data(
    tokens: Tensor,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    source: str,
    model: AbstractModel | None = None,
    condition: Tensor | None = None,
) -> Check:
    """What configurations of a user say against estimates; they are in the order in which they were made.

    They fit the target locally (`data_check`), which does not tell whether a part of the distribution is missing in
    them, as in chains that were stuck in one phase.

    Args:
        tokens: the configurations.
        hamiltonian, temperature: the target, to which they are known to fit.
        source: where they are from.
        model, condition: as in `independent_check`.
    """
    with quiet():
        series = series_of(tokens, 1, hamiltonian, temperature)
        estimates = estimates_of_chains(*series, hamiltonian.n_sites, temperature, None, {})
    words = f"{len(tokens):,} configurations of {source}"
    check = Check.of(words, estimates, tokens, hamiltonian, n_chains=1, model=model, condition=condition)
    return replace(check, decides=False)


def independent_check(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int = FEWEST,
    model: AbstractModel | None = None,
    condition: Tensor | None = None,
    observables: Observables | None = None,
    method: str | None = None,
    seed: int = 0,
) -> Check:
    """Draw independent configurations of the Boltzmann distribution to check estimates with.

    A system of at most 65,536 configurations is summed over all of them. Otherwise they come from Swendsen-Wang
    clusters where these flip whole phases at once, and from parallel tempering where they do not: its replicas are
    drawn anew at infinite temperature again and again. Neither is held by barriers at the target temperature, as
    single spin flips are, and neither knows which part of the distribution a network has learnt. At fixed composition
    they come from exchanges of states over any distance.

    Args:
        hamiltonian, temperature: the target.
        n: number of configurations; rounded up to a multiple of the number of chains.
        model: the model that drew the samples; its log-probability of the configurations shows whether it would have
            drawn them. None for estimates without a model.
        condition: the condition of the model, if it has one.
        observables: as in `estimate`; those that are not given here stay unchecked.
        method: "enumeration", "swendsen-wang", "parallel-tempering" or "kawasaki"; None for the first of these that
            suits.
        seed: seed of the chains; they are independent of all samples and chains of the same seed.

    Raises:
        ValueError: for a number of configurations below 100, a model of another system, an unknown method, or as
            `monte_carlo`.
    """
    check_is_hamiltonian(hamiltonian)
    temperature, n = check_temperature(temperature), check_integer("n", n, least=100)
    if method not in (None, *METHODS):
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}")
    method = method or _method(hamiltonian)
    own = int(random_stream(seed, "check").generate_state(1, np.uint64)[0])
    anywhere = Anywhere(hamiltonian, temperature, observables)
    if method == ENUMERATION:
        table = Tabulated(hamiltonian, temperature)
        drawn, log_w = table.draw(n, own), None
        if model is not None:
            log_w = forward_log_weights(model, drawn, hamiltonian, temperature, condition)
        estimates = _summed(table, observables, n)
        return Check("the sum over all configurations", estimates, log_w, 1, math.inf, anywhere=anywhere)
    n_chains = max(2, min(N_CHAINS if hamiltonian.n_sites < FULL else N_CHAINS // 2, n // 20))
    total = -(-n // n_chains) * n_chains
    batches = list(monte_carlo(hamiltonian, temperature, n=total, method=method, n_chains=n_chains, seed=own))
    estimator: Any = estimate_tempering if method == ParallelTempering.name else estimate_chains
    with quiet():
        estimates = estimator(batches, hamiltonian, temperature, observables=observables, exact=None)
    source = f"{total:,} configurations by {method.replace('-', ' ')}"
    tokens = torch.cat([batch.tokens for batch in batches])
    check = Check.of(source, estimates, tokens, hamiltonian, n_chains=n_chains, model=model, condition=condition)
    return replace(check, anywhere=anywhere)


def _method(hamiltonian: AbstractHamiltonian) -> str:
    if can_tabulate(hamiltonian):
        return ENUMERATION
    if hamiltonian.composition is not None:
        return Kawasaki.name
    return SwendsenWang.name if clusters_suit(hamiltonian) else ParallelTempering.name


def _summed(table: Tabulated, observables: Observables | None, n: int) -> Estimates:
    """Exact averages as estimates without errors, with the spread of one configuration."""
    hamiltonian, temperature = table.hamiltonian, table.temperature
    values: dict[str, Any] = dict(enumerate_states(hamiltonian, temperature).to_dict())
    request = Request.of(observables, hamiltonian)
    series = series_of(table.tokens, 1, hamiltonian, temperature, Request(own=request.own))
    p = np.exp(table.log_p).reshape(-1, 1)
    weights = p * len(p)
    found = thermodynamics(series.energy, series.m, weights, temperature, hamiltonian.n_sites)
    spreads: dict[str, Any] = {
        name: math.sqrt(np.divide(each.influence**2, weights, out=np.zeros_like(p), where=p > 0).mean())
        for name, each in found.items()
    }
    for name, each in series.values.items():
        values[name] = np.tensordot(p, each, 2)[()]
        spreads[name] = np.sqrt(np.tensordot(p, (each - values[name]) ** 2, 2))[()]
    named, named_spreads = summed(request, table)
    values |= named
    spreads |= named_spreads
    exact = {
        name: Estimate(value, 0.0 * value, n=n, ess=1.0, reach=0.0 * value, exact_spread=spreads.get(name))
        for name, value in values.items()
    }
    return Estimates(exact, temperature=temperature, n=n, diagnostics={})


def size_of_check(estimates: Estimates, hamiltonian: AbstractHamiltonian) -> int:
    """Number of configurations that a check of estimates needs, within a budget of some seconds; 0 if it takes longer.

    A check of m configurations does not see a part of the distribution of probability 3 / m or less; for weighted
    samples this should be less than the error of ln Z. Chains need a check as accurate as they are.
    """
    n_sites = hamiltonian.n_sites
    slow = _method(hamiltonian) in (ParallelTempering.name, Kawasaki.name)
    if slow and n_sites > MOST_TEMPERED:
        return 0
    if all(estimates[name].exact is not None for name in QUANTITIES if name in estimates):
        return FEWEST  # for the forward ESS
    most = max(FEWEST, min(MOST, (MOST_TEMPERED_SITES if slow else MOST_SITES) // n_sites))
    if "largest_log_w" in estimates.diagnostics and "log_z" in estimates:
        needed = 3 / max(float(estimates["log_z"].error), 1e-9)
    else:
        needed = max((each.n * each.ess for name, each in estimates.items() if name in JUDGED), default=FEWEST)
    return int(min(max(needed, FEWEST), most))
