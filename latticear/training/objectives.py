"""What training minimises, and what a batch of samples says of it."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from latticear.samples import Samples

__all__ = ["Metrics", "batch_metrics", "forward_kl", "reverse_kl"]

Metrics = dict[str, float]


class Energy(Protocol):
    """What the objectives ask of a Hamiltonian or a target."""

    @property
    def n_sites(self) -> int:
        """N = H W."""

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Energies of configurations that come with conditions `(B, k)`: float64 `(B,)`."""


def reverse_kl(
    model: nn.Module,
    hamiltonian: Energy,
    beta: float | Tensor,
    samples: Samples,
    *,
    n_groups: int = 1,
    n_data: int = 0,
) -> tuple[Tensor, Metrics]:
    """Surrogate whose gradient is that of KL(q || p), by the score function, and of the log-variance over data.

    `grad = < (log_q + beta E - b) grad log_q >`, where the baseline b of a sample is the mean over the *other* samples
    of its group, so that the gradient has no bias.

    Over samples of q this is the gradient both of KL(q || p) and of half the variance of `log_q + beta E`. Over data,
    configurations of p, it is that of the variance alone; it is as quiet near the end, since each of its terms vanishes
    for q = p, and it sees what no sample of q would show: where q has lost a part of p.

    Args:
        model: called as `model(tokens, condition, samples.log_q)`, giving log_q `(B,)` with its gradient.
        hamiltonian: gives E.
        beta: inverse temperature of this step, one or `(B,)`.
        samples: drawn from the model as it is now, but for the data; log_q is that of the model for all of them.
        n_groups: the drawn ones are so many groups of equal size, one after the other, each with one condition.
        n_data: so many, the last ones, are configurations of the target, a group of their own.

    Returns:
        A scalar, nats per site, whose value is without meaning, and metrics: `kl_bound`, of the drawn ones, and
        `forward_ess`, the ESS seen from the data where there are any.

    References:
        Wu, Wang, Zhang (2019), arXiv 1809.10606, eq. 4; leave-one-out baseline: Kool, van Hoof, Welling (2019);
        log-variance under any reference: Richter, Boustati, Nüsken, Ruiz, Akyildiz (2020), arXiv 2010.10436.
    """
    assert samples.log_q is not None
    n_drawn, n_sites = len(samples) - n_data, hamiltonian.n_sites
    log_ratio = samples.log_q + beta * hamiltonian.energy_given(samples.tokens, samples.condition)
    drawn, data = log_ratio.split([n_drawn, n_data])
    advantage = torch.cat([_against_the_others(drawn.view(n_groups, -1)), _against_the_others(data[None])])
    log_q = model(samples.tokens, samples.condition, samples.log_q)
    loss = (advantage * log_q).mean() / n_sites
    metrics = {"kl_bound": drawn.mean().item() / n_sites}
    if n_data:
        metrics["forward_ess"] = (2 * math.log(n_data) - data.logsumexp(0) - (-data).logsumexp(0)).exp().item()
    return loss, metrics


def _against_the_others(values: Tensor) -> Tensor:
    """Each less the mean over the others of its group: `(n_groups, n)` to `(n_groups n,)`."""
    n = values.shape[1]
    return ((values - values.mean(1, keepdim=True)) * (n / max(1, n - 1))).flatten()


def forward_kl(model: nn.Module, tokens: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Metrics]:
    """Negative log-likelihood in nats per site: KL(p || q) up to a constant.

    Per site means divided by N = H W, also where a site has C components; divided by C it is per component.

    Args:
        model: called as `model(tokens)` or `model(tokens, condition)`, giving log_q `(B,)`.
        tokens: `(B, H, W)` or `(B, C, H, W)`, configurations of the target.
        condition: `(B, k)`, what each of them comes with; None for a model without a condition.
    """
    log_q = model(tokens) if condition is None else model(tokens, condition)
    return -log_q.mean() / math.prod(tokens.shape[-2:]), {}


def batch_metrics(samples: Samples, hamiltonian: Energy, temperature: float) -> Metrics:
    """Variational free energy, energy and ESS of one batch of samples, at the target temperature, per site.

    `free_energy_per_site` is `<E + T log_q> / N`, an upper bound of the true one; its error is statistical.
    """
    assert samples.log_q is not None
    energy = hamiltonian.energy_given(samples.tokens, samples.condition)
    bound = energy + temperature * samples.log_q
    weights = (-bound / temperature).softmax(0)
    n, n_sites = len(samples), hamiltonian.n_sites
    return {
        "free_energy_per_site": bound.mean().item() / n_sites,
        "free_energy_error": bound.std().item() / n_sites / math.sqrt(n),
        "energy_per_site": energy.mean().item() / n_sites,
        "ess": 1 / (n * weights.square().sum().item()),
    }
