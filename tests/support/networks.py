"""Networks of kinds that the package does not have."""

from __future__ import annotations

import torch
from torch import nn

import latticear as la
from latticear.models.base import AbstractModel
from latticear.models.gated import GatedPixelCNN
from latticear.models.layers import MaskedConv2d
from latticear.models.pixelcnn import PixelCNN
from latticear.models.residual import ResidualPixelCNN
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

NETWORKS = [PixelCNN, ResidualPixelCNN, GatedPixelCNN]


WIDEST = {PixelCNN: "kernel_size", ResidualPixelCNN: "kernel_size", GatedPixelCNN: "first_kernel_size"}
"""The argument that, if None, makes the first layer see the whole lattice."""


class OwnGroup(PixelCNN):
    """Shows the second component its own token: the mask of Type A as if it were of Type B."""

    def __init__(self, shape, n_tokens=2, **options):
        super().__init__(shape, n_tokens, width=6, depth=2, kernel_size=3, **options)
        self.layers[0].own_site[3:, n_tokens:] = True


class Residual(la.PixelCNN):
    """Other activations, sums and concatenations between layers: what acts on each site by itself is traced."""

    def _logits(self, tokens, condition):
        x = torch.tanh(self.layers[0](one_hot(tokens, self.n_tokens, self.head.weight.dtype)))
        y = x + torch.sigmoid(self.layers[2](x))
        a, b = torch.chunk(self.layers[4](y), 2, 1)
        return self.head(torch.cat([b * 2, a - b], 1))


class TwoStacks(AbstractModel):
    """A stack that looks only at the rows above and runs ahead of the one that is drawn from, as in a gated network."""

    name = "two_stacks"

    def __init__(self, shape, n_tokens=2):
        super().__init__(shape, n_tokens)
        self.above = MaskedConv2d(n_tokens, 5, 3, "A")
        self.above.mask[-1] = False  # the row above alone, all three columns
        self.along = MaskedConv2d(n_tokens, 5, 3, "A")
        self.along.mask[0] = False
        self.mix = MaskedConv2d(5, 5, 3, "B")
        self.mix.mask[-1] = True  # the site's right neighbour too, which knows nothing but the row above
        self.head = torch.nn.Conv2d(5, n_tokens, 1)
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        hot = one_hot(tokens, self.n_tokens, self.head.weight.dtype)
        up = torch.tanh(self.above(hot))
        return self.head(torch.relu(self.along(hot) + self.mix(up)))


class RowMemory(nn.Module):
    """A recurrent state along each row, `h(y, x) = tanh(in(y, x) + h(y, x - 1) / 2)`."""

    def forward(self, x):
        states, state = [], torch.zeros_like(x[..., 0])
        for column in x.unbind(-1):
            state = torch.tanh(column + state / 2)
            states.append(state)
        return torch.stack(states, -1)

    def ready(self, time, slope, shape):
        return time

    def begin(self, lanes, like):
        return {}

    def step(self, state, y, x, inputs):
        out = []
        for row, value in zip(y.tolist(), inputs, strict=True):
            state[row] = torch.tanh(value + state.get(row, torch.zeros_like(value)) / 2)
            out.append(state[row])
        return torch.stack(out)


class Mixed(PixelCNN):
    """Functions of groups in any order: sums, pieces put together anew, constants."""

    def __init__(self, shape, n_tokens=2, head=None, **options):
        super().__init__(shape, n_tokens, width=6, depth=2, kernel_size=3, n_components=2, **options)
        self.after = head or nn.Identity()
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        x = torch.tanh(self.layers[0](one_hot(tokens, self.n_tokens, self.head.weight.dtype)))
        first, second = torch.chunk(x, 2, 1)
        y = torch.cat([first * 2, second + torch.sigmoid(first)], 1)
        return self.after(self.head(torch.relu(self.layers[2](1 + y))))


class Sum(nn.Module):
    """Adds the logits of the last component to all."""

    acts_on_sites = True

    def forward(self, x):
        return x + x[:, -1:]


class Leaky(PixelCNN):
    """Reads the right neighbour in the first layer: what check_autoregressive must find."""

    def _logits(self, tokens, condition):
        return super()._logits(tokens.roll(-1, 2), condition)
