"""The loss functions of training, and estimates from one batch of samples."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from latticear.processes import Share
from latticear.samples import Samples

__all__ = ["Energy", "Evaluated", "Metrics", "batch_metrics", "ess_of_data", "evaluated", "forward_kl", "reverse_kl"]

Metrics = dict[str, float]

LIMIT = 3.0
"""Largest advantage of a heated configuration, in nats."""


class Energy(Protocol):
    """The part of a Hamiltonian or a target that the objectives use."""

    @property
    def n_sites(self) -> int:
        """N = H W."""

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Energies of configurations, each with a condition `(B, k)`: float64 `(B,)`."""


class Evaluated(NamedTuple):
    """What is known of a batch of configurations, those of all processes that share it.

    Attributes:
        log_q: float64 `(B,)`, log-probability of the model.
        energy: float64 `(B,)`.
    """

    log_q: Tensor
    energy: Tensor


def evaluated(samples: Samples, hamiltonian: Energy, share: Share | None = None) -> Evaluated:
    """Log-probabilities and energies of all configurations of a batch, of which `samples` are those of this process."""
    assert samples.log_q is not None
    energy = hamiltonian.energy_given(samples.tokens, samples.condition)
    share = Share.given(share, len(samples))
    return Evaluated(*share.joined(torch.stack([samples.log_q, energy], 1)).unbind(1))


def reverse_kl(
    model: nn.Module,
    hamiltonian: Energy,
    beta: float | Tensor,
    samples: Samples,
    *,
    n_groups: int = 1,
    n_data: int = 0,
    n_heated: int = 0,
    share: Share | None = None,
    known: Evaluated | None = None,
) -> tuple[Tensor, Metrics]:
    """Surrogate loss with the score-function gradient of KL(q || p), and of the log-variance over data.

    `grad = < (log_q + beta E - b) grad log_q >`, where the baseline b of a sample is the mean of `log_q + beta E` over
    the *other* samples of its group, so that the gradient is unbiased.

    If the average is over samples of q, this is the gradient of KL(q || p) and also of half the variance of
    `log_q + beta E`. If it is over data, configurations drawn from p, it is the gradient of half the variance alone.
    Both have vanishing variance as q approaches p, since each term vanishes for q = p. The data also show regions where
    q is much smaller than p, which samples of q never visit.

    Heated configurations, of any distribution, show more such regions. Their baseline is the mean over all others, so
    that they also learn the offset; and their advantage is limited, since the first ones that the network has never met
    would drown all others.

    Args:
        model: called as `model(tokens, condition, samples.log_q)`; returns log_q `(B,)` with its gradient.
        hamiltonian: gives the energy E.
        beta: inverse temperature in this step, one number or `(B,)`.
        samples: B configurations: samples drawn from the model with its present weights, followed by n_data
            configurations of the target. `samples.log_q` is the log-probability of the model for all of them. Of
            several processes, each gives its own rows of this batch.
        n_groups: number of equal groups that the samples of the model consist of, one after the other; the samples of a
            group share a condition.
        n_data: number of configurations at the end of `samples` that the model has not drawn; those of the target form
            a group of their own.
        n_heated: number of those that are heated, at the very end.
        share: which rows of the batch the samples are; None for all.
        known: what `evaluated` returns for the batch; None to compute it.

    Returns:
        A scalar loss in nats per site, of which only the gradient has a meaning, and metrics. Losses and gradients of
        several processes add up to those of the batch; metrics are of the whole batch: `kl_bound`, the mean of
        `log_q + beta E` per site over the samples of the model, and with data `forward_ess`, the ESS estimated from
        them.

    References:
        Wu, Wang, Zhang (2019), arXiv 1809.10606, eq. 4; leave-one-out baseline: Kool, van Hoof, Welling (2019);
        log-variance under any reference: Richter, Boustati, Nüsken, Ruiz, Akyildiz (2020), arXiv 2010.10436.
    """
    share = Share.given(share, len(samples))
    values = evaluated(samples, hamiltonian, share) if known is None else known
    log_ratio, n_sites = values.log_q + beta * values.energy, hamiltonian.n_sites
    drawn, data, hot = log_ratio.split([share.n - n_data, n_data - n_heated, n_heated])
    parts = [_minus_others(drawn.view(n_groups, -1)), _minus_others(data[None])]
    if n_heated:
        parts.append((hot - log_ratio[: share.n - n_heated].mean()).clamp(-LIMIT, LIMIT))
    advantage = torch.cat(parts)[share.rows]
    log_q = model(samples.tokens, samples.condition, samples.log_q)
    loss = share.mean(advantage * log_q) / n_sites
    metrics = {"kl_bound": drawn.mean().item() / n_sites}
    if n_data:
        metrics["forward_ess"] = ess_of_data(data)
    return loss, metrics


def ess_of_data(log_ratio: Tensor) -> float:
    """The ESS of a model, estimated from `log_q + beta E` of configurations of the target."""
    return (2 * math.log(len(log_ratio)) - log_ratio.logsumexp(0) - (-log_ratio).logsumexp(0)).exp().item()


def _minus_others(values: Tensor) -> Tensor:
    """Each value minus the mean of the other values in its group: `(n_groups, n)` to `(n_groups n,)`."""
    n = values.shape[1]
    return ((values - values.mean(1, keepdim=True)) * (n / max(1, n - 1))).flatten()


def forward_kl(
    model: nn.Module, tokens: Tensor, condition: Tensor | None = None, share: Share | None = None
) -> tuple[Tensor, Metrics]:
    """Negative log-likelihood in nats per site: KL(p || q) up to a constant.

    The loss per site is the loss of a configuration divided by N = H W, also where a site has C components; divide it
    by C to obtain the loss per component.

    Args:
        model: called as `model(tokens)` or `model(tokens, condition)`; returns log_q `(B,)`.
        tokens: `(B, H, W)` or `(B, C, H, W)`, configurations drawn from the target p.
        condition: `(B, k)`, the condition of each configuration; None for a model without a condition.
        share: of several processes, which rows of the batch the tokens are; None for all. The losses of all processes
            add up to that of the batch.
    """
    log_q = model(tokens) if condition is None else model(tokens, condition)
    share = Share.given(share, len(tokens))
    return -share.mean(log_q) / math.prod(tokens.shape[-2:]), {}


def batch_metrics(values: Evaluated, temperature: float, n_sites: int) -> Metrics:
    """Variational free energy, energy (both per site) and ESS from one batch of samples at one temperature.

    `free_energy_per_site` is `<E + T log_q> / N`, whose expectation is an upper bound of the free energy;
    `free_energy_error` is its statistical error.
    """
    bound = values.energy + temperature * values.log_q
    weights, n = (-bound / temperature).softmax(0), len(bound)
    numbers = torch.stack([bound.mean(), bound.std(), values.energy.mean(), weights.square().sum()])
    mean, spread, mean_energy, sum_squared = numbers.tolist()  # at once: each look waits for the device
    return {
        "free_energy_per_site": mean / n_sites,
        "free_energy_error": spread / n_sites / math.sqrt(n),
        "energy_per_site": mean_energy / n_sites,
        "ess": 1 / (n * sum_squared),
    }
