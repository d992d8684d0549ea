"""The wavefront sampler in PyTorch, on any device: ancestral sampling at the cost of a forward pass.

A hidden value depends on earlier tokens only and never changes once they are drawn, so it is computed once, from the
unmasked taps (offsets) of its layer. All sites of a front, `s y + x = t`, are drawn together at tick t. A layer is one
matrix product for each row of its kernel, whose inputs are read from ring buffers (`latticear.sampling.rings`) without
copying. If sites have components, a tick has a pass for each component, which computes the channels that depend on the
component before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import groupby
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor, nn

from latticear.lattice import configuration_size
from latticear.sampling.capture import Captured
from latticear.sampling.composition import Remaining
from latticear.sampling.reference import Drawn, Given, draw_front
from latticear.sampling.rings import Fronts, Part, Ring, Rows
from latticear.sampling.schedule import Schedule
from latticear.sampling.tracing import Incremental, Node, Offset
from latticear.threads import SMALL_PRODUCT, thread_count

__all__ = ["Engine"]

Values = dict[str, Any]
Work = Callable[[Values], None]


class Engine:
    """A sampler for one network, number of configurations, device and type of numbers.

    Args:
        model: the network; its weights are read anew in each call of `draw`.
        schedule: the schedule of the network: the tick at which each value is computed.
        batch: number of configurations drawn together.
        like: a tensor of the device and type of the network.
    """

    padded = True

    def __init__(self, model: Any, schedule: Schedule, batch: int, like: Tensor) -> None:
        self.shape, self.q, self.bias, self.n_components = model.shape, model.n_tokens, model.bias, model.n_components
        self.block, self.like = batch, like.detach()
        self.schedule, self.graph = schedule, schedule.graph
        self.flips = model.spin_flip_symmetric
        self.counts = None if model.composition is None else torch.tensor(model.composition, device=like.device)
        self.lanes = batch * (1 + self.flips)  # lanes of the configurations, then of their flipped images
        self.slope, self.ready, self.by_row = self.schedule.slope, self.schedule.ready, self.schedule.by_row
        self.weights = {
            (node.name, stage): _Weights(node, self._columns(node, stage), like.device)
            for node in self.graph.nodes
            if node.has_weights
            for stage in self.schedule.stages_at[node.name]
        }
        self.constants = {
            node.name: like.new_zeros(math.prod(self.shape) if node.is_map else 1, self.lanes, node.channels)
            for node in self.graph.nodes
            if node.is_constant
        }
        ones = torch.ones(batch, model.conditioning.size, dtype=torch.float64, device=like.device)
        self.strengths = None if self.bias is None else self.bias.strengths(batch, ones)
        self.states: dict[str, Any] = {}
        self.rings = {node.name: ring for node in self.graph.nodes if (ring := self._ring(node)) is not None}
        self._in_use = Lock()  # only one call at a time may use the rings
        self._captured: dict[bool, Captured] = {}
        first, n_fronts = self.schedule.first_tick, self.schedule.n_fronts
        self.sites = [self._sites(t) for t in range(n_fronts)]
        on_cpu = self.bias is not None and self.bias.in_raster_order  # its sweep looks at the number of the site
        self._asked = [sites.cpu() for sites in self.sites] if on_cpu else self.sites
        self.ticks = [
            (t, [list(self._works(t, stage)) for stage in range(self.n_components)]) for t in range(first, n_fronts)
        ]

    @property
    def memory(self) -> int:
        """Size of the rings in bytes."""
        return sum(ring.data.nbytes for ring in self.rings.values())

    @property
    def _is_small(self) -> bool:
        """True if the largest product of a tick is too small to gain from more than one thread."""
        height, width = self.shape
        rows = min(height, -(-width // self.slope)) * self.lanes
        largest = max((weights.size for weights in self.weights.values()), default=0)
        return self.like.device.type == "cpu" and rows * largest < SMALL_PRODUCT

    @property
    def _is_captured(self) -> bool:
        """Whether the draws are recorded as a CUDA graph, which holds no step whose sizes depend on the tokens."""
        depends = self.bias is not None and self.bias.in_raster_order
        return self.like.device.type == "cuda" and not depends and not any(n.is_incremental for n in self.graph.nodes)

    @torch.no_grad()
    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, C H W)`; sites held fixed keep their tokens."""
        with self._in_use, thread_count(1 if self._is_small else torch.get_num_threads()):
            for weights in self.weights.values():
                weights.load()
            for node in self.graph.nodes:
                if node.is_constant:
                    value_sbc = cast(nn.Module, node.layer)(condition).flatten(2).permute(2, 0, 1)
                    self.constants[node.name].copy_(torch.cat([value_sbc] * (1 + self.flips), 1))
            if self.bias is not None and self.strengths is not None:
                self.strengths.copy_(self.bias.strengths(self.block, condition))
            if not self._is_captured:
                return self._draw(u, given)
            if (given is None) not in self._captured:
                self._captured[given is None] = Captured(self._draw, u, given)
            return self._captured[given is None].draw(u, given)

    def _draw(self, u: Tensor, given: Given | None) -> Drawn:
        for ring in self.rings.values():
            ring.data.zero_()
        for node in self.graph.nodes:
            if node.is_incremental:
                self.states[node.name] = cast(Incremental, node.layer).begin(self.lanes, self.like)
        tokens = torch.zeros(u.shape, dtype=torch.long, device=u.device)
        log_q, log_q_given = (torch.zeros(self.block, dtype=torch.float64, device=u.device) for _ in range(2))
        remaining = None
        if self.counts is not None:
            remaining = Remaining.at_first(self.counts, len(u), *((None, None) if given is None else given))
        for t, passes in self.ticks:
            values: Values = {}
            for component, works in enumerate(passes):
                for work in works:
                    work(values)
                if t >= 0:
                    logits = values[self.graph.nodes[-1].name]
                    front = self._draw_front(t, component, logits, u, tokens, given, remaining)
                    log_q += front.log_q
                    log_q_given += front.log_q_given
        size = configuration_size(self.shape, self.n_components)
        return Drawn(tokens.view(-1, *size), log_q, log_q_given)

    def _draw_front(
        self,
        t: int,
        component: int,
        logits: Tensor,
        u: Tensor,
        tokens: Tensor,
        given: Given | None,
        remaining: Remaining | None,
    ) -> Drawn:
        """Draw a component of front t; store its tokens in `tokens` and, one-hot, in the ring that layers read."""
        sites = self.sites[t] + component * self.shape[0] * self.shape[1] if component else self.sites[t]
        logits_nbq = logits.view(len(sites), self.lanes, self.n_components, self.q)[:, :, component]
        if self.flips:
            straight, flipped = logits_nbq.chunk(2, 1)
            logits_nbq = straight + flipped.flip(-1)
        if self.bias is not None and self.strengths is not None:
            asked = self._asked[t] if sites is self.sites[t] else sites
            logits_nbq = logits_nbq + self.bias.at(tokens, asked, self.strengths).transpose(0, 1)
        held = None if given is None else Given(*(part[:, sites].T for part in given))
        front = draw_front(logits_nbq, u[:, sites].T, held, 0, remaining)
        tokens[:, sites] = front.tokens.T
        drawn_nbc = front.tokens[..., None]
        if self.n_components > 1:  # later components are stored as token 0, which no layer reads before they are drawn
            drawn_nbc = tokens.view(self.block, self.n_components, -1)[:, :, self.sites[t]].permute(2, 0, 1)
        lanes = torch.cat([drawn_nbc, self.q - 1 - drawn_nbc], 1) if self.flips else drawn_nbc
        hot = (lanes[..., None] == torch.arange(self.q, device=u.device)).to(self.like.dtype).flatten(-2)
        self.rings[self.graph.nodes[0].name].write(self._front(t), hot)
        return front

    def _columns(self, node: Node, stage: int) -> Tensor | None:
        """The channels of a node that are computed at a stage (number of components drawn); None for all channels."""
        stages = self.schedule.stages[node.name].to(self.like.device)
        return None if bool((stages == 0).all()) else (stages == stage).nonzero()[:, 0]

    def _sites(self, front: int) -> Tensor:
        """The sites of a front, int64 `(n,)`, by row."""
        rows = torch.tensor(self.schedule.rows(front), device=self.like.device)
        return rows * self.shape[1] + front - self.slope * rows

    def _ring(self, node: Node) -> Ring | None:
        """Memory for the values of a node that are read after the tick at which they are computed; None if none are."""
        at_once = [reader.name for reader in self.graph.nodes if self._reads_at_once(reader, node.name)]
        if node.is_constant or (node.inputs and all(name in at_once for name in self._readers(node.name))):
            return None
        reads = self.schedule.reads(node.name, at_once)
        (height, width), slope = self.shape, self.slope
        dy, dx = zip(*((0, 0), *(read.offset for read in reads)), strict=True)
        if self.schedule.is_raster:
            size = (self.schedule.rows_kept(reads), self.lanes, width + max(dx) - min(dx), node.channels)
            return Rows(width, slope, self.like.new_zeros(size), left=-min(dx))
        span = self.schedule.fronts_kept(reads)
        data = self.like.new_zeros(height - min(dy), self.lanes, 2 * span, node.channels)
        return Fronts(width, slope, data, above=-min(dy), span=span)

    def _readers(self, name: str) -> list[str]:
        return [node.name for node in self.graph.nodes if name in node.inputs]

    def _reads_at_once(self, reader: Node, name: str) -> bool:
        """True if a reader takes the value of a node directly, without a ring, at the tick at which it is computed.

        Tokens are drawn at the end of a tick and always read from their ring.
        """
        if name == self.graph.nodes[0].name:
            return False
        same = self.ready[reader.name] == self.ready[name] and (reader.name in self.by_row) == (name in self.by_row)
        return name in reader.inputs and reader.offsets == ((0, 0),) and same

    def _works(self, t: int, stage: int) -> Iterator[Work]:
        """The work of tick t before a component is drawn: compute the front, or row, of every node that is due."""
        due = (node for node in self.graph.nodes[1:] if stage in self.schedule.stages_at[node.name])
        for node in (node for node in due if not node.is_constant):
            front = t - self.ready[node.name]
            if part := self._part(node, front):
                yield self._work(node, part, stage)
                if node.name in self.rings:
                    yield self._keep(node.name, part)
            elif front >= self.schedule.n_fronts and node.name in self.rings:
                yield self._clear(node.name, front)  # the node is complete, but its readers still read later fronts

    def _part(self, node: Node, front: int) -> Part | None:
        """The part of a node that is computed for this front: the front, a whole row at its first site, or None."""
        if not 0 <= front < self.schedule.n_fronts:
            return None
        if node.name not in self.by_row:
            return self._front(front)
        row, column = divmod(front, self.shape[1])
        return None if column else Part(front, range(row, row + 1), self.shape[1])

    def _front(self, front: int) -> Part:
        return Part(front, self.schedule.rows(front))

    def _work(self, node: Node, part: Part, stage: int) -> Work:
        if node.is_incremental:
            return self._step(node, part)
        if node.layer is None:
            return self._pointwise(node, part)
        weights = self.weights[node.name, stage]
        taps = self._taps(node, part, weights)
        return taps if weights.columns is None else self._into_columns(node, part, stage, weights.columns, taps)

    def _into_columns(self, node: Node, part: Part, stage: int, columns: Tensor, taps: Work) -> Work:
        """Compute some channels of a value, whose other channels are computed at other stages."""
        name, size = node.name, (len(part.rows) * self.lanes * part.columns, node.channels)

        def work(values: Values) -> None:
            whole = values[name] if stage else self.like.new_zeros(size)
            taps(values)
            values[name] = whole.index_copy_(1, columns, values[name])

        return work

    def _taps(self, node: Node, part: Part, weights: _Weights) -> Work:
        (source,), name = node.inputs, node.name
        if self._reads_at_once(node, source):
            return lambda values: values.__setitem__(name, torch.addmm(weights.bias, values[source], weights.runs[0]))
        views = [self.rings[source].read(part, offset, length) for offset, length in weights.places]
        size = len(part.rows) * self.lanes * part.columns

        def work(values: Values) -> None:
            if not views:
                values[name] = weights.bias.expand(size, -1)
                return
            out = torch.addmm(weights.bias, views[0].flatten(0, -2), weights.runs[0])
            for view, weight in zip(views[1:], weights.runs[1:], strict=True):
                out.addmm_(view.flatten(0, -2), weight)
            values[name] = out

        return work

    def _pointwise(self, node: Node, part: Part) -> Work:
        stored, name = self._stored_inputs(node, part), node.name
        if stored:
            return lambda values: values.__setitem__(name, node.apply({**values, **_flat(stored)}))
        return lambda values: values.__setitem__(name, node.apply(values))

    def _step(self, node: Node, part: Part) -> Work:
        stored, name, n_rows = self._stored_inputs(node, part), node.name, len(part.rows)
        y = torch.tensor(part.rows, device=self.like.device)
        x, layer = part.front - self.slope * y, cast(Incremental, node.layer)

        def work(values: Values) -> None:
            available = {**values, **stored}
            inputs = [available[source].view(n_rows, self.lanes, -1) for source in node.inputs]
            values[name] = layer.step(self.states[name], y, x, *inputs).reshape(n_rows * self.lanes, -1)

        return work

    def _stored_inputs(self, node: Node, part: Part) -> Values:
        """The inputs of a node that are not taken directly: constants, and values read from their rings."""
        return {
            source: self._everywhere(source, part)
            if source in self.constants
            else self.rings[source].read(part, (0, 0), 1)
            for source in node.inputs
            if not self._reads_at_once(node, source)
        }

    def _everywhere(self, name: str, part: Part) -> Tensor:
        """A constant at the sites of a part: `(rows, lanes, C)` for a front, `(lanes, columns, C)` for a row."""
        values_slc, (_, width) = self.constants[name], self.shape
        n = len(part.rows) * part.columns
        if len(values_slc) == 1:  # the same at all sites
            at_part = values_slc.expand(n, -1, -1)
        else:
            first = part.front + (width - self.slope) * part.rows.start
            (_, lanes, channels), step = values_slc.shape, 1 if part.columns > 1 else width - self.slope
            at_part = values_slc.as_strided(
                (n, lanes, channels), (step * lanes * channels, channels, 1), first * lanes * channels
            )
        return at_part.transpose(0, 1) if part.columns > 1 else at_part

    def _keep(self, name: str, part: Part) -> Work:
        ring = self.rings[name]
        return lambda values: ring.write(part, values[name])

    def _clear(self, name: str, front: int) -> Work:
        ring = self.rings[name]
        return lambda values: ring.clear(front, self.shape[0])


def _flat(views: Values) -> Values:
    return {name: view.flatten(0, -2) for name, view in views.items()}


class _Weights:
    """The unmasked weights of a layer, one matrix for each run of adjacent taps in a row of its kernel.

    Args:
        node: the node of the layer.
        columns: the output channels to compute; None for all.
        device: their device.

    Attributes:
        columns: as given.
        places: the first offset and the number of taps of each run.
        runs: the matrix of each run, `(taps * in_channels, out_channels)`.
        bias: `(out_channels,)`.
    """

    def __init__(self, node: Node, columns: Tensor | None, device: torch.device) -> None:
        self._node, self.columns = node, columns
        self._places = torch.tensor(node.places, dtype=torch.long, device=device)
        self._taps: list[Tensor] = []
        self.places: list[tuple[Offset, int]] = []
        taps = sorted(enumerate(node.offsets), key=lambda pair: pair[1])
        for _, group in groupby(enumerate(taps), lambda pair: (pair[1][1][0], pair[1][1][1] - pair[0])):
            run = [tap for _, tap in group]
            self._taps.append(torch.tensor([k for k, _ in run], device=device))
            self.places.append((run[0][1], len(run)))
        taps_kio, bias = self._read()
        self.runs = [taps_kio[taps].flatten(0, 1).contiguous() for taps in self._taps]
        self.bias = bias.clone()

    @property
    def size(self) -> int:
        """Number of multiply-adds for one site."""
        return sum(run.numel() for run in self.runs)

    def load(self) -> None:
        """Copy the current weights of the layer into the same memory."""
        taps_kio, bias = self._read()
        for run, taps in zip(self.runs, self._taps, strict=True):
            run.copy_(taps_kio[taps].flatten(0, 1))
        self.bias.copy_(bias)

    def _read(self) -> tuple[Tensor, Tensor]:
        taps_kio, bias = self._node.weights(self._places)
        return (taps_kio, bias) if self.columns is None else (taps_kio[..., self.columns], bias[self.columns])
