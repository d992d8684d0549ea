"""The heat bath: single-spin updates that draw a site's token from its distribution given its neighbours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.montecarlo.parts import uniform_columns
from latticear.montecarlo.rows import RowEnergies
from latticear.processes import ALONE, Processes, Share
from latticear.random_numbers import categorical

__all__ = ["AbstractBath", "HeatBath", "RowBath", "TableBath", "beyond", "heat_bath"]

AT_ONCE = {"cpu": 2**16, "cuda": 2**24}
"""Number of sites updated together: intermediate results should fit into the cache of a CPU, the memory of a GPU."""

FEW = 8
"""Largest number of tokens for which `RowBath` is used: its work grows as the square of this number."""


class AbstractBath(ABC):
    """A batch of configurations that a heat bath updates, each at its own temperature.

    Args:
        hamiltonian: Hamiltonian that gives the energies.
        tokens: `(B, H, W)`, initial configurations; this tensor is not modified.
        generator: generator of the uniform random numbers, on the device of the tokens.
        share: of several processes, which of all configurations these are; the generator gives the numbers of all.
    """

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        tokens: Tensor,
        generator: torch.Generator,
        share: Share | None = None,
    ) -> None:
        self._hamiltonian, self._generator = hamiltonian, generator
        self._at_once = max(1, AT_ONCE[tokens.device.type] // hamiltonian.n_sites)
        self._divide(Share.given(share, len(tokens)))
        self._prepare(tokens.device)
        self._put(tokens)

    @property
    def generator_state(self) -> Tensor:
        """The state of the generator, as bytes."""
        return self._generator.get_state()

    def restore(self, tokens: Tensor, generator_state: Tensor, share: Share) -> None:
        """Continue with the configurations of a share, `(B, H, W)`, and a state of the generator."""
        self._divide(share)
        self._put(tokens)
        self._generator.set_state(generator_state)

    @abstractmethod
    def _prepare(self, device: torch.device) -> None:
        """Prepare what the updates need of the Hamiltonian, once."""

    @abstractmethod
    def _put(self, tokens: Tensor) -> None:
        """Replace the configurations by others, `(B, H, W)`; the tensor is not modified."""

    @abstractmethod
    def tokens(self, rows: Tensor | None = None) -> Tensor:
        """A copy of the current configurations, `(B, H, W)`, or of those with the given indices."""

    @abstractmethod
    def take(self, rows: Tensor, share: Share | None = None) -> None:
        """Replace the configurations by those with the given indices, which may repeat.

        Args:
            rows: the indices, among the configurations of this process.
            share: of several processes, which of all configurations these then are.
        """

    @abstractmethod
    def sweep(self, beta: Tensor) -> None:
        """Update every site once, all sites of one colour at the same time.

        Args:
            beta: float64 `(B,)`, inverse temperature of each configuration; at 0 all tokens are equally probable.
        """

    @abstractmethod
    def energies(self) -> Tensor:
        """Energies of all configurations, float64 `(B,)`."""

    def _divide(self, share: Share) -> None:
        """Note which columns of each block of `at_once` configurations are those of this process."""
        firsts = range(0, share.n, self._at_once)
        self._widths = [min(self._at_once, share.n - first) for first in firsts]
        self._columns = [
            slice(min(max(share.rows.start - first, 0), width), min(max(share.rows.stop - first, 0), width))
            for first, width in zip(firsts, self._widths, strict=True)
        ]
        self._sizes = [own.stop - own.start for own in self._columns]


class TableBath(AbstractBath):
    """Heat bath for any Hamiltonian, with the energies that its method `conditional_energies` returns."""

    def _prepare(self, device: torch.device) -> None:
        colours = self._hamiltonian.colours
        self._groups = [(colours == c).nonzero()[:, 0].to(device) for c in colours.unique()]

    def _put(self, tokens: Tensor) -> None:
        self._tokens = tokens.clone()

    def tokens(self, rows: Tensor | None = None) -> Tensor:
        return self._tokens.clone() if rows is None else self._tokens[rows]

    def take(self, rows: Tensor, share: Share | None = None) -> None:
        self._tokens = self._tokens[rows]
        self._divide(Share.given(share, len(rows)))

    def sweep(self, beta: Tensor) -> None:
        parts = self._tokens.split(self._sizes), beta.split(self._sizes), self._widths, self._columns
        for part, beta_b, width, own in zip(*parts, strict=True):
            for sites in self._groups:
                n = len(sites)
                u = uniform_columns(self._generator, 1, width * n, slice(own.start * n, own.stop * n)).view(-1, n)
                if len(part):
                    energies = self._hamiltonian.conditional_energies(part, sites)
                    drawn, _ = categorical(-beta_b[:, None, None] * energies, u)
                    part.view(len(part), -1)[:, sites] = drawn.to(part.dtype)

    def energies(self) -> Tensor:
        parts = [self._hamiltonian.token_energy(part) for part in self._tokens.split(self._sizes) if len(part)]
        return torch.cat([torch.empty(0, dtype=torch.float64, device=self._tokens.device), *parts])


class RowBath(AbstractBath):
    """Heat bath for Hamiltonians with bonds and few tokens, many times faster than `TableBath`.

    Between sweeps the configurations are stored in the layout of `RowEnergies`, with one row for each site.
    """

    def _prepare(self, device: torch.device) -> None:
        self._rows = RowEnergies(self._hamiltonian, device)

    def _put(self, tokens: Tensor) -> None:
        self._blocks = [self._rows.sites(part) for part in tokens.split(self._sizes)]

    def tokens(self, rows: Tensor | None = None) -> Tensor:
        sites_sb = torch.cat(self._blocks, 1)
        chosen = sites_sb if rows is None else sites_sb.index_select(1, rows)
        return self._rows.tokens(chosen).view(-1, *self._hamiltonian.shape)

    def take(self, rows: Tensor, share: Share | None = None) -> None:
        sites_sb = torch.cat(self._blocks, 1)
        self._divide(Share.given(share, len(rows)))
        self._blocks = [sites_sb.index_select(1, part) for part in rows.split(self._sizes)]

    def sweep(self, beta: Tensor) -> None:
        parts = self._blocks, beta.split(self._sizes), self._widths, self._columns
        for sites_sb, beta_b, width, own in zip(*parts, strict=True):
            u_sb = uniform_columns(self._generator, len(sites_sb), width, own)
            if not u_sb.shape[1]:
                continue
            x_tsb = self._rows.hot(sites_sb)
            for colour, group in enumerate(self._rows.groups):
                drawn = x_tsb[:, group]
                p = beyond(self._rows.rises(x_tsb, colour).mul_(-beta_b))
                # 1 where u < p: token t of this entry or a larger one; in 32 bits the difference may be -1
                torch.sub(p, u_sb[group], out=drawn).ceil_().clamp_(min=0)
                if len(drawn) > 1:
                    drawn[:-1] -= drawn[1:]
            sites_sb.copy_(self._rows.cold(x_tsb))

    def energies(self) -> Tensor:
        parts = [
            self._rows.energy(self._rows.hot(sites_sb), own, width)
            for sites_sb, width, own in zip(self._blocks, self._widths, self._columns, strict=True)
            if sites_sb.shape[1]
        ]
        return torch.cat([torch.empty(0, dtype=torch.float64, device=self._generator.device), *parts])


def beyond(log_w: Tensor) -> Tensor:
    """Cumulative probabilities, float64 `(q - 1, n, B)`: entry t - 1 is the probability of a token >= t.

    Args:
        log_w: `(q - 1, n, B)`, unnormalised log-probabilities of tokens 1, 2, ..., with that of token 0 equal to 0;
            overwritten.
    """
    if len(log_w) == 1:
        return log_w.sigmoid_()
    return torch.cat([torch.zeros_like(log_w[:1]), log_w]).softmax(0).cumsum(0)[:-1].neg_().add_(1)


def heat_bath(
    hamiltonian: AbstractHamiltonian, tokens: Tensor, rng: np.random.Generator, share: Share | None = None
) -> AbstractBath:
    """The fastest heat bath for a Hamiltonian, with initial configurations `(B, H, W)`: all, or those of a share."""
    generator = torch.Generator(tokens.device).manual_seed(int(rng.integers(2**63)))
    suits = hamiltonian.has_bonds and hamiltonian.n_tokens <= FEW
    return (RowBath if suits else TableBath)(hamiltonian, tokens, generator, share)


class HeatBath:
    """Single-spin heat-bath updates of all sites of one colour and all chains at once.

    A site takes token t with probability `exp(-beta E_t) / sum_u exp(-beta E_u)`, where E_t is the energy of its bonds
    and its field with token t. Works for every Hamiltonian, on CPU and CUDA. With two states, Metropolis needs half as
    many sweeps to decorrelate, because it changes a spin more often; with many states the heat bath is better, because
    most proposals of Metropolis are rejected.

    Reference: M. Creutz, Phys. Rev. D 21 (1980) 2308; for the Ising model R. J. Glauber, J. Math. Phys. 4 (1963) 294.
    """

    name: ClassVar[str] = "heat-bath"

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        tokens: Tensor,
        rng: np.random.Generator,
        processes: Processes = ALONE,
    ) -> None:
        self.share = processes.share(len(tokens))
        self._bath = heat_bath(hamiltonian, tokens[self.share.rows], rng, self.share)
        self._beta = torch.full((len(self.share),), 1 / temperature, dtype=torch.float64, device=tokens.device)

    @property
    def tokens(self) -> Tensor:
        return self._bath.tokens()

    def sweep(self) -> None:
        self._bath.sweep(self._beta)

    def settle(self) -> None:
        """Do nothing: the method has no parameters that are adapted during thermalisation."""

    def state(self) -> dict[str, Tensor]:
        return {"tokens": self.share.joined(self.tokens), "generator": self._bath.generator_state}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._bath.restore(state["tokens"][self.share.rows].to(self._beta.device), state["generator"], self.share)

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return max(100, 8 * extent**2), max(10, extent**2 // 4)
