"""Population annealing: islands of replicas that are cooled, weighed and resampled step by step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.montecarlo.heatbath import heat_bath
from latticear.montecarlo.resampling import systematic
from latticear.samples import token_dtype

__all__ = ["Population", "anneal"]


class Population:
    """Islands of replicas at one inverse temperature, 0 to begin with.

    Attributes:
        tokens: `(R P, H, W)`.
        energy: float64 `(R, P)`.
        log_z: float64 `(R,)`; exp of it is each island's estimate of Z, without bias for any schedule that is not
            chosen by the same replicas.
        origin: int64 `(R P,)`, which of the first replicas each one descends from.
        beta: of all.

    References:
        K. Hukushima and Y. Iba, AIP Conf. Proc. 690 (2003) 200; J. Machta, Phys. Rev. E 82 (2010) 026704, eqs. 4-7.
    """

    def __init__(
        self, hamiltonian: AbstractHamiltonian, size: tuple[int, int], rng: np.random.Generator, device: torch.device
    ) -> None:
        n, q = math.prod(size), hamiltonian.n_tokens
        self._rng = rng
        self.beta = 0.0
        zeros = torch.zeros(n, *hamiltonian.shape, dtype=token_dtype(q), device=device)
        self._replicas = heat_bath(hamiltonian, zeros, rng)
        # At infinite temperature all tokens are drawn afresh.
        self._replicas.sweep(torch.zeros(n, dtype=torch.float64, device=device))
        self.energy = self._replicas.energies().view(size)
        self.log_z = torch.full_like(self.energy[:, 0], hamiltonian.n_sites * math.log(q))
        self.origin = torch.arange(n, device=device)

    def cool(self, beta: float, n_sweeps: int) -> None:
        """Go to another inverse temperature: weigh and resample the replicas, then sweep them there."""
        log_w = (self.beta - beta) * self.energy
        self.log_z = self.log_z + log_w.logsumexp(1) - math.log(log_w.shape[1])
        lots = torch.from_numpy(self._rng.random(len(log_w))).to(log_w)
        rows = systematic(log_w, lots, torch.ones_like(lots, dtype=torch.bool))
        self._replicas.take(rows)
        self.origin, self.beta = self.origin[rows], beta
        for _ in range(n_sweeps):
            self._replicas.sweep(torch.full(rows.shape, beta, dtype=torch.float64, device=rows.device))
        self.energy = self._replicas.energies().view_as(self.energy)

    @property
    def tokens(self) -> Tensor:
        return self._replicas.tokens()

    @property
    def families(self) -> tuple[float, float]:
        """`(rho_t, rho_s)`: mean square family size, and n over the exponential of the families' entropy; 1 at first.

        Reference: W. Wang, J. Machta and H. G. Katzgraber, Phys. Rev. E 92 (2015) 063307, section II.
        """
        n = len(self.origin)
        share = self.origin.bincount(minlength=n).double() / n
        return float(n * share.square().sum()), float(n * torch.special.entr(share).sum().neg().exp())


def anneal(
    population: Population, betas: list[float], n_sweeps: int, report: Callable[[int, int], None] | None = None
) -> None:
    """Cool a population through inverse temperatures, from the first above 0 to that of the target."""
    for k, beta in enumerate(betas):
        population.cool(beta, n_sweeps)
        if report is not None:
            report(k + 1, len(betas))
