"""Exact averages over pairs of configurations of a small system, of which each has the Boltzmann distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.exact.enumeration import all_configurations
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature

__all__ = ["MOST_PAIRED", "MOST_TRANSFORMED", "pair_average", "takes_pairs"]

MOST_TRANSFORMED = 2**20
"""Largest number of configurations of spins -1, +1, whose pairs are summed by a transform."""

MOST_PAIRED = 2**10
"""Largest number of configurations of other systems, whose pairs are summed one by one."""

CHUNK = 2**15


def takes_pairs(hamiltonian: AbstractHamiltonian, share: float = 1.0) -> bool:
    """Whether the pairs of configurations can be summed, for spins -1, +1 with this share of the largest number."""
    joint = hamiltonian.joint
    most = share * MOST_TRANSFORMED if joint.vectors.tolist() == [[-1.0], [1.0]] else MOST_PAIRED
    return bool(joint.n_tokens**joint.n_sites <= most)


def pair_average(
    hamiltonian: AbstractHamiltonian, temperature: float, fn: Callable[[Tensor, Tensor], tuple[Array, ...]]
) -> list[Array]:
    """Exact averages of functions of two configurations, both drawn independently from the Boltzmann distribution.

    For spins -1, +1 a function of the products s_i t_i alone is enough: the distribution of the configuration of these
    products is the convolution of the Boltzmann distribution with itself, by a fast Walsh-Hadamard transform. Other
    systems are summed over all pairs of configurations.

    Args:
        hamiltonian: a system with at most 2^20 configurations of spins -1, +1, or 2^10 others.
        temperature: T > 0.
        fn: maps tokens `(1, H, W)` and `(B, H, W)` of `hamiltonian.joint` to arrays `(B, ...)`; for spins -1, +1 it
            must depend on their products alone.

    Raises:
        ValueError: if there are too many configurations.
    """
    check_is_hamiltonian(hamiltonian)
    beta, joint = 1 / check_temperature(temperature), hamiltonian.joint
    if not takes_pairs(hamiltonian):
        raise ValueError(
            f"exact averages over pairs need at most 2^{math.log2(MOST_TRANSFORMED):.0f} configurations of spins "
            f"-1, +1, or 2^{math.log2(MOST_PAIRED):.0f} others, got {joint.n_tokens} states on {joint.n_sites} sites"
        )
    tokens = all_configurations(joint.shape, joint.n_tokens)
    energy = torch.cat([joint.token_energy(part) for part in tokens.split(CHUNK)]).numpy()
    p = np.exp(-beta * (energy - energy.min())) * joint.allowed(tokens).numpy()
    p /= p.sum()
    if joint.vectors.tolist() == [[-1.0], [1.0]]:
        of_products = _transformed(_transformed(p) ** 2) / len(p)  # entry k: bits of k are where s and t differ
        return _summed(of_products, tokens, tokens[:1], fn)
    total: list[Array] = []
    for k in np.flatnonzero(p):
        part = [p[k] * each for each in _summed(p, tokens, tokens[k : k + 1], fn)]
        total = [a + b for a, b in zip(total, part, strict=True)] if total else part
    return total


def _summed(p: Array, tokens: Tensor, first: Tensor, fn: Callable[[Tensor, Tensor], tuple[Array, ...]]) -> list[Array]:
    """The averages of functions of one configuration and each of all others, with probabilities p."""
    total: list[Array] = []
    for start in range(0, len(p), CHUNK):
        here = slice(start, start + CHUNK)
        part = [np.tensordot(p[here], values, 1) for values in fn(first, tokens[here])]
        total = [a + b for a, b in zip(total, part, strict=True)] if total else part
    return total


def _transformed(values: Array) -> Array:
    """The Walsh-Hadamard transform, without a factor."""
    values = values.copy()
    half = 1
    while half < len(values):
        pairs = values.reshape(-1, 2, half)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1).reshape(-1)
        half *= 2
    return values
