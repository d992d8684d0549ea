"""The wavefront in PyTorch, on any device: ancestral sampling at the price of a forward pass.

Only what depends on the newest tokens changes from one draw to the next, so each hidden value is computed once, from
its live taps alone, and all sites of a front are drawn together. A layer is one matrix product for each row of its
kernel, read from rings (`latticear.engines.rings`) without copying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from latticear.ancestral import Drawn, Given, draw_front
from latticear.engines.rings import Fronts, Ring, Rows
from latticear.wavefront import Graph, Node, Offset

__all__ = ["Engine"]

SMALL = 2**25
"""Multiply-adds of a product that one thread does alone (measured on two cores: half the time at L = 8 to 16)."""

Values = dict[str, Any]
Work = Callable[[Values], None]


class Engine:
    """A schedule and its memory for one network, batch size, device and number type.

    Args:
        model: the network; its weights are read anew at each call.
        graph: what it computes.
        batch: configurations drawn together.
        like: a tensor of the device and type of the network.
    """

    padded = True

    def __init__(self, model: Any, graph: Graph, batch: int, like: Tensor) -> None:
        self.shape, self.q, self.bias = model.shape, model.n_tokens, model.bias
        self.block, self.graph, self.like = batch, graph, like.detach()
        self.flips = model.spin_flip_symmetric
        self.lanes = batch * (1 + self.flips)  # the flipped configurations run beside the straight ones
        self.slope = graph.slope
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
    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, H W)`, but for the sites held fixed; without a condition."""
        with self._in_use, _threads(1 if self._is_small else torch.get_num_threads()):
            return self._draw(u, given)

    def _draw(self, u: Tensor, given: Given | None) -> Drawn:
        for weights in self.weights.values():
            weights.load()
        for ring in self.rings.values():
            ring.data.zero_()
        tokens = torch.zeros(u.shape, dtype=torch.long, device=u.device)
        log_q, log_q_given = (torch.zeros(self.block, dtype=torch.float64, device=u.device) for _ in range(2))
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

    def _ring(self, node: Node) -> Ring | None:
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
        kind = Rows if self.slope >= self.shape[1] else Fronts
        return kind(self.graph.shape, self.slope, self.lanes, node.channels, offsets, ahead, self.like)

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
        name = node.name
        if late:
            return lambda values: values.__setitem__(name, node.apply({**values, **late}))
        return lambda values: values.__setitem__(name, node.apply(values))

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
        self._node = node
        self._taps: list[list[int]] = []
        self.places: list[tuple[Offset, int]] = []
        taps = sorted(enumerate(node.offsets), key=lambda pair: pair[1])
        for _, group in groupby(enumerate(taps), lambda pair: (pair[1][1][0], pair[1][1][1] - pair[0])):
            run = [tap for _, tap in group]
            self._taps.append([k for k, _ in run])
            self.places.append((run[0][1], len(run)))
        self.load()

    @property
    def size(self) -> int:
        """Multiply-adds for one site."""
        return sum(run.numel() for run in self.runs)

    def load(self) -> None:
        """Read the weights as they are now."""
        taps_kio, self.bias = self._node.weights()
        self.runs = [taps_kio[taps].flatten(0, 1).contiguous() for taps in self._taps]
