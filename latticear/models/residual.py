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

    The stream has twice the channels of the bottleneck in which the blocks convolve. There is no residual around the
    first layer: it would show a site its own token.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: h, channels of the bottleneck; the stream has 2 h.
        depth: masked layers: the first one and depth - 1 blocks.
        kernel_size: odd, of the first layer; None spans the lattice, `2 max(H, W) - 1`, where 7 would leave a blind
            spot.
        block_kernel_size: odd, of the blocks.
        head_width: channels between the two layers of the head; None for h.
        n_components: C, tokens at each site; component c is drawn given those before it and all earlier sites.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, as of `AbstractModel`; the condition
            enters every block.

    Raises:
        ValueError: for an even kernel, q < 2, width or depth < 1, or components among which the width cannot be
            divided.

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
    """`x + W2 relu(conv relu(W1 relu(x)))`, channels 2 h -> h -> h -> 2 h."""

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
