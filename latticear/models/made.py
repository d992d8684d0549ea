"""MADE: a fully connected network over the sites in raster order, masked to be autoregressive.

The methods `ready`, `begin` and `step` compute a layer site by site during sampling (see
`latticear.sampling.tracing.Incremental`); lanes are configurations that are drawn together.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.models.base import AbstractModel, Common
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import NEVER, Offset, one_hot

__all__ = ["MADE", "Previous", "TriangularDense"]

PARTS = 8
"""Number of groups of sites into which the masked product is split. A group multiplies only the inputs up to its last
site, so that the product takes 9/16 of the work."""


class MADE(AbstractModel):
    """A masked fully connected network: each hidden unit belongs to a site and reads all sites before it.

    The tokens are shifted by one site along the raster sequence. Hidden layers of block-triangular matrices with ReLU
    follow, and one more such matrix for the logits. No weights are shared between sites, so the network has about
    `(H W)^2 depth width^2 / 2` unmasked weights. On small lattices it is an upper limit for other architectures: a site
    may depend on all earlier sites in any way.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: number of hidden units of each site in each layer.
        depth: number of hidden layers.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition enters every hidden layer.

    Raises:
        ValueError: for q < 2, width or depth < 1.

    References:
        Germain, Gregor, Murray, Larochelle, "MADE: masked autoencoder for distribution estimation" (2015),
        arXiv 1502.03509, with the units of a layer given to sites in equal numbers instead of at random; for spins:
        Wu, Wang, Zhang, "Solving statistical mechanics using variational autoregressive networks" (2019),
        arXiv 1809.10606.

    Example:
        >>> model = MADE((4, 6), n_tokens=2, width=4, depth=1)
        >>> samples = model.sample(5, seed=1)
        >>> bool(((model.log_prob(samples.tokens) - samples.log_q).abs() < 1e-4).all())
        True
    """

    name: ClassVar[str] = "made"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 4,
        depth: int = 2,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got width={width}, depth={depth}")
        self.width, self.depth = width, depth
        self.previous = Previous(self.shape, n_tokens)
        self.layers = nn.ModuleList(TriangularDense(self.shape, width if i else n_tokens, width) for i in range(depth))
        self.conditions = self.conditioning.embeddings(width, depth)
        self.head = TriangularDense(self.shape, width, n_tokens)
        with torch.no_grad():
            self.head.weight.mul_(0.1)  # start close to the uniform distribution
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        x = self.previous(one_hot(tokens, self.n_tokens, self.head.weight.dtype))
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.conditioned:
                x = x + self.conditions[i](condition)
            x = torch.relu(x)
        return self.head(x)


class Previous(nn.Module):
    """Shifts all values to the next site in raster order; the first site gets zeros.

    Later layers may then read their own site, because it contains the values of the previous site. For the samplers the
    shift is described by two taps (offsets), the left neighbour and the last site of the row above, of which each site
    except the first has exactly one inside the lattice.

    Shapes: `(B, C, H, W)` to `(B, C, H, W)`.
    """

    identity: Tensor
    bias = None

    def __init__(self, shape: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.offsets: list[Offset] = [(-1, shape[1] - 1), (0, -1)]
        self.register_buffer("identity", torch.eye(channels).repeat(2, 1, 1), persistent=False)

    def tap_weights(self) -> Tensor:
        """The weights of both taps, which are identity matrices: `(2, channels, channels)`."""
        return self.identity

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x.flatten(2)[..., :-1], (1, 0)).view_as(x)


class TriangularDense(nn.Module):
    """A linear layer with weights between any two sites, in which a site reads itself and the sites before it.

    The weights from later sites in raster order are stored but masked: they have no influence, whatever their values,
    and no gradient. During sampling the inputs of all sites so far are remembered, and each output is computed once,
    from the unmasked weights.

    Args:
        shape: (H, W).
        in_channels, out_channels: numbers of channels at each site.

    Shapes: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    def __init__(self, shape: tuple[int, int], in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.n_sites, self.in_channels, self.out_channels = math.prod(shape), in_channels, out_channels
        self.weight = nn.Parameter(torch.empty(self.n_sites * out_channels, self.n_sites * in_channels))
        self.bias = nn.Parameter(torch.zeros(self.n_sites * out_channels))
        n_live = in_channels * torch.arange(1, self.n_sites + 1).repeat_interleave(out_channels)
        with torch.no_grad():
            self.weight.normal_().mul_((2 / n_live).sqrt()[:, None])  # He et al. 2015, for the unmasked weights

    def forward(self, x: Tensor) -> Tensor:
        x_bk = x.permute(0, 2, 3, 1).flatten(1)  # (B, H W in_channels), site by site
        groups = torch.arange(self.n_sites, device=x.device).split(-(-self.n_sites // PARTS))
        y_bk = torch.cat([self._group(x_bk, sites) for sites in groups], 1)
        return y_bk.unflatten(1, (*x.shape[2:], self.out_channels)).permute(0, 3, 1, 2)

    def _group(self, x_bk: Tensor, sites: Tensor) -> Tensor:
        """Outputs at consecutive sites, from the inputs up to the last of them."""
        first, stop = int(sites[0]), int(sites[-1]) + 1
        rows, columns = slice(first * self.out_channels, stop * self.out_channels), slice(stop * self.in_channels)
        mask = (sites[:, None] >= torch.arange(stop, device=sites.device))[:, None, :, None]
        weight_ioic = self.weight[rows, columns].view(len(sites), self.out_channels, stop, self.in_channels)
        weight = torch.where(mask, weight_ioic, 0).flatten(2).flatten(0, 1)  # not a product, because 0 * nan is nan
        return F.linear(x_bk[:, columns], weight, self.bias[rows])

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        """The output is ready with the input, but in raster order only."""
        return time if slope == shape[1] else NEVER

    def begin(self, lanes: int, like: Tensor) -> dict[str, Any]:
        """The state: the inputs so far, `(lanes, H W in_channels)`, and the number of sites so far."""
        return {"inputs": like.new_empty(lanes, self.n_sites * self.in_channels), "n": 0}

    def step(self, state: dict[str, Any], y: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """The output at the next site: `(1, lanes, out_channels)`."""
        n, (c_in, c_out) = state["n"], (self.in_channels, self.out_channels)
        state["n"] = n + 1
        state["inputs"][:, n * c_in : (n + 1) * c_in] = inputs[0]
        rows, columns = slice(n * c_out, (n + 1) * c_out), slice((n + 1) * c_in)
        return F.linear(state["inputs"][:, columns], self.weight[rows, columns], self.bias[rows])[None]
