"""The interface of models that can draw some sites of a configuration: for resampling between steps, block updates."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian
from latticear.lattice import configuration_size
from latticear.models.base import AbstractModel

__all__ = ["Board", "DrawingStep", "DrawsInSteps", "require_steps"]


class DrawingStep(NamedTuple):
    """Sites that are drawn in one step, between two points at which a caller may resample.

    Attributes:
        level: all of these sites have coordinates that are multiples of 2^level.
        sites: indices of the sites, int64 `(T,)`.
    """

    level: int
    sites: Tensor


class Board(Protocol):
    """B configurations in the representation in which a model draws them."""

    @property
    def tokens(self) -> Tensor:
        """The tokens of all sites, int64 `(B, N)`."""

    def write(self, sites: Tensor, tokens_tb: Tensor) -> None:
        """Fill in some sites, `(T,)`, with tokens `(T, B)`."""

    def take(self, rows: Tensor) -> Board:
        """A board of the configurations `rows`, `(n,)`, where an index may occur several times."""


@runtime_checkable
class DrawsInSteps(Protocol):
    """The methods of a model that draws in steps, besides those of every model.

    Attributes:
        steps: the steps, in the order in which they are drawn, with every site in one of them; the level of a step is
            never higher than that of the step before.
    """

    @property
    def steps(self) -> list[DrawingStep]: ...

    def board(self, tokens: Tensor) -> Board:
        """A board of the configurations `(B, N)`; tokens of sites that are not drawn yet are arbitrary."""

    def redraw(self, board: Board, sites: Tensor, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Draw some sites anew in the model's order, each given the tokens on the board at sites of lower rank.

        Args:
            board: the configurations, changed in place.
            sites: int64 `(n,)`, each site once.
            u: float64 `(B, n)`, uniform in [0, 1).
            condition: `(B, k)` or None.

        Returns:
            The log-probability of the tokens drawn, which is the sum of the log-conditionals: float64 `(B,)`.
        """

    def log_prob_of(self, board: Board, sites: Tensor, condition: Tensor | None = None) -> Tensor:
        """The log-probability that `redraw` draws the tokens on the board at these sites: float64 `(B,)`."""


def require_steps(model: AbstractModel, hamiltonian: AbstractHamiltonian, what: str, instead: str) -> None:
    """Check that a model draws in steps, and that its configurations have the shape and tokens of the Hamiltonian.

    Args:
        model: any model.
        hamiltonian: the Hamiltonian of the configurations.
        what: names, in the error message, the procedures that need steps.
        instead: names, in the error message, the alternative for other models.

    Raises:
        ValueError: if one of the two is not so.
    """
    if not isinstance(model, DrawsInSteps):
        raise ValueError(
            f"{what} need a model that draws in steps, such as la.MultiscalePixelCNN; {type(model).__name__} does "
            f"not: use {instead}"
        )
    size = configuration_size(model.shape, model.n_components)
    if (size, model.n_tokens) != (hamiltonian.size, hamiltonian.n_tokens):
        raise ValueError(
            f"the model is for shape {size} with {model.n_tokens} tokens, the Hamiltonian for "
            f"{hamiltonian.size} with {hamiltonian.n_tokens}"
        )
