"""The interface of models that can draw some sites of a configuration while the other sites stay unchanged.

Sequential Monte Carlo, which resamples between steps, and block updates need such models.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian
from latticear.lattice import configuration_size
from latticear.models.base import AbstractModel

__all__ = ["Board", "DrawingStep", "DrawsInSteps", "require_steps"]


class DrawingStep(NamedTuple):
    """Sites that are drawn in one step; sampling can be interrupted before and after it.

    Attributes:
        level: the sites of the step lie on the grid of sites whose coordinates are multiples of 2^level.
        sites: int64 `(T,)`, numbers of the sites.
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
    """The methods of a model that can draw some of the sites, in addition to those of `AbstractModel`.

    Attributes:
        steps: all sites, in steps in the order in which they are drawn; the level does not rise from a step to the
            next.
    """

    @property
    def steps(self) -> list[DrawingStep]: ...

    def board(self, tokens: Tensor) -> Board:
        """Configurations `(B, N)` in the model's own layout; sites that are not drawn yet may have any token."""

    def redraw(self, board: Board, sites: Tensor, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Draw some sites again in their order, each conditioned on the tokens of the board at sites of lower rank.

        Args:
            board: configurations, changed in place.
            sites: int64 `(n,)`, numbers of the sites without repetition.
            u: float64 `(B, n)`, uniform in [0, 1).
            condition: `(B, k)` or None.

        Returns:
            The log-probability of the drawn tokens, the sum of the conditional log-probabilities: float64 `(B,)`.
        """

    def log_prob_of(self, board: Board, sites: Tensor, condition: Tensor | None = None) -> Tensor:
        """The log-probability with which `redraw` would draw the tokens of the board at these sites: float64 `(B,)`."""


def require_steps(model: AbstractModel, hamiltonian: AbstractHamiltonian, what: str, instead: str) -> None:
    """Check that a model can draw in steps, and that it draws configurations of this Hamiltonian.

    Args:
        model: any model.
        hamiltonian: the system whose configurations the model must draw.
        what: name of the method that needs such a model, for the error message.
        instead: name of the method to use with other models, for the error message.

    Raises:
        ValueError: if the model cannot draw in steps, or draws other configurations.
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
