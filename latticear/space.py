"""What configurations are made of: the shape of a lattice and the values that a site can take."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from latticear.lattice import configuration_size
from latticear.samples import token_dtype

__all__ = ["ConfigurationSpace"]


class ConfigurationSpace(ABC):
    """All configurations that a model may draw, with or without an energy: what a Hamiltonian and a grid share.

    Networks see tokens 0..q-1, files and figures see values, `value = states[token]`: a bijection.

    Attributes:
        kind: under which name a file says what its configurations are.
        noun: what a value is called in messages.
        n_components: C, tokens at each site.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["hamiltonian", "grid"]]
    noun: ClassVar[str]
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
