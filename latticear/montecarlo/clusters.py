"""Cluster Monte Carlo of two-state models: Swendsen-Wang and Wolff.

Both run in the compiled kernels and, where there are none, in Python: the same configurations, bit for bit.
"""

from __future__ import annotations

import ctypes
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.kernels.library import library
from latticear.montecarlo.potts_clusters import is_unfrustrated_potts

__all__ = ["SwendsenWang", "Wolff", "clusters_suit"]


def clusters_suit(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether clusters are the method of choice: nothing frustrated, and bonds that Swendsen-Wang serves.

    That is two states and bonds blind to a flip of both ends, or more states and ferromagnetic Potts bonds.

    Nothing is frustrated if some configuration satisfies every bond and every field. Node (i, s) of a doubled graph
    stands for spin s at site i, and a bond joins what it wants together: there is such a configuration unless a path
    leads from (i, +) to (i, -). Balance of signed graphs: F. Harary, Michigan Math. J. 2 (1953) 143.
    """
    hamiltonian = hamiltonian.joint
    if not hamiltonian.has_bonds:
        return False
    if hamiltonian.n_tokens > 2:
        return is_unfrustrated_potts(hamiltonian)
    try:
        couplings, fields = _couplings_and_fields(hamiltonian, "this")
    except ValueError:
        return False
    ghost, in_field = hamiltonian.n_sites, np.flatnonzero(fields)
    ends = np.concatenate([hamiltonian.bonds.numpy(), np.stack([in_field, np.full_like(in_field, ghost)], axis=1)])
    wants = np.concatenate([couplings, fields[in_field]])
    i, j = ends[wants != 0].T
    other = np.where(wants[wants != 0] > 0, 0, ghost + 1)  # where the nodes of the opposite spin begin
    rows, columns = np.concatenate([i, i + ghost + 1]), np.concatenate([j + other, j + (ghost + 1 - other)])
    n = 2 * (ghost + 1)
    _, label = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n)), directed=False)
    return bool((label[: ghost + 1] != label[ghost + 1 :]).all())


class SwendsenWang:
    """Updates of all clusters at once, for any couplings and fields, ferromagnetic or not.

    A satisfied bond is activated with probability `1 - exp(-2 beta |J_b|)`; each cluster of active bonds
    flips with probability 1/2. A field couples every site to one more spin per chain, the ghost, which is
    held at +1. Where couplings or fields frustrate each other it is right but slow: clusters percolate early,
    and Metropolis thermalises sooner.

    References:
        R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 58 (1987) 86. Ghost spin: A. Coniglio, F. di Liberto,
        G. Monroy and F. Peruggi, J. Phys. A 22 (1989) L837.

    Raises:
        ValueError: unless sites have two states and every bond's energy is unchanged when both its ends flip.
    """

    name: ClassVar[str] = "swendsen-wang"

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, tokens: Tensor, rng: np.random.Generator
    ) -> None:
        couplings, fields = _couplings_and_fields(hamiltonian, self.name)
        ghost = hamiltonian.n_sites  # the last node, on its own where there is no field
        in_field = np.flatnonzero(fields)
        to_ghost = np.stack([in_field, np.full_like(in_field, ghost)], axis=1)
        bonds = np.concatenate([hamiltonian.bonds.numpy(), to_ghost])
        order = np.argsort(bonds[:, 0], kind="stable")  # the work moves through memory site by site
        self._bonds = np.ascontiguousarray(bonds[order], dtype=np.int32)
        self._threshold = _thresholds(np.concatenate([couplings, fields[in_field]])[order], temperature)
        self._rng = rng
        self.tokens = tokens
        # Clusters are found on the CPU, with the ghost as one more column; `tokens` follows as a copy.
        self._nodes = np.ones((len(tokens), ghost + 1), dtype=np.uint8)
        self._nodes[:, :ghost] = tokens.flatten(1).cpu().numpy()
        self._parent = np.empty(ghost + 1, dtype=np.int32)
        self._active = np.empty(len(bonds), dtype=np.int32)

    def sweep(self) -> None:
        # A coin for every node; that of its lowest node decides for a cluster.
        coins = self._rng.integers(2, size=self._nodes.shape, dtype=np.bool_)
        kernels = library()
        if kernels is None:
            self._sweep(coins)
        else:
            n_chains, n_nodes = self._nodes.shape
            kernels.latticear_swendsen_wang(
                n_chains,
                n_nodes,
                len(self._bonds),
                *_pointers(self._bonds, self._threshold, coins),
                *_uniform(self._rng),
                *_pointers(self._parent, self._active, self._nodes),
            )
        self.tokens.copy_(torch.from_numpy(self._nodes[:, :-1]).view(self.tokens.shape))

    def _sweep(self, coins: NDArray[np.bool_]) -> None:
        """All chains as components of one graph."""
        i, j = self._bonds.T
        differ = self._nodes[:, i] != self._nodes[:, j]
        active = self._rng.random(differ.shape) < np.where(differ, self._threshold[:, 1], self._threshold[:, 0])
        chain, bond = active.nonzero()
        first = chain * self._nodes.shape[1]
        graph = coo_array((np.ones(len(bond)), (first + i[bond], first + j[bond])), shape=(coins.size, coins.size))
        n_clusters, labels = connected_components(graph, directed=False)
        coin = np.empty(n_clusters, dtype=np.bool_)
        coin[labels[::-1]] = coins.ravel()[::-1]  # the last one written stays: that of the lowest node
        flip = coin[labels].reshape(coins.shape)
        self._nodes ^= flip ^ flip[:, -1:]  # the ghost stays: where its cluster flipped, the chain turns once more

    def settle(self) -> None:
        """Nothing was fitted to the state."""

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return 100 + extent, 10


class Wolff:
    """Updates of one cluster at a time, for any couplings without a field.

    A cluster grows from a random site over satisfied bonds, each with probability `1 - exp(-2 beta |J_b|)`,
    and flips. A sweep is a fixed number of clusters: one that stopped after so many flipped sites would look at the
    state, and bias every average. The number starts at 1; after each sweep of the thermalisation it is fitted, for
    all chains alike, so that a sweep flips about N sites of a chain; then it is frozen. Large clusters are chosen more
    often than small ones, so that at T_c a sweep decorrelates about twice as much as one of Swendsen-Wang, in two to
    three times the time.

    Reference: U. Wolff, Phys. Rev. Lett. 62 (1989) 361.

    Raises:
        ValueError: in a field, and as `SwendsenWang`.
    """

    name: ClassVar[str] = "wolff"

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, tokens: Tensor, rng: np.random.Generator
    ) -> None:
        couplings, fields = _couplings_and_fields(hamiltonian, self.name)
        if fields.any():
            raise ValueError(f"wolff serves no field, which {hamiltonian!r} has; use method='swendsen-wang'")
        bonds = hamiltonian.bonds.numpy()
        here, there = np.concatenate([bonds, bonds[:, ::-1]]).T
        order = np.argsort(here, kind="stable")
        self._start = np.searchsorted(here[order], np.arange(hamiltonian.n_sites + 1))
        self._neighbour = there[order].astype(np.int32)
        self._threshold = _thresholds(np.tile(couplings, 2)[order], temperature)
        self._rng = rng
        self.tokens = tokens
        self._sites = tokens.flatten(1).cpu().numpy().copy()
        self._queue = np.empty(hamiltonian.n_sites, dtype=np.int32)
        self._member = np.zeros(hamiltonian.n_sites, dtype=np.uint8)
        self._n_clusters = 1
        self._settled = False
        self._recent = np.zeros(2)  # clusters and flipped sites of the last ten sweeps or so

    def sweep(self) -> None:
        kernels = library()
        n_chains, n_sites = self._sites.shape
        if kernels is None:
            flipped = sum(map(self._sweep, self._sites))
        else:
            flipped = kernels.latticear_wolff(
                n_chains,
                n_sites,
                self._n_clusters,
                _ATTEMPT,
                *_pointers(self._start, self._neighbour, self._threshold),
                *_uniform(self._rng),
                *_pointers(self._queue, self._member, self._sites),
            )
        self.tokens.copy_(torch.from_numpy(self._sites).view(self.tokens.shape))
        if not self._settled:
            self._recent = 0.9 * self._recent + (n_chains * self._n_clusters, flipped)
            clusters, sites = self._recent
            fitted = max(1, round(n_sites * clusters / max(sites, 1)))
            # Clusters grow as a random start orders: a number fitted to the first, small ones would cost too much.
            self._n_clusters = min(2 * self._n_clusters, fitted)

    def _sweep(self, sites: NDArray[np.uint8]) -> int:
        """One chain; returns how many sites were flipped."""
        uniform, bonds_of, tokens, flipped = self._rng.random, self._bonds_of, sites.tolist(), 0
        for _ in range(self._n_clusters):
            if uniform() >= _ATTEMPT:
                continue
            cluster = [int(uniform() * len(tokens))]
            members = set(cluster)
            for i in cluster:
                for j, threshold in bonds_of[i]:
                    p = threshold[tokens[i] ^ tokens[j]]
                    if j not in members and p > 0 and uniform() < p:
                        members.add(j)
                        cluster.append(j)
            for i in cluster:
                tokens[i] ^= 1
            flipped += len(cluster)
        sites[:] = tokens
        return flipped

    @cached_property
    def _bonds_of(self) -> list[list[tuple[int, list[float]]]]:
        """For each site its neighbours, each with the thresholds of the bond."""
        bonds = list(zip(self._neighbour.tolist(), self._threshold.tolist(), strict=True))
        return [bonds[first:stop] for first, stop in pairwise(self._start.tolist())]

    def settle(self) -> None:
        """Freeze the number of clusters in a sweep."""
        self._settled = True

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return 100 + extent, 5


_ATTEMPT = 0.9
"""The probability that Wolff grows and flips a cluster. If it were 1, a chain would alternate for ever at beta -> 0,
where clusters are single sites and parity follows their number, and at T -> 0, where each cluster is the lattice."""


def _couplings_and_fields(hamiltonian: AbstractHamiltonian, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """`J` of every bond in `-J s s'` and `h` of every site in `-h s`.

    `J = (e(s, -s) - e(s, s)) / 2` and `h = (e(-) - e(+)) / 2`, whatever constants the tables hold besides.
    """
    pair, site = hamiltonian.bond_energies, hamiltonian.site_energies
    if hamiltonian.n_tokens != 2 or not torch.allclose(pair, pair.flip(1, 2), rtol=1e-12, atol=0):
        raise ValueError(
            f"{name} needs two states and bonds whose energy is unchanged when both ends flip, which "
            f"{hamiltonian!r} with {hamiltonian.n_tokens} states does not have; use method='metropolis'"
        )
    return ((pair[:, 0, 1] - pair[:, 0, 0]) / 2).numpy(), ((site[:, 0] - site[:, 1]) / 2).numpy()


def _thresholds(couplings: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """`[b, s ^ s']` is the probability that bond b is active when its ends hold tokens s and s'."""
    strength = np.stack([couplings, -couplings], axis=1).clip(min=0)
    return -np.expm1(-2 / temperature * strength)


def _pointers(*arrays: NDArray[Any]) -> list[int]:
    return [array.ctypes.data for array in arrays]


def _uniform(rng: np.random.Generator) -> tuple[int | None, int]:
    """What `rng.random` calls for each number, as a pointer, and its argument."""
    interface = rng.bit_generator.ctypes
    return ctypes.cast(interface.next_double, ctypes.c_void_p).value, interface.state_address
