"""Translation of a traced network into the records that the compiled kernels execute.

Ticks, rows and fronts are explained in `latticear.sampling.schedule`, stages in `latticear.sampling.stages`.
"""

from __future__ import annotations

import math
import operator
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from latticear.kernels import structures
from latticear.kernels.library import library_for
from latticear.kernels.structures import KINDS, MAX_INPUTS, MAX_TOKENS
from latticear.sampling.schedule import Schedule
from latticear.sampling.tracing import Node

__all__ = ["Lowered", "allocate", "lower", "steps_of"]

_UNARY: dict[Any, str] = {
    operator.neg: "negative",
    torch.relu: "relu",
    F.relu: "relu",
    F.elu: "elu",
    F.silu: "silu",
    torch.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    nn.Identity: "identity",
    nn.Dropout: "identity",  # samples are drawn in evaluation mode
    nn.ReLU: "relu",
    nn.ELU: "elu",
    nn.SiLU: "silu",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
}
_BINARY: dict[Any, str] = {
    operator.add: "add",
    torch.add: "add",
    operator.sub: "subtract",
    operator.mul: "multiply",
    torch.mul: "multiply",
}


class Lowered:
    """A node of the network as a record for the kernels, with the memory that the record points to."""

    def __init__(self, kind: str, node: Node, inputs: list[int], start: int = 0, constant: float = 0.0) -> None:
        self.node, self.inputs = node, inputs
        self.record = structures.Node(kind=KINDS.index(kind), channels=node.channels, n_inputs=len(inputs))
        self.record.inputs[: len(inputs)] = inputs
        self.record.start, self.record.constant = start, constant
        if node.has_weights:
            taps_kio, _ = node.weights()
            padded = -(-node.channels // 16) * 16
            self._weight = _zeros(taps_kio, *taps_kio.shape[:2], padded)
            self._bias = _zeros(taps_kio, padded)
            self._taps = torch.tensor(node.offsets, dtype=torch.long).view(-1, 2)
            self.record.n_taps, self.record.taps = len(self._taps), self._taps.data_ptr()
            self.record.weight, self.record.bias = self._weight.data_ptr(), self._bias.data_ptr()

    def load(self) -> None:
        """Copy the current weights of the layer into the memory of the record."""
        if self.node.has_weights:
            taps_kio, bias = self.node.weights()
            self._weight[..., : self.node.channels] = taps_kio
            self._bias[: self.node.channels] = bias


def _zeros(like: Tensor, *shape: int) -> Tensor:
    """Zeros of this shape with 16 more behind them, because the kernels read whole vectors starting at any channel."""
    size = math.prod(shape)
    return like.new_zeros(size + 16)[:size].view(shape)


def lower(schedule: Schedule, like: Tensor) -> list[Lowered] | None:
    """The nodes of a network as records for the kernels, or None if the kernels do not support one of them.

    Args:
        schedule: the schedule of the network.
        like: a parameter of the network, which gives its device and type of numbers.
    """
    tokens, *others = schedule.graph.nodes
    few = tokens.channels // schedule.graph.n_components <= MAX_TOKENS
    if not few or like.dtype not in (torch.float32, torch.float64) or library_for(like.device) is None:
        return None
    lowering = _Lowering(tokens, math.prod(schedule.graph.shape))
    return lowering.nodes if all(map(lowering.add, others)) else None


class _Lowering:
    """The translation of the nodes of a network, one after the other."""

    def __init__(self, tokens: Node, n_sites: int) -> None:
        self._n_sites = n_sites
        self.nodes = [Lowered("tokens", tokens, [])]
        self._index = {tokens.name: 0}
        self._n_constants = 0
        self._chunks: dict[str, Node] = {}

    def add(self, node: Node) -> bool:
        """Add a node; False if the kernels do not support it."""
        if node.function is torch.chunk:  # needs no record: the nodes of its parts read its input directly
            self._chunks[node.name] = node
            return True
        lowered = self._lower(node)
        if lowered is None:
            return False
        self._index[node.name] = len(self.nodes)
        self.nodes.append(lowered)
        return True

    def _lower(self, node: Node) -> Lowered | None:
        if node.is_incremental:
            return None
        if node.is_constant:
            start = self._n_constants
            self._n_constants += node.channels * (self._n_sites if node.is_map else 1)
            return Lowered("constant", node, [], start=start)
        if node.layer is not None:
            return Lowered("taps", node, [self._index[node.inputs[0]]])
        if node.function is operator.getitem:
            return self._slice(node)
        inputs = [self._index.get(name, 0) for name in node.inputs]
        if 0 in inputs or not node.arguments:  # only taps can read the tokens, which are not stored as channels
            return None
        if node.function is torch.cat:
            parts = [self._index[part.name] for part in node.arguments[0]]
            return Lowered("concatenate", node, parts) if len(parts) <= MAX_INPUTS else None
        if node.function in _BINARY:
            return self._binary(node, _BINARY[node.function])
        kind = _UNARY.get(type(node.function), _UNARY.get(node.function))
        alpha = getattr(node.function, "alpha", node.options.get("alpha", 1.0))
        return Lowered(kind, node, inputs) if kind and alpha == 1.0 and len(node.arguments) == 1 else None

    def _slice(self, node: Node) -> Lowered | None:
        whole = self._chunks[node.inputs[0]]
        source = self._index[whole.inputs[0]]
        if source == 0:
            return None
        n_chunks = whole.options.get("chunks", whole.arguments[1] if len(whole.arguments) > 1 else 1)
        size = -(-self.nodes[source].node.channels // n_chunks)
        start = node.arguments[1] * size if node.arguments[1] >= 0 else None
        return None if start is None else Lowered("slice", node, [source], start=start)

    def _binary(self, node: Node, kind: str) -> Lowered | None:
        if len(node.arguments) != 2 or node.options:
            return None
        a, b = node.arguments
        if isinstance(a, fx.Node) and isinstance(b, fx.Node):
            inputs = [self._index[a.name], self._index[b.name]]
            same = all(self.nodes[k].node.channels == node.channels for k in inputs)
            return Lowered(kind, node, inputs) if same else None
        if isinstance(a, int | float) and kind != "subtract":
            a, b = b, a
        if isinstance(a, fx.Node) and isinstance(b, int | float):
            return Lowered(kind, node, [self._index[a.name]], constant=float(b))
        return None


def allocate(schedule: Schedule, nodes: list[Lowered]) -> int:
    """Give each node a ring of memory for the values that are still read.

    Returns:
        The total size of all rings: the count of numbers for one lane, that is, one configuration.
    """
    (height, width), total = schedule.graph.shape, 0
    for lowered in nodes:
        record, name = lowered.record, lowered.node.name
        reads = schedule.reads(name)
        record.ready, record.by_row, record.offset = schedule.ready[name], name in schedule.by_row, total
        if lowered.node.is_constant:
            record.rows, record.slots = (height, width) if lowered.node.is_map else (1, 1)
            total += record.rows * record.slots * record.channels
            continue
        whole = schedule.is_raster and (record.by_row or any(read.by_row for read in reads))
        record.slots = width if whole else min(width, schedule.fronts_kept(reads))
        record.rows = min(height, schedule.rows_kept(reads)) if schedule.is_raster else height
        if lowered.inputs:
            total += record.rows * record.slots * record.channels
    return total


def steps_of(schedule: Schedule, nodes: list[Lowered]) -> list[structures.Step]:
    """The steps of each tick, in the order of their stages; a step computes adjacent channels of one node and stage."""
    steps = []
    for index, lowered in enumerate(nodes):
        if index == 0 or lowered.node.is_constant:
            continue
        n_read = nodes[lowered.inputs[0]].node.channels if lowered.inputs else 0
        stages = schedule.stages[lowered.node.name].tolist()
        for stage, run in groupby(range(len(stages)), stages.__getitem__):
            first, *_, stop = (*(channels := list(run)), channels[-1] + 1)
            n_here = _n_here(lowered.node, slice(first, stop), n_read)
            steps.append(structures.Step(index, stage, first, stop, n_here))
    return sorted(steps, key=lambda step: step.stage)


def _n_here(node: Node, channels: slice, n_read: int) -> int:
    """Number of leading input channels of a layer that include all those read by output channels at their own site."""
    own_site = getattr(node.layer, "own_site", None)
    if own_site is None:
        return n_read
    live = own_site[channels].any(0).nonzero()
    return int(live.max()) + 1 if len(live) else 0
