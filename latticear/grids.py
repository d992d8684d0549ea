"""Configurations without an energy: any lattice of small integers, to be learned from data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from latticear.hamiltonians import hamiltonian_from_dict
from latticear.lattice import check_shape
from latticear.space import ConfigurationSpace

__all__ = ["Grid", "space_of"]

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


def space_of(attributes: Mapping[str, Any]) -> ConfigurationSpace:
    """The Hamiltonian or grid that the attributes of a file state.

    Raises:
        ValueError: if they state none, or one that cannot be.
    """
    stated = attributes.get("grid")
    if stated is None:
        return hamiltonian_from_dict(attributes["hamiltonian"])
    if not isinstance(stated, dict) or stated.get("name") != Grid.name:
        raise ValueError(f"the attribute grid must describe a grid, got {stated!r}")
    try:
        return Grid(**{key: value for key, value in stated.items() if key != "name"})
    except TypeError as error:
        raise ValueError(f"no grid can be built from {stated}: {error}") from error


def _checked(values: Sequence[int], levels: int) -> tuple[int, ...]:
    found = tuple(values)
    if not all(_is_integer(value) and abs(value) < 2**53 for value in found):
        raise ValueError(f"values must be levels = {levels} integers, got {values!r}")
    if len(found) != levels or any(a >= b for a, b in pairwise(found)):
        raise ValueError(f"values must be levels = {levels} integers in strictly ascending order, got {values!r}")
    return found


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
