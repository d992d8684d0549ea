"""Importance weights of configurations that are known to belong to the target."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.data import load_configurations
from latticear.estimation.data_check import examine
from latticear.estimation.inputs import MIN_SAMPLES
from latticear.estimation.measurement import CHUNK
from latticear.estimation.quantity import Estimate
from latticear.estimation.thermodynamics import delta_error
from latticear.estimation.weights import log_mean_exp
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian, check_temperature
from latticear.lattice import configuration_size
from latticear.models import AbstractModel, check_is_model
from latticear.sampling.modes import evaluating

__all__ = ["forward_ess", "forward_ess_of", "forward_log_weights"]


def forward_ess(
    model: AbstractModel,
    tokens: Any,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    condition: Tensor | None = None,
    check_data: bool = True,
) -> Estimate:
    """ESS from configurations of the Boltzmann distribution p, `1 / (<w>_p <1/w>_p)`.

    A model that has collapsed to a part of the distribution has a high ESS on its own samples, but a tiny one on
    configurations of the target, some of which it almost never draws.

    Args:
        model: any model.
        tokens: independent configurations of the target, e.g. from Monte Carlo: an array or a file, all that
            `load_configurations` takes.
        hamiltonian, temperature: Hamiltonian and temperature of the target.
        condition: the condition, one row for all configurations, if the model has one.
        check_data: whether to examine if the configurations fit the Hamiltonian at the temperature. If they do not, the
            estimate is not trusted, and a `MisfitWarning` says what would fit.

    References:
        Nicoli et al., "Estimation of thermodynamic observables in lattice field theories with deep generative
        models", Phys. Rev. Lett. 126 (2021) 032001; forward ESS: Nicoli et al., arXiv 2302.14082.
    """
    check_is_model(model)
    check_is_hamiltonian(hamiltonian)
    temperature = check_temperature(temperature)
    tokens = load_configurations(tokens, hamiltonian, temperature=temperature)
    if len(tokens) < MIN_SAMPLES:
        raise ValueError(f"forward_ess needs at least {MIN_SAMPLES} configurations, got {len(tokens)}")
    result = forward_ess_of(forward_log_weights(model, tokens, hamiltonian, temperature, condition))
    found = examine(tokens, hamiltonian, temperature) if check_data else None
    if found is None or found.fits:
        return result
    found.warn()
    return result.object_to(["the configurations do not fit"])


@torch.no_grad()
def forward_log_weights(
    model: AbstractModel,
    tokens: Tensor,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    condition: Tensor | None = None,
) -> Array:
    """`-beta E - log_q` of configurations of the target, float64 `(n,)`; arguments as in `forward_ess`.

    Raises:
        ValueError: for a model of another system.
    """
    check_is_model(model)
    size = configuration_size(model.shape, model.n_components)
    if (size, model.n_tokens) != (hamiltonian.size, hamiltonian.n_tokens):
        raise ValueError(
            f"forward_ess needs a model and a Hamiltonian of equal shape and number of tokens: the model has {size} "
            f"with {model.n_tokens} tokens, the Hamiltonian {hamiltonian.size} with {hamiltonian.n_tokens}"
        )
    device, parts = model.rank.device, []
    with evaluating(model):
        for part in tokens.split(max(1, CHUNK // hamiltonian.n_sites)):
            on_device = part.to(device)
            rows = None if condition is None else condition.to(device).expand(len(part), -1)
            parts.append(-hamiltonian.token_energy(on_device) / temperature - model.log_prob(on_device, rows))
    return torch.cat(parts).cpu().numpy()


def forward_ess_of(log_w: Array) -> Estimate:
    """The forward ESS from log weights of configurations of the target."""
    log_mean, log_inverse = log_mean_exp(log_w), log_mean_exp(-log_w)
    value = math.exp(-log_mean - log_inverse)
    influence = value * (2 - np.exp(log_w - log_mean) - np.exp(-log_w - log_inverse))
    return Estimate(value, delta_error(influence[:, None]), n=len(log_w), ess=value)
