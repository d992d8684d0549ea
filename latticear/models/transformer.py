"""A decoder-only transformer over the sites in raster order."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from latticear.models.attention import CausalAttention, Positions, PreviousSite, SiteNorm
from latticear.models.base import AbstractModel, Common
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

__all__ = ["CausalTransformer"]


class CausalTransformer(AbstractModel):
    """Blocks of masked self-attention over the sequence of sites; the input at each site is the previous token.

    Every layer connects each site to all earlier sites, at a cost that grows with the square of the number of sites;
    there is no blind spot. Positions are learned, a vector for each row and one for each column. Sampling keeps the
    keys and values of the sites already drawn.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: number of channels; a multiple of heads.
        depth: number of blocks.
        heads: number of heads of each attention.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition is added to the input of every site.

    Raises:
        ValueError: for q < 2, width or depth < 1, or a width that is not divisible by heads.

    References:
        Vaswani et al., "Attention is all you need" (2017), arXiv 1706.03762, without the encoder;
        Xiong et al., "On layer normalization in the transformer architecture" (2020), arXiv 2002.04745, for the place
        of the normalisation;
        Zhang, Di Ventra, "Transformer quantum state: a multi-purpose model for quantum many-body problems" (2022),
        arXiv 2208.01758, for such networks over spins.

    Example:
        >>> model = CausalTransformer((4, 6), n_tokens=2, width=8, depth=1, heads=2)
        >>> samples = model.sample(5, seed=1)
        >>> bool(((model.log_prob(samples.tokens) - samples.log_q).abs() < 1e-4).all())
        True
    """

    name: ClassVar[str] = "transformer"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got width={width}, depth={depth}")
        self.width, self.depth, self.heads = width, depth, heads
        self.embedding = PreviousSite(n_tokens, width, self.shape, bias=True)
        self.condition = self.conditioning.embedding(width)
        self.positions = Positions(width, self.shape)
        self.blocks = nn.Sequential(*(_Block(width, heads, self.shape) for _ in range(depth)))
        self.norm = SiteNorm(width)
        self.head = nn.Conv2d(width, n_tokens, 1)
        nn.init.normal_(self.head.weight, std=0.1 * width**-0.5)  # start close to the uniform distribution
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        x = self.positions(self.embedding(one_hot(tokens, self.n_tokens, self.head.weight.dtype)))
        if self.condition is not None:
            x = x + self.condition(condition)
        return self.head(self.norm(self.blocks(x)))


class _Block(nn.Module):
    """Self-attention and a two-layer perceptron, each with normalised inputs and a residual connection around it."""

    def __init__(self, width: int, heads: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = SiteNorm(width), SiteNorm(width)
        self.query = nn.Conv2d(width, width, 1, bias=False)
        self.key_value = nn.Conv2d(width, 2 * width, 1, bias=False)  # a bias of the keys would not change the attention
        self.attention = CausalAttention(width, heads, shape)
        self.output = nn.Conv2d(width, width, 1)
        self.expand, self.shrink = nn.Conv2d(width, 4 * width, 1), nn.Conv2d(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.attention_norm(x)
        x = x + self.output(self.attention(self.query(normed), self.key_value(normed)))
        return x + self.shrink(F.gelu(self.expand(self.mlp_norm(x))))
