"""The exact result that estimates are compared with."""

from __future__ import annotations

from typing import Literal

from latticear.exact import ExactResult, known_result
from latticear.hamiltonians import AbstractHamiltonian

__all__ = ["AUTO", "Exact", "reference"]

Exact = ExactResult | Literal["auto"] | None
"""An exact result; "auto" for the one that `known_result` finds; None for no comparison."""

AUTO: Literal["auto"] = "auto"


def reference(
    exact: Exact, hamiltonian: AbstractHamiltonian, temperature: float, *, held: bool = False
) -> ExactResult | None:
    """The exact result to compare estimates with, or None.

    Args:
        exact: what a user gives.
        hamiltonian: the system.
        temperature: T.
        held: whether sites of the configurations were held fixed; the exact results are of the whole system, so that
            "auto" then means none.

    Raises:
        ValueError: if `exact` is none of these, or the result of another temperature or number of sites.
    """
    if exact == AUTO:
        return None if held else known_result(hamiltonian, temperature)
    if exact is not None and not isinstance(exact, ExactResult):
        raise ValueError(
            f"exact must be an ExactResult, such as la.exact_result(hamiltonian, temperature), 'auto' or None, got "
            f"{type(exact).__name__}"
        )
    return exact
