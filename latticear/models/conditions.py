"""Conditions of a network, such as temperature or couplings, and their embedding in its layers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ConditionEmbedding", "Conditioning"]

HIDDEN = 32
"""Number of hidden units in the embedding of a condition."""


class Conditioning(NamedTuple):
    """The layout of the condition of one configuration: a vector, and maps with one value for each site.

    Both are stored in one row of numbers: first the vector, then the flattened maps `(n_maps, H, W)`.

    Attributes:
        n: k, length of the vector.
        n_maps: number of maps.
        shape: (H, W).
    """

    n: int
    n_maps: int
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Length of the row of numbers: k + n_maps H W."""
        return self.n + self.n_maps * math.prod(self.shape)

    def embedding(self, channels: int) -> ConditionEmbedding | None:
        """A module that embeds the condition in a layer of so many channels; None if there is no condition."""
        return ConditionEmbedding(self, channels) if self.size else None

    def embeddings(self, channels: int, n_layers: int) -> nn.ModuleList:
        """Such modules for several layers; an empty list if there is no condition."""
        return nn.ModuleList(ConditionEmbedding(self, channels) for _ in range(n_layers if self.size else 0))


class ConditionEmbedding(nn.Module):
    """The term that a condition adds to a hidden layer: a perceptron of the vector plus convolutions of the maps.

    The whole condition is known before any site is drawn, so the convolutions are not masked; they wrap around both
    boundaries.

    Shapes: `(B, conditioning.size)` to `(B, channels, 1, 1)`, or with maps to `(B, channels, H, W)`.

    Args:
        conditioning: layout of the condition.
        channels: number of channels of the hidden layer.
    """

    reads_condition = True
    centre: Tensor
    scale: Tensor

    def __init__(self, conditioning: Conditioning, channels: int) -> None:
        super().__init__()
        n, n_maps, shape = conditioning
        self.conditioning, self.channels = conditioning, channels
        self.register_buffer("centre", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.of_vector = nn.Sequential(nn.Linear(n, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, channels)) if n else None
        self.of_maps = (
            nn.Sequential(_Around(n_maps, HIDDEN, shape), nn.SiLU(), _Around(HIDDEN, channels, shape))
            if n_maps
            else None
        )

    def forward(self, condition: Tensor) -> Tensor:
        n, n_maps, shape = self.conditioning
        vector, maps = condition.to(self.scale.dtype).tensor_split([n], 1)
        out = vector.new_zeros(len(vector), self.channels, 1, 1)
        if self.of_vector is not None:
            out = self.of_vector((vector - self.centre) / self.scale)[:, :, None, None]
        return out if self.of_maps is None else out + self.of_maps(maps.unflatten(1, (n_maps, *shape)))


class _Around(nn.Conv2d):
    """A convolution with a kernel of up to 5x5 that wraps around both boundaries."""

    def __init__(self, in_channels: int, out_channels: int, shape: tuple[int, int]) -> None:
        self.reach = min(2, shape[0] - 1), min(2, shape[1] - 1)
        super().__init__(in_channels, out_channels, (2 * self.reach[0] + 1, 2 * self.reach[1] + 1))

    def forward(self, input: Tensor) -> Tensor:
        above, left = self.reach
        return super().forward(F.pad(input, (left, left, above, above), mode="circular"))
