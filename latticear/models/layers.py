"""Masked layers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.tracing import Offset

__all__ = ["MaskedConv2d"]


class MaskedConv2d(nn.Module):
    """Convolution that sees only what precedes a site in raster order, padded with zeros at the edges.

    Type A leaves the site itself out, for the first layer; Type B includes it. Only the rows of the kernel that a mask
    may keep are stored. The mask is applied where the weight is used, so a masked weight has no influence, whatever its
    value, and no gradient.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        kernel_size: odd; the extent k of the square kernel before masking.
        mask_type: "A" or "B".

    Shapes: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Raises:
        ValueError: for an even kernel or another mask type.

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks" (2016), arXiv 1601.06759, sec. 3.4.
    """

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, mask_type: str) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        if mask_type not in ("A", "B"):
            raise ValueError(f"mask_type must be 'A' or 'B', got {mask_type!r}")
        self.reach = kernel_size // 2
        mask = torch.ones(self.reach + 1, kernel_size, dtype=torch.bool)
        mask[-1, self.reach + (mask_type == "B") :] = False
        self.register_buffer("mask", mask)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *mask.shape))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        live = max(1, int(mask.sum()))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (in_channels * live)))  # He et al. 2015, over the live taps

    @property
    def offsets(self) -> list[Offset]:
        """The live taps."""
        return [(y - self.reach, x - self.reach) for y, x in self.mask.nonzero().tolist()]

    def tap_weights(self) -> Tensor:
        """The weights of the live taps, in the order of `offsets`: `(n_taps, in_channels, out_channels)`."""
        return self.weight[:, :, self.mask].permute(2, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.where(self.mask, self.weight, 0)  # not a product: 0 * nan would leak
        padded = F.conv2d(x, weight, self.bias, padding=self.reach)
        return padded[:, :, : x.shape[2]]  # the rows below come from the padding at the bottom, which is not needed
