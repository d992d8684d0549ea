"""Swendsen-Wang updates of Potts models with any number of states, ferromagnetic bonds and any fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.montecarlo.parts import part_of_stream
from latticear.processes import ALONE, Processes
from latticear.random_numbers import restore_generator, state_of

__all__ = ["PottsSwendsenWang", "is_unfrustrated_potts"]


class PottsSwendsenWang:
    """Updates of all clusters at once, for ferromagnetic Potts bonds, whose energy depends on t = u alone.

    A bond with states t and u at its ends has the energy `c_b - J_b delta(t, u)`, J_b >= 0; it is activated with
    probability `1 - exp(-beta J_b)` if t = u. Given the active bonds, clusters are independent: each takes a state t
    with probability proportional to `exp(-beta sum_i e_i(t))`, where the sum is over the field energies of its sites.

    References:
        R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 58 (1987) 86; independence of the clusters: R. G. Edwards
        and A. D. Sokal, Phys. Rev. D 38 (1988) 2009.

    Raises:
        ValueError: for bonds with another form of energy.
    """

    name: ClassVar[str] = "swendsen-wang"

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        tokens: Tensor,
        rng: np.random.Generator,
        processes: Processes = ALONE,
    ) -> None:
        couplings = _couplings(hamiltonian)
        if couplings is None:
            raise ValueError(
                f"{self.name} needs two states and bonds whose energy is unchanged when both ends flip, or bonds of "
                f"energy c - J delta(t, u) with J >= 0, which {hamiltonian!r} with {hamiltonian.n_tokens} states does "
                f"not have; use method='metropolis'"
            )
        self.share = processes.share(len(tokens))
        self.tokens = tokens = tokens[self.share.rows]
        self._i, self._j = hamiltonian.bonds.numpy().T
        self._threshold = -np.expm1(-couplings / temperature)
        self._log_field = -hamiltonian.site_energies.numpy() / temperature
        self._rng = rng
        self._states = tokens.flatten(1).cpu().numpy().copy()

    def sweep(self) -> None:
        cluster, n_clusters = self._clusters()
        log_p = np.stack([np.bincount(cluster, self._column(t), n_clusters) for t in range(self._q)], axis=1)
        counts = self.share.processes.share(self.share.processes.size).joined(torch.tensor([n_clusters]))
        before = int(counts[: self.share.processes.rank].sum()) * self._q
        # A number of Gumbel's distribution takes one step of the generator, but for one in 2^53.
        with part_of_stream(self._rng, before, int(counts.sum()) * self._q):
            gumbel = self._rng.gumbel(size=log_p.shape)  # log_p + gumbel is largest for token t with probability p_t
        states = (log_p + gumbel).argmax(1).astype(self._states.dtype)
        self._states = states[cluster].reshape(self._states.shape)
        self.tokens.copy_(torch.from_numpy(self._states).view(self.tokens.shape))

    @property
    def _q(self) -> int:
        return self._log_field.shape[1]

    def _column(self, token: int) -> NDArray[np.float64]:
        """Contribution of the field at each site of each chain to the log-probability of a token, `(R N,)`."""
        return np.tile(self._log_field[:, token], len(self._states))

    def _clusters(self) -> tuple[NDArray[Any], int]:
        """The cluster index of every site, chain after chain, and the number of clusters.

        The clusters of all chains are the connected components of one graph.
        """
        equal = self._states[:, self._i] == self._states[:, self._j]
        n_bonds = len(self._i)
        with part_of_stream(self._rng, self.share.rows.start * n_bonds, self.share.n * n_bonds):
            chain, bond = (equal & (self._rng.random(equal.shape) < self._threshold)).nonzero()
        first, n = chain * self._states.shape[1], self._states.size
        graph = coo_array((np.ones(len(bond), dtype=np.int8), (first + self._i[bond], first + self._j[bond])), (n, n))
        n_clusters, label = connected_components(graph, directed=False)
        return label, n_clusters

    def settle(self) -> None:
        """Do nothing: the method has no parameters that are adapted during thermalisation."""

    def state(self) -> dict[str, Tensor]:
        return {"tokens": self.share.joined(self.tokens), "generator": state_of(self._rng)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.tokens.copy_(state["tokens"][self.share.rows])
        self._states = self.tokens.flatten(1).cpu().numpy().copy()
        restore_generator(self._rng, state["generator"])

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return 100 + extent, 10


def is_unfrustrated_potts(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether all bonds are ferromagnetic Potts bonds, and some configuration satisfies every bond and every field."""
    couplings = _couplings(hamiltonian)
    if couplings is None:
        return False
    n, field = hamiltonian.n_sites, hamiltonian.site_energies.numpy()
    i, j = hamiltonian.bonds.numpy()[couplings > 0].T
    _, label = connected_components(coo_array((np.ones(len(i)), (i, j)), (n, n)), directed=False)
    excess = field - field.min(1, keepdims=True)  # zero for the tokens that the field favours
    together = [np.bincount(label, column) for column in excess.T]
    return bool((np.min(together, axis=0) == 0).all())


def _couplings(hamiltonian: AbstractHamiltonian) -> NDArray[np.float64] | None:
    """`J_b >= 0` of every bond in `c_b - J_b delta(t, u)`; None if some bond has another form of energy."""
    tables = hamiltonian.bond_energies.numpy()
    couplings: NDArray[np.float64] = tables[:, 0, 1] - tables[:, 0, 0]
    potts = tables[:, :1, 1:2] - couplings[:, None, None] * np.eye(hamiltonian.n_tokens)
    rounding = 1e-12 * np.abs(tables).max(initial=0)
    if not np.allclose(tables, potts, rtol=0, atol=rounding) or (couplings < -rounding).any():
        return None
    return couplings.clip(min=0)
