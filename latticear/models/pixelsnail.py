"""PixelSNAIL: masked convolutions for near sites, attention for distant sites."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.models.attention import CausalAttention, Positions, PreviousSite
from latticear.models.base import AbstractModel, Common
from latticear.models.conditions import Conditioning
from latticear.models.layers import MaskedConv2d
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

__all__ = ["PixelSNAIL"]


class PixelSNAIL(AbstractModel):
    """Gated residual convolutions alternating with attention to all earlier sites.

    The convolutions read near sites, for which a few layers with a small kernel are enough; the attention reads all
    earlier sites, so there is no blind spot. Positions, which the attention needs, are learned vectors for rows and
    columns. Sampling keeps the keys and values of the sites already drawn.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: number of channels of the hidden layers; keys, queries and values have half as many.
        depth: number of blocks, each of residual layers and one attention.
        n_residual: number of gated residual layers in each block.
        kernel_size: kernel size of the masked convolutions, odd and at least 3.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition enters the gates of all residual layers.

    Raises:
        ValueError: for a kernel size that is even or 1, q < 2, or width, depth or n_residual < 1.

    References:
        Chen, Mishra, Rohaninejad, Abbeel, "PixelSNAIL: an improved autoregressive generative model" (2017),
        arXiv 1712.09763.

    Example:
        >>> model = PixelSNAIL((4, 6), n_tokens=2, width=8, depth=1)
        >>> samples = model.sample(5, seed=1)
        >>> bool(((model.log_prob(samples.tokens) - samples.log_q).abs() < 1e-4).all())
        True
    """

    name: ClassVar[str] = "pixelsnail"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 16,
        depth: int = 2,
        n_residual: int = 1,
        kernel_size: int = 3,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        if width < 1 or depth < 1 or n_residual < 1:
            raise ValueError(
                f"width, depth and n_residual must be at least 1, got width={width}, depth={depth}, "
                f"n_residual={n_residual}"
            )
        if kernel_size < 3:
            raise ValueError(f"kernel_size must be at least 3, got {kernel_size}")  # 1 reads no near sites
        self.width, self.depth, self.n_residual, self.kernel_size = width, depth, n_residual, kernel_size
        self.first = MaskedConv2d(n_tokens, width, kernel_size, "A")
        self.positions = Positions(width, self.shape)
        self.residuals = nn.ModuleList(
            _GatedResidual(width, kernel_size, conditioning=self.conditioning) for _ in range(depth * n_residual)
        )
        self.attentions = nn.ModuleList(_AttentionBlock(width, n_tokens, self.shape) for _ in range(depth))
        self.head = nn.Conv2d(width, n_tokens, 1)
        nn.init.normal_(self.head.weight, std=0.1 * width**-0.5)  # start close to the uniform distribution
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        hot = one_hot(tokens, self.n_tokens, self.head.weight.dtype)
        x = self.positions(self.first(hot))
        residuals = iter(self.residuals)
        for attention in self.attentions:
            for _ in range(self.n_residual):
                x = next(residuals)(x, condition=condition)
            x = attention(x, hot)
        return self.head(F.elu(x))


class _GatedResidual(nn.Module):
    """`x + a * sigmoid(b)`, where a and b come from two convolutions with ELU before each.

    Args:
        channels: number of channels of x.
        kernel_size: kernel size of the masked convolutions, Type B; 1 for layers that act on each site separately.
        n_more: number of channels of a second input, which is added after the first convolution; 0 for none.
        conditioning: layout of the condition that enters a and b; None for no condition.
    """

    def __init__(
        self, channels: int, kernel_size: int, *, n_more: int = 0, conditioning: Conditioning | None = None
    ) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, kernel_size)
        self.more = nn.Conv2d(n_more, channels, 1, bias=False) if n_more else None
        self.second = _convolution(channels, 2 * channels, kernel_size)
        self.condition = None if conditioning is None else conditioning.embedding(2 * channels)

    def forward(self, x: Tensor, more: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        hidden = self.first(F.elu(x))
        if self.more is not None and more is not None:
            hidden = hidden + self.more(F.elu(more))
        hidden = self.second(F.elu(hidden))
        if self.condition is not None:
            hidden = hidden + self.condition(condition)
        a, b = torch.chunk(hidden, 2, 1)
        return x + a * torch.sigmoid(b)


class _AttentionBlock(nn.Module):
    """Attention of each site to all earlier sites.

    Queries are computed from the features of the site, keys and values from the features and tokens of earlier sites.
    Keys and values are shifted by one site, so that attention up to the site itself covers exactly the sites before it;
    for the first site the key and the value are zero.
    """

    def __init__(self, width: int, n_tokens: int, shape: tuple[int, int]) -> None:
        super().__init__()
        gathered = -(-width // 2)
        self.content = _GatedResidual(width + n_tokens, 1)
        self.key_value = PreviousSite(width + n_tokens, 2 * gathered, shape, bias=False)
        self.question = _GatedResidual(width, 1)
        self.query = nn.Conv2d(width, gathered, 1, bias=False)
        self.attention = CausalAttention(gathered, 1, shape)
        self.merge = _GatedResidual(width, 1, n_more=gathered)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        keys_values = self.key_value(self.content(torch.cat([x, tokens], 1)))
        return self.merge(x, self.attention(self.query(self.question(x)), keys_values))


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    if kernel_size == 1:
        return nn.Conv2d(in_channels, out_channels, 1)
    return MaskedConv2d(in_channels, out_channels, kernel_size, "B")
