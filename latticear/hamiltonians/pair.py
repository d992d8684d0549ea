"""The general pair Hamiltonian: one pair function on any list of bonds, with couplings, fields and site energies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.hamiltonians.temperatures import LEAST, MOST
from latticear.lattice import Bonds, Lattice, repeated_bonds

__all__ = ["Numbers", "PairHamiltonian", "ascending", "finite", "numbers", "plain"]


Numbers = ArrayLike | Tensor


class PairHamiltonian(AbstractHamiltonian):
    """`H = sum_b K_b v(s_i, s_j) + sum_i u(s_i) - sum_i h_i s_i` over bonds b = (i, j), with finitely many values s.

    Everything that `AbstractHamiltonian` derives from energy tables is available, among them the heat bath, symmetries
    and the known-neighbour term (`bias`). Nearest-neighbour bonds across an antiperiodic boundary have the opposite
    coupling.

    Args:
        lattice: the sites and, unless `bonds` is given, the bonds.
        states: `(q,)`, the values of a site, ascending.
        pair: v, a symmetric `(q, q)` matrix indexed by tokens.
        field: h, one number or `(H, W)`.
        couplings: K, one number or `(n_bonds,)`.
        onsite: u, one number, `(q,)` or `(H, W, q)`.
        bonds: `(n_bonds, 2)`, pairs of sites, each counted once; None for the nearest-neighbour bonds of the lattice.
            Bonds with signs, such as those of `lattice.joined`, are taken as they are: in a periodic direction of
            extent 2 two of them join the same sites.

    Raises:
        ValueError: for an array of another shape, a pair function that is not symmetric, values that are not finite
            numbers, or two bonds between the same sites, such as (0, 1) and (1, 0), where the lattice has only one.

    Example:
        >>> xy = PairHamiltonian(Lattice((2, 3)), states=[0, 1, 2], pair=[[-1, 0, 0], [0, -1, 0], [0, 0, -1]])
        >>> xy.token_energy(torch.zeros(1, 2, 3, dtype=torch.uint8)).item()  # 12 bonds
        -12.0
    """

    name: ClassVar[str] = "pair"

    def __init__(
        self,
        lattice: Lattice,
        states: Numbers,
        pair: Numbers,
        *,
        field: Numbers = 0.0,
        couplings: Numbers = 1.0,
        onsite: Numbers = 0.0,
        bonds: Sequence[tuple[int, int]] | Tensor | Bonds | None = None,
    ) -> None:
        self.lattice = lattice
        self._states = ascending(states)
        q = self.n_tokens
        self._pair = numbers("pair", pair, (q, q))
        if not torch.allclose(self._pair, self._pair.T, rtol=1e-12, atol=1e-300):
            raise ValueError("pair must be symmetric: the energy of a bond does not depend on which end is named first")
        self._given_bonds = bonds is not None
        ends, signs = lattice.nearest if bonds is None else _checked(bonds, lattice)
        self._bonds = ends
        self._couplings = numbers("couplings", couplings, (), (len(ends),))
        self._factors = self._couplings * signs
        if self._given_bonds:
            self._couplings = self._factors  # `parameters` states bonds without their signs
        self._field = numbers("field", field, (), lattice.shape)
        self._onsite = numbers("onsite", onsite, (), (q,), (*lattice.shape, q))

    @property
    def states(self) -> Tensor:
        return self._states

    @property
    def bonds(self) -> Tensor:
        return self._bonds

    @cached_property
    def bond_energies(self) -> Tensor:
        factors = self._factors
        if len(factors) and bool((factors == factors[0]).all()):  # one table shared by all bonds
            return (factors[0] * self._pair).expand(len(factors), -1, -1)
        return factors[:, None, None] * self._pair

    @cached_property
    def site_energies(self) -> Tensor:
        onsite = self._onsite.view(-1, self.n_tokens) if self._onsite.ndim == 3 else self._onsite
        energies = onsite - self._field.reshape(-1, 1) * self.states
        return energies.expand(self.n_sites, -1)

    @property
    def parameters(self) -> dict[str, Any]:
        lattice = {"shape": list(self.shape), **{k: plain(v) for k, v in self.lattice.options.items()}}
        bonds = {"bonds": self._bonds.tolist()} if self._given_bonds else {}
        return {
            "lattice": lattice,
            **{key: getattr(self, f"_{key}").tolist() for key in ("states", "pair", "field", "couplings", "onsite")},
            **bonds,
        }

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        flat = tokens.flatten(1).long()
        i, j = self._on(flat.device, "bonds").T
        pair, factors = self._on(flat.device, "_pair"), self._on(flat.device, "_factors")
        energies_bb = pair.flatten()[flat[:, i] * self.n_tokens + flat[:, j]]
        if couplings is not None:
            energies_bb = energies_bb * couplings.to(energies_bb)
        field = self._on(flat.device, "site_energies")
        site = torch.arange(flat.shape[1], device=flat.device)
        return (energies_bb * factors).sum(1) + field[site, flat].sum(1)


def numbers(name: str, values: Numbers, *shapes: tuple[int, ...] | None) -> Tensor:
    """Convert values to a float64 tensor; raise ValueError unless they are finite and of one of the shapes.

    Args:
        name: name of the argument in error messages.
        values: numbers in any form that NumPy converts.
        shapes: the shapes allowed; None allows any shape.
    """
    try:
        given = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        array = torch.from_numpy(np.array(given, dtype=np.float64))
    except (TypeError, ValueError) as error:
        hint = "; read a file by la.data.read_couplings, read_coupling_matrix or read_bonds"
        is_path = isinstance(values, str | os.PathLike)
        raise ValueError(f"{name} must be numbers, got {values!r}{hint if is_path else ''}") from error
    if None not in shapes and tuple(array.shape) not in shapes:
        wanted = " or ".join("a number" if shape == () else str(shape) for shape in shapes)
        raise ValueError(f"{name} must be {wanted}, got shape {tuple(array.shape)}")
    if not array.isfinite().all():
        raise ValueError(f"{name} must be finite, got {array[~array.isfinite()][0].item()}")
    if (array.abs() > MOST).any():
        raise ValueError(f"{name} must be at most {MOST:g} in magnitude, got {array[array.abs() > MOST][0].item():g}")
    return array


def ascending(states: Numbers) -> Tensor:
    """The values of a site as float64 `(q,)`; raise ValueError unless they are two or more ascending numbers."""
    values = numbers("states", states, None)
    if values.ndim != 1 or len(values) < 2 or not (values.diff() > 0).all():
        raise ValueError(f"states must be two or more ascending numbers, got {states!r}")
    return values


def _checked(bonds: Sequence[tuple[int, int]] | Tensor | Bonds, lattice: Lattice) -> Bonds:
    """The bonds of a user, or those of lattice code, of which two may join the same sites; ValueError if invalid."""
    given, n_sites = bonds.ends if isinstance(bonds, Bonds) else bonds, lattice.n_sites
    ends = torch.as_tensor(given).reshape(-1, 2) if len(given) else torch.empty(0, 2, dtype=torch.long)
    if ends.is_floating_point() or (len(ends) and not 0 <= int(ends.min()) <= int(ends.max()) < n_sites):
        raise ValueError(f"bonds must be pairs of sites 0..{n_sites - 1}")
    if (ends[:, 0] == ends[:, 1]).any():
        site = int(ends[ends[:, 0] == ends[:, 1]][0, 0])
        raise ValueError(
            f"bonds must join two different sites, got one from site {site} to itself; give its energy by onsite"
        )
    if isinstance(bonds, Bonds):
        return bonds
    twice = repeated_bonds(ends, lattice.bonds)
    if twice is not None:
        first, second = (tuple(ends[row].tolist()) for row in twice)
        raise ValueError(
            f"bonds must join each pair of sites once, got {first} and {second}: list the pair once, with the sum of "
            f"the couplings if both are meant"
        )
    return Bonds(ends.long(), torch.ones(len(ends), dtype=torch.float64))


def plain(value: Any) -> Any:
    """Convert tuples and tensors, nested ones too, to lists, which JSON can hold."""
    if isinstance(value, Tensor):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


def finite(name: str, value: float) -> float:
    """Return a number as a float; raise ValueError unless it is 0 or of a magnitude from `LEAST` to `MOST`."""
    number = float(numbers(name, value, ()))
    if 0 < abs(number) < LEAST:
        raise ValueError(f"{name} must be 0 or at least {LEAST:g} in magnitude, got {number:g}")
    return number
