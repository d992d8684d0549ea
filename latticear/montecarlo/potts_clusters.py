"""Swendsen-Wang clusters of Potts models: any number of states, ferromagnetic bonds, any fields."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["PottsSwendsenWang", "is_unfrustrated_potts"]


class PottsSwendsenWang:
    """Updates of all clusters at once, where bonds only tell equal states from unequal ones and prefer equal ones.

    A bond of energy `c_b - J_b delta(t, u)` is activated with probability `1 - exp(-beta J_b)` if its ends are equal.
    Given the active bonds, clusters are independent: each takes a state t with probability proportional to
    `exp(-beta sum_i e_i(t))`, the sum being over the fields of its sites.

    References:
        R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 58 (1987) 86; why the clusters are independent: R. G. Edwards
        and A. D. Sokal, Phys. Rev. D 38 (1988) 2009.

    Raises:
        ValueError: for bonds of another kind.
    """

    name: ClassVar[str] = "swendsen-wang"

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, tokens: Tensor, rng: np.random.Generator
    ) -> None:
        couplings = _couplings(hamiltonian)
        if couplings is None:
            raise ValueError(
                f"{self.name} needs two states and bonds whose energy is unchanged when both ends flip, or bonds of "
                f"energy c - J delta(t, u) with J >= 0, which {hamiltonian!r} with {hamiltonian.n_tokens} states does "
                f"not have; use method='metropolis'"
            )
        self.tokens = tokens
        self._i, self._j = hamiltonian.bonds.numpy().T
        self._threshold = -np.expm1(-couplings / temperature)
        self._log_field = -hamiltonian.site_energies.numpy() / temperature
        self._rng = rng
        self._states = tokens.flatten(1).cpu().numpy().copy()

    def sweep(self) -> None:
        cluster, n_clusters = self._clusters()
        log_p = np.stack([np.bincount(cluster, self._column(t), n_clusters) for t in range(self._q)], axis=1)
        gumbel = self._rng.gumbel(size=log_p.shape)  # the largest sum has token t with probability p_t
        states = (log_p + gumbel).argmax(1).astype(self._states.dtype)
        self._states = states[cluster].reshape(self._states.shape)
        self.tokens.copy_(torch.from_numpy(self._states).view(self.tokens.shape))

    @property
    def _q(self) -> int:
        return self._log_field.shape[1]

    def _column(self, token: int) -> NDArray[np.float64]:
        """What the field of each site of each chain adds to the logarithm of a token's probability."""
        return np.tile(self._log_field[:, token], len(self._states))

    def _clusters(self) -> tuple[NDArray[Any], int]:
        """The cluster of every site, chain after chain, as components of one graph, and their number."""
        equal = self._states[:, self._i] == self._states[:, self._j]
        chain, bond = (equal & (self._rng.random(equal.shape) < self._threshold)).nonzero()
        first, n = chain * self._states.shape[1], self._states.size
        graph = coo_array((np.ones(len(bond), dtype=np.int8), (first + self._i[bond], first + self._j[bond])), (n, n))
        n_clusters, label = connected_components(graph, directed=False)
        return label, n_clusters

    def settle(self) -> None:
        """Nothing was fitted to the state."""

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return 100 + extent, 10


def is_unfrustrated_potts(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether these clusters serve a system of which some configuration satisfies every bond and every field."""
    couplings = _couplings(hamiltonian)
    if couplings is None:
        return False
    n, field = hamiltonian.n_sites, hamiltonian.site_energies.numpy()
    i, j = hamiltonian.bonds.numpy()[couplings > 0].T
    _, label = connected_components(coo_array((np.ones(len(i)), (i, j)), (n, n)), directed=False)
    excess = field - field.min(1, keepdims=True)  # what each token costs; sites that are joined want the same one
    together = [np.bincount(label, column) for column in excess.T]
    return bool((np.min(together, axis=0) == 0).all())


def _couplings(hamiltonian: AbstractHamiltonian) -> NDArray[np.float64] | None:
    """`J_b >= 0` of every bond in `c_b - J_b delta(t, u)`; None where the tables are not of this kind."""
    tables = hamiltonian.bond_energies.numpy()
    couplings: NDArray[np.float64] = tables[:, 0, 1] - tables[:, 0, 0]
    potts = tables[:, :1, 1:2] - couplings[:, None, None] * np.eye(hamiltonian.n_tokens)
    rounding = 1e-12 * np.abs(tables).max(initial=0)
    if not np.allclose(tables, potts, rtol=0, atol=rounding) or (couplings < -rounding).any():
        return None
    return couplings.clip(min=0)
