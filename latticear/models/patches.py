"""The phases of the multiscale order as modules: a perceptron of the known sites around each target.

Configurations lie in the last dimension, so that the row of a site is one piece of memory, and a layer is one matrix
product over all targets and configurations.

Index suffixes: t target, b configuration, q token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.hamiltonians import SummedNeighbours
from latticear.models.conditions import Conditioning
from latticear.scales import Phase

__all__ = ["Board", "PatchNetwork", "PhaseModule"]


class Board(NamedTuple):
    """Configurations as the phases see them; a draw fills it.

    Attributes:
        tokens: int64 `(B, N)`.
        inputs: `(channels, N + 1, B)`: two tokens as -1 and 1 in one channel, more of them as indicators in q. The last
            site is always zero: what is not known.
    """

    tokens: Tensor
    inputs: Tensor

    @staticmethod
    def empty(n: int, n_sites: int, n_tokens: int, like: Tensor) -> Board:
        """That of n configurations of which nothing is known, on the device and of the type of `like`."""
        channels = 1 if n_tokens == 2 else n_tokens
        tokens = torch.zeros(n, n_sites, dtype=torch.long, device=like.device)
        return Board(tokens, like.new_zeros(channels, n_sites + 1, n))

    @staticmethod
    def of(tokens: Tensor, n_tokens: int, like: Tensor) -> Board:
        """That of complete configurations `(B, N)`."""
        board = Board.empty(len(tokens), tokens.shape[1], n_tokens, like)
        board.write(torch.arange(tokens.shape[1], device=tokens.device), tokens.T.long())
        return board

    def write(self, sites: Tensor, tokens_tb: Tensor) -> None:
        """Fill in some sites."""
        channels = len(self.inputs)
        levels = torch.arange(channels, device=tokens_tb.device).view(-1, 1, 1)
        values = tokens_tb[None] * 2 - 1 if channels == 1 else tokens_tb[None] == levels
        self.tokens[:, sites] = tokens_tb.T
        self.inputs[:, sites] = values.to(self.inputs.dtype)

    def take(self, rows: Tensor) -> Board:
        """Some of the configurations, `(n,)`, each as often as it is named."""
        return Board(self.tokens[rows], self.inputs[:, :, rows])

    def around(self, taps: Tensor, *, flipped: bool = False) -> Tensor:
        """What is seen at taps `(n_taps, T)`, as columns: `(channels * n_taps, T * B)`."""
        channels, _, n = self.inputs.shape
        seen = self.inputs.index_select(1, taps.flatten())
        if flipped:
            seen = -seen if channels == 1 else seen.flip(0)
        return seen.view(channels * len(taps), taps.shape[1] * n)


class PatchNetwork(nn.Module):
    """Hidden layers of one width, SiLU after each; columns are targets and configurations together.

    Args:
        n_inputs: numbers that are known around a target; 0 makes the logits constants.
        n_outputs: logits of a target.
        width, depth: of the hidden layers.
        conditioning: what there is; it enters every hidden layer.
    """

    def __init__(self, n_inputs: int, n_outputs: int, width: int, depth: int, conditioning: Conditioning) -> None:
        super().__init__()
        sizes = [n_inputs] + [width] * depth if n_inputs else []
        self.layers = nn.ModuleList(_linear(*pair) for pair in pairwise(sizes))
        self.weight = nn.Parameter(0.1 * width**-0.5 * torch.randn(n_outputs, width)) if n_inputs else None
        self.bias = nn.Parameter(torch.zeros(n_outputs) if n_inputs else 0.01 * torch.randn(n_outputs))
        self.conditions = conditioning.embeddings(width if n_inputs else n_outputs, max(1, len(self.layers)))

    def forward(self, inputs: Tensor, signs: Tensor | None = None, embedded: Sequence[Tensor] = ()) -> Tensor:
        """Logits `(n_outputs, columns)`.

        Args:
            inputs: `(n_inputs, columns)`.
            signs: `(columns,)`, which the inputs are multiplied with; None for 1.
            embedded: of the condition, `(width, columns)` for each layer; empty where there is none.
        """
        if self.weight is None:
            constant = self.bias[:, None].expand(-1, inputs.shape[1])
            return constant + embedded[0] if embedded else constant
        x = inputs
        for k, layer in enumerate(self.layers):
            weight, bias = cast(Tensor, layer.weight), cast(Tensor, layer.bias)[:, None]
            # W (g x) = g (W x)
            x = torch.addmm(bias, weight, x) if k or signs is None else torch.addcmul(bias, weight @ x, signs)
            x = F.silu(x + embedded[k] if embedded else x)
        return torch.addmm(self.bias[:, None], self.weight, x)


def _linear(n_inputs: int, n_outputs: int) -> nn.Linear:
    layer = nn.Linear(n_inputs, n_outputs)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / n_inputs))  # He et al. 2015
    nn.init.zeros_(layer.bias)
    return layer


class PhaseModule(nn.Module):
    """The sites of one phase, and what tells their logits: a network, or the energy, or neither (a fair coin).

    Args:
        phase: sites and taps.
        n_tokens: q.
        symmetric: flipping all known tokens flips the logits.
        network: of what is known around a target; None where it is not needed.
        summed: what the sum over later neighbours adds, where the energy tells the conditionals.
    """

    sites: Tensor
    taps: Tensor

    def __init__(
        self,
        phase: Phase,
        n_tokens: int,
        symmetric: bool,
        network: PatchNetwork | None = None,
        summed: SummedNeighbours | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("sites", phase.sites, persistent=False)
        self.register_buffer("taps", phase.taps, persistent=False)
        self.n_tokens, self.symmetric = n_tokens, symmetric
        self.network, self.summed = network, summed

    @property
    def gauged(self) -> bool:
        """True if inputs are seen relative to the first of them, which makes the log-odds of two tokens odd."""
        return self.symmetric and self.n_tokens == 2

    def logits(
        self, board: Board, part: slice | Tensor, condition: Tensor | None, temperatures: Tensor | None
    ) -> Tensor:
        """Logits of some targets without their bonds to known neighbours: float64 `(T, B, q)`.

        Args:
            board: with all sites of earlier phases filled in.
            part: of the targets, a slice or their places.
            condition: `(B, k)` or None.
            temperatures: float64 `(B,)`, of the bias; None without one.
        """
        if self.summed is not None:
            assert temperatures is not None
            return self.summed(board.tokens, part, temperatures).transpose(0, 1)
        if self.network is None:
            n_targets = self.sites[part].shape[0]
            return torch.zeros(n_targets, len(board.tokens), self.n_tokens, device=self.sites.device).double()
        taps, n = self.taps[:, part], len(board.tokens)
        embedded = [self._columns(layer(condition), part, n) for layer in self.network.conditions]
        known = board.around(taps)
        if self.gauged:
            sign = known[0]
            half = self.network(known, sign, embedded)[0].double() * sign / 2
            return torch.stack([-half, half], dim=1).view(-1, n, 2)
        logits_qc = self.network(known, None, embedded).double()
        if self.symmetric:
            logits_qc = logits_qc + self.network(board.around(taps, flipped=True), None, embedded).double().flip(0)
        return logits_qc.T.reshape(-1, n, self.n_tokens)

    def _columns(self, values: Tensor, part: slice | Tensor, n: int) -> Tensor:
        """What a condition adds to a layer, `(B, channels, 1, 1)` or `(B, channels, H, W)`, as `(channels, T * B)`."""
        sites = self.sites[part]
        at = values.flatten(2)
        at = at.expand(-1, -1, len(sites)) if at.shape[2] == 1 else at[:, :, sites]
        return at.permute(1, 2, 0).expand(-1, -1, n).reshape(values.shape[1], -1)
