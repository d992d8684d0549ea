"""The structure factor: how strongly the spins are ordered with each wave vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from latticear.estimation.named.base import AbstractObservable, Labels
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = ["StructureFactor"]


class StructureFactor(AbstractObservable):
    """`S(k) = <|sum_r s_r exp(i k.r)|^2> / N` on the wave vectors of the lattice.

    `k = 2 pi (n_y / H, n_x / W)`, both components in (-pi, pi]: those with k_x > 0, and of those with k_x = 0 or pi
    the ones with k_y >= 0, in the order of k_x, then of k_y = 0, 1, 2 .. in units of 2 pi / H; `labels` has them. The
    others follow from S(-k) = S(k). The sum of S(k) over all N wave vectors is N for spins of length 1, and S(0) is
    N <m^2>. Spins are the vectors of the system (`hamiltonian.vectors`, for Potts the corners of a simplex),
    and squares are summed over their components. Averages over lattices with open boundaries are those of the sum as it
    stands, at the same wave vectors: no spin is repeated or left out.
    """

    name: ClassVar[str] = "structure_factor"
    even: ClassVar[bool] = True

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        waves = torch.fft.rfft2(hamiltonian.vectors_of(batch.tokens), dim=(1, 2))
        ny, nx = _distinct(hamiltonian.shape)
        return {self.name: waves.abs().square().sum(3)[:, ny, nx] / hamiltonian.n_sites}

    def labels(self, hamiltonian: AbstractHamiltonian) -> Mapping[str, Labels]:
        height, width = hamiltonian.shape
        ny, nx = _distinct(hamiltonian.shape)
        ky = 2 * math.pi / height * torch.where(2 * ny > height, ny - height, ny).double()
        return {self.name: {"ky": ky.tolist(), "kx": (2 * math.pi / width * nx.double()).tolist()}}


def _distinct(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """One of each pair of wave vectors k and -k, as the numbers n_y and n_x of its components."""
    height, width = shape
    nx, ny = torch.meshgrid(torch.arange(width // 2 + 1), torch.arange(height), indexing="ij")
    kept = ~((2 * nx % width == 0) & (2 * ny > height))
    return ny[kept], nx[kept]
