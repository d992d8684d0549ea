"""Configuration spaces: the shape of a lattice and the values that each site can take."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from latticear.arguments import check_keywords
from latticear.lattice import Symmetries, check_shape, configuration_size
from latticear.samples import token_dtype
from latticear.tables import brief

__all__ = ["ConfigurationSpace", "Grid", "check_composition"]


class ConfigurationSpace(ABC):
    """The set of all configurations that a model may draw: the common base class of Hamiltonians and grids of data.

    Networks work on tokens 0..q-1, files and figures on the values of the sites. The map `value = states[token]` is
    one to one.

    Attributes:
        kind: "hamiltonian" or "grid"; also the name of the attribute of data files that holds `to_dict()`.
        noun: the word for the values of sites in error messages.
        n_components: C, the number of tokens at each site.
        has_energy: whether configurations have an energy, that is, whether this is a Hamiltonian.
        has_bonds: whether the energy is a sum over sites and pairs of sites.
        composition: how many sites have each token, if only configurations with this composition are allowed
            (`la.FixedComposition`); None if all are.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["hamiltonian", "grid"]]
    noun: ClassVar[str]
    has_energy: ClassVar[bool] = False
    has_bonds: ClassVar[bool] = False
    n_components: int = 1
    composition: tuple[int, ...] | None = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(H, W)."""

    @property
    @abstractmethod
    def states(self) -> Tensor:
        """The value of each token, ascending: float64 `(q,)`, `value = states[token]`."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The constructor's keyword arguments, as JSON values."""

    def token_energy(self, tokens: Tensor) -> Tensor | None:
        """Energies of configurations given as tokens: float64 `(B,)`; None if configurations have no energy."""
        return None

    @property
    def spin_flip(self) -> bool:
        """Whether flipping all spins leaves every energy unchanged; False if configurations have no energy."""
        return False

    @property
    def symmetries(self) -> Symmetries | None:
        """The lattice symmetries that leave every energy unchanged; None if configurations have no energy."""
        return None

    @property
    def n_tokens(self) -> int:
        """q, the number of values that a site (or each of its components) can take."""
        return len(self.states)

    @property
    def n_sites(self) -> int:
        """N = H W, whatever the number of components."""
        return math.prod(self.shape)

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of a tensor of one configuration: (H, W), or (C, H, W) for C > 1."""
        return configuration_size(self.shape, self.n_components)

    def allowed(self, tokens: Tensor) -> Tensor:
        """Whether each configuration has the composition, if one is fixed: bool `(B,)`."""
        if self.composition is None:
            return torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        counts = (tokens.flatten(1)[..., None] == torch.arange(self.n_tokens, device=tokens.device)).sum(1)
        return (counts == torch.tensor(self.composition, device=tokens.device)).all(1)

    def check_allowed(self, tokens: Tensor, what: str) -> None:
        """Check that all configurations have the composition, if one is fixed.

        Raises:
            ValueError: names the first that has not; `what` is what the message calls them.
        """
        if self.composition is None or bool((right := self.allowed(tokens)).all()):
            return
        row = int((~right).nonzero()[0])
        counts = tuple((tokens[row] == t).sum().item() for t in range(self.n_tokens))
        raise ValueError(
            f"{what} must have the composition {self.composition}, got {counts} in configuration {row} "
            f"({int((~right).sum()):,} of {len(tokens):,} have another one)"
        )

    def __new__(cls, *_: Any, **given: Any) -> Self:
        check_keywords(cls, given)
        return super().__new__(cls)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={brief(value)}" for key, value in self.parameters.items())
        return f"{type(self).__name__}({arguments})"

    def to_dict(self) -> dict[str, Any]:
        """The name and the constructor's arguments as JSON values, from which an equal object can be built."""
        return {"name": self.name, **self.parameters}

    def spins(self, tokens: Tensor) -> Tensor:
        """Convert tokens to the values of sites: float64 of the same shape."""
        return self.states.to(tokens.device)[tokens.long()]

    def tokens(self, spins: Tensor) -> Tensor:
        """Convert the values of sites to tokens: the smallest unsigned type that holds q, of the same shape.

        Raises:
            ValueError: if a value is not one of `states`; the message names the first such value.
        """
        states = self.states.to(spins.device)
        tokens = torch.bucketize(spins.double(), states).clamp_(max=len(states) - 1)
        wrong = states[tokens] != spins
        if wrong.any():
            raise ValueError(
                f"{self.noun} of {type(self).__name__} must be {_listed(self.states.tolist())}, "
                f"got {spins[wrong][0].item():g} ({int(wrong.sum())} such values)"
            )
        return tokens.to(token_dtype(self.n_tokens))


def check_composition(composition: Iterable[int], n_tokens: int, n_sites: int) -> tuple[int, ...]:
    """The composition as a tuple of integers.

    Args:
        composition: the number of sites with each token.
        n_tokens: q.
        n_sites: N.

    Raises:
        ValueError: unless it has q counts that are not negative and add up to N.
    """
    try:
        counts = tuple(operator.index(count) for count in composition)
    except TypeError:
        raise ValueError(
            f"composition must be the number of sites with each of {n_tokens} states, integers, got {composition!r}"
        ) from None
    if len(counts) != n_tokens or min(counts) < 0 or sum(counts) != n_sites:
        raise ValueError(
            f"composition must be the number of sites with each of {n_tokens} states, not negative, with the sum "
            f"{n_sites}, got {counts}" + (f" with the sum {sum(counts)}" if len(counts) == n_tokens else "")
        )
    return counts


def _listed(states: list[float]) -> str:
    """The list of states for an error message, shortened if there are more than 16."""
    if len(states) <= 16:
        return f"one of {states}"
    return f"one of {states[0]:g}, {states[1]:g}, ..., {states[-1]:g} ({len(states)} of them)"


MAX_LEVELS = 2**16


class Grid(ConfigurationSpace):
    """Grids of data such as images, height maps or segmentations: one of q integers at each site, or C such integers.

    A `Grid` takes the place of a Hamiltonian in `fit` and in data files. There is no energy and no temperature; models
    are trained by maximum likelihood, and the data are not assumed to have any symmetry.

    Args:
        shape: (H, W).
        levels: q >= 2, the number of values a site can take.
        values: the value of each token, q integers in strictly ascending order; None for 0 .. q - 1.
        n_components: C, the number of channels of each site; for C > 1 configurations are `(n, C, H, W)`.

    Raises:
        ValueError: for an invalid shape, number of levels, number of components, or list of values.

    Example:
        >>> grid = Grid((2, 2), levels=3, values=[0, 128, 255])
        >>> grid.tokens(torch.tensor([[[0, 255], [128, 0]]]))
        tensor([[[0, 2],
                 [1, 0]]], dtype=torch.uint8)
        >>> grid.spins(torch.tensor([2, 1])).tolist()
        [255.0, 128.0]
    """

    name: ClassVar[str] = "grid"
    kind: ClassVar[Literal["grid"]] = "grid"
    noun: ClassVar[str] = "values"

    def __init__(
        self,
        shape: tuple[int, int],
        levels: int,
        values: Sequence[int] | None = None,
        n_components: int = 1,
    ) -> None:
        self._shape = check_shape(shape)
        if not (_is_integer(levels) and 2 <= levels <= MAX_LEVELS):
            raise ValueError(f"levels must be an integer from 2 to {MAX_LEVELS}, got {levels!r}")
        if not (_is_integer(n_components) and n_components >= 1):
            raise ValueError(f"n_components must be an integer of at least 1, got {n_components!r}")
        self.levels, self.n_components = levels, n_components
        self.values = None if values is None else _checked(values, levels)

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    @property
    def states(self) -> Tensor:
        values = range(self.levels) if self.values is None else self.values
        return torch.tensor(values, dtype=torch.float64)

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "shape": list(self.shape),
            "levels": self.levels,
            "values": None if self.values is None else list(self.values),
            "n_components": self.n_components,
        }


def _checked(values: Sequence[int], levels: int) -> tuple[int, ...]:
    checked = tuple(values)
    if not all(_is_integer(value) and abs(value) < 2**53 for value in checked):
        raise ValueError(f"values must be levels = {levels} integers, got {values!r}")
    if len(checked) != levels or any(a >= b for a, b in pairwise(checked)):
        raise ValueError(f"values must be levels = {levels} integers in strictly ascending order, got {values!r}")
    return checked


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
