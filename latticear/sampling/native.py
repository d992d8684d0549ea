"""The wavefront sampler compiled for the CPU: `latticear.sampling.torch_engine` without a PyTorch call per product.

The kernels (`latticear/kernels`, C) are built when the package is installed. If they could not be built, or do not
support an operation of the network, `latticear.sampling.torch_engine` draws instead; the tokens are the same.
"""

from __future__ import annotations

import ctypes
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor, nn

from latticear.kernels import structures
from latticear.kernels.library import instruction_sets, library
from latticear.kernels.structures import CONFIGURATIONS
from latticear.lattice import configuration_size
from latticear.sampling.lowering import Lowered, allocate, steps_of
from latticear.sampling.reference import Drawn, Given
from latticear.sampling.schedule import Schedule
from latticear.sampling.tracing import Node

__all__ = ["NativeEngine"]


class NativeEngine:
    """A sampler for one network, translated into a program for the kernels.

    Args:
        model: the network, on the CPU; its weights are read anew in each call of `draw`.
        schedule: the schedule of the network: the tick at which each value is computed.
        nodes: the nodes of the network, from `lower`.
    """

    instruction_set = -1
    """Index into `instruction_sets()`; by default the last one, which is the fastest."""

    padded = False  # the result for a configuration does not depend on how many are drawn together

    def __init__(self, model: Any, schedule: Schedule, nodes: list[Lowered]) -> None:
        self.shape, self.dtype = schedule.graph.shape, next(model.parameters()).dtype
        self._nodes = nodes
        self._n_rings = allocate(schedule, nodes)
        records = (structures.Node * len(nodes))(*(node.record for node in nodes))
        steps = steps_of(schedule, nodes)
        self._steps = (structures.Step * len(steps))(*steps)
        self._records, self._bias = records, model.bias  # the program points into them
        self._program = structures.Program(
            *self.shape,
            schedule.slope,
            model.n_tokens,
            model.spin_flip_symmetric,
            len(nodes),
            ctypes.addressof(records),
            model.n_components,
            len(steps),
            ctypes.addressof(self._steps),
        )
        self._token_shape = configuration_size(self.shape, model.n_components)
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._in_use = Lock()

    @property
    def block(self) -> int:
        """Number of configurations to draw in one call: enough to keep every thread busy for a while."""
        return max(256, 4 * CONFIGURATIONS * torch.get_num_threads())

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, C H W)`; sites held fixed keep their tokens."""
        u = u.contiguous()
        tokens = (
            torch.empty(u.shape, dtype=torch.long)
            if given is None
            else given.tokens.long().clone(memory_format=torch.contiguous_format)
        )
        where = None if given is None else given.where.contiguous()
        log_q, log_q_given = (torch.empty(len(u), dtype=torch.float64) for _ in range(2))
        arrays = (u, where, tokens, log_q, log_q_given)
        kernels, program, n_threads = library(), ctypes.byref(self._program), torch.get_num_threads()
        with self._in_use:
            self._load()
            size = n_threads * kernels.latticear_size_of_work(program, *self._size)
            if len(self._memory) < size:
                self._memory = torch.empty(size, dtype=torch.uint8)
            chosen = range(len(instruction_sets()))[self.instruction_set]
            for part in torch.arange(len(u)).split(2 * CONFIGURATIONS * n_threads):  # Ctrl-C works between parts
                first = int(part[0])
                conditions = None if condition is None else condition[first : first + len(part)]
                temperatures, couplings = self._strengths(len(part), conditions)
                constants = self._constants(conditions)
                places = [None if t is None else t[first:].data_ptr() for t in arrays]
                places += [None if t is None else t.data_ptr() for t in (temperatures, constants)]
                columns = [0 if t is None else t.shape[1] for t in (constants, couplings)]
                factors = None if couplings is None else couplings.data_ptr()
                block = ctypes.byref(structures.Block(len(part), *places, *columns, factors))
                kernels.latticear_draw(program, block, chosen, *self._size, n_threads, self._memory.data_ptr())
        return Drawn(tokens.view(-1, *self._token_shape), log_q, log_q_given)

    @property
    def _size(self) -> tuple[int, int]:
        return int(self.dtype == torch.float64), self._n_rings

    @torch.no_grad()
    def _constants(self, condition: Tensor | None) -> Tensor | None:
        """The values that depend on the condition alone: `(n, columns)`, with the channels of a site side by side.

        They are computed for a fixed number of configurations at a time, with padding in the last group, because the
        rounding of PyTorch's products depends on the number of rows.
        """
        nodes = [node.node for node in self._nodes if node.node.is_constant]
        if condition is None or not nodes:
            return None
        rows = torch.arange(-(-len(condition) // CONFIGURATIONS) * CONFIGURATIONS).clamp(max=len(condition) - 1)
        parts = [
            torch.cat([_constant(node, c, self.shape) for node in nodes], 1)
            for c in condition[rows].split(CONFIGURATIONS)
        ]
        return torch.cat(parts)[: len(condition)].contiguous()

    def _strengths(self, n: int, condition: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Temperatures and couplings of n configurations, which the known-neighbour term reads."""
        if self._bias is None:
            return None, None
        temperatures, couplings = self._bias.strengths(n, condition)
        return temperatures.contiguous(), None if couplings is None else couplings.contiguous()

    def _load(self) -> None:
        """Copy the current weights of the network into the memory of the program."""
        for node in self._nodes:
            node.load()
        if (bias := self._bias) is not None:
            self._program.degree = bias.sites.shape[1]
            self._program.neighbours, self._program.energies = bias.sites.data_ptr(), bias.energies.data_ptr()
            self._program.field = bias.field.data_ptr()
            self._program.couplings = None if bias.couplings is None else bias.couplings.data_ptr()


def _constant(node: Node, condition: Tensor, shape: tuple[int, int]) -> Tensor:
    """The value of a node for n conditions, `(n, sites * channels)`; its size is checked, as the kernels do not."""
    value = cast(nn.Module, node.layer)(condition)
    expected = (len(condition), node.channels, *(shape if node.is_map else (1, 1)))
    if tuple(value.shape) != expected:
        raise ValueError(f"{type(node.layer).__name__} must embed a condition as {expected}, got {tuple(value.shape)}")
    return value.movedim(1, -1).flatten(1)
