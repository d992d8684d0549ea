"""The phases of the multiscale order as modules: a perceptron of the known sites around each target.

A target is a site that a phase draws; a tap of a target is a known site around it, that is, one drawn before it.
Configurations are the last dimension of the inputs, so that the inputs of a site are contiguous in memory, and a layer
is one matrix product over all targets and configurations.

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
from latticear.models.multiscale.coupling_network import CouplingFeatures, CouplingNetwork
from latticear.models.multiscale.order import Phase

__all__ = ["Board", "PatchNetwork", "PhaseModule"]


class Board(NamedTuple):
    """Tokens of B configurations and the inputs of the networks made from them; filled in phase by phase.

    Attributes:
        tokens: int64 `(B, N)`.
        inputs: `(channels, N + 1, B)`: -1 and 1 in one channel for two tokens, otherwise one-hot vectors in q channels.
            Sites that are not drawn yet are zero, and site N, which stands for a missing tap, is always zero.
    """

    tokens: Tensor
    inputs: Tensor

    @staticmethod
    def empty(n: int, n_sites: int, n_tokens: int, like: Tensor) -> Board:
        """A board of n configurations without any known site, with the device and type of `like`."""
        channels = 1 if n_tokens == 2 else n_tokens
        tokens = torch.zeros(n, n_sites, dtype=torch.long, device=like.device)
        return Board(tokens, like.new_zeros(channels, n_sites + 1, n))

    @staticmethod
    def of(tokens: Tensor, n_tokens: int, like: Tensor) -> Board:
        """A board of complete configurations `(B, N)`."""
        board = Board.empty(len(tokens), tokens.shape[1], n_tokens, like)
        board.write(torch.arange(tokens.shape[1], device=tokens.device), tokens.T.long())
        return board

    def write(self, sites: Tensor, tokens_tb: Tensor) -> None:
        """Fill in some sites, `(T,)`, with tokens `(T, B)`."""
        channels = len(self.inputs)
        levels = torch.arange(channels, device=tokens_tb.device).view(-1, 1, 1)
        values = tokens_tb[None] * 2 - 1 if channels == 1 else tokens_tb[None] == levels
        self.tokens[:, sites] = tokens_tb.T
        self.inputs[:, sites] = values.to(self.inputs.dtype)

    def take(self, rows: Tensor) -> Board:
        """A board of the configurations `rows`, `(n,)`, where an index may occur several times."""
        return Board(self.tokens[rows], self.inputs[:, :, rows])

    def around(self, taps: Tensor, *, flipped: bool = False) -> Tensor:
        """The inputs at taps `(n_taps, T)`, spin-flipped if `flipped`, as columns: `(channels * n_taps, T * B)`."""
        channels, _, n = self.inputs.shape
        inputs = self.inputs.index_select(1, taps.flatten())
        if flipped:
            inputs = -inputs if channels == 1 else inputs.flip(0)
        return inputs.view(channels * len(taps), taps.shape[1] * n)


class PatchNetwork(nn.Module):
    """A perceptron with hidden layers of one width and SiLU after each; a column is one target of one configuration.

    Args:
        n_inputs: number of inputs of a target; 0 makes its logits constants.
        n_outputs: number of logits of a target.
        width, depth: width and number of the hidden layers.
        n_condition: number of channels of the embedded condition, which enters every hidden layer; 0 for none.
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
            signs: `(columns,)`, factors of the inputs; None for 1.
            embedded: the embedded condition, `(n_condition, T, B)`, or `(n_condition, 1, B)` if it is the same for all
                targets.
            rows: int64 `(B,)`, the index of each configuration's condition along the last dimension of `embedded`; None
                if that dimension is the one of the configurations.
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
        """The pre-activations x of layer k plus the contribution of the condition."""
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


def _odds(network: PatchNetwork, spins: Tensor, embedded: Tensor | None, couplings: CouplingFeatures | None) -> Tensor:
    """Log-odds of two tokens, float64 `(columns,)`, an odd function of the spins at the taps, `(n_taps, columns)`.

    The network reads the spins multiplied with the first of them, and its output is multiplied with that spin again.
    """
    if couplings is None:
        return network(spins, spins[0], embedded)[0].double() * spins[0]
    spins = spins * couplings.signs[:, :, couplings.rows].flatten(1)
    weighed = spins * couplings.weights[:, :, couplings.rows].flatten(1)
    return network(weighed, spins[0], couplings.embedded, couplings.rows)[0].double() * spins[0]


def _couplings(strengths: Strengths | None) -> Tensor:
    assert strengths is not None
    assert strengths.couplings is not None
    return strengths.couplings


class PhaseModule(nn.Module):
    """The sites of one phase and their logits, from a network, from the energy, or zero (a fair coin).

    Args:
        phase: the sites and their taps.
        n_tokens: q.
        symmetric: whether the logits are flipped if all known tokens are flipped.
        network: the perceptron of the taps of a target; None if it is not needed.
        summed: contribution of the sum over neighbours that are drawn later, if the conditionals follow from the energy
            and such neighbours exist.
        couplings: the network of the couplings that come with each configuration; None if none do.
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
        """Whether inputs are multiplied with the spin at the first tap, which makes the log-odds odd in the spins."""
        return self.symmetric and self.n_tokens == 2

    def logits(
        self, board: Board, part: slice | Tensor, embedded: Tensor | None, strengths: Strengths | None
    ) -> Tensor:
        """Logits of some targets without their bonds to known neighbours: float64 `(T, B, q)`.

        Args:
            board: the configurations, with all sites of earlier phases filled in.
            part: the targets to compute, a slice or indices.
            embedded: the embedded condition, `(channels, N, B)`, or `(channels, 1, B)` if it is the same for all sites;
                None without a condition.
            strengths: strengths of the energies in the bias for each configuration; None without a bias.
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
        inputs = board.around(taps)
        if self.gauged:
            features = None if self.couplings is None else self.couplings(_couplings(strengths), part)
            half = _odds(self.network, inputs, embedded, features) / 2
            return torch.stack([-half, half], dim=1).view(size)
        logits_qc = self.network(inputs, None, embedded).double()
        if self.symmetric:
            logits_qc = logits_qc + self.network(board.around(taps, flipped=True), None, embedded).double().flip(0)
        return logits_qc.T.reshape(size)
