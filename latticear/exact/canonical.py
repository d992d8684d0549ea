"""Exact results at fixed composition, from the transfer matrix resolved by magnetisation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from latticear.exact.mixture import Mixture, result_of
from latticear.exact.resolved import magnetization_distribution
from latticear.exact.result import ExactResult
from latticear.exact.transfer import transfer_matrix
from latticear.hamiltonians import FixedComposition, check_temperature

__all__ = ["N_TEMPERATURES", "canonical_result"]

N_TEMPERATURES = 5
"""Number of temperatures at which the distribution of M is computed."""

STEP = 0.01
"""Their distance, as a fraction of beta."""

LEAST = 1e-280
"""Smallest probability of a magnetisation that has not underflowed."""


def canonical_result(hamiltonian: FixedComposition, temperature: float) -> ExactResult:
    """Exact thermodynamics at fixed composition of a narrow strip whose sites have two states.

    The composition of two states fixes M, and `Z_n = Z P(M)`, where P(M) is the probability of M without the
    constraint. Energy and heat capacity are differences of fourth order of ln Z_n in beta, and have about six digits.

    Args:
        hamiltonian: two states that are integers, at fixed composition, with bonds that `transfer_matrix` covers.
        temperature: T > 0, in the unit of the couplings.

    Raises:
        ValueError: for more states, or a system that `magnetization_distribution` refuses.
        ArithmeticError: if weights underflow.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> exact = canonical_result(FixedComposition(Ising((6, 6)), magnetization=0.0), 2.0)
        >>> print(f"{exact.log_z:.6f}, {exact.energy_per_site:.4f}")
        30.269092, -0.8429
    """
    if hamiltonian.n_tokens > 2:
        raise ValueError(
            f"magnetization_resolved is for two states at fixed composition, got {hamiltonian.n_tokens}: use "
            f"enumerate_states on small lattices"
        )
    beta = 1 / check_temperature(temperature)
    step = STEP * beta
    n = N_TEMPERATURES // 2
    low2, low, log_z, high, high2 = (_log_z(hamiltonian, 1 / (beta + k * step)) for k in range(-n, n + 1))
    slope = (low2 - 8 * low + 8 * high - high2) / (12 * step)
    curvature = (16 * (low + high) - low2 - high2 - 30 * log_z) / (12 * step**2)
    total = Mixture(np.array(log_z), np.array(-slope), np.array(max(0.0, curvature)))
    m = abs(_magnetization(hamiltonian)) / hamiltonian.n_sites
    return replace(
        result_of("magnetization_resolved", hamiltonian.n_sites, temperature, total),
        abs_magnetization=m,
        magnetization_squared=m**2,
        magnetization_fourth=m**4,
    )


def _magnetization(hamiltonian: FixedComposition) -> float:
    """M, the sum of the spins."""
    return float(sum(n * s for n, s in zip(hamiltonian.composition, hamiltonian.states.tolist(), strict=True)))


def _log_z(hamiltonian: FixedComposition, temperature: float) -> float:
    """ln Z at fixed composition."""
    values, probability = magnetization_distribution(hamiltonian.system, temperature)
    p = float(probability[values == round(_magnetization(hamiltonian))].sum())
    if p < LEAST:
        raise ArithmeticError(
            f"at temperature {temperature} the weight of this magnetisation underflows in the resolved transfer matrix"
        )
    return transfer_matrix(hamiltonian.system, temperature).log_z + math.log(p)
