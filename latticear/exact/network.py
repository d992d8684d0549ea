"""ln Z and its derivatives by boundary matrix products, with an error that is measured in independent ways."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from latticear.arguments import check_integer
from latticear.arrays import Array
from latticear.exact.contraction import OVERHEAD, Contraction
from latticear.exact.result import MAX_ERROR, ExactResult
from latticear.exact.stencil import Stencil
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_temperature, check_unrestricted

__all__ = ["converged_network", "tensor_network"]

ENOUGH = MAX_ERROR / 2
"""Difference of ln Z between both sides from which the bond dimension is large enough."""

MINUTES = 2**39
"""Operations of the search for a bond dimension that somebody waits for."""

N_DRAWN = 100
"""Number of configurations whose weights are compared with the contraction."""

SAFETY = 3
"""Factor between a difference of derivatives and their error: rounding errors differ from point to point."""

LADDER = (8, 12, 16, 24, 32, 48, 64)
"""Bond dimensions that are tried one after the other."""

MOST, LEAST = 0.5, 0.05
"""What the next bond dimension leaves of the difference between both sides: larger ones are not tried where it is more,
and it is hardly ever less."""


def tensor_network(
    hamiltonian: AbstractHamiltonian, temperature: float, *, bond_dimension: int | None = None, seed: int = 0
) -> ExactResult:
    """ln Z, energy, heat capacity and moments of the magnetisation by boundary matrix products cut to a bond dimension.

    The sum over all later rows is a matrix product over the columns, cut to chi after each row
    (`latticear.lookahead`). The error of ln Z is estimated by three independent ways, of which it is the largest:

    - the contraction is repeated from the opposite side with two thirds of chi: the difference;
    - 100 configurations are drawn from the conditional probabilities at chi, whose importance weights w have the mean
      Z whatever chi is: the difference from ln <w>, and three of its standard errors.

    It is an estimate and no proven bound: a part of the distribution would have to be missing in both contractions and
    in the configurations to remain unnoticed. The result counts as exact (`is_exact`) if the error of ln Z is below
    1e-4; quantities with a relative error above 1e-3 are then left out.

    Derivatives are those of the polynomial through nine temperatures and eleven fields; their errors are three times
    the differences from the contraction with two thirds of chi and from polynomials through two points less.

    Args:
        hamiltonian: bonds between nearest and next-nearest neighbours; fields; any number of states.
        temperature: T > 0, in the unit of the couplings.
        bond_dimension: chi; None for the first of 8, 12, 16, 24, 32, 48 and 64 whose difference is small enough, or the
            last one that takes minutes or less.
        seed: seed of the configurations.

    Raises:
        ValueError: for other bonds, a temperature that is not positive and finite or so low that weights underflow, or
            a bond dimension that is no whole number of at least 1.

    References:
        Murg, Verstraete, Cirac, "Variational study of hard-core bosons in a two-dimensional optical lattice using
        projected entangled pair states" (2007), for boundary matrix products.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> result = tensor_network(Ising((12, 12), field=0.1, periodic=False), 2.0, bond_dimension=12)
        >>> result.is_exact, result.errors["log_z"] < 1e-5
        (True, True)
    """
    check_is_hamiltonian(hamiltonian)
    check_unrestricted(hamiltonian, "tensor_network", "exact_result")
    given = None if bond_dimension is None else check_integer("bond_dimension", bond_dimension, least=1)
    sides = _Sides(hamiltonian.joint, check_temperature(temperature))
    try:
        if given is not None:
            return sides.result(given, seed)
        affordable = sides.affordable(MINUTES) or LADDER[:1]
        return sides.result(next((chi for chi in affordable if sides.gap(chi) < ENOUGH), affordable[-1]), seed)
    except ArithmeticError as error:
        raise ValueError(str(error)) from error


def converged_network(hamiltonian: AbstractHamiltonian, temperature: float, work: float) -> ExactResult | None:
    """The result of the smallest bond dimension whose error is so small that it counts as exact; None within the work.

    Args:
        hamiltonian: any system; None for one that has no such sum.
        temperature: T.
        work: about how many operations may be spent.
    """
    system = hamiltonian.joint
    if not system.has_bonds or 8 * system.n_sites * OVERHEAD > work:
        return None
    try:
        sides = _Sides(system, temperature)
    except ValueError:
        return None
    try:
        return _converged(sides, sides.affordable(work))
    except ArithmeticError:
        return None


def _converged(sides: _Sides, affordable: list[int]) -> ExactResult | None:
    last = math.inf
    for k, chi in enumerate(affordable):
        gap = sides.gap(chi)
        if gap < ENOUGH:
            result = sides.result(chi)
            return result if result.is_exact else None
        if gap * LEAST ** (len(affordable) - 1 - k) > ENOUGH or not gap < MOST * last:
            return None
        last = gap
    return None


class _Drawn(NamedTuple):
    """What configurations of the conditional probabilities tell.

    Attributes:
        log_z: logarithm of their mean importance weight.
        error: three standard errors of it.
        size: root of their mean squared magnetisation, extensive; None where the magnetisation is a vector.
    """

    log_z: float
    error: float
    size: float | None


class _Sides:
    """One system, contracted from below with chi and from above with two thirds of chi."""

    def __init__(self, hamiltonian: AbstractHamiltonian, temperature: float) -> None:
        self.hamiltonian, self.temperature = hamiltonian, temperature
        self.below = Contraction(hamiltonian, temperature)
        self.above = Contraction(hamiltonian, temperature, reverse=True)

    def log_z(self, chi: int, factors: Tensor, fields: Tensor) -> tuple[Array, Array]:
        """ln Z of several settings from below and from above, as in `Contraction.log_z`."""
        below, above = self.below.log_z(chi, factors, fields), self.above.log_z(_smaller(chi), factors, fields)
        return below.numpy(), above.numpy()

    def gap(self, chi: int) -> float:
        """Difference of ln Z from both sides; inf where cuts left no positive sum."""
        one = torch.ones(1, dtype=torch.float64)
        below, above = self.log_z(chi, one, one.new_zeros(1, self.hamiltonian.n_tokens))
        gap = float(abs(below - above)[0])
        return math.inf if math.isnan(gap) else gap

    def draw(self, chi: int, seed: int) -> _Drawn:
        """Configurations of the contraction from below, and the mean of their weights."""
        tokens, log_w = self.below.draw(chi, N_DRAWN, seed)
        w, spins = (log_w - log_w.max()).exp(), self.hamiltonian.vectors
        size = float(spins[tokens, 0].sum((1, 2)).square().mean().sqrt()) if spins.shape[1] == 1 else None
        error = 3 * float(w.std() / w.mean()) / math.sqrt(N_DRAWN)
        return _Drawn(float(w.mean().log() + log_w.max()), error, size)

    def affordable(self, work: float) -> list[int]:
        """The bond dimensions of the ladder up to which the search and the result take no more than this work."""
        found = []
        for chi in LADDER:
            work -= self.work(chi)
            if work < self.work_of_result(chi):
                break
            found.append(chi)
        return found

    def result(self, chi: int, seed: int = 0) -> ExactResult:
        """The quantities from below, with their errors."""
        drawn, n = self.draw(chi, seed), self.hamiltonian.n_sites
        stencil = Stencil(self.hamiltonian, self.temperature, drawn.size)
        below, above = self.log_z(chi, stencil.factors, stencil.fields)
        result, other, coarse = (
            stencil.result("tensor_network", z, fewer) for z, fewer in ((below, 0), (above, 0), (below, 1))
        )
        values, others, coarser = result.to_dict(), other.to_dict(), coarse.to_dict()
        errors = {k: SAFETY * (abs(v - others[k]) + abs(v - coarser[k])) for k, v in values.items()}
        of_log_z = max(abs(result.log_z - other.log_z), abs(result.log_z - drawn.log_z) + drawn.error)
        if not math.isfinite(of_log_z):
            raise ArithmeticError(
                f"boundary matrix products of bond dimension {chi} have lost the sum at T = {self.temperature:g}; "
                f"give a larger bond dimension, or a higher temperature"
            )
        errors["log_z"] = of_log_z
        errors["free_energy_per_site"] = self.temperature * errors["log_z"] / n
        errors["entropy_per_site"] = errors["energy_per_site"] / self.temperature + errors["log_z"] / n
        return replace(result, bond_dimension=chi, errors=errors).without_inaccurate()

    def work(self, chi: int) -> int:
        """About how many operations `gap` takes."""
        return self.below.work(chi) + self.above.work(_smaller(chi))

    def work_of_result(self, chi: int) -> int:
        """About how many operations `result` takes."""
        n = len(Stencil(self.hamiltonian, self.temperature, 1.0 if self.hamiltonian.vectors.shape[1] == 1 else None))
        return 2 * self.below.work(chi) + self.below.work(chi, n) + self.above.work(_smaller(chi), n)


def _smaller(chi: int) -> int:
    return max(1, 2 * chi // 3)
