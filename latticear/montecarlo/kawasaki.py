"""Exchange updates, which keep the number of sites with each state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.processes import ALONE, Processes
from latticear.random_numbers import restore_generator, state_of
from latticear.samples import token_dtype

__all__ = ["Kawasaki", "start_at_composition"]

MOST_STEPS = 64
"""Largest number of steps of a sweep for each colour; a step of few pairs is as slow as one of many."""


class Kawasaki:
    """Exchange of the states of two sites anywhere on the lattice, many pairs and all chains at once.

    The composition, that is, how many sites have each state, does not change. An exchange is accepted with probability
    `0.9 min(1, exp(-beta Delta E))`. The pairs of a step join the sites of two colours at random; pairs with a bond to
    another pair of the step are left out, so that each decides for itself. Exchanges over any distance are not the
    dynamics of diffusing particles, but reach equilibrium sooner. Works for every Hamiltonian, on CPU and CUDA.

    References:
        K. Kawasaki, Phys. Rev. 145 (1966) 224; over any distance: M. E. J. Newman and G. T. Barkema, "Monte Carlo
        Methods in Statistical Physics" (1999), sec. 5.2.

    Args:
        hamiltonian: a system at fixed composition.
        temperature: T > 0, one number or one for each chain, `(n_chains, 1)`.
        tokens: `(n_chains, H, W)`, the configurations to begin with, which are changed in place.
        rng: the random numbers.
        processes: processes that divide the chains; the same pairs are proposed in all chains.

    Raises:
        ValueError: for a system of free composition, or configurations of another one.
    """

    name: ClassVar[str] = "kawasaki"

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float | Tensor,
        tokens: Tensor,
        rng: np.random.Generator,
        processes: Processes = ALONE,
    ) -> None:
        if hamiltonian.composition is None:
            raise ValueError(
                f"{self.name} keeps the composition, which {hamiltonian!r} leaves free: fix it by la.FixedComposition, "
                f"or use another method"
            )
        hamiltonian.check_allowed(tokens, "the first configurations of the chains")
        self.share = processes.share(len(tokens))
        self.tokens = tokens[self.share.rows]
        self._hamiltonian, self._beta, self._rng = hamiltonian, 1 / temperature, rng
        self._generator = torch.Generator(tokens.device).manual_seed(int(rng.integers(2**63)))
        colours = hamiltonian.colours.numpy()
        self._classes = [np.flatnonzero(colours == colour) for colour in np.unique(colours)]
        self._bonds = hamiltonian.bonds.numpy() if hamiltonian.has_bonds else np.empty((0, 2), dtype=np.int64)

    def sweep(self) -> None:
        """Propose exchanges until there have been as many pairs as half the sites."""
        n_pairs = 0
        for _ in range(MOST_STEPS * len(self._classes)):
            pairs = self._pairs()
            if pairs.size:  # none within a colour of a single site
                self._exchange(*torch.from_numpy(pairs).to(self.tokens.device))
                n_pairs += pairs.shape[1]
            if 2 * n_pairs >= self._hamiltonian.n_sites:
                return

    def settle(self) -> None:
        """Do nothing: the method has no parameters that are adapted during thermalisation."""

    def state(self) -> dict[str, Tensor]:
        generators = {"generator": self._generator.get_state(), "pairs": state_of(self._rng)}
        return {"tokens": self.share.joined(self.tokens), **generators}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.tokens.copy_(state["tokens"][self.share.rows])
        self._generator.set_state(state["generator"])
        restore_generator(self._rng, state["pairs"])

    def _pairs(self) -> Array:
        """Pairs of sites at random, `(2, n)`, none of which has a bond to another; chosen whatever the tokens are."""
        sizes = np.array([len(sites) for sites in self._classes], dtype=np.float64)
        a, b = self._rng.choice(len(sizes), 2, p=sizes / sizes.sum())
        first = self._rng.permutation(self._classes[a])
        if a == b:
            n = len(first) // 2
            return np.stack([first[:n], first[n : 2 * n]])
        second = self._rng.permutation(self._classes[b])
        n = min(len(first), len(second))
        pairs = np.stack([first[:n], second[:n]])
        if n == 1:
            return pairs
        pair_of = np.full(self._hamiltonian.n_sites, -1)
        pair_of[pairs] = np.arange(n)
        ends = pair_of[self._bonds]
        ends = ends[(ends >= 0).all(1) & (ends[:, 0] != ends[:, 1])]
        kept = np.ones(n, dtype=bool)
        kept[ends.max(1)] = False  # of two pairs with a bond between them the later one, in random order, is left out
        return pairs[:, kept]

    def _exchange(self, i: Tensor, j: Tensor) -> None:
        """Propose to exchange the tokens of the sites i and j, `(n,)` each, of all chains."""
        flat = self.tokens.view(len(self.tokens), self._hamiltonian.n_sites)
        at_i, at_j = flat[:, i].long(), flat[:, j].long()
        change = self._change(i, at_i, at_j)
        flat[:, i] = at_j.to(flat.dtype)  # the other end of a bond within the pair
        change += self._change(j, at_j, at_i)
        size = self.share.n, change.shape[1]
        u = torch.rand(size, dtype=torch.float64, generator=self._generator, device=flat.device)[self.share.rows]
        # the factor 0.9 makes the chain aperiodic, as in Metropolis
        accepted = u < 0.9 * torch.exp(-self._beta * change).clamp_(max=1)
        flat[:, i] = torch.where(accepted, at_j, at_i).to(flat.dtype)
        flat[:, j] = torch.where(accepted, at_i, at_j).to(flat.dtype)

    def _change(self, sites: Tensor, old: Tensor, new: Tensor) -> Tensor:
        """The change of the energy if the sites have new tokens in place of old ones, all others as they are now."""
        energies = self._hamiltonian.conditional_energies(self.tokens, sites)
        return (energies.gather(2, new[..., None]) - energies.gather(2, old[..., None]))[..., 0]

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return max(200, 4 * extent**2), max(10, extent**2 // 8)


def start_at_composition(hamiltonian: AbstractHamiltonian, n_chains: int, rng: np.random.Generator) -> Tensor:
    """Initial tokens `(n_chains, H, W)` of a fixed composition: even chains random, odd chains with states apart."""
    assert hamiltonian.composition is not None
    apart = np.repeat(np.arange(hamiltonian.n_tokens), hamiltonian.composition)
    rows = np.tile(apart, (n_chains, 1))
    rows[::2] = rng.permuted(rows[::2], axis=1)
    return torch.from_numpy(rows).to(token_dtype(hamiltonian.n_tokens)).view(n_chains, *hamiltonian.shape)
