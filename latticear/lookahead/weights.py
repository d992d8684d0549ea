"""The Boltzmann weights of a lattice, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["RowWeights"]

ANOTHER = "a sum over later sites needs bonds between nearest and next-nearest neighbours alone"


@dataclass(frozen=True)
class RowWeights:
    """Boltzmann weights of sites and bonds of nearest and next-nearest neighbours on a grid, for each of I instances.

    Index (y, x) of a bond is its upper site, or its left one within a row; bonds of the last column or row go across
    the boundary. All weights are positive and at most 1: constant factors are left out.

    Attributes:
        site: float64 `(I, H, W, q)`.
        right, down, down_right, down_left: float64 `(I, H, W, q, q)`, the bonds from (y, x) to (y, x + 1), (y + 1, x),
            (y + 1, x + 1) and (y + 1, x - 1), with the token of (y, x) first; None for the diagonals if there are none.
        closed: whether a bond joins the last column and the first one.
        cyclic: whether a bond joins the last row and the first one.
        log_scale: float64 `(I,)`, logarithm of the factors that are left out.
    """

    site: Tensor
    right: Tensor
    down: Tensor
    down_right: Tensor | None
    down_left: Tensor | None
    closed: bool
    cyclic: bool
    log_scale: Tensor

    @classmethod
    def of_bonds(
        cls,
        shape: tuple[int, int],
        bonds: Tensor,
        bond_energies: Tensor,
        site_energies: Tensor,
        temperature: float,
        factors: Tensor | None = None,
    ) -> RowWeights:
        """The weights of a sum of energies over bonds and sites.

        Args:
            shape: (H, W).
            bonds: int64 `(n_bonds, 2)`, pairs of sites in raster order.
            bond_energies: float64 `(n_bonds, q, q)`, the token of the first site of a pair first.
            site_energies: float64 `(N, q)`.
            temperature: T.
            factors: float64 `(I, n_bonds)`, factors on the energies of bonds in each instance; None for a single
                instance with factors of 1.

        Raises:
            ValueError: for bonds between other sites than nearest and next-nearest neighbours.
        """
        if factors is None:
            factors = site_energies.new_ones(1, len(bonds))
        n, n_sites, q = len(factors), *site_energies.shape
        kinds, places, turned = _placed(bonds.reshape(-1, 2), shape)
        tables = torch.where(turned[:, None, None], bond_energies.mT, bond_energies)
        energy, found = {}, set()
        for kind, name in enumerate(_STEPS.values()):
            chosen = (kinds == kind).nonzero()[:, 0]
            each = factors[:, chosen, None, None] * tables[chosen]
            energy[name] = site_energies.new_zeros(n, n_sites, q, q).index_add_(1, places[chosen], each)
            found |= {name} if len(chosen) else set()
        weights: dict[str, Any] = {}
        scale = torch.zeros(len(factors), dtype=torch.float64)
        for name, values in (*energy.items(), ("site", site_energies.expand(len(factors), -1, -1))):
            log_w = -values / temperature
            top = log_w.flatten(2).amax(2)
            scale += top.sum(1)
            log_w = log_w - top.view(*top.shape, *(1,) * (log_w.ndim - 2))
            weights[name] = log_w.exp().unflatten(1, shape)
        for name in ("down_right", "down_left"):
            if name not in found:
                weights[name] = None
        diagonals = [weights[name] for name in ("down_right", "down_left") if weights[name] is not None]
        down = [weights["down"], *diagonals]
        across = [weights["right"][:, :, -1]]
        across += [weights["down_right"][:, :, -1]] if "down_right" in found else []
        across += [weights["down_left"][:, :, 0]] if "down_left" in found else []
        return cls(
            **weights,
            closed=any(bool((w != 1).any()) for w in across),
            cyclic=any(bool((w[:, -1] != 1).any()) for w in down),
            log_scale=scale,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.site.shape[1], self.site.shape[2]

    @property
    def n_tokens(self) -> int:
        """q."""
        return self.site.shape[3]

    @property
    def n_instances(self) -> int:
        """I."""
        return len(self.site)

    def to(self, device: torch.device) -> RowWeights:
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def take(self, which: Tensor) -> RowWeights:
        """The weights of some of the instances, int64 `(n,)`, where a number may occur several times."""
        return self._each(lambda tensor: tensor[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> RowWeights:
        tensors: dict[str, Any] = {k: change(value) for k, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


_STEPS = {(0, 1): "right", (1, 0): "down", (1, 1): "down_right", (1, -1): "down_left"}


def _placed(bonds: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """For each bond the number of its kind in `_STEPS`, the site with which it is listed, and whether that is its end.

    Raises:
        ValueError: for a bond between other sites than nearest and next-nearest neighbours.
    """
    (height, width), (start, end) = shape, bonds.T
    dy = _steps(end // width - start // width, height)
    dx = _steps(end % width - start % width, width)
    kinds, turned = torch.full_like(start, -1), torch.zeros_like(start, dtype=torch.bool)
    for kind, (down, right) in enumerate(_STEPS):
        backwards = (dy == -down) & (dx == -right)
        kinds[backwards | ((dy == down) & (dx == right))] = kind
        turned |= backwards
    for i, j in bonds[kinds < 0].tolist():
        far = f"{divmod(i, width)} and {divmod(j, width)}"
        raise ValueError(f"{ANOTHER}, but the sites (y, x) = {far} are joined")
    return kinds, torch.where(turned, end, start), turned


def _steps(differences: Tensor, extent: int) -> Tensor:
    """Differences of coordinates as -1, 0 or 1, across the boundary where that is shorter; others as they are."""
    across = (differences.abs() == extent - 1) & (extent > 2)
    return torch.where(across, differences - extent * differences.sign(), differences)
