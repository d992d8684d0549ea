"""Likelihood of given configurations under a model, in nats and in bits."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from latticear.data import load_configurations
from latticear.estimation.quantity import Estimate
from latticear.models import AbstractModel, check_is_model
from latticear.sampling.modes import evaluating
from latticear.spaces import ConfigurationSpace, Grid

__all__ = ["negative_log_likelihood"]


@torch.no_grad()
def negative_log_likelihood(
    model: AbstractModel,
    tokens: Any,
    condition: Tensor | None = None,
    *,
    batch_size: int = 256,
    system: ConfigurationSpace | None = None,
) -> dict[str, Estimate]:
    """Mean negative log-likelihood of configurations, with its statistical error.

    The model gives the likelihood of each configuration exactly; the error is that of the mean. Values per site are
    divided by N = H W, also where a site has C components. For C > 1 there are also values per component, divided by
    C N (the "bits per dimension" of images). One bit is ln 2 nats.

    Args:
        model: the model; its dropout is switched off.
        tokens: n >= 2 configurations, an array or a file: all that `load_configurations` takes.
        condition: `(n, k)` for a model with a condition; the likelihood is then that of the tokens given the condition.
        batch_size: number of configurations in one forward pass.
        system: the Hamiltonian or grid whose values the configurations hold; None for tokens, or any of the codes of
            tokens that `load_configurations` knows, such as -1 and 1 for a model of two tokens.

    Returns:
        `nll_per_site` in nats, `bits_per_site`; for C > 1 also `nll_per_component`, `bits_per_component`. The error is
        the standard deviation of the mean of independent configurations; it is too small for those of a Markov chain.

    Raises:
        ValueError: for fewer than 2 configurations, or configurations or conditions that the model does not take.
    """
    check_is_model(model)
    if system is None:
        system = Grid(model.shape, model.n_tokens, n_components=model.n_components)
    tokens = load_configurations(tokens, system)
    if len(tokens) < 2:
        raise ValueError(f"an error bar needs at least 2 configurations, got {len(tokens)}")
    device, parts = model.rank.device, []
    with evaluating(model):
        for start in range(0, len(tokens), batch_size):
            rows = slice(start, start + batch_size)
            given = None if condition is None else condition[rows].to(device, next(model.parameters()).dtype)
            parts.append(-model.log_prob(tokens[rows].to(device), given).cpu())
    nll = torch.cat(parts)
    value, error = nll.mean().item(), nll.std().item() / math.sqrt(len(nll))
    n_sites = math.prod(model.shape)
    scales = {"per_site": n_sites}
    if model.n_components > 1:
        scales["per_component"] = n_sites * model.n_components
    return {
        f"{unit}_{name}": Estimate(value / (scale * nats), error / (scale * nats), n=len(nll), ess=1.0)
        for name, scale in scales.items()
        for unit, nats in (("nll", 1.0), ("bits", math.log(2)))
    }
