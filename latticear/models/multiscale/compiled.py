"""The phases of the multiscale order compiled for the CPU: draws, log-probabilities and gradients in one call each.

The kernels (`latticear/kernels/patches.c`) are built when the package is installed. They support networks of up to
`MOST_TOKENS` tokens; PyTorch computes all other networks, and draws the same tokens as the kernels. What follows from
the condition alone is computed by PyTorch before (`latticear.models.multiscale.given`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from latticear.hamiltonians import BoltzmannBias
from latticear.kernels import structures
from latticear.kernels.library import instruction_sets, library
from latticear.kernels.structures import LANES, MOST_TOKENS
from latticear.models.multiscale.given import GivenInputs, GivenNetworks
from latticear.models.multiscale.phases import PatchNetwork, PhaseModule
from latticear.models.multiscale.tables import Bonds, bonds_of, numbered, tables_of
from latticear.sampling.reference import Drawn, Given
from latticear.threads import side_by_side

__all__ = ["CompiledPhases", "attached"]

MOST_NEIGHBOURS = 8
"""Largest number of neighbours for tables with an entry for each of the 2^8 patterns of their tokens.

The energies of more neighbours are added one by one.
"""

PIECE = 4 * LANES
"""Number of configurations that a thread draws together, also the number of those whose conditions are embedded together.

It is the same on any number of threads, because the rounding of the embedding depends on it.
"""


class _Program(NamedTuple):
    """The argument of the kernels: phases and sites to draw.

    Attributes:
        order: the C structure that describes the phases in their order.
        records: the C structures of the phases, to which `order` points.
        kept: objects whose memory these structures point to, kept alive with them.
    """

    order: structures.Order
    records: Any
    kept: Any

    def given(self, inputs: GivenInputs, keys: list[str], by_inputs: Mapping[int, Tensor] | None = None) -> _Program:
        """The same with the inputs that follow from the conditions; the derivatives by them are added to `by_inputs`.

        Args:
            inputs: the inputs.
            keys: the names of the phases.
            by_inputs: a tensor for each input that has a gradient, by its `id`.
        """
        if inputs.scales is None and not inputs.learned:
            return self
        records = type(self.records).from_buffer_copy(self.records)
        for record, key in zip(records, keys, strict=True):
            added, factors = inputs.added.get(key), inputs.factors.get(key)
            record.by_target = added is not None and added.shape[1] > 1
            record.added, record.factors = _place(added), _place(factors)
            if by_inputs is not None:
                record.by_added, record.by_factors = (_place(by_inputs.get(id(part))) for part in (added, factors))
        order = _ordered(self.order, records)
        order.n_padded, order.n_instances = inputs.n, inputs.n_instances
        order.instances, order.scales, order.couplings = map(
            _place, (inputs.instances, inputs.scales, inputs.couplings)
        )
        return _Program(order, records, (self.kept, inputs, by_inputs))


class CompiledPhases:
    """Draws configurations, and computes log-probabilities and gradients, by the compiled kernels.

    The weights are read anew at each call. The result for a configuration does not depend on the number of threads, and
    without a condition it does not depend on the others in the same call either.

    Args:
        shape: (H, W).
        n_tokens: q.
        phases: the phases by name, in their order; on the CPU.
        bias: the energies of known neighbours, or None.
        biased: for each phase by name, whether the bias adds to its logits.
        embed: the embedding of the condition, or None.

    Attributes:
        instruction_set: index, among the instruction sets of this machine, of the one to use; -1 for the fastest.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int,
        phases: Mapping[str, PhaseModule],
        bias: BoltzmannBias | None,
        biased: Mapping[str, bool],
        embed: nn.Module | None,
    ) -> None:
        self.instruction_set = -1
        self._shape, self._n_sites, self._n_tokens = shape, shape[0] * shape[1], n_tokens
        energies = bias is not None and not _has_tables(n_tokens, bias)
        self._given = GivenNetworks(phases, bias if energies else None, embed)
        own = [[] if phase.network is None else _sources(phase.network) for phase in phases.values()]
        self._sources = [source for sources in own for source in sources]
        self._sizes = [size for phase in phases.values() if phase.network is not None for size in _sizes(phase)]
        ends = accumulate(map(len, own))
        self._starts = [end - len(sources) if sources else None for end, sources in zip(ends, own, strict=True)]
        self._places = (ctypes.c_void_p * len(self._sources))()
        self._phases = (structures.Phase * len(phases))()
        self._keys = list(phases)
        self._kept: list[Any] = []  # arrays that the records point to
        looked_up = None if energies else bias
        for record, (key, phase), place in zip(self._phases, phases.items(), self._pieces(self._places), strict=True):
            terms = tables_of(phase, looked_up, biased.get(key, False))
            arrays = (_indices(phase.sites), _indices(phase.taps.T), *terms)
            self._kept.append(arrays)
            record.n_targets, record.n_taps, record.n_terms = *arrays[1].shape, arrays[3].shape[1]
            record.sites, record.taps, record.neighbours, record.tables = (array.data_ptr() for array in arrays)
            if phase.network is not None:
                record.depth, record.n_outputs = len(phase.network.layers), _n_outputs(phase)
                record.width = _width(phase.network)
                record.weights = place
        if energies:
            assert bias is not None
            self._set_bonds([bonds_of(phase, bias) for phase in phases.values()])
            for record, key in zip(self._phases, phases, strict=True):
                record.bonded = biased.get(key, False)
        self._order = structures.Order(
            n_sites=self._n_sites,
            n_tokens=n_tokens,
            degree=0 if bias is None else bias.sites.shape[1],
            gauged=any(phase.gauged for phase in phases.values()),
            symmetric=n_tokens > 2 and any(phase.symmetric for phase in phases.values()),
            n_phases=len(phases),
            pairs=_place(self._pairs) if energies else None,
        )
        self._phase_of, self._target_of = (torch.empty(self._n_sites, dtype=torch.int32) for _ in range(2))
        for k, phase in enumerate(phases.values()):
            self._phase_of[phase.sites] = k
            self._target_of[phase.sites] = torch.arange(len(phase.sites), dtype=torch.int32)
        self._whole = self._program(torch.arange(self._n_sites))

    @staticmethod
    def supports(n_tokens: int, like: Tensor) -> bool:
        """Whether kernels are installed that support n_tokens tokens, on the device of `like`."""
        return n_tokens <= MOST_TOKENS and like.device.type == "cpu" and library() is not None

    def _set_bonds(self, phases: list[Bonds]) -> None:
        """Let the records point to the bonds of the phases, from which the kernels compute energies."""
        self._pairs, parts = numbered(phases)
        for record, bonds, part in zip(self._phases, phases, parts, strict=True):
            fields = bonds.fields.contiguous()
            record.n_later, record.bonds, record.fields = part.shape[1] - 1, part.data_ptr(), fields.data_ptr()
            self._kept.append((part, fields))

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters in the order in which `gradients` returns their gradients, first those of all perceptrons."""
        return [*(weight for weight in self._weights if weight is not None), *self._given.parameters]

    @property
    def reads_condition(self) -> bool:
        """Whether anything depends on the condition."""
        return self._given.reads_condition

    @property
    def depends_on_number(self) -> bool:
        """Whether the rounding depends on how many configurations are drawn together."""
        return self._given.depends_on_number

    def fit(self) -> bool:
        """Whether all weights have the shapes, types and memory layout that the kernels read."""
        every = self._weights
        dtype = _dtype(every)
        return (
            dtype in (torch.float32, torch.float64)
            and all(
                weight is size if weight is None or size is None else _fits(weight, size, dtype)
                for weight, size in zip(every, self._sizes, strict=True)
            )
            and self._given.fit(dtype)
        )

    @property
    def block(self) -> int:
        """The number of configurations to draw in one call, large enough to keep every thread busy."""
        return PIECE * torch.get_num_threads()

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, N)`; sites held fixed keep their tokens."""
        tokens, where = torch.empty(u.shape, dtype=torch.uint8), None
        if given is not None:
            tokens.copy_(given.tokens)
            where = given.where.contiguous()
        log_q, log_q_given = self._account(u.contiguous(), tokens, where, None, condition)
        return Drawn(tokens.view(-1, *self._shape).long(), log_q, log_q_given)

    def log_prob(self, tokens: Tensor, sites: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Log-probabilities `(B,)` of complete configurations `(B, N)`, or of some sites `(n,)` given the others."""
        return self._account(None, tokens.to(torch.uint8).contiguous(), None, sites, condition)[1]

    def redraw(
        self, tokens: Tensor, sites: Tensor, u: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw the tokens of some sites anew, in the order of the phases.

        Args:
            tokens: configurations `(B, N)`, filled in at all sites that the sites to be drawn depend on.
            sites: int64 `(n,)`, each site once.
            u: float64 `(B, n)`, uniform in [0, 1).
            condition: `(B, k)` or None.

        Returns:
            The tokens drawn, `(B, n)`, and the log-probability of drawing them, `(B,)`.
        """
        drawn = tokens.to(torch.uint8).contiguous()
        drawn = drawn.clone() if drawn is tokens else drawn
        log_q, _ = self._account(u.contiguous(), drawn, None, sites, condition)
        return drawn[:, sites].long(), log_q

    def gradients(self, tokens: Tensor, weights: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Gradients of `(weights * log_q).sum()` with respect to each of `parameters`.

        Args:
            tokens: complete configurations `(B, N)`.
            weights: the weight of each configuration, `(B,)`.
            condition: `(B, k)` or None.
        """
        tokens, weights = tokens.to(torch.uint8).contiguous(), weights.double()
        if not len(tokens):
            return [torch.zeros_like(weight) for weight in self.parameters]
        rows = self._read(condition)

        def of_piece(at: slice, n_threads: int) -> list[Tensor]:
            return self._gradients(tokens[at], weights[at], None if rows is None else rows[at], n_threads)

        first, *others = self._in_pieces(of_piece, len(tokens))
        return [torch.stack(parts).sum(0) for parts in zip(first, *others, strict=True)] if others else first

    def _gradients(self, tokens: Tensor, weights: Tensor, condition: Tensor | None, n_threads: int) -> list[Tensor]:
        n, padded = len(tokens), _padded(len(tokens))
        weights = F.pad(weights, (0, padded - n))
        boards = torch.empty(padded * (self._n_sites + 1), dtype=torch.int8)
        gradients = [None if w is None else torch.empty_like(w) for w in self._weights]
        places = (ctypes.c_void_p * len(gradients))(*map(_place, gradients))
        of_phases = (ctypes.c_void_p * len(self._starts))(*self._pieces(places))
        with torch.enable_grad():
            inputs = self._inputs(n, condition)
        learned = [part for part in inputs.learned if part.requires_grad]
        by_inputs = {id(part): torch.zeros_like(part) for part in learned}
        arrays = (tokens.data_ptr(), weights.data_ptr(), boards.data_ptr(), ctypes.addressof(of_phases))
        program = self._whole.given(inputs, self._keys, by_inputs)
        self._call("latticear_patches_learn", n_threads, program, n, *arrays)
        own = [gradient for gradient in gradients if gradient is not None]
        return own + self._given.gradients(learned, list(by_inputs.values()))

    def _read(self, condition: Tensor | None) -> Tensor | None:
        """The condition; None if nothing depends on it."""
        return condition.detach() if condition is not None and self.reads_condition else None

    def _inputs(self, n: int, condition: Tensor | None) -> GivenInputs:
        """The inputs of the kernels for n configurations and more, whose conditions are that of the last one."""
        padded = _padded(n)
        if condition is not None:
            condition = condition[torch.arange(padded).clamp(max=n - 1)]
        like = next(weight for weight in self._weights if weight is not None)
        return self._given.inputs(padded, condition, like, self._chosen)

    @property
    def _chosen(self) -> int:
        return range(len(instruction_sets()))[self.instruction_set]

    def _account(
        self, u: Tensor | None, tokens: Tensor, where: Tensor | None, sites: Tensor | None, condition: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Draw or weigh the tokens of `sites`, or of all sites.

        Args:
            u: uniform numbers to draw from; None if the tokens are complete and only their probabilities are wanted.
            tokens: uint8 `(B, N)`, filled in place.
            where: mask of the sites held fixed, or None.
            sites: sites to draw or weigh; None for all.
            condition: `(B, k)` or None.

        Returns:
            The log-probabilities of the drawn sites and of the sites held fixed, `(B,)` each; without `u` all sites
            count as held fixed.
        """
        program = self._whole if sites is None else self._program(sites)
        n_columns = self._n_sites if sites is None else len(sites)
        log_q, log_q_given = (torch.empty(len(tokens), dtype=torch.float64) for _ in range(2))

        rows = self._read(condition)

        def account(at: slice, n_threads: int) -> None:
            arrays = [None if array is None else array[at] for array in (u, where, tokens, log_q, log_q_given)]
            n = len(tokens[at])
            batch = structures.Batch(n, n_columns, sites is not None, *map(_place, arrays))
            with torch.no_grad():
                given = program.given(self._inputs(n, None if rows is None else rows[at]), self._keys)
            self._call("latticear_patches_draw", n_threads, given, ctypes.byref(batch))

        self._in_pieces(account, len(tokens))
        return log_q, log_q_given

    def _in_pieces(self, work: Callable[[slice, int], Any], n: int) -> list[Any]:
        """Do the work for all n configurations, or, if the rounding depends on their number, for so many at a time.

        Args:
            work: takes a piece and the number of threads for it.
            n: number of configurations.
        """
        if not self.depends_on_number:
            return [work(slice(n), torch.get_num_threads())]
        pieces = [slice(start, start + PIECE) for start in range(0, n, PIECE)]
        n_threads = max(1, torch.get_num_threads() // max(1, len(pieces)))
        return side_by_side(lambda at: work(at, n_threads), pieces)

    def _program(self, sites: Tensor) -> _Program:
        """The program that draws these sites; site `sites[i]` uses column i of the uniform numbers."""
        phase_of = self._phase_of[sites]
        columns = phase_of.argsort(stable=True)
        drawn, columns = self._target_of[sites[columns]], columns.to(torch.int32)
        records = type(self._phases).from_buffer_copy(self._phases)
        start = 0
        for record, n in zip(records, phase_of.bincount(minlength=len(records)).tolist(), strict=True):
            record.n_drawn = n
            record.drawn, record.columns = (array.data_ptr() + array.itemsize * start for array in (drawn, columns))
            start += n
        return _Program(_ordered(self._order, records), records, (drawn, columns))

    def _call(self, name: str, n_threads: int, program: _Program, *arguments: Any) -> None:
        weights = self._weights
        self._places[:] = [_place(weight) for weight in weights]
        kernels, record = library(), ctypes.byref(program.order)
        is_double, learns = int(_dtype(weights) == torch.float64), int(name.endswith("learn"))
        memory = torch.empty(kernels.latticear_patches_size(record, is_double, learns, n_threads), dtype=torch.uint8)
        getattr(kernels, name)(record, *arguments, self._chosen, is_double, n_threads, memory.data_ptr())

    @property
    def _weights(self) -> list[Tensor | None]:
        """The weights and biases that the kernels read, phase by phase; None for a missing one."""
        return [parameters.get(name) for parameters, name in self._sources]

    def _pieces(self, places: Any) -> Iterator[int | None]:
        """Addresses at which the pointers of each phase begin among all `places`; None for phases without a network."""
        size = ctypes.sizeof(ctypes.c_void_p)
        return (None if start is None else ctypes.addressof(places) + start * size for start in self._starts)


def attached(kernels: CompiledPhases, tokens: Tensor, condition: Tensor | None, known: Tensor | None) -> Tensor:
    """Log-probabilities `(B,)` of complete configurations `(B, N)`, with their gradient by the parameters.

    `known` are their values if these have been computed before; None computes them.
    """
    log_q = kernels.log_prob(tokens, None, condition) if known is None else known
    if not torch.is_grad_enabled():
        return log_q
    result: Tensor = _Attached.apply(kernels, tokens, condition, log_q, *kernels.parameters)
    return result


class _Attached(torch.autograd.Function):
    """Recomputes all activations in the backward pass, as `latticear.models.multiscale.recomputed` does."""

    @staticmethod
    def forward(
        ctx: Any, kernels: CompiledPhases, tokens: Tensor, condition: Tensor | None, log_q: Tensor, *weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(tokens, condition, *weights)
        ctx.kernels = kernels
        return log_q.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tokens, condition, *_ = ctx.saved_tensors  # raises if any of them has changed since the forward pass
        return (None, None, None, None, *ctx.kernels.gradients(tokens, gradients[0], condition))


def _dtype(weights: list[Tensor | None]) -> torch.dtype | None:
    """The type of the first weight that is not None; None if there is no such weight."""
    return next((weight.dtype for weight in weights if weight is not None), None)


def _fits(weight: Tensor, size: tuple[int, ...], dtype: torch.dtype) -> bool:
    return weight.shape == size and weight.dtype == dtype and weight.is_contiguous() and weight.is_cpu


def _sources(network: PatchNetwork) -> list[tuple[dict[str, Tensor | None], str]]:
    """Weight and bias of each layer, then of the head, in the order of the kernels.

    Each is given by the dictionary and the key under which its module keeps it, since a parameter may be replaced.
    """
    layers: list[Any] = [*network.layers, network]
    return [(layer._parameters, name) for layer in layers for name in ("weight", "bias")]


def _sizes(phase: PhaseModule) -> list[tuple[int, ...] | None]:
    """Shapes that the kernels expect of the weights of `_sources`; None for the head's weight without hidden layers."""
    assert phase.network is not None
    width, depth, n_outputs = _width(phase.network), len(phase.network.layers), _n_outputs(phase)
    n_inputs = len(phase.taps) * (1 if phase.n_tokens == 2 else phase.n_tokens)
    inputs = [n_inputs, *[width] * (depth - 1)] if depth else []
    hidden = [size for n_inputs in inputs for size in ((width, n_inputs), (width,))]
    return [*hidden, (n_outputs, width) if depth else None, (n_outputs,)]


def _width(network: PatchNetwork) -> int:
    return 0 if network.weight is None else network.weight.shape[1]


def _n_outputs(phase: PhaseModule) -> int:
    return 1 if phase.gauged else phase.n_tokens


def _has_tables(n_tokens: int, bias: BoltzmannBias) -> bool:
    """Whether the energies follow from the pattern of the neighbours' tokens alone, and the patterns are few."""
    fixed = bias.temperature is not None and not bias.n_maps
    return n_tokens == 2 and fixed and bias.sites.shape[1] <= MOST_NEIGHBOURS


def _ordered(order: structures.Order, records: Any) -> structures.Order:
    """A copy of `order` with other phases."""
    copy = structures.Order.from_buffer_copy(order)
    copy.phases = ctypes.addressof(records)
    return copy


def _padded(n: int) -> int:
    return -(-n // LANES) * LANES


def _place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _indices(sites: Tensor) -> Tensor:
    return sites.to(torch.int32).contiguous()
