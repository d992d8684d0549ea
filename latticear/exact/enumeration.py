"""Exact results by a sum over all configurations, with which the other exact methods are tested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from latticear.exact.mixture import Array, Mixture, mix, result_of
from latticear.exact.result import ExactResult
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature

__all__ = ["all_configurations", "enumerate_states"]

MAX_SUMMED = 2**24
MAX_STORED = 2**20
CHUNK = 2**15


def all_configurations(shape: tuple[int, int], n_tokens: int) -> Tensor:
    """All configurations of a small lattice: uint8 tokens `(q^N, H, W)`, in lexicographic order.

    Args:
        shape: (H, W).
        n_tokens: q, the number of values that a site can take; 2 to 256.

    Raises:
        ValueError: if q^N exceeds 2^20 or q does not fit a byte.

    Example:
        >>> all_configurations((1, 2), 2).tolist()
        [[[0, 0]], [[0, 1]], [[1, 0]], [[1, 1]]]
    """
    if not 2 <= n_tokens <= 256:
        raise ValueError(f"n_tokens must be 2 to 256, got {n_tokens}")
    n_sites = shape[0] * shape[1]
    count = _count(n_tokens, n_sites, MAX_STORED, "all_configurations")
    return _configurations(0, count, shape, n_tokens)


def enumerate_states(hamiltonian: AbstractHamiltonian, temperature: float) -> ExactResult:
    """Exact thermodynamics by summing all q^N configurations of any Hamiltonian.

    At fixed composition (`FixedComposition`) it is the sum over the configurations with that composition.

    Args:
        hamiltonian: any system with q^N <= 2^24.
        temperature: T > 0, in the unit of the couplings.

    Raises:
        ValueError: if there are too many configurations, or for a temperature that is not positive and
            finite.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> enumerate_states(Ising((1, 2), periodic=False), 1.0).energy_per_site  # -tanh(1) / 2
        -0.38079707...
    """
    check_is_hamiltonian(hamiltonian)
    beta, hamiltonian = 1 / check_temperature(temperature), hamiltonian.joint
    q, n_sites = hamiltonian.n_tokens, hamiltonian.n_sites
    count = _count(q, n_sites, MAX_SUMMED, "enumerate_states")
    parts, moments = [], []
    for start in range(0, count, CHUNK):
        tokens = _configurations(start, min(start + CHUNK, count), hamiltonian.shape, q)
        tokens = tokens[hamiltonian.allowed(tokens)]
        if not len(tokens):
            continue
        part, moment = _chunk(hamiltonian, tokens, beta)
        parts.append(part)
        moments.append(moment)
    chunks = Mixture(*map(np.array, zip(*parts, strict=True)))
    total = mix(chunks)
    m_abs, m_squared, m_fourth = softmax(chunks.log_weight) @ np.array(moments)
    return replace(
        result_of("enumerate_states", n_sites, temperature, total),
        abs_magnetization=float(m_abs),
        magnetization_squared=float(m_squared),
        magnetization_fourth=float(m_fourth),
    )


def _chunk(hamiltonian: AbstractHamiltonian, tokens: Tensor, beta: float) -> tuple[Mixture, Array]:
    """The sum of the Boltzmann weights of some configurations, and (<|m|>, <m^2>, <m^4>) under these weights."""
    energy = hamiltonian.token_energy(tokens).numpy()
    m = hamiltonian.magnetization(tokens).numpy()
    total = mix(Mixture(-beta * energy, energy, np.zeros_like(energy)))
    weight = softmax(-beta * energy)  # normalised by their own sum: ln Z may be rounded by more than 1
    return total, np.stack([np.abs(m), m**2, m**4]) @ weight


def _configurations(start: int, stop: int, shape: tuple[int, int], q: int) -> Tensor:
    n_sites = shape[0] * shape[1]
    place = q ** torch.arange(n_sites - 1, -1, -1)
    digits = torch.arange(start, stop).unsqueeze(1) // place % q
    return digits.to(torch.uint8).view(-1, *shape)


def _count(q: int, n_sites: int, limit: int, caller: str) -> int:
    if q**n_sites > limit:
        raise ValueError(
            f"{caller} loops over every configuration and takes at most {limit} of them, got {q} values on "
            f"{n_sites} sites; use a smaller lattice, transfer_matrix or kaufman"
        )
    return q**n_sites
