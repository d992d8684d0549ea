"""What configurations are made of: the shape of a lattice and the values that a site can take."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from latticear.lattice import Symmetries, check_shape, configuration_size
from latticear.samples import token_dtype

__all__ = ["ConfigurationSpace", "Grid"]


class ConfigurationSpace(ABC):
    """All configurations that a model may draw, with or without an energy: what a Hamiltonian and a grid share.

    Networks see tokens 0..q-1, files and figures see values, `value = states[token]`: a bijection.

    Attributes:
        kind: under which name a file says what its configurations are.
        noun: what a value is called in messages.
        n_components: C, tokens at each site.
        has_energy: whether it is a Hamiltonian.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["hamiltonian", "grid"]]
    noun: ClassVar[str]
    has_energy: ClassVar[bool] = False
    n_components: int = 1

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
        """Energies of configurations: float64 `(B,)`; None where there is no energy."""
        return None

    @property
    def spin_flip(self) -> bool:
        """Whether flipping all spins is a symmetry; without an energy none is assumed."""
        return False

    @property
    def symmetries(self) -> Symmetries | None:
        """The symmetries of the lattice that hold for every configuration; without an energy none is assumed."""
        return None

    @property
    def n_tokens(self) -> int:
        """q, the number of values a site can take."""
        return len(self.states)

    @property
    def n_sites(self) -> int:
        """N = H W, whatever the number of components."""
        return math.prod(self.shape)

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of a tensor of one configuration: (H, W), or (C, H, W) for C > 1."""
        return configuration_size(self.shape, self.n_components)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        return f"{type(self).__name__}({arguments})"

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which the same can be built."""
        return {"name": self.name, **self.parameters}

    def spins(self, tokens: Tensor) -> Tensor:
        """Values of tokens: float64, same shape."""
        return self.states.to(tokens.device)[tokens.long()]

    def tokens(self, spins: Tensor) -> Tensor:
        """Tokens of values: smallest unsigned type, same shape.

        Raises:
            ValueError: if a value is not one of `states`; names the first such value.
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


def _listed(states: list[float]) -> str:
    """The states in a message, the middle ones left out where they are many."""
    if len(states) <= 16:
        return f"one of {states}"
    return f"one of {states[0]:g}, {states[1]:g}, ..., {states[-1]:g} ({len(states)} of them)"


MAX_LEVELS = 2**16


class Grid(ConfigurationSpace):
    """Images, height maps, segmentations: an integer of few levels at each site, or C of them.

    It stands where a Hamiltonian stands in `fit` and in files. There is no energy and no temperature; the objective is
    maximum likelihood, and no symmetry is assumed of the data.

    Args:
        shape: (H, W).
        levels: q >= 2, the number of values a site can take.
        values: the value of each token, q integers in strictly ascending order; None for 0 .. q - 1.
        n_components: C, channels of a site; configurations are then `(n, C, H, W)`.

    Raises:
        ValueError: for a shape, a number of levels or components, or values that make no grid.

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
    found = tuple(values)
    if not all(_is_integer(value) and abs(value) < 2**53 for value in found):
        raise ValueError(f"values must be levels = {levels} integers, got {values!r}")
    if len(found) != levels or any(a >= b for a, b in pairwise(found)):
        raise ValueError(f"values must be levels = {levels} integers in strictly ascending order, got {values!r}")
    return found


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
