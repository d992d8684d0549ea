"""The choice of the phases of a network: the unit cell, and the phases whose conditionals follow from the energy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from latticear.hamiltonians import BoltzmannBias, exact_conditionals
from latticear.models.multiscale.nearest import with_nearest_taps
from latticear.models.multiscale.order import SITE, Phase, multiscale_phases, rank_of

__all__ = ["Plan"]


class Plan:
    """The unit cell and the phases of a network.

    Sites whose conditional probabilities follow from the energy alone are drawn together where the order allows it: all
    edges of the finest level, the second half of its faces, or the last members of all cells.

    Args:
        shape: (H, W).
        periodic: whether taps reach around the boundary, (y, x).
        n_taps: least number of known sites around a target.
        bias: the energies, with all bonds (before `attach`), or None.
        cell: the unit cell; None to choose one that suits the bias, (1, 1) with the taps "nearest".
        taps: "regular" or "nearest", as the network takes it.

    Raises:
        ValueError: for a cell that does not divide the shape, or has several sites with the taps "nearest".

    Attributes:
        cell: the unit cell.
        phases: the phases, in the order in which they are drawn.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        periodic: tuple[bool, bool],
        n_taps: int,
        bias: BoltzmannBias | None,
        cell: Sequence[int] | None,
        taps: str,
    ) -> None:
        self._lattice, self._bias = (shape, periodic, n_taps), bias
        chosen = None if cell is None else _checked(cell, shape)
        if taps == "nearest" and chosen not in (None, SITE):
            raise ValueError(f"taps must be regular with a unit cell of several sites, got {taps} and cell {chosen}")
        self.cell, self.phases = self._of(SITE if taps == "nearest" else chosen)
        if taps == "nearest":
            self.phases = with_nearest_taps(self.phases, *self._lattice)

    def _of(self, cell: tuple[int, int] | None) -> tuple[tuple[int, int], list[Phase]]:
        if cell in (None, SITE):
            phases, merged = None, frozenset[str]()
            for kind in ("edges", "faces"):
                if (exact := self._exact(kind, merged=merged | {kind})) is not None:
                    phases, merged = exact, merged | {kind}
            odd = any(extent % 2 for extent in self._lattice[0])
            if cell == SITE or self._bias is None or odd or "edges" in merged:
                return SITE, phases or multiscale_phases(*self._lattice)
            cell = (2, 2)  # bonds within a sublattice may order it by itself
        phases = None
        for n_last in range(1, math.prod(cell)):
            if (exact := self._exact("last", cell=cell, n_last=n_last)) is None:
                break
            phases = exact
        return cell, phases or multiscale_phases(*self._lattice, cell=cell)

    def _exact(self, name: str, **order: Any) -> list[Phase] | None:
        """The phases of `multiscale_phases(..., **order)`, or None.

        None if there is no bias, no phase of this name, or no exact conditionals of its sites from the energy.
        """
        if self._bias is None:
            return None
        phases = multiscale_phases(*self._lattice, **order)
        together = [phase.sites for phase in phases if phase.name == name]
        rank = rank_of(phases, self._lattice[0])
        if not together or exact_conditionals(self._bias, together[0], rank) is None:
            return None
        return phases


def _checked(cell: Sequence[int], shape: tuple[int, int]) -> tuple[int, int]:
    """The unit cell as a pair; a ValueError if its extents do not divide the shape."""
    fits = len(cell) == 2 and all(isinstance(n, int) and n > 0 for n in cell)
    if not fits or any(extent % n for extent, n in zip(shape, cell, strict=True)):
        raise ValueError(f"cell must be two divisors of the shape {shape}, (1, 1) for single sites, got {cell}")
    return cell[0], cell[1]
