"""Attention to all that precedes a site in raster order, and the layers that go with it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.sampling.tracing import NEVER, Offset

__all__ = ["CausalAttention", "Positions", "PreviousSite", "SiteNorm"]


class PreviousSite(nn.Module):
    """Linear map of the channels of the site before, in raster order: the shift by one that makes a network causal.

    A layer of two taps, of which each site but the first has one inside the lattice: its left neighbour, or at the
    beginning of a row the end of the row above. Before the first site there are zeros, so with a bias it is the bias
    that the sequence starts from.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        shape: (H, W).
        bias: whether a constant is added.

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
    """Tells each site where it is, by adding a learned vector for its row and one for its column.

    Shapes: `(B, channels, H, W)` to the same.
    """

    def __init__(self, channels: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.rows, self.columns = (nn.Parameter(0.5 * torch.randn(extent, channels)) for extent in shape)

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.rows[:, None] + self.columns).permute(2, 0, 1)

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        """As soon as the input."""
        return time

    def begin(self, lanes: int, like: Tensor) -> None:
        """Nothing to remember."""

    def step(self, state: None, y: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """The next front: `(n, lanes, channels)`."""
        return inputs + (self.rows[y] + self.columns[x])[:, None]


class SiteNorm(nn.Module):
    """Layer normalisation over the channels of each site by itself.

    Shapes: `(B, channels, H, W)`, or `(rows, channels)`, to the same.

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
    """What each site gathers from all sites up to itself in raster order: `softmax(q . k / sqrt d) v`, head by head.

    It has no weights of its own. Drawn site by site, it keeps the keys and values of the sites passed, so that each is
    computed once.

    Args:
        channels: of the queries, of the keys and of the values.
        heads: independent parts into which they are split; divides channels.
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
        """In raster order only: at any smaller slope a front comes before some site that its sites attend to."""
        return time if slope == shape[1] else NEVER

    def begin(self, lanes: int, like: Tensor) -> _Cache:
        """An empty cache."""
        size = (lanes, self.heads, math.prod(self.shape), self.channels // self.heads)
        return _Cache(like.new_empty(size), like.new_empty(size))

    def step(self, state: _Cache, y: Tensor, x: Tensor, queries: Tensor, keys_values: Tensor) -> Tensor:
        """The next site: `(1, lanes, channels)`."""
        q, k, v = (self._split(part.transpose(0, 1)) for part in (queries, *keys_values.chunk(2, -1)))
        return F.scaled_dot_product_attention(q, *state.append(k, v)).reshape(queries.shape)

    def _split(self, x_bnc: Tensor) -> Tensor:
        """`(B, n, channels)` to `(B, heads, n, channels of a head)`."""
        return x_bnc.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _Cache:
    """Keys and values of the sites passed, with room for all: `(lanes, heads, sites, channels of a head)`."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values, self._n = keys, values, 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take in one site; keys and values so far."""
        for memory, new in ((self._keys, key), (self._values, value)):
            memory[:, :, self._n] = new[:, :, 0]
        self._n += 1
        return self._keys[:, :, : self._n], self._values[:, :, : self._n]
