"""A traced network as a program of records for the compiled kernels."""

from __future__ import annotations

import ctypes
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from latticear.library import library
from latticear.tracing import Node
from latticear.wavefront import Schedule

__all__ = ["Lowered", "NodeRecord", "allocate", "lower"]

MAX_INPUTS, MAX_TOKENS = 8, 1024

_ELEMENTWISE = ["identity", "negative", "relu", "elu", "silu", "sigmoid", "tanh", "add", "subtract", "multiply"]
_KINDS = ["tokens", "taps", *_ELEMENTWISE, "concatenate", "slice"]

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


class NodeRecord(ctypes.Structure):
    """`Node` of kernels/program.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("kind", "channels", "ready", "by_row")),
        *((name, ctypes.c_int64) for name in ("slots", "rows", "offset", "n_inputs")),
        ("inputs", ctypes.c_int64 * MAX_INPUTS),
        *((name, ctypes.c_int64) for name in ("start", "n_taps")),
        *((name, ctypes.c_void_p) for name in ("taps", "weight", "bias")),
        ("constant", ctypes.c_double),
    ]


class Lowered:
    """A node as the kernels know it, and the memory that its record points to."""

    def __init__(self, kind: str, node: Node, inputs: list[int], start: int = 0, constant: float = 0.0) -> None:
        self.node, self.inputs = node, inputs
        self.record = NodeRecord(kind=_KINDS.index(kind), channels=node.channels, n_inputs=len(inputs))
        self.record.inputs[: len(inputs)] = inputs
        self.record.start, self.record.constant = start, constant
        if node.layer is not None:
            taps_kio, _ = node.weights()
            padded = -(-node.channels // 16) * 16
            self._weight = taps_kio.new_zeros(*taps_kio.shape[:2], padded)
            self._bias = taps_kio.new_zeros(padded)
            self._taps = torch.tensor(node.offsets, dtype=torch.long).view(-1, 2)
            self.record.n_taps, self.record.taps = len(self._taps), self._taps.data_ptr()
            self.record.weight, self.record.bias = self._weight.data_ptr(), self._bias.data_ptr()

    def load(self) -> None:
        """Read the weights as they are now."""
        if self.node.layer is not None:
            taps_kio, bias = self.node.weights()
            self._weight[..., : self.node.channels] = taps_kio
            self._bias[: self.node.channels] = bias


def lower(schedule: Schedule, like: Tensor) -> list[Lowered] | None:
    """The nodes of a network for the kernels, or None if they do not know one of them.

    Args:
        schedule: of the network.
        like: a parameter of the network.
    """
    known = library() is not None and like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
    if not known or schedule.graph.nodes[0].channels > MAX_TOKENS:
        return None
    lowered = [Lowered("tokens", schedule.graph.nodes[0], [])]
    index = {schedule.graph.nodes[0].name: 0}
    chunks: dict[str, Node] = {}
    for node in schedule.graph.nodes[1:]:
        if node.function is torch.chunk:
            chunks[node.name] = node
            continue
        found = _lower(node, index, chunks)
        if found is None:
            return None
        index[node.name] = len(lowered)
        lowered.append(found)
    return lowered


def _lower(node: Node, index: dict[str, int], chunks: dict[str, Node]) -> Lowered | None:
    if node.is_incremental:
        return None
    if node.layer is not None:
        return Lowered("taps", node, [index[name] for name in node.inputs])
    function, arguments = node.function, node.arguments
    if function is operator.getitem and node.inputs[0] in chunks:
        whole, k = chunks[node.inputs[0]], arguments[1]
        if not isinstance(k, int) or k < 0 or _dimension(whole, 2) != 1:
            return None
        return Lowered("slice", node, [index[whole.inputs[0]]], start=k * node.channels)
    if function is torch.cat and _dimension(node, 1) == 1 and len(arguments[0]) <= MAX_INPUTS:
        inputs = [index[part.name] for part in arguments[0]]
        return Lowered("concatenate", node, inputs) if 0 not in inputs else None
    if any(index.get(name, 0) == 0 for name in node.inputs):  # tokens have no channels here, only rows of weights
        return None
    if type(function) in _UNARY or function in _UNARY:
        return _unary(node, index)
    if function in _BINARY and len(arguments) == 2 and not node.options:
        return _binary(node, _BINARY[function], index)
    return None


def _unary(node: Node, index: dict[str, int]) -> Lowered | None:
    function: Any = node.function
    if isinstance(function, nn.Module):
        kind, plain = _UNARY[type(function)], getattr(function, "alpha", 1.0) == 1.0
    else:
        kind, plain = _UNARY[function], len(node.arguments) == 1 and node.options.get("alpha", 1.0) == 1.0
    return Lowered(kind, node, [index[node.inputs[0]]]) if plain else None


def _binary(node: Node, kind: str, index: dict[str, int]) -> Lowered | None:
    a, b = node.arguments
    if isinstance(a, fx.Node) and isinstance(b, fx.Node):
        return Lowered(kind, node, [index[a.name], index[b.name]])
    if isinstance(a, (int, float)) and kind != "subtract":
        a, b = b, a
    if isinstance(a, fx.Node) and isinstance(b, (int, float)):
        return Lowered(kind, node, [index[a.name]], constant=float(b))
    return None


def _dimension(node: Node, position: int) -> Any:
    return node.options.get("dim", node.arguments[position] if len(node.arguments) > position else 0)


def allocate(schedule: Schedule, nodes: list[Lowered]) -> int:
    """Give each node a ring that holds what is still read, and return the numbers that all rings take, a lane."""
    (height, width), total = schedule.graph.shape, 0
    for lowered in nodes:
        record, name = lowered.record, lowered.node.name
        reads = schedule.reads(name)
        record.ready, record.by_row, record.offset = schedule.ready[name], name in schedule.by_row, total
        whole = schedule.is_raster and (record.by_row or any(read.by_row for read in reads))
        record.slots = width if whole else min(width, schedule.fronts_kept(reads))
        record.rows = min(height, schedule.rows_kept(reads)) if schedule.is_raster else height
        if lowered.inputs:
            total += record.rows * record.slots * record.channels
    return total
