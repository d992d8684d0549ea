"""The second-moment correlation length, from the structure factor at the smallest wave vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.estimation.named.base import AbstractObservable, Function
from latticear.exact.result import ExactResult
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = [
    "CorrelationLength",
    "CorrelationLengthPerSize",
    "StaggeredCorrelationLength",
    "StaggeredCorrelationLengthPerSize",
]


class CorrelationLength(AbstractObservable):
    """`xi = sqrt(S(0) / S(k_min) - 1) / (2 sin(k_min / 2))` in lattice constants, k_min = 2 pi / L.

    S(k_min) is averaged over the periodic directions of the largest extent L: both of a square torus. S(0) is N <m^2>,
    disconnected: above the critical temperature xi is the correlation length, at it xi / L is a constant of the
    universality class, and below it xi / L grows with L, so that the curves of two sizes cross.

    References:
        F. Cooper, B. Freedman, D. Preston, Nucl. Phys. B 210 (1982) 210; S. Caracciolo, A. Gambassi, M. Gubinelli, A.
        Pelissetto, Eur. Phys. J. B 20 (2001) 255.
    """

    name: ClassVar[str] = "correlation_length"
    parts = ("S(0)", "S(k_min)")
    undefined: ClassVar[str] = (
        "S(0) is not clearly larger than S(k_min), so that there is no such length: for an antiferromagnet ask for "
        "staggered_correlation_length"
    )
    even: ClassVar[bool] = True
    staggered: ClassVar[bool] = False
    """Whether the spins are ordered in a checkerboard: wave vectors count from (pi, pi)."""
    per_size: ClassVar[bool] = False
    """Whether xi is divided by L."""

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        lattice = hamiltonian.lattice
        why = ""
        if lattice.geometry != "square":
            why = f"a square lattice, got a {lattice.geometry} one"
        elif any(lattice.antiperiodic) or not any(lattice.periodic):
            why = "a periodic boundary, along which there are waves, and no antiperiodic one"
        elif self.staggered and any(extent % 2 for extent in hamiltonian.shape):
            why = f"even extents, got {'x'.join(map(str, hamiltonian.shape))}"
        if why:
            raise ValueError(f"{self.name} needs {why}; there is structure_factor for every lattice")

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        vectors = hamiltonian.vectors_of(batch.tokens)
        if self.staggered:
            y, x = (torch.arange(extent, device=vectors.device) for extent in hamiltonian.shape)
            vectors = vectors * (1 - 2 * ((y[:, None] + x) % 2))[..., None]
        extent, directions = _longest(hamiltonian)
        phase = 2 * math.pi / extent * torch.arange(extent, dtype=torch.float64, device=vectors.device)
        zero, smallest = self.parts
        powers = []
        for direction in directions:
            along = vectors.sum(2 - direction)  # over the other direction
            waves = torch.stack([torch.einsum("bld,l->bd", along, wave(phase)) for wave in (torch.cos, torch.sin)])
            powers.append(waves.square().sum((0, 2)))
        total = vectors.sum((1, 2)).square().sum(1)
        return {zero: total / hamiltonian.n_sites, smallest: torch.stack(powers).mean(0) / hamiltonian.n_sites}

    def functions(self, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Function]:
        extent, _ = _longest(hamiltonian)
        unit = 2 * math.sin(math.pi / extent) * (extent if self.per_size else 1)
        zero, smallest = self.parts

        def length(a: Mapping[str, Any]) -> Any:
            return (a[zero] / a[smallest] - 1) ** 0.5 / unit

        return {self.name: length}

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        if self.staggered or known.magnetization_squared is None or known.errors:
            return {}
        return {self.parts[0]: hamiltonian.n_sites * known.magnetization_squared}


class CorrelationLengthPerSize(CorrelationLength):
    """`xi / L` of `CorrelationLength`: where the curves of two sizes cross, there is a critical point."""

    name: ClassVar[str] = "correlation_length_per_size"
    per_size: ClassVar[bool] = True


class StaggeredCorrelationLength(CorrelationLength):
    """`CorrelationLength` of the staggered spins `(-1)^(x + y) s`, for antiferromagnets."""

    name: ClassVar[str] = "staggered_correlation_length"
    parts = ("S(pi, pi)", "S(pi, pi + k_min)")
    undefined: ClassVar[str] = (
        "S(pi, pi) is not clearly larger than S beside it, so that there is no such length: for a ferromagnet ask for "
        "correlation_length"
    )
    staggered: ClassVar[bool] = True


class StaggeredCorrelationLengthPerSize(StaggeredCorrelationLength):
    """`xi / L` of `StaggeredCorrelationLength`."""

    name: ClassVar[str] = "staggered_correlation_length_per_size"
    per_size: ClassVar[bool] = True


def _longest(hamiltonian: AbstractHamiltonian) -> tuple[int, list[int]]:
    """The largest periodic extent, and the directions that have it: 0 for y, 1 for x."""
    lattice = hamiltonian.lattice
    extents = [extent if wraps else 0 for extent, wraps in zip(lattice.shape, lattice.periodic, strict=True)]
    return max(extents), [direction for direction, extent in enumerate(extents) if extent == max(extents)]
