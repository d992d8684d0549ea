"""PixelCNN++: two streams of shifted convolutions in a U-Net of gated residual blocks, also for ordered tokens."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.models.base import AbstractModel, Common
from latticear.models.conditions import Conditioning
from latticear.models.heads import LevelValues, LogisticMixture
from latticear.models.layers import MaskedConv2d
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import Offset, one_hot

__all__ = ["PixelCNNPlusPlus", "ShiftedConv2d"]

STREAMS = ("down", "down-right")
"""Streams of shifted convolutions: both read the rows up to that of the site; "down" reads columns to both sides,
"down-right" only columns up to that of the site."""


class PixelCNNPlusPlus(AbstractModel):
    """A U-Net of two streams: one of the rows above a site, one of the rows above and of its row to the left.

    In the first half of the network each level (resolution) has `depth` gated residual blocks in both streams. In the
    second half it has as many, which also read the values of the first half through short cuts, in reverse order.
    Between levels the lattice, of any H and W, is halved by strided convolutions and doubled again by transposed ones.

    Differences from the published network: weights are not normalised by their length; the up-sampled stream of the
    rows above reaches the finer level only through the other stream, so that sites can be drawn front by front; a
    categorical output over the tokens is available besides the logistic mixture, and the probabilities of the bins of a
    mixture are exact.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: number of channels of each stream.
        depth: number of gated residual blocks of a level in the first half, and as many in the second half.
        kernel_size: k, odd; convolutions of the blocks read (k + 1)/2 rows by k columns in the stream of the rows
            above, and (k + 1)/2 by (k + 1)/2 sites in the other stream.
        first_kernel_size: kernel size of the layer that reads the tokens, odd; 3 as published. None covers the lattice,
            `2 max(H, W) - 1`, because the other layers reach only a few sites, while on a torus close neighbours across
            the boundary are far apart on the grid.
        levels: number of resolutions, each half the previous one. With more than one, only the PyTorch engine can draw
            samples; it computes the coarse values at all sites.
        output: "categorical", a logit for each token, or "logistic", for tokens that are levels of a quantity: they are
            read as numbers and drawn from a mixture of logistic distributions, so that neighbouring levels have similar
            probabilities from the start, with fewer parameters if q is large.
        n_mixtures: number of logistic distributions in the mixture.
        dropout: fraction of hidden values dropped in training by maximum likelihood; sampling and importance weights
            use no dropout.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition enters every block.

    Raises:
        ValueError: for an even kernel size, a first kernel size of 1, q < 2, width or depth < 1, more levels than the
            lattice can be halved, an unknown output, or the logistic one beside a bias with a sum over later sites.

    References:
        Salimans, Karpathy, Chen, Kingma, "PixelCNN++: improving the PixelCNN with discretized logistic mixture
        likelihood and other modifications" (2017), arXiv 1701.05517.
    """

    name: ClassVar[str] = "pixelcnnpp"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 8,
        depth: int = 1,
        kernel_size: int = 3,
        first_kernel_size: int | None = None,
        levels: int = 1,
        output: Literal["categorical", "logistic"] = "categorical",
        n_mixtures: int = 5,
        dropout: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got width={width}, depth={depth}")
        if levels < 1 or (levels > 1 and 2 ** (levels - 1) >= max(self.shape)):
            raise ValueError(f"levels must be at least 1 and leave more than one site, got {levels} for {self.shape}")
        if output not in ("categorical", "logistic"):
            raise ValueError(f'output must be "categorical" or "logistic", got {output!r}')
        if output == "logistic" and self.bias is not None and self.bias.in_raster_order:
            raise ValueError(
                'output "logistic" cannot begin at zero, as it must with a bond_dimension: use "categorical"'
            )
        if first_kernel_size is None:
            first_kernel_size = max(3, 2 * max(self.shape) - 1)
        if first_kernel_size < 3:
            raise ValueError(f"first_kernel_size must be at least 3 (1 reads no site), got {first_kernel_size}")
        self.width, self.depth, self.levels, self.dropout = width, depth, levels, dropout
        self.kernel_size, self.first_kernel_size = kernel_size, first_kernel_size
        self.output, self.n_mixtures = output, n_mixtures
        self.values = LevelValues(n_tokens) if output == "logistic" else None
        in_channels = n_tokens if self.values is None else 2
        self.above = MaskedConv2d(in_channels, width, first_kernel_size, "vertical-A")
        self.left = MaskedConv2d(in_channels, width, first_kernel_size, "horizontal-A")
        options = _Options(width, depth, kernel_size, dropout, self.conditioning)
        self.body = _Level(self.shape, options, levels)
        self.mixture = LogisticMixture(n_tokens, n_mixtures) if output == "logistic" else None
        self.head = nn.Conv2d(width, n_tokens if self.mixture is None else self.mixture.n_parameters, 1)
        nn.init.normal_(self.head.weight, std=0.1 * width**-0.5)  # start close to the uniform distribution
        if self.mixture is not None:
            self.head.bias = nn.Parameter(self.mixture.broad())
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        x = one_hot(tokens, self.n_tokens, self.head.weight.dtype)
        x = x if self.values is None else self.values(x)
        above = self.above(x)
        before = self.body(above, self.left(x) + above, condition)
        out = self.head(F.elu(before))
        return out if self.mixture is None else self.mixture(out)


class ShiftedConv2d(nn.Module):
    """Convolution that reads the rows up to that of the site and, in the down-right stream, no columns to the right.

    It reads the site itself as well, so its input there must not depend on the token of the site. On a coarser level,
    neighbouring sites are `spacing` sites of the lattice apart, and `offsets` are in units of sites of the lattice. A
    stride of 2 computes only every second site; a sampler that computes all sites by `offsets` gets the same values at
    these sites.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        kernel_size: k, odd; the kernel has (k + 1)/2 rows by k columns, in the down-right stream by (k + 1)/2 columns.
        stream: one of `STREAMS`.
        spacing: distance of neighbouring sites of the input, in sites of the lattice.
        stride: 1, or 2 to halve the extents, rounding up.
        scale: factor on the standard deviation of the initial weights.

    Shapes: `(B, in_channels, H, W)` to `(B, out_channels, ceil(H / stride), ceil(W / stride))`.

    Attributes:
        offsets: the offsets (dy, dx) at which the input is read, in sites of the lattice.

    Raises:
        ValueError: for an even kernel or another stream.

    References:
        Salimans et al. (2017), arXiv 1701.05517, section 2.3 and appendix.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stream: str,
        *,
        spacing: int = 1,
        stride: int = 1,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        if stream not in STREAMS:
            raise ValueError(f"stream must be one of {STREAMS}, got {stream!r}")
        self.reach, self.stride = kernel_size // 2, stride
        rows, columns = self.reach + 1, kernel_size if stream == "down" else self.reach + 1
        self.offsets: list[Offset] = [
            ((y - self.reach) * spacing, (x - self.reach) * spacing) for y in range(rows) for x in range(columns)
        ]
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, rows, columns))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.normal_(self.weight, std=scale * (1.5 / self.weight[0].numel()) ** 0.5)  # ELU then keeps the variance

    def tap_weights(self) -> Tensor:
        """The weights of the taps, in the order of `offsets`: `(n_taps, in_channels, out_channels)`."""
        return self.weight.flatten(2).permute(2, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        height, width = (-(-extent // self.stride) for extent in x.shape[2:])
        padded = F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.reach)
        return padded[:, :, :height, :width]  # without what the padding below and to the right adds


class _Options(NamedTuple):
    """Options that all levels share."""

    width: int
    depth: int
    kernel_size: int
    dropout: float
    conditioning: Conditioning


class _Level(nn.Module):
    """One resolution of the U-Net, which contains the coarser ones; returns the down-right stream."""

    def __init__(self, shape: tuple[int, int], options: _Options, levels: int, spacing: int = 1) -> None:
        super().__init__()
        self.inwards = nn.ModuleList(_Blocks(options, spacing, False) for _ in range(options.depth))
        self.outwards = nn.ModuleList(_Blocks(options, spacing, True) for _ in range(options.depth))
        self.coarser = _Coarser(shape, options, levels - 1, spacing) if levels > 1 else None

    def forward(self, above: Tensor, before: Tensor, condition: Tensor | None) -> Tensor:
        passed = []
        for blocks in self.inwards:
            passed.append((above, before))
            above, before = blocks(above, before, condition)
        if self.coarser is not None:
            before = before + self.coarser(above, before, condition)
        for blocks, short_cut in zip(self.outwards, reversed(passed), strict=True):
            above, before = blocks(above, before, condition, *short_cut)
        return before


class _Coarser(nn.Module):
    """The coarser levels within a finer one: halves the resolution, applies the next level, and doubles it again."""

    def __init__(self, shape: tuple[int, int], options: _Options, levels: int, spacing: int) -> None:
        super().__init__()
        width, kernel_size = options.width, options.kernel_size
        half = (-(-shape[0] // 2), -(-shape[1] // 2))
        self.above = ShiftedConv2d(width, width, kernel_size, "down", spacing=spacing, stride=2)
        self.before = ShiftedConv2d(width, width, kernel_size, "down-right", spacing=spacing, stride=2)
        self.level = _Level(half, options, levels, 2 * spacing)
        self.grow = nn.Conv2d(width, 4 * width, 1)
        self.spread = _Spread(shape, spacing)

    def forward(self, above: Tensor, before: Tensor, condition: Tensor | None) -> Tensor:
        inner = self.level(self.above(above), self.before(before), condition)
        return self.spread(self.grow(F.elu(inner)))


class _Spread(nn.Module):
    """Distributes the channels of each coarse site over its 2x2 finer sites, the last step of a transposed convolution.

    The coarse site (Y, X) depends on the same sites as the first of its four finer sites, (2 Y, 2 X), which is drawn
    before the other three. During sampling front by front (`tracing.Incremental`), its values are computed at this
    first site and kept for the other three.

    Args:
        shape: (H, W) of the finer level; the surplus row or column of an odd extent is dropped.
        spacing: distance of neighbouring sites of the finer level, in sites of the lattice.

    Shapes: `(B, 4 C, ceil(H / 2), ceil(W / 2))` to `(B, C, H, W)`.
    """

    def __init__(self, shape: tuple[int, int], spacing: int) -> None:
        super().__init__()
        self.shape, self.spacing = shape, spacing

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, 2)[:, :, : self.shape[0], : self.shape[1]]

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        return time

    def begin(self, lanes: int, like: Tensor) -> dict[str, Tensor]:
        return {}

    def step(self, state: dict[str, Tensor], y: Tensor, x: Tensor, value: Tensor) -> Tensor:
        if not state:
            half = (-(-extent // 2) for extent in self.shape)
            state["held"] = value.new_zeros(*half, *value.shape[1:])
        cell, held = (y // (2 * self.spacing), x // (2 * self.spacing)), state["held"]
        is_first = (y % (2 * self.spacing) == 0) & (x % (2 * self.spacing) == 0)
        held[cell] = torch.where(is_first[:, None, None], value, held[cell])
        quarter = 2 * (y // self.spacing % 2) + x // self.spacing % 2
        return held[cell].unflatten(2, (-1, 4))[torch.arange(len(y), device=y.device), :, :, quarter]


class _Blocks(nn.Module):
    """A gated block of each stream; the output of the one of the rows above is also an input of the other one."""

    def __init__(self, options: _Options, spacing: int, is_outwards: bool) -> None:
        super().__init__()
        width = options.width
        self.above = _GatedBlock(options, "down", spacing, width if is_outwards else 0)
        self.before = _GatedBlock(options, "down-right", spacing, 2 * width if is_outwards else width)

    def forward(
        self, above: Tensor, before: Tensor, condition: Tensor | None, *short_cut: Tensor
    ) -> tuple[Tensor, Tensor]:
        if not short_cut:
            above = self.above(above, condition)
            return above, self.before(before, condition, above)
        above_then, before_then = short_cut
        above = self.above(above, condition, above_then)
        return above, self.before(before, condition, torch.cat([above, before_then], 1))


class _GatedBlock(nn.Module):
    """`x + a sigmoid(b)`, where a and b come from two convolutions; a side input is added after the first one."""

    def __init__(self, options: _Options, stream: str, spacing: int, n_side: int) -> None:
        super().__init__()
        width, kernel_size = options.width, options.kernel_size
        self.first = ShiftedConv2d(2 * width, width, kernel_size, stream, spacing=spacing)
        self.side = nn.Conv2d(2 * n_side, width, 1) if n_side else None
        self.dropout = nn.Dropout(options.dropout)
        self.second = ShiftedConv2d(2 * width, 2 * width, kernel_size, stream, spacing=spacing, scale=0.1)
        self.embed = options.conditioning.embedding(2 * width)

    def forward(self, x: Tensor, condition: Tensor | None, side: Tensor | None = None) -> Tensor:
        hidden = self.first(_both_signs(x))
        if self.side is not None and side is not None:
            hidden = hidden + self.side(_both_signs(side))
        update = self.second(self.dropout(_both_signs(hidden)))
        if self.embed is not None:
            update = update + self.embed(condition)
        a, b = torch.chunk(update, 2, 1)
        return x + a * torch.sigmoid(b)


def _both_signs(x: Tensor) -> Tensor:
    """Concatenated ELU, of x and of -x: twice the number of channels."""
    return F.elu(torch.cat([x, -x], 1))
