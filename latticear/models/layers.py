"""Masked layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.tracing import Offset

__all__ = ["MASKS", "MaskedConv2d", "per_layer"]

MASKS = ("A", "B", "vertical-A", "vertical-B", "horizontal-A", "horizontal-B")
"""What a masked layer sees: all that precedes a site in raster order, the rows above it, or the part of its own row to
the left; B includes the site itself (a vertical layer its whole row), A, for the first layer, does not."""


class MaskedConv2d(nn.Module):
    """Convolution that sees only what precedes a site in raster order, padded with zeros at the edges.

    Type A leaves the site itself out, for the first layer; Type B includes it. The vertical types see the rows above
    (B: and the own row, where the input knows only rows above), the horizontal ones the own row up to the site. Only
    the rows of the kernel that a mask may keep are stored. The mask is applied where the weight is used, so a masked
    weight has no influence, whatever its value, and no gradient.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        kernel_size: odd; the extent k of the square kernel before masking.
        mask_type: one of `MASKS`.
        dilation: distance of neighbouring taps.

    Shapes: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Raises:
        ValueError: for an even kernel, another mask type, or a dilation below 1.

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks" (2016), arXiv 1601.06759, sec. 3.4;
        van den Oord et al., "Conditional image generation with PixelCNN decoders" (2016), arXiv 1606.05328, for the
        vertical and horizontal types.
    """

    mask: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, mask_type: str, dilation: int = 1
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        if mask_type not in MASKS:
            raise ValueError(f"mask_type must be one of {MASKS}, got {mask_type!r}")
        if dilation < 1:
            raise ValueError(f"dilation must be at least 1, got {dilation}")
        self.reach, self.dilation = kernel_size // 2, dilation
        stack, _, kind = mask_type.rpartition("-")
        mask = torch.ones(1 if stack == "horizontal" else self.reach + 1, kernel_size, dtype=torch.bool)
        own_row = mask[-1]
        if stack == "vertical":
            own_row[:] = kind == "B"
        else:
            own_row[self.reach + (kind == "B") :] = False
        self.register_buffer("mask", mask)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *mask.shape))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        live = max(1, int(mask.sum()))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (in_channels * live)))  # He et al. 2015, over the live taps

    @property
    def offsets(self) -> list[Offset]:
        """The live taps."""
        bottom = len(self.mask) - 1
        return [
            ((y - bottom) * self.dilation, (x - self.reach) * self.dilation) for y, x in self.mask.nonzero().tolist()
        ]

    def tap_weights(self) -> Tensor:
        """The weights of the live taps, in the order of `offsets`: `(n_taps, in_channels, out_channels)`."""
        return self.weight[:, :, self.mask].permute(2, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.where(self.mask, self.weight, 0)  # not a product: 0 * nan would leak
        padding = ((len(self.mask) - 1) * self.dilation, self.reach * self.dilation)
        padded = F.conv2d(x, weight, self.bias, padding=padding, dilation=self.dilation)
        return padded[:, :, : x.shape[2]]  # the rows below come from the padding at the bottom, which is not needed


def per_layer(name: str, value: int | Sequence[int], depth: int) -> list[int]:
    """One value for each layer, from one for all or one for each.

    Raises:
        ValueError: if they are not as many as the layers; `name` is what they are called.
    """
    values = [value] * depth if isinstance(value, int) else list(value)
    if len(values) != depth:
        raise ValueError(f"{name} must be one integer or depth = {depth} of them, got {value}")
    return values
