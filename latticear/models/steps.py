"""Models that draw part of a configuration while the rest stays: for resampling between steps, and block updates."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian
from latticear.lattice import configuration_size
from latticear.models.base import AbstractModel

__all__ = ["Board", "DrawingStep", "DrawsInSteps", "require_steps"]


class DrawingStep(NamedTuple):
    """Sites that are drawn between two halts.

    Attributes:
        level: they lie on the grid of sites whose coordinates are multiples of 2^level.
        sites: int64 `(T,)`.
    """

    level: int
    sites: Tensor


class Board(Protocol):
    """Configurations as the model that made it sees them while it draws."""

    @property
    def tokens(self) -> Tensor:
        """int64 `(B, N)`."""

    def write(self, sites: Tensor, tokens_tb: Tensor) -> None:
        """Fill in some sites, `(T,)`, with tokens `(T, B)`."""

    def take(self, rows: Tensor) -> Board:
        """Some of the configurations, `(n,)`, each as often as it is named."""


@runtime_checkable
class DrawsInSteps(Protocol):
    """What is asked of such a model besides what every model is.

    Attributes:
        steps: all sites, in the order in which they are drawn; levels do not rise from one to the next.
    """

    @property
    def steps(self) -> list[DrawingStep]: ...

    def board(self, tokens: Tensor) -> Board:
        """Configurations `(B, N)` as the model sees them; sites that are not drawn yet may hold anything."""

    def redraw(self, board: Board, sites: Tensor, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Draw some sites anew in their order, each given what the board holds at lower ranks.

        Args:
            board: changed in place.
            sites: int64 `(n,)`, each once.
            u: float64 `(B, n)`, uniform in [0, 1).
            condition: `(B, k)` or None.

        Returns:
            The log-probability of what was drawn, the product of these conditionals: float64 `(B,)`.
        """

    def log_prob_of(self, board: Board, sites: Tensor, condition: Tensor | None = None) -> Tensor:
        """The log-probability with which `redraw` would draw what the board holds at these sites: float64 `(B,)`."""


def require_steps(model: AbstractModel, hamiltonian: AbstractHamiltonian, what: str, instead: str) -> None:
    """Check that a model draws in steps, and configurations of this Hamiltonian.

    Raises:
        ValueError: if it does not; says `what` needs steps and what there is `instead`.
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
