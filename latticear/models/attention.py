"""Causal attention over the sites in raster order, and the layers that are used with it.

The methods `ready`, `begin` and `step` compute a layer front by front during sampling (see
`latticear.sampling.tracing.Incremental`); lanes are configurations that are drawn together.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.sampling.tracing import NEVER, Offset

__all__ = ["CausalAttention", "Positions", "PreviousSite", "SiteNorm"]


class PreviousSite(nn.Module):
    """Linear map of the channels of the previous site in raster order: the shift by one site makes a network causal.

    The layer has two taps (offsets at which it reads its input): the left neighbour and, for the first site of a row,
    the last site of the row above. Each site except the first has exactly one of them inside the lattice. The first
    site reads zeros, so its output is the bias.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        shape: (H, W).
        bias: whether a learned constant is added.

    Shapes: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    def __init__(self, in_channels: int, out_channels: int, shape: tuple[int, int], *, bias: bool) -> None:
        super().__init__()
        self.offsets: list[Offset] = [(-1, shape[1] - 1), (0, -1)]
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels) / math.sqrt(in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def tap_weights(self) -> Tensor:
        """The weights of both taps, in the order of `offsets`: `(2, in_channels, out_channels)`."""
        return self.weight.T.expand(2, -1, -1)

    def forward(self, x: Tensor) -> Tensor:
        before_bnc = F.pad(x.flatten(2).mT[:, :-1], (0, 0, 1, 0))
        return F.linear(before_bnc, self.weight, self.bias).mT.unflatten(2, x.shape[2:])


class Positions(nn.Module):
    """Position embedding: adds to the channels of each site a learned vector for its row and one for its column.

    Shapes: `(B, channels, H, W)` to `(B, channels, H, W)`.
    """

    def __init__(self, channels: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.rows, self.columns = (nn.Parameter(0.5 * torch.randn(extent, channels)) for extent in shape)

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.rows[:, None] + self.columns).permute(2, 0, 1)

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        """The output is ready at the same tick as the input."""
        return time

    def begin(self, lanes: int, like: Tensor) -> None:
        """The layer has no state."""

    def step(self, state: None, y: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """The output at the sites of the next front: `(n, lanes, channels)`."""
        return inputs + (self.rows[y] + self.columns[x])[:, None]


class SiteNorm(nn.Module):
    """Layer normalisation over the channels of each site separately.

    Shapes: `(B, channels, H, W)` or `(rows, channels)`, to the same shape.

    References:
        Ba, Kiros, Hinton, "Layer normalization" (2016), arXiv 1607.06450.
    """

    acts_on_sites = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class CausalAttention(nn.Module):
    """Multi-head attention from each site to all sites up to itself in raster order: `softmax(q . k / sqrt d) v`.

    The layer has no weights. During sampling, site by site, it keeps the keys and values of earlier sites, so that each
    of them is computed once.

    Args:
        channels: number of channels of the queries, of the keys and of the values.
        heads: number of attention heads, among which the channels are divided equally.
        shape: (H, W).

    Shapes: queries `(B, channels, H, W)`, and keys followed by values `(B, 2 channels, H, W)`, to
    `(B, channels, H, W)`.

    Raises:
        ValueError: if heads does not divide channels.

    References:
        Vaswani et al., "Attention is all you need" (2017), arXiv 1706.03762, sec. 3.2.
    """

    def __init__(self, channels: int, heads: int, shape: tuple[int, int]) -> None:
        super().__init__()
        if heads < 1 or channels < 1 or channels % heads:
            raise ValueError(f"heads must divide the channels of the attention, got {heads} heads, {channels} channels")
        self.channels, self.heads, self.shape = channels, heads, shape

    def forward(self, queries: Tensor, keys_values: Tensor) -> Tensor:
        q, k, v = (self._split(part.flatten(2).mT) for part in (queries, *keys_values.chunk(2, 1)))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).mT.reshape(queries.shape)

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        """The output is ready with the input, but in raster order only.

        At a slope smaller than W, a front is computed before some of the sites that its sites attend to.
        """
        return time if slope == shape[1] else NEVER

    def begin(self, lanes: int, like: Tensor) -> _Cache:
        """An empty cache of keys and values."""
        size = (lanes, self.heads, math.prod(self.shape), self.channels // self.heads)
        return _Cache(like.new_empty(size), like.new_empty(size))

    def step(self, state: _Cache, y: Tensor, x: Tensor, queries: Tensor, keys_values: Tensor) -> Tensor:
        """The output at the next site: `(1, lanes, channels)`."""
        q, k, v = (self._split(part.transpose(0, 1)) for part in (queries, *keys_values.chunk(2, -1)))
        return F.scaled_dot_product_attention(q, *state.append(k, v)).reshape(queries.shape)

    def _split(self, x_bnc: Tensor) -> Tensor:
        """Reshape `(B, n, channels)` to `(B, heads, n, channels of a head)`."""
        return x_bnc.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _Cache:
    """Keys and values of earlier sites, in memory for all sites: `(lanes, heads, sites, channels of a head)`."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values, self._n = keys, values, 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the key and the value of one site; returns the keys and values of all sites so far."""
        for memory, new in ((self._keys, key), (self._values, value)):
            memory[:, :, self._n] = new[:, :, 0]
        self._n += 1
        return self._keys[:, :, : self._n], self._values[:, :, : self._n]
