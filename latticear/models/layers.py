"""Masked convolutions and related layers of autoregressive networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.sampling.tracing import Offset

__all__ = ["MASKS", "MaskedConv2d", "check_width", "per_layer", "site_layer"]

MASKS = ("A", "B", "vertical-A", "vertical-B", "horizontal-A", "horizontal-B")
"""Mask types. "A" and "B" read all sites that precede a site in raster order, the vertical types the rows above it, the
horizontal types the part of its own row to the left. B includes the site itself (vertical: its whole row); A, for the
first layer of a network, does not."""


class MaskedConv2d(nn.Module):
    """Convolution that reads only sites that precede a site in raster order, padded with zeros at the edges.

    Type A, for the first layer of a network, leaves out the site itself; Type B includes it. The vertical types read
    the rows above (vertical-B also the row of the site, whose input must then depend on rows above only), the
    horizontal types read the row of the site, up to the site. Only those rows of the kernel are stored that the mask
    can keep. The mask is applied whenever the weight is used, so a masked weight has no influence, whatever its value,
    and no gradient.

    If a site has C components, channels come in C groups of equal size, one after the other; channels of group c may
    depend on all that is known when component c is drawn. At the site itself, group c of the output reads groups < c
    (Type A) or <= c (Type B) of the input; at all other sites it reads all groups. Vertical layers have no groups,
    because all components of the rows above are known.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        kernel_size: the extent k of the square kernel before masking, odd.
        mask_type: one of `MASKS`.
        dilation: distance between neighbouring taps (entries of the kernel).
        n_components: C, number of tokens at each site.
        n_parts: number of equal parts into which `torch.chunk` will split the output channels, as a gate does; each
            part has C groups of its own.

    Shapes: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Raises:
        ValueError: for an even kernel, another mask type, a dilation below 1, or channels that cannot be divided into
            C groups.

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks" (2016), arXiv 1601.06759, sec. 3.4;
        van den Oord et al., "Conditional image generation with PixelCNN decoders" (2016), arXiv 1606.05328, for the
        vertical and horizontal types.
    """

    mask: Tensor
    own_site: Tensor | None
    """bool `(out_channels, in_channels)`: the input channels that an output channel reads at the site itself; None if
    it reads all or none of them there."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        mask_type: str,
        dilation: int = 1,
        *,
        n_components: int = 1,
        n_parts: int = 1,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        if mask_type not in MASKS:
            raise ValueError(f"mask_type must be one of {MASKS}, got {mask_type!r}")
        if dilation < 1:
            raise ValueError(f"dilation must be at least 1, got {dilation}")
        if in_channels % n_components or out_channels % (n_components * n_parts):
            raise ValueError(
                f"channels must come in n_components = {n_components} groups of equal size, "
                f"got in_channels={in_channels}, out_channels={out_channels} in {n_parts} parts"
            )
        self.reach, self.dilation = kernel_size // 2, dilation
        stack, _, kind = mask_type.rpartition("-")
        mask = torch.ones(1 if stack == "horizontal" else self.reach + 1, kernel_size, dtype=torch.bool)
        own_row = mask[-1]
        if stack == "vertical":
            own_row[:] = kind == "B"
        else:
            own_row[self.reach + (kind == "B" or n_components > 1) :] = False
        self.register_buffer("mask", mask)
        self._live = _Live()
        grouped = n_components > 1 and stack != "vertical"
        of_input = _groups(in_channels, n_components)
        of_output = _groups(out_channels // n_parts, n_components).repeat(n_parts)[:, None]
        self.register_buffer("own_site", (of_input < of_output + (kind == "B")) if grouped else None)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *mask.shape))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        live = max(1, int(mask.sum()))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (in_channels * live)))  # He et al. 2015, for the unmasked taps
        if self.own_site is not None:
            fan_in = in_channels * (int(mask.sum()) - 1) + self.own_site.sum(1)
            self.weight.data *= (in_channels * live / fan_in.clamp(min=1)).sqrt().view(-1, 1, 1, 1)

    @property
    def offsets(self) -> list[Offset]:
        """Offsets (dy, dx) of the unmasked taps."""
        bottom = len(self.mask) - 1
        return [
            ((y - bottom) * self.dilation, (x - self.reach) * self.dilation) for y, x in self.mask.nonzero().tolist()
        ]

    def tap_weights(self) -> Tensor:
        """The weights of the unmasked taps, in the order of `offsets`: `(n_taps, in_channels, out_channels)`."""
        return self._live_weight().flatten(2).index_select(2, self._live.of(self.mask)).permute(2, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        weight = self._live_weight()
        padding = ((len(self.mask) - 1) * self.dilation, self.reach * self.dilation)
        padded = F.conv2d(x, weight, self.bias, padding=padding, dilation=self.dilation)
        return padded[:, :, : x.shape[2]]  # without the further rows that the padding at the bottom causes

    def _live_weight(self) -> Tensor:
        weight = torch.where(self.mask, self.weight, 0)  # not a product, because 0 * nan is nan
        if self.own_site is None:
            return weight
        elsewhere = torch.ones_like(self.mask)
        elsewhere[-1, self.reach] = False
        return torch.where(self.own_site[:, :, None, None] | elsewhere, weight, 0)


class _Live:
    """The places where a mask is true, looked for again only where it has changed: a GPU has to be waited for."""

    __slots__ = ("_key", "_places")  # no attributes that a sampler would take for a change of the network

    def __init__(self) -> None:
        self._key: Any = None
        self._places = torch.empty(0, dtype=torch.long)

    def of(self, mask: Tensor) -> Tensor:
        """Indices into the flattened mask, on its device."""
        key = None if mask.is_inference() else (id(mask), mask.device, mask._version)
        if key is None or key != self._key:
            self._key, self._places = key, mask.flatten().nonzero()[:, 0]
        return self._places


def site_layer(in_channels: int, out_channels: int, n_components: int) -> nn.Conv2d | MaskedConv2d:
    """A 1x1 layer; if sites have components, the channels of a component read no channels of later components."""
    if n_components == 1:
        return nn.Conv2d(in_channels, out_channels, 1)
    return MaskedConv2d(in_channels, out_channels, 1, "B", n_components=n_components)


def check_width(width: int, n_components: int, name: str = "width") -> None:
    """Raise ValueError if the number of hidden channels is below 1 or not divisible by the number of components."""
    if width < 1:
        raise ValueError(f"{name} must be at least 1, got {width}")
    if width % n_components:
        below = width - width % n_components
        raise ValueError(
            f"{name} must be divisible by n_components = {n_components}, got {width}; "
            f"the nearest that are: {max(below, n_components)} and {below + n_components}"
        )


def _groups(n_channels: int, n_components: int) -> Tensor:
    """The component that each channel belongs to, `(n_channels,)`."""
    return torch.arange(n_components).repeat_interleave(n_channels // n_components)


def per_layer(name: str, value: int | Sequence[int], depth: int) -> list[int]:
    """Return a value for each of `depth` layers, given one value for all layers or a list with one for each.

    Raises:
        ValueError: if the length of the list is not `depth`; the message calls the values `name`.
    """
    values = [value] * depth if isinstance(value, int) else list(value)
    if len(values) != depth:
        raise ValueError(f"{name} must be one integer or depth = {depth} of them, got {value}")
    return values
