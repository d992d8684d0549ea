"""Neural Metropolis: independent samples of a network as the proposals of Markov chains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latticear.arguments import check_seed
from latticear.arrays import Array
from latticear.estimation.at_composition import at_composition
from latticear.estimation.chains import estimates_of_chains
from latticear.estimation.completion import complete
from latticear.estimation.estimates import Estimates
from latticear.estimation.measurement import measurements, observed
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.pairs.listening import add_chain_pairs, chain_pairs
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.estimation.weights import effective_sample_size, log_mean_exp
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.random_numbers import generator
from latticear.samples import Samples

__all__ = ["neural_mcmc"]


def neural_mcmc(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n_chains: int | None = None,
    seed: int = 0,
    observables: Observables | None = None,
    exact: Exact = AUTO,
) -> Estimates:
    """Observables by Metropolis chains whose proposals are the model's samples: an alternative to weighted averages.

    A proposal is accepted with probability `min(1, w' / w)`, where w and w' are the importance weights of the current
    and the proposed configuration; the stationary distribution is the target exactly. The first tenth of each chain is
    dropped. Errors come from the integrated autocorrelation time of the series of each estimator.

    Args:
        samples: samples drawn from a model, or an iterator of batches of them; n samples give chains of n / n_chains
            steps.
        hamiltonian, temperature, observables, exact: as in `estimate`.
        n_chains: number of chains; by default one for each 1000 samples, at most 64.
        seed: seed of the random numbers that decide about acceptance.

    Returns:
        The quantities that `estimate` returns, except free energy, entropy and log_z; each has its `tau_int` (1/2 for
        independent data). `diagnostics` has the acceptance rate.

    Raises:
        ValueError: for samples without log_q, or fewer than 20 samples for each chain.

    References:
        Nicoli et al. (2020), arXiv 1910.13496, section III.
    """
    temperature, seed = check_temperature(temperature), check_seed(seed)
    request = Request.of(observables, hamiltonian)
    tokens: list[Tensor] = []
    pairs = chain_pairs(request, hamiltonian)
    if pairs:
        samples = _kept(samples, tokens)
    parts = list(measurements(samples, hamiltonian, [temperature], request))
    if any(part.log_q is None for part in parts):
        raise ValueError(
            "these samples have no log_q and cannot be proposals; for samples of Monte Carlo use "
            "la.estimation.estimate_chains"
        )
    n = sum(len(part.energy) for part in parts)
    n_chains = n_chains or max(1, min(64, n // 1000))
    length = n // n_chains
    if length < 20:
        raise ValueError(f"{n_chains} chains need at least {20 * n_chains} samples, got {n}")
    log_w = np.concatenate([-part.energy / temperature - part.log_q for part in parts if part.log_q is not None])
    log_w = log_w[: length * n_chains].reshape(length, n_chains)
    held, acceptance = _independence_metropolis(log_w, generator(seed, "neural Metropolis"))
    held = held[length // 10 :]
    energy = np.concatenate([part.energy for part in parts])[held]
    m = np.concatenate([part.m for part in parts])[held]
    balance = np.concatenate([part.balance[:, 0] for part in parts])[held]
    series, odd = ({name: np.concatenate(each)[held] for name, each in columns.items()} for columns in observed(parts))
    known = reference(exact, hamiltonian, temperature, held=parts[0].held)
    found = estimates_of_chains(
        energy,
        m,
        balance,
        series,
        odd,
        hamiltonian.n_sites,
        temperature,
        known,
        {
            "acceptance": acceptance,
            "ess": effective_sample_size(log_w.ravel()),
            "largest_log_w": float(log_w.max()),
            "log_z_of_proposals": log_mean_exp(log_w.ravel()),
        },
        method="mcmc",
    )
    for each in pairs:
        every = torch.cat(tokens)
        for row in held:
            each.add(every[torch.from_numpy(row)])
        add_chain_pairs(found, each)
    return complete(at_composition(found, hamiltonian), hamiltonian, request, None if parts[0].held else known)


def _kept(samples: Samples | Iterable[Samples], tokens: list[Tensor]) -> Iterator[Samples]:
    """The batches, whose tokens are added to a list once they have been checked."""
    for batch in [samples] if isinstance(samples, Samples) else samples:
        yield batch
        tokens.append(batch.tokens.cpu())


def _independence_metropolis(log_w: Array, rng: np.random.Generator) -> tuple[NDArray[np.int64], float]:
    """Indices of the samples that each chain holds after each proposal, `(T, R)`, and the acceptance rate."""
    length, n_chains = log_w.shape
    log_u = np.log1p(-rng.random(log_w.shape))  # in (-inf, 0]
    proposals = np.arange(log_w.size).reshape(log_w.shape)
    held = proposals.copy()
    current, accepted = log_w[0].copy(), 0
    for t in range(1, length):
        accept = log_u[t] < log_w[t] - current
        current = np.where(accept, log_w[t], current)
        held[t] = np.where(accept, proposals[t], held[t - 1])
        accepted += int(accept.sum())
    return held, accepted / max(1, (length - 1) * n_chains)
