"""The heat bath: single-spin updates that draw a site's token from its distribution given its neighbours."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.ancestral import categorical
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["HeatBath", "HeatBathSweep"]

AT_ONCE = {"cpu": 2**16, "cuda": 2**24}
"""Sites updated together: on a CPU what an update makes should stay in the cache, on a GPU in the memory."""


class HeatBathSweep:
    """Heat-bath updates of every site once: all sites of one colour and many configurations at once.

    Args:
        hamiltonian: any.
        rng: of the uniform numbers.
        device: of the configurations.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, rng: np.random.Generator, device: torch.device) -> None:
        self._hamiltonian = hamiltonian
        self._generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        colours = hamiltonian.colours
        self._groups = [(colours == c).nonzero()[:, 0].to(device) for c in colours.unique()]

    def __call__(self, tokens: Tensor, beta: Tensor) -> None:
        """Update configurations in place.

        Args:
            tokens: `(B, H, W)`.
            beta: float64 `(B,)`, the inverse temperature of each; 0 draws all tokens with the same probability.
        """
        for part, beta_b in zip(self._split(tokens), self._split(beta), strict=True):
            for sites in self._groups:
                energies = self._hamiltonian.conditional_energies(part, sites)
                part.view(len(part), -1)[:, sites] = self._draw(energies, beta_b[:, None]).to(part.dtype)

    def energies(self, tokens: Tensor) -> Tensor:
        """Of configurations `(B, H, W)`, as many at a time as are updated together: float64 `(B,)`."""
        return torch.cat([self._hamiltonian.token_energy(part) for part in self._split(tokens)])

    def _split(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(max(1, AT_ONCE[rows.device.type] // self._hamiltonian.n_sites))

    def _draw(self, energies: Tensor, beta: Tensor) -> Tensor:
        """Tokens `(B, n)` with probability proportional to `exp(-beta energies[b, n, t])`."""
        u = torch.rand(energies.shape[:2], dtype=torch.float64, generator=self._generator, device=energies.device)
        if energies.shape[2] == 2:
            return u < torch.sigmoid(beta * (energies[..., 0] - energies[..., 1]))
        return categorical(-beta[..., None] * energies, u)[0]


class HeatBath:
    """Single-spin updates of all sites of one colour and all chains at once, each to a token drawn afresh.

    A site takes token t with probability `exp(-beta E_t) / sum_u exp(-beta E_u)`, E_t being the energy of its bonds and
    its field. Works for every Hamiltonian, on CPU and CUDA. Two states decorrelate in half as many sweeps of
    Metropolis, which stays in place less often; among many states Metropolis rarely proposes a good one.

    Reference: M. Creutz, Phys. Rev. D 21 (1980) 2308; for the Ising model R. J. Glauber, J. Math. Phys. 4 (1963) 294.
    """

    name: ClassVar[str] = "heat-bath"

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, tokens: Tensor, rng: np.random.Generator
    ) -> None:
        self.tokens = tokens
        self._update = HeatBathSweep(hamiltonian, rng, tokens.device)
        self._beta = torch.full((len(tokens),), 1 / temperature, dtype=torch.float64, device=tokens.device)

    def sweep(self) -> None:
        self._update(self.tokens, self._beta)

    def settle(self) -> None:
        """Nothing was fitted to the state."""

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return max(100, 8 * extent**2), max(10, extent**2 // 4)
