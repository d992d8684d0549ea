"""Single-spin Metropolis updates, for every Hamiltonian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.montecarlo.parts import uniform_columns
from latticear.processes import ALONE, Processes

__all__ = ["Metropolis"]


class Metropolis:
    """Single-spin Metropolis updates, all sites of one colour and all chains at once.

    The proposal is uniform over the q - 1 other tokens, accepted with probability
    `0.9 min(1, exp(-beta Delta E))`. Works for every Hamiltonian, on CPU and CUDA.

    Reference: N. Metropolis et al., J. Chem. Phys. 21 (1953) 1087.
    """

    name: ClassVar[str] = "metropolis"

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        tokens: Tensor,
        rng: np.random.Generator,
        processes: Processes = ALONE,
    ) -> None:
        self.share = processes.share(len(tokens))
        self.tokens = tokens[self.share.rows]
        self._hamiltonian = hamiltonian
        self._beta = 1 / temperature
        self._generator = torch.Generator(tokens.device).manual_seed(int(rng.integers(2**63)))
        colours = hamiltonian.colours
        self._groups = [(colours == c).nonzero()[:, 0].to(tokens.device) for c in colours.unique()]

    def sweep(self) -> None:
        for sites in self._groups:
            self._update(sites)

    def settle(self) -> None:
        """Do nothing: the method has no parameters that are adapted during thermalisation."""

    def state(self) -> dict[str, Tensor]:
        return {"tokens": self.share.joined(self.tokens), "generator": self._generator.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.tokens.copy_(state["tokens"][self.share.rows])
        self._generator.set_state(state["generator"])

    def _update(self, sites: Tensor) -> None:
        flat = self.tokens.view(len(self.tokens), self._hamiltonian.n_sites)
        old = flat[:, sites].long()
        new, u = self._propose(old), self._uniform(len(sites))
        if not len(old):
            return
        energies = self._hamiltonian.conditional_energies(self.tokens, sites)
        change = (energies.gather(2, new[..., None]) - energies.gather(2, old[..., None]))[..., 0]
        # Without the factor 0.9, every proposal would be accepted as beta -> 0, and with two states all spins would
        # flip in every sweep. The factor makes the chain aperiodic and preserves detailed balance.
        accepted = u < 0.9 * torch.exp(-self._beta * change).clamp_(max=1)
        flat[:, sites] = torch.where(accepted, new, old).to(flat.dtype)

    def _propose(self, old: Tensor) -> Tensor:
        """A token other than the old one, uniformly distributed."""
        q = self._hamiltonian.n_tokens
        if q == 2:
            return 1 - old
        size = self.share.n, old.shape[1]
        shift = torch.randint(1, q, size, generator=self._generator, device=old.device)
        return (old + shift[self.share.rows]) % q

    def _uniform(self, n_sites: int) -> Tensor:
        """Uniform random numbers for sites of the chains of this process, from those of all chains."""
        rows = self.share.rows
        own = slice(rows.start * n_sites, rows.stop * n_sites)
        return uniform_columns(self._generator, 1, self.share.n * n_sites, own).view(-1, n_sites)

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return max(100, 4 * extent**2), max(10, extent**2 // 8)
