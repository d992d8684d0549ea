"""The phases of the multiscale order as modules: a perceptron of the known sites around each target.

Configurations lie in the last dimension, so that the row of a site is one piece of memory, and a layer is one matrix
product over all targets and configurations.

Index suffixes: t target, b configuration, q token.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.hamiltonians import Strengths, SummedNeighbours
from latticear.models.multiscale.coupling_network import CouplingNetwork, Told
from latticear.models.multiscale.order import Phase

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
        n_condition: channels of the embedded condition, which enters every hidden layer; 0 where there is none.
    """

    def __init__(self, n_inputs: int, n_outputs: int, width: int, depth: int, n_condition: int = 0) -> None:
        super().__init__()
        sizes = [n_inputs] + [width] * depth if n_inputs else []
        self.layers = nn.ModuleList(_linear(*pair) for pair in pairwise(sizes))
        self.weight = nn.Parameter(0.1 * width**-0.5 * torch.randn(n_outputs, width)) if n_inputs else None
        self.bias = nn.Parameter(torch.zeros(n_outputs) if n_inputs else 0.01 * torch.randn(n_outputs))
        entered = [width] * depth if n_inputs else [n_outputs]
        self.conditions = nn.ModuleList(nn.Linear(n_condition, size, bias=False) for size in entered if n_condition)

    def forward(
        self, inputs: Tensor, signs: Tensor | None = None, embedded: Tensor | None = None, rows: Tensor | None = None
    ) -> Tensor:
        """Logits `(n_outputs, columns)`.

        Args:
            inputs: `(n_inputs, columns)`.
            signs: `(columns,)`, which the inputs are multiplied with; None for 1.
            embedded: the condition, `(n_condition, T, B)`, or `(n_condition, 1, B)` if it is the same for all targets.
            rows: int64 `(B,)`, which of the embedded conditions, then any number of them, each configuration has.
        """
        if self.weight is None:
            return self._given(0, self.bias[:, None].expand(-1, inputs.shape[1]), embedded, rows)
        x = inputs
        for k, layer in enumerate(self.layers):
            weight, bias = cast(Tensor, layer.weight), cast(Tensor, layer.bias)[:, None]
            # signs: W (g x) = g (W x)
            x = torch.addmm(bias, weight, x) if k or signs is None else torch.addcmul(bias, weight @ x, signs)
            x = F.silu(self._given(k, x, embedded, rows))
        return torch.addmm(self.bias[:, None], self.weight, x)

    def _given(self, k: int, x: Tensor, embedded: Tensor | None, rows: Tensor | None) -> Tensor:
        """What the condition adds before layer k."""
        if embedded is None:
            return x
        added = (cast(Tensor, self.conditions[k].weight) @ embedded.flatten(1)).view(len(x), *embedded.shape[1:])
        added = added if rows is None else added[:, :, rows]
        n = added.shape[2]
        return (x.view(len(x), x.shape[1] // max(1, n), n) + added).flatten(1)


def _linear(n_inputs: int, n_outputs: int) -> nn.Linear:
    layer = nn.Linear(n_inputs, n_outputs)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / n_inputs))  # He et al. 2015
    nn.init.zeros_(layer.bias)
    return layer


def _odds(network: PatchNetwork, known: Tensor, embedded: Tensor | None, told: Told | None) -> Tensor:
    """Log-odds of two tokens, float64 `(columns,)`, odd in the known spins, which are seen relative to the first."""
    if told is None:
        return network(known, known[0], embedded)[0].double() * known[0]
    known = known * told.signs[:, :, told.rows].flatten(1)
    weighed = known * told.weights[:, :, told.rows].flatten(1)
    return network(weighed, known[0], told.embedded, told.rows)[0].double() * known[0]


def _couplings(strengths: Strengths | None) -> Tensor:
    assert strengths is not None
    assert strengths.couplings is not None
    return strengths.couplings


class PhaseModule(nn.Module):
    """The sites of one phase, and what tells their logits: a network, or the energy, or neither (a fair coin).

    Args:
        phase: sites and taps.
        n_tokens: q.
        symmetric: flipping all known tokens flips the logits.
        network: of what is known around a target; None where it is not needed.
        summed: what the sum over later neighbours adds, where the energy tells the conditionals.
        couplings: what the network is told of those that come with a configuration; None where there are none.
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
        couplings: CouplingNetwork | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("sites", phase.sites, persistent=False)
        self.register_buffer("taps", phase.taps, persistent=False)
        self.n_tokens, self.symmetric = n_tokens, symmetric
        self.network, self.summed, self.couplings = network, summed, couplings

    @property
    def gauged(self) -> bool:
        """True if inputs are seen relative to the first of them, which makes the log-odds of two tokens odd."""
        return self.symmetric and self.n_tokens == 2

    def logits(
        self, board: Board, part: slice | Tensor, embedded: Tensor | None, strengths: Strengths | None
    ) -> Tensor:
        """Logits of some targets without their bonds to known neighbours: float64 `(T, B, q)`.

        Args:
            board: with all sites of earlier phases filled in.
            part: of the targets, a slice or their places.
            embedded: the condition, `(channels, N, B)`, or `(channels, 1, B)` if it is no map; None without one.
            strengths: of the energies; None without a bias.
        """
        if self.summed is not None:
            assert strengths is not None
            return self.summed(board.tokens, part, strengths).transpose(0, 1)
        taps, n = self.taps[:, part], len(board.tokens)
        size = (taps.shape[1], n, self.n_tokens)
        if self.network is None:
            return torch.zeros(size, dtype=torch.float64, device=taps.device)
        if embedded is not None and embedded.shape[1] > 1:
            embedded = embedded[:, self.sites[part]]
        known = board.around(taps)
        if self.gauged:
            told = None if self.couplings is None else self.couplings(_couplings(strengths), part)
            half = _odds(self.network, known, embedded, told) / 2
            return torch.stack([-half, half], dim=1).view(size)
        logits_qc = self.network(known, None, embedded).double()
        if self.symmetric:
            logits_qc = logits_qc + self.network(board.around(taps, flipped=True), None, embedded).double().flip(0)
        return logits_qc.T.reshape(size)
