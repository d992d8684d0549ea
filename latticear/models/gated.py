"""Gated PixelCNN: two stacks of masked convolutions, which together have no blind spot."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from latticear.models.base import AbstractModel, Common
from latticear.models.conditions import Conditioning
from latticear.models.layers import MaskedConv2d, check_width, site_layer
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

__all__ = ["GatedPixelCNN"]


class GatedPixelCNN(AbstractModel):
    """Gated layers in two stacks: a vertical one over the rows above a site and a horizontal one along its row.

    Each layer convolves over the rows above the site, to both sides, so that no site within reach is missed, and along
    the row to the left of the site. The output of the vertical convolution is added to the horizontal one through a 1x1
    layer. Both pass through gates, `y = tanh(a) sigmoid(b)`. The horizontal stack has residual connections, but none
    around the first layer, where one would let the logits of a site depend on its own token. During sampling the
    vertical stack is computed ahead of the sites that are drawn, by one column for each layer of kernel 3. If sites
    have components, the vertical stack needs no groups of channels (see `MaskedConv2d`), because all components of the
    rows above are known.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: number of channels of each stack.
        depth: number of gated layers, including the first (Type-A) layer.
        kernel_size: kernel size of all layers but the first, odd.
        first_kernel_size: kernel size of the first layer, odd; None covers the lattice, `2 max(H, W) - 1`.
        head_width: number of channels between the two layers of the head; None for `width`.
        n_components: C, number of tokens at each site; component c is conditioned on the components before it and on
            all earlier sites.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition enters every gate.

    Raises:
        ValueError: for an even kernel size, q < 2, width or depth < 1, or a width that is not divisible by
            n_components.

    References:
        van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu, "Conditional image generation with PixelCNN
        decoders" (2016), arXiv 1606.05328, eqs. 2 to 4 and figure 2.
    """

    name: ClassVar[str] = "gated"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 16,
        depth: int = 3,
        kernel_size: int = 3,
        first_kernel_size: int | None = 7,
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
        if first_kernel_size is None:
            first_kernel_size = 2 * max(self.shape) - 1
        self.width, self.depth, self.head_width = width, depth, head_width
        self.kernel_size, self.first_kernel_size = kernel_size, first_kernel_size
        self.layers = nn.ModuleList(
            _GatedLayer(
                width if k else n_components * n_tokens,
                width,
                kernel_size if k else first_kernel_size,
                not k,
                self.conditioning,
                n_components,
            )
            for k in range(depth)
        )
        self.hidden = site_layer(width, head_width, n_components)
        self.head = site_layer(head_width, n_components * n_tokens, n_components)
        nn.init.normal_(self.head.weight, std=0.1 * head_width**-0.5)  # start close to the uniform distribution
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        vertical = horizontal = one_hot(tokens, self.n_tokens, self.head.weight.dtype)
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal, condition)
        return self.head(torch.relu(self.hidden(torch.relu(horizontal))))


class _GatedLayer(nn.Module):
    """One layer of both stacks; the first one (Type A) excludes the site itself and has no residual connection."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        kernel_size: int,
        is_first: bool,
        conditioning: Conditioning,
        n_components: int,
    ) -> None:
        super().__init__()
        kind = "A" if is_first else "B"
        self.is_first = is_first
        self.vertical = MaskedConv2d(in_channels, 2 * width, kernel_size, f"vertical-{kind}")
        self.horizontal = MaskedConv2d(
            in_channels, 2 * width, kernel_size, f"horizontal-{kind}", n_components=n_components, n_parts=2
        )
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = site_layer(width, width, n_components)
        self.embed = conditioning.embeddings(2 * width, 2)

    def forward(self, vertical: Tensor, horizontal: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        v = self.vertical(vertical)
        if len(self.embed):
            v = v + self.embed[0](condition)
        h = self.horizontal(horizontal) + self.across(v)
        if len(self.embed):
            h = h + self.embed[1](condition)
        out = self.out(_gate(h))
        return _gate(v), out if self.is_first else out + horizontal


def _gate(x: Tensor) -> Tensor:
    a, b = torch.chunk(x, 2, 1)
    return torch.tanh(a) * torch.sigmoid(b)
