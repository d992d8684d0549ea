"""What training minimises, and what a batch of samples says of it."""

from __future__ import annotations

import math

from torch import Tensor, nn

from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = ["Metrics", "batch_metrics", "forward_kl", "reverse_kl"]

Metrics = dict[str, float]


def reverse_kl(
    model: nn.Module, hamiltonian: AbstractHamiltonian, beta: float | Tensor, samples: Samples, *, n_groups: int = 1
) -> tuple[Tensor, Metrics]:
    """Surrogate whose gradient is that of KL(q || p), by the score function.

    `grad = < (log_q + beta E - b) grad log_q >`, where the baseline b of a sample is the mean over the *other* samples
    of its group, so that the gradient has no bias.

    Args:
        model: called as `model(tokens, condition, samples.log_q)`, giving log_q `(B,)` with its gradient.
        hamiltonian: gives E.
        beta: inverse temperature of this step, one or `(B,)`.
        samples: drawn from the model as it is now.
        n_groups: the samples are so many groups of equal size, one after the other, each with one condition.

    Returns:
        A scalar, nats per site, whose value is without meaning, and metrics.

    References:
        Wu, Wang, Zhang (2019), arXiv 1809.10606, eq. 4; leave-one-out baseline: Kool, van Hoof, Welling (2019).
    """
    assert samples.log_q is not None
    n, n_sites = len(samples) // n_groups, hamiltonian.n_sites
    energy = hamiltonian.token_energy(samples.tokens)
    log_ratio = (samples.log_q + beta * energy).view(n_groups, n)
    advantage = (log_ratio - log_ratio.mean(1, keepdim=True)) * (n / (n - 1))
    log_q = model(samples.tokens, samples.condition, samples.log_q)
    loss = (advantage.flatten() * log_q).mean() / n_sites
    return loss, {"kl_bound": log_ratio.mean().item() / n_sites}


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


def batch_metrics(samples: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Metrics:
    """Variational free energy, energy and ESS of one batch of samples, at the target temperature, per site.

    `free_energy_per_site` is `<E + T log_q> / N`, an upper bound of the true one; its error is statistical.
    """
    assert samples.log_q is not None
    energy = hamiltonian.token_energy(samples.tokens)
    bound = energy + temperature * samples.log_q
    weights = (-bound / temperature).softmax(0)
    n, n_sites = len(samples), hamiltonian.n_sites
    return {
        "free_energy_per_site": bound.mean().item() / n_sites,
        "free_energy_error": bound.std().item() / n_sites / math.sqrt(n),
        "energy_per_site": energy.mean().item() / n_sites,
        "ess": 1 / (n * weights.square().sum().item()),
    }
