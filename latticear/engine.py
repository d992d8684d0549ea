"""The wavefront engine: ancestral sampling at the price of a forward pass.

Only what depends on the newest tokens changes from one draw to the next, so each hidden value is computed once, from
its live taps alone, and all sites of a front are drawn together. Values are kept in rings, `[row][configuration][front]
[channel]`: tap (dy, dx) of front t is front `t + s dy + dx` of another row, so neighbouring taps of one row are
neighbouring numbers and a layer is one matrix product for each row of its kernel, without copying. A ring holds only
the fronts (in raster order, the rows) that are still read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from latticear.ancestral import Autoregressive, Drawn, Given, draw_front, draw_reference
from latticear.wavefront import Graph, Node, Offset, raster_rank, trace

__all__ = ["Engine", "draw_wavefront"]

SMALL = 2**25
"""Multiply-adds of a product that one thread does alone (measured on two cores: half the time at L = 8 to 16)."""

Values = dict[str, Any]
Work = Callable[[Values], None]

_engines: WeakKeyDictionary[Any, dict[Any, Engine | None]] = WeakKeyDictionary()


def draw_wavefront(
    model: Autoregressive, u: Tensor, condition: Tensor | None = None, given: Given | None = None
) -> Drawn:
    """Draw as `draw_reference` does, the same tokens for the same numbers, by the engine.

    A network that the engine cannot serve (one that is not traced, conditions, components, an order of its own) is
    drawn by the reference.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if first is None or condition is not None:
        return draw_reference(model, u, condition, given)
    engines = _engines.setdefault(model, {})
    key = (len(u), first.device, first.dtype, *map(id, modules))  # another module would be another network
    if key not in engines:
        engines[key] = _engine(model, len(u), first)
    engine = engines[key]
    return draw_reference(model, u, None, given) if engine is None else engine.draw(u, given)


def _engine(model: Any, batch: int, like: Tensor) -> Engine | None:
    graph = trace(model) if model.n_components == 1 else None
    if graph is None:
        return None
    slope = graph.slope(model.shape[1])
    known = graph.ready(slope)[graph.nodes[-1].name] <= 0
    same = torch.equal(model.rank.cpu(), raster_rank(model.shape, slope))
    return Engine(model, graph, batch, like) if known and same else None


class Engine:
    """A schedule and its memory for one network, batch size, device and number type.

    Args:
        model: the network; its weights are read anew at each call.
        graph: what it computes.
        batch: configurations drawn together.
        like: a tensor of the device and type of the network.
    """

    def __init__(self, model: Any, graph: Graph, batch: int, like: Tensor) -> None:
        self.shape, self.q, self.bias = model.shape, model.n_tokens, model.bias
        self.batch, self.graph, self.like = batch, graph, like.detach()
        self.flips = model.spin_flip_symmetric
        self.lanes = batch * (1 + self.flips)  # the flipped configurations run beside the straight ones
        self.slope = graph.slope(self.shape[1])
        self.ready = graph.ready(self.slope)
        self.weights = {node.name: _Weights(node) for node in graph.nodes if node.layer is not None}
        self.rings = {node.name: ring for node in graph.nodes if (ring := self._ring(node)) is not None}
        self._in_use = Lock()  # the rings serve one draw at a time
        first = min(self.ready.values())
        self.ticks = [(t, list(self._works(t))) for t in range(first, self._n_fronts)]

    @property
    def _is_small(self) -> bool:
        """True if a tick's largest product takes less time than waking other threads for it."""
        height, width = self.shape
        rows = min(height, -(-width // self.slope)) * self.lanes
        largest = max(weights.size for weights in self.weights.values())
        return self.like.device.type == "cpu" and rows * largest < SMALL

    @property
    def _n_fronts(self) -> int:
        return self.slope * (self.shape[0] - 1) + self.shape[1]

    @torch.no_grad()
    def draw(self, u: Tensor, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, H W)`, but for the sites held fixed."""
        with self._in_use, _threads(1 if self._is_small else torch.get_num_threads()):
            return self._draw(u, given)

    def _draw(self, u: Tensor, given: Given | None) -> Drawn:
        for weights in self.weights.values():
            weights.load()
        for ring in self.rings.values():
            ring.data.zero_()
        tokens = torch.zeros(u.shape, dtype=torch.long, device=u.device)
        log_q, log_q_given = (torch.zeros(self.batch, dtype=torch.float64, device=u.device) for _ in range(2))
        for t, works in self.ticks:
            values: Values = {}
            for work in works:
                work(values)
            if t >= 0:
                front = self._draw_front(t, values[self.graph.nodes[-1].name], u, tokens, given)
                log_q += front.log_q
                log_q_given += front.log_q_given
        return Drawn(tokens.view(-1, *self.shape), log_q, log_q_given)

    def _draw_front(self, t: int, logits: Tensor, u: Tensor, tokens: Tensor, given: Given | None) -> Drawn:
        """Draw the sites of front t, and write them into tokens and into the ring that the network reads."""
        sites = self._sites(t).to(u.device)
        logits_nbq = logits.view(len(sites), self.lanes, self.q)
        if self.flips:
            straight, flipped = logits_nbq.chunk(2, 1)
            logits_nbq = straight + flipped.flip(-1)
        if self.bias is not None:
            logits_nbq = logits_nbq + self.bias.at(tokens, sites).transpose(0, 1)
        held = None if given is None else Given(*(part[:, sites].T for part in given))
        front = draw_front(logits_nbq, u[:, sites].T, held, 0)
        tokens[:, sites] = front.tokens.T
        lanes = torch.cat([front.tokens, self.q - 1 - front.tokens], 1) if self.flips else front.tokens
        hot = (lanes[..., None] == torch.arange(self.q, device=u.device)).to(self.like.dtype)
        self.rings[self.graph.nodes[0].name].write(t, self._rows(t), hot)
        return front

    def _rows(self, front: int) -> range:
        """The rows that a front crosses."""
        height, width = self.shape
        first = max(0, -((width - 1 - front) // self.slope))
        return range(first, min(height - 1, front // self.slope) + 1)

    def _sites(self, front: int) -> Tensor:
        rows = torch.tensor(self._rows(front))
        return rows * self.shape[1] + front - self.slope * rows

    def _ring(self, node: Node) -> _Ring | None:
        """Memory for the fronts of a node that others still read; None if all read it as it is computed."""
        readers = [
            reader
            for reader in self.graph.nodes
            if node.name in reader.inputs and not self._reads_at_once(reader, node.name)
        ]
        if not readers and node.inputs:
            return None
        ahead = max((self.ready[reader.name] - self.ready[node.name] for reader in readers), default=0)
        offsets = [offset for reader in readers for offset in reader.offsets] or [(0, 0)]
        kind = _Rows if self.slope >= self.shape[1] else _Fronts
        return kind(self, offsets, ahead, node.channels)

    def _reads_at_once(self, reader: Node, name: str) -> bool:
        return reader.offsets == ((0, 0),) and self.ready[reader.name] == self.ready[name]

    def _works(self, t: int) -> Iterator[Work]:
        """What to do at tick t before drawing: every node's front that becomes known now."""
        for node in self.graph.nodes[1:]:
            front = t - self.ready[node.name]
            if 0 <= front < self._n_fronts:
                yield self._taps(node, front) if node.layer is not None else self._pointwise(node, front)
                if node.name in self.rings:
                    yield self._keep(node.name, front)
            elif front >= 0 and node.name in self.rings:
                yield self._clear(node.name, front)  # what runs ahead is past the last site; others still read there

    def _taps(self, node: Node, front: int) -> Work:
        weights, (source,), name = self.weights[node.name], node.inputs, node.name
        if self._reads_at_once(node, source):
            return lambda values: values.__setitem__(name, torch.addmm(weights.bias, values[source], weights.runs[0]))
        rows = self._rows(front)
        ring = self.rings[source]
        views = [
            ring.read(front + self.slope * dy + dx, range(rows.start + dy, rows.stop + dy), length)
            for (dy, dx), length in weights.places
        ]
        n_rows = len(rows) * self.lanes

        def work(values: Values) -> None:
            if not views:
                values[name] = weights.bias.expand(n_rows, -1)
                return
            out = torch.addmm(weights.bias, views[0], weights.runs[0])
            for view, weight in zip(views[1:], weights.runs[1:], strict=True):
                out.addmm_(view, weight)
            values[name] = out

        return work

    def _pointwise(self, node: Node, front: int) -> Work:
        late = {
            source: self.rings[source].read(front, self._rows(front), 1)
            for source in node.inputs
            if not self._reads_at_once(node, source)
        }
        assert node.apply is not None
        apply, name = node.apply, node.name
        if late:
            return lambda values: values.__setitem__(name, apply({**values, **late}))
        return lambda values: values.__setitem__(name, apply(values))

    def _keep(self, name: str, front: int) -> Work:
        ring, rows = self.rings[name], self._rows(front)
        return lambda values: ring.write(front, rows, values[name].view(len(rows), self.lanes, -1))

    def _clear(self, name: str, front: int) -> Work:
        ring = self.rings[name]
        return lambda values: ring.clear(front, self.shape[0])


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """PyTorch's number of threads, for a while."""
    before = torch.get_num_threads()
    if n == before:
        yield
        return
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Weights:
    """The live weights of a layer, one matrix for each run of neighbouring taps in a row of the kernel.

    Attributes:
        places: the first offset of each run and its number of taps.
        runs: `(taps * in_channels, out_channels)` each.
        bias: `(out_channels,)`.
    """

    def __init__(self, node: Node) -> None:
        assert node.layer is not None
        self.layer: Any = node.layer
        every: list[Offset] = list(getattr(self.layer, "offsets", node.offsets))
        runs = groupby(enumerate(sorted(node.offsets)), lambda pair: (pair[1][0], pair[1][1] - pair[0]))
        offsets = [[offset for _, offset in run] for _, run in runs]
        self.places: list[tuple[Offset, int]] = [(run[0], len(run)) for run in offsets]
        self._taps = [[every.index(offset) for offset in run] for run in offsets]
        self.load()

    @property
    def size(self) -> int:
        """Multiply-adds for one site."""
        return sum(run.numel() for run in self.runs)

    def load(self) -> None:
        """Read the weights as they are now."""
        layer = self.layer
        taps_kio = layer.tap_weights() if hasattr(layer, "tap_weights") else layer.weight[:, :, 0, 0].T[None]
        self.runs = [taps_kio[taps].detach().flatten(0, 1).contiguous() for taps in self._taps]
        out = taps_kio.shape[2]
        self.bias = taps_kio.new_zeros(out) if layer.bias is None else layer.bias.detach()


class _Ring(ABC):
    """The values that are still read: `(rows, lanes, slots, channels)`; what lies outside the lattice reads as zero."""

    def __init__(self, engine: Engine, rows: int, slots: int, channels: int) -> None:
        self._width, self._slope = engine.shape[1], engine.slope
        self.data = engine.like.new_zeros(rows, engine.lanes, slots, channels)

    def read(self, front: int, rows: range, length: int) -> Tensor:
        """`length` fronts from `front` on, side by side: `(rows * lanes, length * channels)`, a view."""
        _, lanes, slots, channels = self.data.shape
        row, slot = self._place(front, rows.start)
        size, strides = (len(rows) * lanes, length * channels), (slots * channels, 1)
        return self.data.as_strided(size, strides, row * lanes * slots * channels + slot * channels)

    @abstractmethod
    def write(self, front: int, rows: range, values: Tensor) -> None:
        """Store a front, `(rows, lanes, channels)`."""

    @abstractmethod
    def clear(self, front: int, stop: int) -> None:
        """Make a front read as zero in the rows before `stop`, which it has left."""

    @abstractmethod
    def _place(self, front: int, row: int) -> tuple[int, int]:
        """Row and slot of `data` that hold a front of a row."""


class _Fronts(_Ring):
    """Where a front crosses many rows: the last fronts of every row, each stored twice."""

    def __init__(self, engine: Engine, offsets: list[Offset], ahead: int, channels: int) -> None:
        self._above = max(-dy for dy, _ in offsets)
        self._span = max(1, ahead + 1 + max(-engine.slope * dy - dx for dy, dx in offsets))
        super().__init__(engine, self._above + engine.shape[0], 2 * self._span, channels)

    def _place(self, front: int, row: int) -> tuple[int, int]:
        return self._above + row, front % self._span

    def write(self, front: int, rows: range, values: Tensor) -> None:
        for slot in (front % self._span, front % self._span + self._span):
            self.data[self._above + rows.start : self._above + rows.stop, :, slot] = values
        self.clear(front, rows.start)

    def clear(self, front: int, stop: int) -> None:
        # rows that the front has left; those left long ago hold zeros already
        oldest = self._above + max(0, -((self._width + self._span - 1 - front) // self._slope))
        for slot in (front % self._span, front % self._span + self._span):
            self.data[oldest : self._above + stop, :, slot] = 0


class _Rows(_Ring):
    """In raster order, where a front is one site: the last rows as they lie, with zeros at both ends."""

    def __init__(self, engine: Engine, offsets: list[Offset], ahead: int, channels: int) -> None:
        self._left = max(0, *(-dx for _, dx in offsets))
        right = max(0, *(dx for _, dx in offsets))
        self._n_rows = 1 + max(-dy for dy, _ in offsets) + (ahead > 0)
        super().__init__(engine, self._n_rows, self._left + engine.shape[1] + right, channels)

    def _place(self, front: int, row: int) -> tuple[int, int]:
        return row % self._n_rows, front - self._slope * row + self._left

    def write(self, front: int, rows: range, values: Tensor) -> None:
        row, slot = self._place(front, rows.start)
        self.data[row, :, slot] = values[0]

    def clear(self, front: int, stop: int) -> None:
        """Nothing: a row is written over before it is read again."""
