"""The base class of all Hamiltonians: site values, bonds, energies, and the conditional energies of a heat bath.

Index suffixes of tensors: b configuration, s site, k neighbour of a site, q token.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from latticear.arguments import check_integer, described
from latticear.hamiltonians.bias import BoltzmannBias
from latticear.hamiltonians.lookahead import LookaheadBias
from latticear.hamiltonians.neighbourhoods import Neighbourhoods, local_energies
from latticear.hamiltonians.temperatures import check_temperature
from latticear.lattice import Lattice, Symmetries, colour_graph
from latticear.lookahead import RowWeights
from latticear.observables import magnetization
from latticear.spaces import ConfigurationSpace

__all__ = ["AbstractHamiltonian", "check_is_hamiltonian", "check_unrestricted"]


class AbstractHamiltonian(ConfigurationSpace):
    """A classical Hamiltonian with finitely many values per site and pair interactions on any list of bonds.

    Energies are extensive, in the unit of the couplings, float64; every bond counts once. To add a system, define
    `name`, `lattice`, `states`, `bond_energies`, `site_energies` and `parameters`; everything else is derived from
    them.
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
        """float64 `(n_bonds, q, q)`; `[b, t, u]` is the energy of bond b if its ends `bonds[b]` have tokens t and u."""

    @property
    @abstractmethod
    def site_energies(self) -> Tensor:
        """float64 `(N, q)`; `[s, t]` is the single-site energy (of the field) of token t at site s."""

    @property
    def field_of_bias(self) -> Tensor:
        """float64 `(N, q)`: the single-site energies that the known-neighbour term adds to the logits of a network."""
        return self.site_energies

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
        """The symmetries of the grid that leave the energy of every configuration unchanged."""
        grid = self.lattice.symmetries
        point = torch.stack([image for image in grid.point if self._is_symmetry(image)])
        steps = []
        for axis, step in enumerate(grid.steps):
            candidates = [k * step for k in (1, 2) if step]  # a honeycomb lattice repeats after two sites
            moves = ((by, (by, 0) if axis == 0 else (0, by)) for by in candidates)
            steps.append(next((by for by, move in moves if self._is_symmetry(grid.translation(move))), 0))
        return Symmetries(self.shape, point, (steps[0], steps[1]))

    def _is_symmetry(self, image: Tensor) -> bool:
        """Whether every configuration has the same energy as after the permutation `image` of its sites."""
        moved, fields = image[self.bonds], torch.empty_like(self.site_energies)
        fields[image] = self.site_energies
        pairs, tables = self.by_pair
        moved_pairs, moved_tables = _by_pair(moved, self.bond_energies, self.n_sites)
        return (
            torch.equal(fields, self.site_energies)
            and torch.equal(pairs, moved_pairs)
            and torch.allclose(tables, moved_tables, rtol=1e-12, atol=0)
        )

    @property
    def joint(self) -> AbstractHamiltonian:
        """The same system with one token at each site: this system itself, unless its sites have components.

        Code that reads energy tables or loops over the states of a site uses `joint`, and converts tokens by `join`
        and `split`.
        """
        return self

    @property
    def label(self) -> str:
        """The class and the shape, for titles and messages, such as "Ising 8x8"."""
        return f"{type(self.joint).__name__} {'x'.join(map(str, self.shape))}"

    def join(self, tokens: Tensor) -> Tensor:
        """Convert tokens of this system to tokens `(B, H, W)` of `joint`: no change unless sites have components."""
        return tokens

    def split(self, tokens: Tensor) -> Tensor:
        """Convert tokens of `joint` to tokens of this system: the inverse of `join`."""
        return tokens

    @property
    def bonds(self) -> Tensor:
        """int64 `(n_bonds, 2)`: the pairs of sites that interact; nearest neighbours unless a subclass overrides it."""
        return self.lattice.bonds

    @cached_property
    def by_pair(self) -> tuple[Tensor, Tensor]:
        """The pairs i < j of sites that interact, as `i * N + j`, and the sum of the energy tables of their bonds."""
        return _by_pair(self.bonds, self.bond_energies, self.n_sites)

    @cached_property
    def colours(self) -> Tensor:
        """int64 `(N,)`, a colour for each site: a heat bath may update all sites of a colour at the same time.

        No bond joins two sites of the same colour.
        """
        return colour_graph(self.n_sites, self.bonds)

    @property
    def vectors(self) -> Tensor:
        """float64 `(q, d)`, the spin vector of each token, used in the magnetisation and in correlations.

        By default d = 1 and the vectors are `states`.
        """
        return self.states[:, None]

    def vectors_of(self, tokens: Tensor) -> Tensor:
        """The spin vector of each site of configurations `(B, H, W)`: float64 `(B, H, W, d)`."""
        return self._on(tokens.device, "vectors")[tokens.long()]

    def magnetization(self, tokens: Tensor) -> Tensor:
        """Magnetisation per site of configurations `(B, H, W)`, float64 `(B,)`; see `latticear.observables`."""
        return magnetization(self.vectors_of(tokens))

    @property
    def shape(self) -> tuple[int, int]:
        return self.lattice.shape

    def energy(self, spins: Tensor, couplings: Tensor | None = None) -> Tensor:
        """Energy of each configuration: float64 `(B,)`, extensive.

        Args:
            spins: `(B, H, W)`, or `(B, C, H, W)` if sites have components; values among `states`, any dtype.
            couplings: a factor on the energy of each bond, `(n_bonds,)` or `(B, n_bonds)`, for disorder that differs
                from configuration to configuration. None means factors of 1.

        Raises:
            ValueError: for spins or couplings of another shape, or a spin that is not one of `states`.
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
        """Energy of configurations given as tokens `(B, H, W)`, without checks: float64 `(B,)`."""
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
        """Energy of configurations with the conditions `(B, k)` of a conditional model: float64 `(B,)`.

        By default the energy does not depend on the condition and is `token_energy`. Systems with random couplings
        override this method (see `latticear.hamiltonians.disorder`): there the condition contains the couplings.
        """
        return self.token_energy(tokens)

    def region_energy(self, tokens: Tensor, sites: Tensor) -> Tensor:
        """The part of the energy that depends on some of the sites: float64 `(B,)`.

        It is the energy of all bonds with at least one end among these sites, each counted once, and of the fields at
        these sites.

        Args:
            tokens: `(B, H, W)`.
            sites: int64 `(n,)`, numbers of the sites without repetition.
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
        """Energy of each value that a site could take while its neighbours stay unchanged, as a heat bath needs it.

        Args:
            tokens: `(B, H, W)`.
            sites: int64 `(n,)`, no two of them joined by a bond.

        Returns:
            float64 `(B, n, q)`; `[b, s, t]` is the energy of the bonds and the field of `sites[s]` if it had token t
            in configuration b. Differences along the last axis are energy differences of the whole lattice.
        """
        around = self._on(tokens.device, "neighbourhoods")
        tables = around.energies[sites].transpose(-1, -2)
        field = self._on(tokens.device, "site_energies")[sites]
        return local_energies(tokens.flatten(1), around.sites[sites], tables, field)

    def bias(self, temperature: float | None = None, *, bond_dimension: int | None = None) -> BoltzmannBias:
        """The known-neighbour term, which a model takes at construction: `bias=hamiltonian.bias(temperature)`.

        It adds to the logits of each site -beta times the energy of its field and of its bonds to sites of lower rank,
        that is, to sites that come earlier in the order of the model. With a bond dimension the sum over the later
        sites is added too, by matrix products (`LookaheadBias`): the larger, the more accurate.

        Args:
            temperature: T; None for a model of many temperatures, whose condition has the temperature as first entry.
            bond_dimension: chi, the largest bond dimension of the matrix products; None for the known neighbours alone.

        Raises:
            ValueError: with a bond dimension, for bonds between other sites than nearest and next-nearest neighbours,
                or without a temperature.
        """
        t = None if temperature is None else check_temperature(temperature)
        known = self.neighbourhoods, self.field_of_bias, t
        about: dict[str, Any] = {"shape": self.shape, "spin_flip": self.spin_flip, "hamiltonian": self.to_dict()}
        if bond_dimension is None:
            return BoltzmannBias(*known, **about)
        if t is None:
            raise ValueError("a sum over later sites is for one temperature: give one, or leave bond_dimension out")
        bond_dimension = check_integer("bond_dimension", bond_dimension, least=1)
        weights = RowWeights.of_bonds(self.shape, self.bonds, self.bond_energies, self.field_of_bias, t)
        return LookaheadBias(*known, **about, weights=weights, bond_dimension=bond_dimension)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """The neighbours and bonds of each site."""
        by_site: list[list[tuple[int, Tensor, int]]] = [[] for _ in range(self.n_sites)]
        for bond, ((i, j), table) in enumerate(zip(self.bonds.tolist(), self.bond_energies, strict=True)):
            by_site[i].append((j, table, bond))
            by_site[j].append((i, table.T, bond))
        degree = max(map(len, by_site), default=0)
        q = self.n_tokens
        sites, numbers = torch.zeros(2, self.n_sites, degree, dtype=torch.long)
        energies = torch.zeros(self.n_sites, degree, q, q, dtype=torch.float64)
        for site, bonds in enumerate(by_site):
            for k, (other, table, bond) in enumerate(bonds):
                sites[site, k], energies[site, k], numbers[site, k] = other, table, bond
        return Neighbourhoods(sites, energies, numbers)

    def _on(self, device: torch.device, name: str) -> Any:
        """The attribute `name` of this Hamiltonian on a device; kept, so that it is computed and copied only once."""
        cache = self.__dict__.setdefault("_tables", {})
        if (name, device) not in cache:
            table = getattr(self, name)
            moved = Neighbourhoods(*(t.to(device) for t in table)) if isinstance(table, tuple) else table.to(device)
            cache[name, device] = moved
        return cache[name, device]


def check_is_hamiltonian(value: object) -> None:
    """Raise ValueError unless a value is a Hamiltonian."""
    if not isinstance(value, AbstractHamiltonian):
        raise ValueError(f"a Hamiltonian is needed, such as la.Ising((8, 8)), got {described(value)}")


def check_unrestricted(hamiltonian: AbstractHamiltonian, method: str, instead: str) -> None:
    """Raise ValueError if the composition of a system is fixed, for a method that cannot keep it.

    Args:
        hamiltonian: the system.
        method: the method.
        instead: what to use.
    """
    if hamiltonian.composition is not None:
        raise ValueError(
            f"{method} does not keep a fixed composition, got {hamiltonian.composition}: use {instead}, or the system "
            f"without it"
        )


def _by_pair(bonds: Tensor, tables: Tensor, n_sites: int) -> tuple[Tensor, Tensor]:
    """The pairs of sites i < j that are joined by bonds, and for each pair the sum of the energy tables of its bonds.

    Pairs are given as numbers `i * n_sites + j` in ascending order.
    """
    i, j = bonds.T
    tables = torch.where((i > j)[:, None, None], tables.mT, tables)
    pairs, place = (torch.minimum(i, j) * n_sites + torch.maximum(i, j)).unique(return_inverse=True)
    return pairs, tables.new_zeros(len(pairs), *tables.shape[1:]).index_add(0, place, tables)


def _bare(shape: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
