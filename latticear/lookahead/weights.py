"""The Boltzmann weights of a lattice, row by row."""

from __future__ import annotations

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
        height, width = shape
        q, ones = site_energies.shape[1], site_energies.new_ones(1, len(bonds))
        factors = ones if factors is None else factors
        energy = {name: site_energies.new_zeros(len(factors), height * width, q, q) for name in _STEPS.values()}
        found: set[str] = set()
        for k, (i, j) in enumerate(bonds.tolist()):
            table = bond_energies[k]
            place = _place(divmod(i, width), divmod(j, width), shape)
            if place is None:
                place, table = _place(divmod(j, width), divmod(i, width), shape), table.T
            if place is None:
                far = f"{divmod(i, width)} and {divmod(j, width)}"
                raise ValueError(f"{ANOTHER}, but the sites (y, x) = {far} are joined")
            name, (y, x) = place
            energy[name][:, y * width + x] += factors[:, k, None, None] * table
            found.add(name)
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
        tensors: dict[str, Any] = {k: value.to(device) for k, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


_STEPS = {(0, 1): "right", (1, 0): "down", (1, 1): "down_right", (1, -1): "down_left"}


def _place(a: tuple[int, int], b: tuple[int, int], shape: tuple[int, int]) -> tuple[str, tuple[int, int]] | None:
    """The name of the bond from a to b, and a; None unless b is one of the four neighbours with which a is listed."""
    (height, width), (y, x) = shape, (end - start for start, end in zip(a, b, strict=True))
    name = _STEPS.get((_step(y, height), _step(x, width)))
    return None if name is None else (name, a)


def _step(difference: int, extent: int) -> int:
    """A difference of coordinates as -1, 0 or 1, across the boundary where that is shorter; others as they are."""
    return difference - extent * round(difference / extent) if abs(difference) == extent - 1 > 1 else difference
