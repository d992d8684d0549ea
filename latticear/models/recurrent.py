"""A two-dimensional recurrent network: the state of each site is computed from the states to the left and above.

The methods `ready`, `begin` and `step` compute a layer front by front during sampling (see
`latticear.sampling.tracing.Incremental`); lanes are configurations that are drawn together.
"""

from __future__ import annotations

import math
from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.models.base import AbstractModel, Common
from latticear.models.layers import MaskedConv2d
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import NEVER, one_hot

__all__ = ["GatedRecurrence2d", "RecurrentPixelRNN"]


class RecurrentPixelRNN(AbstractModel):
    """A two-dimensional recurrent network: the hidden state of each site is a gated update of its neighbours' states.

    A masked 3x3 convolution reads the tokens next to a site; recurrent layers and a 1x1 output layer follow. States are
    passed to the right and down, and with `look_ahead` also down to the left, so that a site depends on sites to its
    upper right. Without `look_ahead` it depends only on sites in its own column and to the left of it, but all sites of
    a diagonal are drawn together.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: number of channels of a state.
        depth: number of recurrent layers.
        look_ahead: whether a state also depends on the state to the upper right. The slope s of the order `s y + x`, in
            which sites are drawn, is 2 with it and 1 without it.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition enters every recurrent layer.

    Raises:
        ValueError: for q < 2, width or depth < 1.

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks" (2016), arXiv 1601.06759; for spins,
        with states from the left and from above: Hibat-Allah, Ganahl, Hayward, Melko, Carrasquilla, "Recurrent neural
        network wave functions" (2020), arXiv 2002.02973, here row by row instead of along a snake; the gate as in
        Hibat-Allah, Melko, Carrasquilla, "Supplementing recurrent neural network wave functions with symmetry and
        annealing to improve accuracy" (2022), arXiv 2207.14314.

    Example:
        >>> model = RecurrentPixelRNN((4, 6), n_tokens=2, width=8)
        >>> samples = model.sample(5, seed=1)
        >>> bool(((model.log_prob(samples.tokens) - samples.log_q).abs() < 1e-4).all())
        True
    """

    name: ClassVar[str] = "recurrent"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 32,
        depth: int = 1,
        look_ahead: bool = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got width={width}, depth={depth}")
        self.width, self.depth, self.look_ahead = width, depth, look_ahead
        first = MaskedConv2d(n_tokens, 2 * width, 3, "A")
        first.mask[0, 2] = look_ahead
        between = [nn.Conv2d(width, 2 * width, 1) for _ in range(depth - 1)]
        self.inputs = nn.ModuleList([first, *between])
        self.layers = nn.ModuleList(GatedRecurrence2d(self.shape, width, look_ahead) for _ in range(depth))
        self.conditions = self.conditioning.embeddings(2 * width, depth)
        self.head = nn.Conv2d(width, n_tokens, 1)
        nn.init.normal_(self.head.weight, std=0.1 * width**-0.5)  # start close to the uniform distribution
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        x = one_hot(tokens, self.n_tokens, self.head.weight.dtype)
        for i, (inputs, layer) in enumerate(zip(self.inputs, self.layers, strict=True)):
            x = inputs(x)
            if self.conditioned:
                x = x + self.conditions[i](condition)
            x = layer(x)
        return self.head(x)


class GatedRecurrence2d(nn.Module):
    """A recurrent layer: the state of a site is computed from those of its neighbours to the left and above.

    With `look_ahead` the neighbour to the upper right is read as well. The state is `h = u c + (1 - u) W h'`, where h'
    are the concatenated states of these neighbours, zero outside the lattice. The gate is `u = sigmoid(a + U h')`, the
    candidate `c = tanh(b + V h')`, and a and b are the inputs. Fronts, the sites of equal `s y + x`, are computed one
    after the other, in training as well as in sampling: s (H - 1) + W steps, with s = 2 if `look_ahead`, else 1.

    Args:
        shape: (H, W).
        channels: C, number of channels of a state.
        look_ahead: whether the state of the neighbour to the upper right is read.

    Shapes: `(B, 2 C, H, W)`, the inputs a of the gate before the inputs b of the candidate, to `(B, C, H, W)`.
    """

    def __init__(self, shape: tuple[int, int], channels: int, look_ahead: bool) -> None:
        super().__init__()
        self.shape, self.channels, self.look_ahead = shape, channels, look_ahead
        n = 3 if look_ahead else 2
        self.weight = nn.Parameter(torch.randn(3 * channels, n * channels) / math.sqrt(n * channels))
        with torch.no_grad():
            self.weight[2 * channels :] = torch.eye(channels).repeat(1, n) / n  # W h' is initially their mean

    def forward(self, x: Tensor) -> Tensor:
        (height, width), slope = self.shape, 1 + self.look_ahead
        fronts = _skewed(x, slope).permute(3, 2, 0, 1)  # (fronts, H, B, 2 C)
        last = but_one = x.new_zeros(height + 1, len(x), self.channels)  # with a row of zeros above the lattice
        states = []
        for t, inputs in enumerate(fronts):
            first, stop = max(0, -((width - 1 - t) // slope)), min(height - 1, t // slope) + 1  # its rows
            above = [but_one, last] if self.look_ahead else [last]
            neighbours = [last[first + 1 : stop + 1], *(row_above[first:stop] for row_above in above)]
            front = self._update(inputs[first:stop], torch.cat(neighbours, -1))
            last, but_one = F.pad(front, (0, 0, 0, 0, first + 1, height - stop)), last
            states.append(last[1:])
        return _straight(torch.stack(states, -1).permute(1, 2, 0, 3), slope, width)

    def _update(self, inputs: Tensor, neighbours: Tensor) -> Tensor:
        """New states `(n, lanes, C)` from inputs `(n, lanes, 2 C)` and the concatenated states of the neighbours."""
        gate, candidate, carried = F.linear(neighbours, self.weight).chunk(3, -1)
        from_gate, from_candidate = inputs.chunk(2, -1)
        u = torch.sigmoid(gate + from_gate)
        return u * torch.tanh(candidate + from_candidate) + (1 - u) * carried

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        """The output is ready with the input, provided that all neighbours belong to earlier fronts."""
        return time if slope == shape[1] or slope > self.look_ahead else NEVER

    def begin(self, lanes: int, like: Tensor) -> Tensor:
        """The states of all sites, with zeros above and on both sides: `((H + 1) (W + 2), lanes, C)`."""
        return like.new_zeros((self.shape[0] + 1) * (self.shape[1] + 2), lanes, self.channels)

    def step(self, state: Tensor, y: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        """The states at the sites of the next front: `(n, lanes, C)`."""
        stride = self.shape[1] + 2
        site = (y + 1) * stride + x + 1
        sources = [site - 1, site - stride, site - stride + 1][: 2 + self.look_ahead]
        state[site] = self._update(inputs, torch.cat([state[source] for source in sources], -1))
        return state[site]


def _skewed(x: Tensor, slope: int) -> Tensor:
    """Shift rows so that fronts become columns: `(B, C, H, W)` to `(B, C, H, slope (H - 1) + W)`, padded with zeros."""
    height, width = x.shape[2:]
    n_fronts = slope * (height - 1) + width
    padded = F.pad(x, (0, n_fronts + slope - width)).flatten(2)
    return padded[..., : height * n_fronts].unflatten(2, (height, n_fronts))


def _straight(fronts: Tensor, slope: int, width: int) -> Tensor:
    """The inverse of `_skewed`."""
    height, n_fronts = fronts.shape[2:]
    padded = F.pad(fronts.flatten(2), (0, slope * height))
    return padded.unflatten(2, (height, n_fronts + slope))[..., :width]
