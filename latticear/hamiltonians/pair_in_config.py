"""The pair Hamiltonian as a config names it: shape and lattice options in place of a lattice."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from latticear.hamiltonians.pair import PairHamiltonian, numbers
from latticear.lattice import Lattice

__all__ = ["pair_hamiltonian"]


def pair_hamiltonian(
    shape: tuple[int, int],
    states: Sequence[float] = (-1, 1),
    pair: Sequence[Sequence[float]] | None = None,
    couplings: float | Sequence[float] = 1.0,
    bonds: Sequence[tuple[int, int]] | None = None,
    field: float | Sequence[Sequence[float]] = 0.0,
    onsite: float | Sequence[float] | Sequence[Sequence[Sequence[float]]] = 0.0,
    periodic: bool | tuple[bool, bool] = True,
    geometry: str = "square",
    antiperiodic: bool | tuple[bool, bool] = False,
    missing: Sequence[tuple[int, int]] = (),
) -> PairHamiltonian:
    """Build `H = sum_b K_b v(s_i, s_j) + sum_i u(s_i) - sum_i h_i s_i`, a `PairHamiltonian`.

    Args:
        shape: (H, W).
        states: the values of a site, ascending.
        pair: v, `(q, q)`; None for `v = -s s'`, so that K > 0 is ferromagnetic.
        couplings: K, one number or one for each bond.
        bonds: pairs of sites, numbered y W + x; None for the nearest-neighbour bonds of the lattice.
        field: h, one number or `(H, W)`.
        onsite: u, one number, `(q,)` or `(H, W, q)`.
        periodic, geometry, antiperiodic, missing: options of `Lattice`.

    Raises:
        ValueError: as `PairHamiltonian` and `Lattice`.

    Example:
        >>> triangle = pair_hamiltonian((1, 3), bonds=[(0, 1), (1, 2), (2, 0)], couplings=-1.0, periodic=False)
        >>> triangle.energy(torch.tensor([[[1, 1, -1]]])).item()
        -1.0
    """
    lattice = Lattice(shape, periodic, geometry=geometry, antiperiodic=antiperiodic, missing=missing)
    if pair is None:
        values = numbers("states", states, None)
        pair = (-torch.outer(values, values)).tolist()
    return PairHamiltonian(lattice, states, pair, field=field, couplings=couplings, onsite=onsite, bonds=bonds)
