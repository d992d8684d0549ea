"""Residual PixelCNN: bottleneck blocks of masked convolutions."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from latticear.models.base import AbstractModel, Common
from latticear.models.conditions import Conditioning
from latticear.models.layers import MaskedConv2d, check_width, site_layer
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

__all__ = ["ResidualPixelCNN"]


class ResidualPixelCNN(AbstractModel):
    """A 7x7 Type-A layer, residual blocks `1x1, masked 3x3, 1x1`, and a head of two 1x1 layers.

    The residual stream has twice as many channels as the bottleneck on which the masked convolutions of the blocks act.
    There is no residual connection around the first layer, because it would let the logits of a site depend on its own
    token.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: h, number of channels of the bottleneck; the residual stream has 2 h.
        depth: number of masked layers: the first layer and depth - 1 blocks.
        kernel_size: kernel size of the first layer, odd; None covers the lattice, `2 max(H, W) - 1`, where 7 would
            leave a blind spot (earlier sites on which the logits do not depend).
        block_kernel_size: kernel size of the blocks, odd.
        head_width: number of channels between the two layers of the head; None for h.
        n_components: C, number of tokens at each site; component c is conditioned on the components before it and on
            all earlier sites.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition enters every block.

    Raises:
        ValueError: for an even kernel size, q < 2, width or depth < 1, or a width that is not divisible by
            n_components.

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks" (2016), arXiv 1601.06759, table 1 and
        figure 5.
    """

    name: ClassVar[str] = "residual"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 16,
        depth: int = 4,
        kernel_size: int | None = 7,
        block_kernel_size: int = 3,
        head_width: int | None = None,
        n_components: int = 1,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, n_components=n_components, **common)
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got width={width}, depth={depth}")
        check_width(width, n_components)
        head_width = width if head_width is None else head_width
        check_width(head_width, n_components, "head_width")
        if kernel_size is None:
            kernel_size = 2 * max(self.shape) - 1
        self.width, self.depth, self.head_width = width, depth, head_width
        self.kernel_size, self.block_kernel_size = kernel_size, block_kernel_size
        self.first = MaskedConv2d(n_components * n_tokens, 2 * width, kernel_size, "A", n_components=n_components)
        self.blocks = nn.ModuleList(
            _Block(width, block_kernel_size, self.conditioning, n_components) for _ in range(depth - 1)
        )
        self.hidden = site_layer(2 * width, head_width, n_components)
        self.head = site_layer(head_width, n_components * n_tokens, n_components)
        nn.init.normal_(self.head.weight, std=0.1 * head_width**-0.5)  # start close to the uniform distribution
        self.embed = self.conditioning.embedding(2 * width)
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        x = self.first(one_hot(tokens, self.n_tokens, self.head.weight.dtype))
        if self.embed is not None:
            x = x + self.embed(condition)
        for block in self.blocks:
            x = block(x, condition)
        return self.head(torch.relu(self.hidden(torch.relu(x))))


class _Block(nn.Module):
    """A residual block `x + W2 relu(conv relu(W1 relu(x)))` with channels 2 h -> h -> h -> 2 h."""

    def __init__(self, width: int, kernel_size: int, conditioning: Conditioning, n_components: int) -> None:
        super().__init__()
        self.reduce = site_layer(2 * width, width, n_components)
        self.convolve = MaskedConv2d(width, width, kernel_size, "B", n_components=n_components)
        self.expand = site_layer(width, 2 * width, n_components)
        self.embed = conditioning.embedding(width)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        y = self.convolve(torch.relu(self.reduce(torch.relu(x))))
        if self.embed is not None:
            y = y + self.embed(condition)
        return x + self.expand(torch.relu(y))
