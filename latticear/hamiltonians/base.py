"""What every Hamiltonian is: site values, bonds, energies, the heat bath's conditionals.

Index suffixes: b configuration, s site, k neighbour slot, q token.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from latticear.hamiltonians.bias import BoltzmannBias
from latticear.hamiltonians.neighbourhoods import Neighbourhoods, local_energies
from latticear.hamiltonians.temperatures import check_temperature
from latticear.lattice import Lattice, Symmetries, colour_graph
from latticear.observables import magnetization
from latticear.spaces import ConfigurationSpace

__all__ = ["AbstractHamiltonian"]


class AbstractHamiltonian(ConfigurationSpace):
    """A classical Hamiltonian with finitely many values per site and pair interactions on any list of bonds.

    Energies are extensive, in the unit of the couplings, float64; every bond counts once. To add a system, give
    `name`, `states`, `bond_energies`, `site_energies` and `parameters`; all else follows from them.
    """

    kind: ClassVar[Literal["hamiltonian"]] = "hamiltonian"
    noun: ClassVar[str] = "spins"
    has_energy: ClassVar[bool] = True
    has_bonds: ClassVar[bool] = True
    """Whether the energy is a sum over `bonds` and sites."""
    lattice: Lattice

    @property
    @abstractmethod
    def bond_energies(self) -> Tensor:
        """float64 `(n_bonds, q, q)`; `[b, t, u]` is the energy of bond b when its ends `bonds[b]` hold tokens t, u."""

    @property
    @abstractmethod
    def site_energies(self) -> Tensor:
        """float64 `(N, q)`; `[s, t]` is the energy in the field of token t at site s."""

    @property
    def spin_flip(self) -> bool:
        """True if the energy does not change under token -> q - 1 - token at every site."""
        flipped = self.bond_energies.flip(1, 2)
        return torch.equal(flipped, self.bond_energies) and torch.equal(self.site_energies.flip(1), self.site_energies)

    @cached_property
    def is_homogeneous(self) -> bool:
        """True if every site has the same field, and bonds of the same direction have the same energy."""
        if not torch.equal(self.site_energies, self.site_energies[:1].expand_as(self.site_energies)):
            return False
        y, x = (self.bonds.T // self.shape[1], self.bonds.T % self.shape[1])
        steps = torch.stack([(y[1] - y[0]) % self.shape[0], (x[1] - x[0]) % self.shape[1]])
        for step in steps.unique(dim=1).T:
            tables = self.bond_energies[(steps == step[:, None]).all(0)]
            if not torch.equal(tables, tables[:1].expand_as(tables)):
                return False
        return not self.lattice.missing

    @cached_property
    def symmetries(self) -> Symmetries:
        """The symmetries of the grid that leave the energy of every configuration as it is."""
        grid = self.lattice.symmetries
        point = torch.stack([image for image in grid.point if self._is_symmetry(image)])
        steps = []
        for axis, step in enumerate(grid.steps):
            candidates = [k * step for k in (1, 2) if step]  # a brick wall comes back after two
            moves = ((by, (by, 0) if axis == 0 else (0, by)) for by in candidates)
            steps.append(next((by for by, move in moves if self._is_symmetry(grid.translation(move))), 0))
        return Symmetries(self.shape, point, (steps[0], steps[1]))

    def _is_symmetry(self, image: Tensor) -> bool:
        """Whether `tokens[image]` always has the energy of tokens."""
        moved, fields = image[self.bonds], torch.empty_like(self.site_energies)
        fields[image] = self.site_energies
        pairs, tables = self._by_pair
        moved_pairs, moved_tables = _by_pair(moved, self.bond_energies, self.n_sites)
        return (
            torch.equal(fields, self.site_energies)
            and torch.equal(pairs, moved_pairs)
            and torch.allclose(tables, moved_tables, rtol=1e-12, atol=0)
        )

    @property
    def joint(self) -> AbstractHamiltonian:
        """The same system with one token a site: itself, unless a site has components (`Components`).

        What reads tables or walks through the states of a site takes this one, and `join` and `split` at its door.
        """
        return self

    def join(self, tokens: Tensor) -> Tensor:
        """Tokens `(B, H, W)` of the joint system, of those of this one: the same, unless a site has components."""
        return tokens

    def split(self, tokens: Tensor) -> Tensor:
        """Tokens of this system, of those of the joint one: the inverse of `join`."""
        return tokens

    @property
    def bonds(self) -> Tensor:
        """int64 `(n_bonds, 2)`: the pairs of sites that interact. Nearest neighbours unless a system says otherwise."""
        return self.lattice.bonds

    @cached_property
    def _by_pair(self) -> tuple[Tensor, Tensor]:
        return _by_pair(self.bonds, self.bond_energies, self.n_sites)

    @cached_property
    def colours(self) -> Tensor:
        """int64 `(N,)`: no bond joins two sites of one colour, so a heat bath may update those at once."""
        return colour_graph(self.n_sites, self.bonds)

    @property
    def vectors(self) -> Tensor:
        """float64 `(q, d)`: what a token counts in the magnetisation and in correlations; `states` if d = 1."""
        return self.states[:, None]

    def vectors_of(self, tokens: Tensor) -> Tensor:
        """What each site of configurations `(B, H, W)` holds: float64 `(B, H, W, d)`."""
        return self._on(tokens.device, "vectors")[tokens.long()]

    def magnetization(self, tokens: Tensor) -> Tensor:
        """m of configurations `(B, H, W)`, float64 `(B,)`: see `latticear.observables.magnetization`."""
        return magnetization(self.vectors_of(tokens))

    @property
    def shape(self) -> tuple[int, int]:
        return self.lattice.shape

    def energy(self, spins: Tensor, couplings: Tensor | None = None) -> Tensor:
        """Energy of each configuration: float64 `(B,)`, extensive.

        Args:
            spins: `(B, H, W)`, or `(B, C, H, W)` where a site has components; values among `states`, any dtype.
            couplings: optional factor on every bond's energy, `(n_bonds,)` or `(B, n_bonds)`: disorder that may
                differ per configuration. None means 1.

        Raises:
            ValueError: for another shape or a value that is not a spin.
        """
        if tuple(spins.shape[1:]) != self.size:
            expected = ("B", *self.size)
            raise ValueError(f"spins must have shape {_bare(expected)}, got {_bare(tuple(spins.shape))}")
        if couplings is not None and couplings.shape[-1:] != (len(self.bonds),):
            raise ValueError(
                f"couplings must have shape (n_bonds,) or (B, n_bonds) with n_bonds = {len(self.bonds)}, "
                f"got {_bare(tuple(couplings.shape))}"
            )
        return self.token_energy(self.tokens(spins), couplings)

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        """Energy of configurations given as tokens `(B, H, W)`, unchecked: float64 `(B,)`."""
        flat = tokens.flatten(1).long()
        i, j = self._on(flat.device, "bonds").T
        table = self._on(flat.device, "bond_energies")
        bond = torch.arange(len(i), device=flat.device)
        energies_bb = table[bond, flat[:, i], flat[:, j]]
        if couplings is not None:
            energies_bb = energies_bb * couplings.to(energies_bb)
        field = self._on(flat.device, "site_energies")
        site = torch.arange(flat.shape[1], device=flat.device)
        return energies_bb.sum(1) + field[site, flat].sum(1)

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """`token_energy` of configurations that come with conditions `(B, k)`, where those are part of the energy.

        They are where `latticear.hamiltonians.edwards_anderson_disorder` has couplings for each configuration.
        """
        return self.token_energy(tokens)

    def region_energy(self, tokens: Tensor, sites: Tensor) -> Tensor:
        """The part of the energy that changes when some sites do: float64 `(B,)`.

        Every bond that touches one of them, once, and their fields.

        Args:
            tokens: `(B, H, W)`.
            sites: int64 `(n,)`, each once.
        """
        flat = tokens.flatten(1).long()
        bonds = self._on(flat.device, "bonds")
        inside = torch.zeros(self.n_sites, dtype=torch.bool, device=flat.device)
        inside[sites] = True
        touching = inside[bonds].any(1).nonzero()[:, 0]
        i, j = bonds[touching].T
        energies_bb = self._on(flat.device, "bond_energies")[touching, flat[:, i], flat[:, j]]
        field = self._on(flat.device, "site_energies")
        return energies_bb.sum(1) + field[sites, flat[:, sites]].sum(1)

    def conditional_energies(self, tokens: Tensor, sites: Tensor) -> Tensor:
        """What a heat bath needs: the energy of each value a site could take, its neighbours as they are.

        Args:
            tokens: `(B, H, W)`.
            sites: int64 `(n,)`, no two of them joined by a bond.

        Returns:
            float64 `(B, n, q)`; `[b, s, t]` is the energy of the bonds and the field of `sites[s]` if it held token t
            in configuration b. Differences along the last axis are energy differences of the whole lattice.
        """
        around = self._on(tokens.device, "neighbourhoods")
        tables = around.energies[sites].transpose(-1, -2)
        field = self._on(tokens.device, "site_energies")[sites]
        return local_energies(tokens.flatten(1), around.sites[sites], tables, field)

    def bias(self, temperature: float | None = None) -> BoltzmannBias:
        """The known-neighbour term, for a model to take at construction (`bias=hamiltonian.bias(temperature)`).

        Args:
            temperature: T; None for a model that serves many: the first entry of its condition is the temperature.
        """
        return BoltzmannBias(
            self.neighbourhoods,
            self.site_energies,
            None if temperature is None else check_temperature(temperature),
            shape=self.shape,
            spin_flip=self.spin_flip,
            hamiltonian=self.to_dict(),
        )

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """The bonds as each site sees them."""
        seen: list[list[tuple[int, Tensor, int]]] = [[] for _ in range(self.n_sites)]
        for bond, ((i, j), table) in enumerate(zip(self.bonds.tolist(), self.bond_energies, strict=True)):
            seen[i].append((j, table, bond))
            seen[j].append((i, table.T, bond))
        degree = max(map(len, seen), default=0)
        q = self.n_tokens
        sites, numbers = torch.zeros(2, self.n_sites, degree, dtype=torch.long)
        energies = torch.zeros(self.n_sites, degree, q, q, dtype=torch.float64)
        for site, bonds in enumerate(seen):
            for k, (other, table, bond) in enumerate(bonds):
                sites[site, k], energies[site, k], numbers[site, k] = other, table, bond
        return Neighbourhoods(sites, energies, numbers)

    def _on(self, device: torch.device, name: str) -> Any:
        """A table of this Hamiltonian on a device, computed and copied once."""
        cache = self.__dict__.setdefault("_tables", {})
        if (name, device) not in cache:
            table = getattr(self, name)
            moved = Neighbourhoods(*(t.to(device) for t in table)) if isinstance(table, tuple) else table.to(device)
            cache[name, device] = moved
        return cache[name, device]


def _by_pair(bonds: Tensor, tables: Tensor, n_sites: int) -> tuple[Tensor, Tensor]:
    """The pairs of sites that have bonds, as ascending numbers, and the sum of the tables of each."""
    i, j = bonds.T
    tables = torch.where((i > j)[:, None, None], tables.mT, tables)
    pairs, place = (torch.minimum(i, j) * n_sites + torch.maximum(i, j)).unique(return_inverse=True)
    return pairs, tables.new_zeros(len(pairs), *tables.shape[1:]).index_add(0, place, tables)


def _bare(shape: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
