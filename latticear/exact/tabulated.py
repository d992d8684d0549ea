"""The Boltzmann distribution of a small system as a table of all configurations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from latticear.arrays import Array
from latticear.exact.enumeration import all_configurations
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature
from latticear.random_numbers import generator

__all__ = ["Tabulated", "can_tabulate"]

MAX_STATES = 2**16


def can_tabulate(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether the system has so few configurations, at most 2^16, that a table of them takes a fraction of a second."""
    joint = hamiltonian.joint
    return bool(joint.n_tokens**joint.n_sites <= MAX_STATES)


class Tabulated:
    """All configurations of a small system with their probabilities: exact averages of any observable.

    Args:
        hamiltonian: any system of at most 2^20 configurations; at fixed composition the table has those with it.
        temperature: T > 0, in the unit of the couplings.

    Attributes:
        tokens: uint8 `(q^N, H, W)`, or `(q^N, C, H, W)` where a site has components.
        energy: float64 `(q^N,)`, extensive.
        log_p: float64 `(q^N,)`, logarithms of the probabilities.
        log_z: ln Z.

    Raises:
        ValueError: if there are too many configurations, or for a temperature that is not positive and finite.

    Example:
        >>> import latticear as la
        >>> table = Tabulated(la.Ising((2, 2)), 2.0)
        >>> float(table.average(lambda spins: spins[:, 0, 0] * spins[:, 0, 1]))
        0.90...
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, temperature: float) -> None:
        check_is_hamiltonian(hamiltonian)
        self.hamiltonian, self.temperature = hamiltonian, check_temperature(temperature)
        joint = hamiltonian.joint
        tokens = all_configurations(joint.shape, joint.n_tokens)
        self.tokens = hamiltonian.split(tokens[joint.allowed(tokens)])
        self.energy: Array = hamiltonian.token_energy(self.tokens).numpy()
        self.log_z = float(logsumexp(-self.energy / self.temperature))
        self.log_p: Array = -self.energy / self.temperature - self.log_z

    def average(self, observable: Callable[[Tensor], Tensor]) -> Array:
        """The exact average of an observable, `fn(spins) -> (q^N,)` or `(q^N, k)`, as `la.estimate` takes it."""
        values = torch.as_tensor(observable(self.hamiltonian.spins(self.tokens))).double().numpy()
        return np.asarray(np.exp(self.log_p) @ values)

    def draw(self, n: int, seed: int) -> Tensor:
        """n independent configurations of the distribution: tokens `(n, H, W)` or `(n, C, H, W)`."""
        uniform = generator(seed, "table").random(n)
        cumulative = np.exp(self.log_p).cumsum()
        return self.tokens[torch.from_numpy(np.searchsorted(cumulative / cumulative[-1], uniform, side="right"))]
