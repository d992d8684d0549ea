"""Whether data fit a Hamiltonian at a temperature, in one line."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from torch import Tensor

from latticear.data.configurations import Configurations
from latticear.estimation.consistency import Consistency, consistency
from latticear.hamiltonians import AbstractHamiltonian
from latticear.targets import AbstractTarget

__all__ = ["DataCheck", "MisfitWarning", "examine", "examine_for"]

MOST_SITES = 2**20
"""Number of sites that are examined, about two seconds' work."""


class MisfitWarning(UserWarning):
    """Data do not fit the Hamiltonian and the temperature that they are said to come from."""


class DataCheck(NamedTuple):
    """What the check says of data.

    Attributes:
        fits: whether nothing was found that does not fit.
        line: the verdict in one line; if they do not fit, with what would.
    """

    fits: bool
    line: str

    def warn(self) -> None:
        """Issue a `MisfitWarning` if the data do not fit."""
        if not self.fits:
            warnings.warn(self.line, MisfitWarning, stacklevel=3)

    def demand(self, remedy: str) -> None:
        """Raise ValueError if the data do not fit.

        Args:
            remedy: what to do about it.
        """
        if not self.fits:
            raise ValueError(f"{self.line}; {remedy}")


def examine(tokens: Tensor, hamiltonian: AbstractHamiltonian, temperature: float | Tensor) -> DataCheck:
    """Check whether data fit a Hamiltonian at a temperature: independent draws, or chains in any order.

    Args:
        tokens: `(n, H, W)` or `(n, C, H, W)`.
        hamiltonian: the Hamiltonian.
        temperature: T > 0; or `(n,)`, that of each configuration.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((8, 8))
        >>> data = la.Samples.cat(list(la.monte_carlo(ising, 2.5, n=2000, seed=1))).tokens
        >>> examine(data, ising, 2.5).line.split(":")[0]
        'these data fit Ising 8x8 at T = 2.5'
        >>> examine(data, ising, 2.0).fits
        False
    """
    rows = temperature.double()[:, None] if isinstance(temperature, Tensor) else temperature
    found = consistency(tokens[:, None], hamiltonian, rows, most_sites=MOST_SITES)
    return DataCheck(not found.problem, _line(found, len(tokens), _what(hamiltonian, temperature)))


def examine_for(target: AbstractTarget, data: Configurations) -> DataCheck | None:
    """Check whether data fit a target; None for a target without an energy."""
    if not target.has_energy:
        return None
    temperature = target.temperature if data.temperatures is None else data.temperatures
    assert temperature is not None
    return examine(data.tokens, target.system, temperature)


def _line(found: Consistency, n: int, what: str) -> str:
    if found.problem:
        return f"these data do not fit {what}: {found.why}"
    if not found.judged:
        return f"these data are too few to check whether they fit {what}: {n:,} configurations, taken as they are"
    if found.balance is None:
        return f"these data fit {what}: probabilities of spins {found.worst:.1f} errors"
    return f"these data fit {what}: energy balance {found.balance:.1f} errors"


def _what(hamiltonian: AbstractHamiltonian, temperature: float | Tensor) -> str:
    """The system and the temperature in words."""
    if isinstance(temperature, Tensor):
        return f"{hamiltonian.label} at T = {float(temperature.min()):g} to {float(temperature.max()):g}"
    return f"{hamiltonian.label} at T = {temperature:g}"
