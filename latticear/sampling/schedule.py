"""The schedule of the wavefront sampler: the tick (step of sampling) at which each value of a network can be computed.

If the slope s is large enough, all sites of one front, `s y + x = t`, are independent given the earlier fronts, and are
drawn together at tick t: a configuration takes `s (H - 1) + W` ticks instead of `H W`. The slope, and the tick at which
each value is ready, follow from the offsets at which layers read their inputs, by a max-plus recursion.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from latticear.sampling.stages import stages_in_order, stages_of
from latticear.sampling.tracing import NEVER, Graph, Incremental, Offset, trace

__all__ = ["Read", "Schedule", "raster_rank", "schedule_of", "wavefront_rank"]


class Schedule:
    """The tick at which each value of a network is computed at a given slope, and how long the value is kept.

    The front `s y + x = t` of a value (a node of the graph) is computed at tick t + ready. At a slope of W, which is
    raster order, a value that depends only on rows above is computed a whole row at a time: row y at tick W y + ready.
    A stack of layers that read columns to the right then has to wait only for the end of the row above.

    If sites have components, these are drawn one after the other within a tick. A value that depends on some of them is
    available at its own site during the same tick, and at other sites one tick later, like the tokens.

    Args:
        graph: the traced network.
        slope: s, at most W.
        stages: the stages of all channels of `graph`, from `stages_of`.

    Attributes:
        graph, slope, stages: as given.
        stages_at: for each node by name, the stages at which channels of it are computed; always includes 0.
        ready: for each node by name, the number of ticks after its front at which it is computed; for tokens 1, with
            components 0.
        by_row: names of the nodes that are computed a row at a time.
    """

    def __init__(self, graph: Graph, slope: int, stages: dict[str, Any]) -> None:
        self.graph, self.slope, self.stages = graph, slope, stages
        self._width = graph.shape[1]
        tokens = graph.nodes[0].name
        self.ready = {tokens: 1 if graph.n_components == 1 else 0}
        self.stages_at = {name: _distinct(stage) for name, stage in stages.items()}
        self._waiting = {name for name, distinct in self.stages_at.items() if len(distinct) > 1}
        self.by_row: set[str] = set()
        last = graph.nodes[-1].name  # the logits, needed front by front
        above = {tokens: 0}  # for each node, how many rows above its own is the last row that it depends on
        for node in graph.nodes[1:]:
            name = node.name
            if node.is_constant:
                above[name], self.ready[name] = NEVER, -NEVER
                continue
            above[name] = min((above[source] - dy for source in node.inputs for dy, _ in node.offsets), default=1)
            if self.is_raster and above[name] > 0 and name != last and not node.is_incremental:
                self.by_row.add(name)
            latest = [self._known(source, dy, dx, name) for source in node.inputs for dy, dx in node.offsets]
            time, layer = max(latest, default=0), cast(Incremental, node.layer)
            self.ready[name] = layer.ready(time, slope, graph.shape) if node.is_incremental else time
        self.ready[last] = max(self.ready[last], 0)  # not before they are needed

    @property
    def is_raster(self) -> bool:
        """True if the slope is W, so that a front is a single site."""
        return self.slope == self._width

    @property
    def in_time(self) -> bool:
        """True if the logits of every front and component are ready when it is drawn."""
        steps_once = not any(node.is_incremental and node.name in self._waiting for node in self.graph.nodes)
        in_order = self.graph.n_components == 1 or stages_in_order(self.graph, self.stages)
        return self.ready[self.graph.nodes[-1].name] <= 0 and steps_once and in_order

    @property
    def n_fronts(self) -> int:
        """Number of fronts, that is, of ticks at which tokens are drawn."""
        return self.slope * (self.graph.shape[0] - 1) + self._width

    def rows(self, front: int) -> range:
        """The rows in which a front has sites."""
        height = self.graph.shape[0]
        first = max(0, -((self._width - 1 - front) // self.slope))
        return range(first, min(height - 1, front // self.slope) + 1)

    def reads(self, name: str, exclude: Collection[str] = ()) -> list[Read]:
        """How nodes other than `exclude` read a node; the last node is read when tokens are drawn from it."""
        readers = [node for node in self.graph.nodes if name in node.inputs and node.name not in exclude]
        reads = [
            Read(self.ready[node.name] - self.ready[name], node.name in self.by_row, offset)
            for node in readers
            for offset in node.offsets
        ]
        return reads or [Read(max(0, -self.ready[name]), False, (0, 0))]

    def fronts_kept(self, reads: list[Read]) -> int:
        """Number of the last fronts of a node that are still read."""
        return max(1, *(read.ahead - self.slope * read.offset[0] - read.offset[1] + 1 for read in reads))

    def rows_kept(self, reads: list[Read]) -> int:
        """In raster order, the number of the last rows of a node that are still read."""
        ends = [(read.ahead + (0 if read.by_row else self._width - 1), read.offset[0]) for read in reads]
        return max(1, *(end // self._width - dy + 1 for end, dy in ends))

    @property
    def first_tick(self) -> int:
        """The tick at which the first value is computed; it may be negative."""
        return min(self.ready[node.name] for node in self.graph.nodes if not node.is_constant)

    def _known(self, source: str, dy: int, dx: int, reader: str) -> int:
        """Number of ticks after the front (or row) of a reader at which its source is available at an offset."""
        end = 0 if source in self.by_row else self._width - 1 if reader in self.by_row else dx
        drawn = source in self._waiting and (dy, dx) != (0, 0)
        return self.slope * dy + end + self.ready[source] + drawn


def _distinct(stages: Tensor | tuple[Tensor, ...]) -> set[int]:
    return {0, *(torch.cat(stages) if isinstance(stages, tuple) else stages).tolist()}


class Read(NamedTuple):
    """One tap through which a node is read by another node, its reader.

    Attributes:
        ahead: number of ticks by which the node is computed before its reader.
        by_row: whether the reader is computed a row at a time.
        offset: the offset (dy, dx) at which the node is read.
    """

    ahead: int
    by_row: bool
    offset: Offset


def raster_rank(shape: tuple[int, int], slope: int) -> Tensor:
    """`rank[y, x] = slope * y + x`: int64 `(H, W)`."""
    height, width = shape
    return slope * torch.arange(height)[:, None] + torch.arange(width)


def schedule_of(model: Any) -> Schedule | None:
    """The schedule of a model at the smallest slope, at most W, at which the logits of a front are ready in time.

    It is W for a model whose bias needs raster order. None for a network that cannot be traced.
    """
    graph, width = trace(model), model.shape[1]
    if graph is None:
        return None
    stages = stages_of(graph)
    if model.bias is not None and model.bias.in_raster_order:
        return Schedule(graph, width, stages)
    schedules = (Schedule(graph, slope, stages) for slope in range(1, width))
    return next((schedule for schedule in schedules if schedule.in_time), Schedule(graph, width, stages))


def wavefront_rank(model: Any) -> Tensor:
    """The rank of each site of a model in raster order: its tick `s y + x`, with s = W if it cannot be traced."""
    schedule, width = schedule_of(model), model.shape[1]
    return raster_rank(model.shape, width if schedule is None else schedule.slope)
