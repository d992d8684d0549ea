"""Cluster Monte Carlo of two-state models: Swendsen-Wang and Wolff.

Both run in compiled kernels or, if these are missing, in Python; the configurations are the same bit for bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
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
from latticear.kernels.library import library_for
from latticear.montecarlo.parts import part_of_stream
from latticear.montecarlo.potts_clusters import is_unfrustrated_potts
from latticear.processes import ALONE, Processes, Share
from latticear.random_numbers import restore_generator, state_of

__all__ = ["SwendsenWang", "Wolff", "clusters_suit"]

CPU = torch.device("cpu")
"""Clusters are found on the CPU, wherever the configurations are."""


def clusters_suit(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether cluster updates are efficient: Swendsen-Wang applies to the bonds, and nothing is frustrated.

    Swendsen-Wang applies to two states with bonds whose energy is unchanged when both ends flip, and to more states
    with ferromagnetic Potts bonds.

    Nothing is frustrated if some configuration satisfies every bond and every field. To decide this for two states,
    node (i, s) of a doubled graph stands for spin s at site i, and each bond joins the nodes of the pairs of spins that
    satisfy it: such a configuration exists unless a path leads from (i, +) to (i, -) for some site i. Balance of signed
    graphs: F. Harary, Michigan Math. J. 2 (1953) 143.
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
    strengths = np.concatenate([couplings, fields[in_field]])
    i, j = ends[strengths != 0].T
    other = np.where(strengths[strengths != 0] > 0, 0, ghost + 1)  # nodes of spin - begin at index ghost + 1
    rows, columns = np.concatenate([i, i + ghost + 1]), np.concatenate([j + other, j + (ghost + 1 - other)])
    n = 2 * (ghost + 1)
    _, label = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n)), directed=False)
    return bool((label[: ghost + 1] != label[ghost + 1 :]).all())


class SwendsenWang:
    """Updates of all clusters at once, for couplings and fields of any sign.

    A satisfied bond is activated with probability `1 - exp(-2 beta |J_b|)`; each cluster of active bonds
    flips with probability 1/2. A field couples every site to one additional spin per chain, the ghost spin, which is
    fixed at +1. In frustrated systems the method is correct but slow: clusters percolate at high temperature, and
    Metropolis thermalises faster.

    References:
        R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 58 (1987) 86. Ghost spin: A. Coniglio, F. di Liberto,
        G. Monroy and F. Peruggi, J. Phys. A 22 (1989) L837.

    Raises:
        ValueError: unless sites have two states and every bond's energy is unchanged when both its ends flip.
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
        couplings, fields = _couplings_and_fields(hamiltonian, self.name)
        self.share = processes.share(len(tokens))
        tokens = tokens[self.share.rows]
        ghost = hamiltonian.n_sites  # index of the ghost spin, the last node; without a field it has no bonds
        in_field = np.flatnonzero(fields)
        to_ghost = np.stack([in_field, np.full_like(in_field, ghost)], axis=1)
        bonds = np.concatenate([hamiltonian.bonds.numpy(), to_ghost])
        order = np.argsort(bonds[:, 0], kind="stable")  # for memory access in the order of the sites
        self._bonds = np.ascontiguousarray(bonds[order], dtype=np.int32)
        self._threshold = _thresholds(np.concatenate([couplings, fields[in_field]])[order], temperature)
        self._rng = rng
        self.tokens = tokens
        # Clusters are found on the CPU, with the ghost spin in the last column; each sweep copies sites to `tokens`.
        self._nodes = np.ones((len(tokens), ghost + 1), dtype=np.uint8)
        self._nodes[:, :ghost] = tokens.flatten(1).cpu().numpy()
        self._parent = np.empty(ghost + 1, dtype=np.int32)
        self._active = np.empty(len(bonds), dtype=np.int32)

    def sweep(self) -> None:
        # A random bit for every node; the bit of the node of lowest index decides whether its cluster flips.
        n_chains, n_nodes = self._nodes.shape
        coins = self._rng.integers(2, size=(self.share.n, n_nodes), dtype=np.bool_)[self.share.rows]
        kernels, n_bonds = library_for(CPU), len(self._bonds)
        with part_of_stream(self._rng, self.share.rows.start * n_bonds, self.share.n * n_bonds):
            if kernels is None:
                self._sweep(coins)
            else:
                kernels.latticear_swendsen_wang(
                    n_chains,
                    n_nodes,
                    n_bonds,
                    *_pointers(self._bonds, self._threshold, coins),
                    *_uniform(self._rng),
                    *_pointers(self._parent, self._active, self._nodes),
                )
        self.tokens.copy_(torch.from_numpy(self._nodes[:, :-1]).view(self.tokens.shape))

    def _sweep(self, coins: NDArray[np.bool_]) -> None:
        """The sweep in Python: the clusters of all chains are the connected components of one graph."""
        i, j = self._bonds.T
        differ = self._nodes[:, i] != self._nodes[:, j]
        active = self._rng.random(differ.shape) < np.where(differ, self._threshold[:, 1], self._threshold[:, 0])
        chain, bond = active.nonzero()
        first = chain * self._nodes.shape[1]
        graph = coo_array((np.ones(len(bond)), (first + i[bond], first + j[bond])), shape=(coins.size, coins.size))
        n_clusters, labels = connected_components(graph, directed=False)
        coin = np.empty(n_clusters, dtype=np.bool_)
        coin[labels[::-1]] = coins.ravel()[::-1]  # in reverse order, so that the node of lowest index is written last
        flip = coin[labels].reshape(coins.shape)
        self._nodes ^= flip ^ flip[:, -1:]  # if the cluster of the ghost flipped, flip all, which restores the ghost

    def settle(self) -> None:
        """Do nothing: the method has no parameters that are adapted during thermalisation."""

    def state(self) -> dict[str, Tensor]:
        return {"tokens": self.share.joined(self.tokens), "generator": state_of(self._rng)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.tokens.copy_(state["tokens"][self.share.rows])
        self._nodes[:, :-1] = self.tokens.flatten(1).cpu().numpy()
        restore_generator(self._rng, state["generator"])

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return 100 + extent, 10


class Wolff:
    """Updates of one cluster at a time, for couplings of any sign without a field.

    A cluster grows from a random site over satisfied bonds, each with probability `1 - exp(-2 beta |J_b|)`,
    and flips. A sweep is a fixed number of clusters: a sweep that ended after a given number of flipped sites would
    depend on the state, which would bias all averages. The number of clusters starts at 1; after each sweep of the
    thermalisation it is adapted, to a common value for all chains, so that a sweep flips about N sites of a chain;
    after the thermalisation it is fixed. Large clusters are chosen more often than small ones, so that at T_c a sweep
    decorrelates about twice as much as a sweep of Swendsen-Wang, in two to three times the time.

    Several processes do not divide the chains, each runs all of them: how many random numbers a chain takes depends on
    its clusters, and the numbers of the next chain follow.

    Reference: U. Wolff, Phys. Rev. Lett. 62 (1989) 361.

    Raises:
        ValueError: if there is a field, and as `SwendsenWang`.
    """

    name: ClassVar[str] = "wolff"

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        tokens: Tensor,
        rng: np.random.Generator,
        processes: Processes = ALONE,
    ) -> None:
        couplings, fields = _couplings_and_fields(hamiltonian, self.name)
        self.share = Share.whole(len(tokens))
        if fields.any():
            raise ValueError(f"wolff requires zero field, but {hamiltonian!r} has one; use method='swendsen-wang'")
        bonds = hamiltonian.bonds.numpy()
        site, neighbour = np.concatenate([bonds, bonds[:, ::-1]]).T
        order = np.argsort(site, kind="stable")
        self._start = np.searchsorted(site[order], np.arange(hamiltonian.n_sites + 1))
        self._neighbour = neighbour[order].astype(np.int32)
        self._threshold = _thresholds(np.tile(couplings, 2)[order], temperature)
        self._rng = rng
        self.tokens = tokens
        self._sites = tokens.flatten(1).cpu().numpy().copy()
        self._queue = np.empty(hamiltonian.n_sites, dtype=np.int32)
        self._member = np.zeros(hamiltonian.n_sites, dtype=np.uint8)
        self._n_clusters = 1
        self._settled = False
        self._recent = np.zeros(2)  # numbers of clusters and of flipped sites in about the last ten sweeps

    def sweep(self) -> None:
        kernels = library_for(CPU)
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
            # The first clusters of a random configuration are small; without the factor 2 their number would be too
            # large a few sweeps later, when clusters have grown.
            self._n_clusters = min(2 * self._n_clusters, fitted)

    def _sweep(self, sites: NDArray[np.uint8]) -> int:
        """Sweep one chain, in Python; returns the number of flipped sites."""
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
        """For each site a list of its neighbours, each with the activation probabilities of the bond."""
        bonds = list(zip(self._neighbour.tolist(), self._threshold.tolist(), strict=True))
        return [bonds[first:stop] for first, stop in pairwise(self._start.tolist())]

    def settle(self) -> None:
        """Fix the number of clusters in a sweep."""
        self._settled = True

    def state(self) -> dict[str, Tensor]:
        return {
            "tokens": self.tokens,
            "generator": state_of(self._rng),
            "clusters": torch.tensor([self._n_clusters, self._settled]),
            "recent": torch.from_numpy(self._recent),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.tokens.copy_(state["tokens"])
        self._sites[:] = self.tokens.flatten(1).cpu().numpy()
        restore_generator(self._rng, state["generator"])
        self._n_clusters, self._settled = state["clusters"].tolist()
        self._recent = state["recent"].numpy().copy()

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return 100 + extent, 5


_ATTEMPT = 0.9
"""Probability of a Wolff update; otherwise the update is skipped. With probability 1 a chain would be periodic: at
beta -> 0 clusters are single sites, and the parity of the number of up spins changes with each cluster; at T -> 0 each
cluster is the whole lattice."""


def _couplings_and_fields(hamiltonian: AbstractHamiltonian, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """`J` of every bond in `-J s s'` and `h` of every site in `-h s`.

    `J = (e(s, -s) - e(s, s)) / 2` and `h = (e(-) - e(+)) / 2`; constants in the energy tables cancel.
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
    """The C function that `rng.random` calls for each number, as a pointer, and its argument."""
    interface = rng.bit_generator.ctypes
    return ctypes.cast(interface.next_double, ctypes.c_void_p).value, interface.state_address
