"""The phases of the multiscale order compiled for the CPU: draws, log-probabilities and gradients in one call each.

The kernels (`latticear/kernels/patches.c`) are built when the package is installed. They know two tokens at one
temperature and no other condition; everything else is left to PyTorch, with the same tokens.

Index suffixes: t target, k neighbour, e later neighbour, p pattern of the tokens of all neighbours.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from latticear.hamiltonians import BoltzmannBias, SummedNeighbours
from latticear.kernels import structures
from latticear.kernels.library import instruction_sets, library
from latticear.kernels.structures import LANES
from latticear.models.multiscale.phases import PatchNetwork, PhaseModule
from latticear.sampling.reference import Drawn, Given

__all__ = ["CompiledPhases", "attached"]

MOST_NEIGHBOURS = 8
"""A table has an entry for each pattern of their tokens."""


class _Program(NamedTuple):
    """What the kernels run.

    Attributes:
        order: of the phases.
        kept: what it points to.
    """

    order: structures.Order
    kept: Any


class CompiledPhases:
    """What draws and weighs configurations of two tokens by the kernels; the weights are read anew at each call.

    Nothing that is computed for a configuration depends on those beside it or on the number of threads.

    Args:
        shape: (H, W).
        phases: by name, in their order; on the CPU, without a condition.
        bias: the energies at one temperature, or None.
        biased: by name, whether the bias adds anything to a phase.

    Attributes:
        instruction_set: index of that to use among those of this machine.
    """

    padded = False

    def __init__(
        self,
        shape: tuple[int, int],
        phases: Mapping[str, PhaseModule],
        bias: BoltzmannBias | None,
        biased: Mapping[str, bool],
    ) -> None:
        self.instruction_set = -1
        self._shape, self._n_sites = shape, shape[0] * shape[1]
        own = [[] if phase.network is None else _sources(phase.network) for phase in phases.values()]
        self._sources = [source for sources in own for source in sources]
        self._sizes = [None if weight is None else weight.shape for weight in self._weights]
        ends = accumulate(map(len, own))
        self._starts = [end - len(sources) if sources else None for end, sources in zip(ends, own, strict=True)]
        self._places = (ctypes.c_void_p * len(self._sources))()
        self._phases = (structures.Phase * len(phases))()
        self._kept = []  # what the records point to
        for record, (key, phase), place in zip(self._phases, phases.items(), self._pieces(self._places), strict=True):
            arrays = (_indices(phase.sites), _indices(phase.taps.T), *_terms(phase, bias, biased.get(key, False)))
            self._kept.append(arrays)
            record.n_targets, record.n_taps, record.n_terms = *arrays[1].shape, arrays[3].shape[1]
            record.sites, record.taps, record.neighbours, record.tables = (array.data_ptr() for array in arrays)
            if phase.network is not None:
                record.depth, record.n_outputs = len(phase.network.layers), len(phase.network.bias)
                record.width = 0 if phase.network.weight is None else phase.network.weight.shape[1]
                record.weights = place
        self._gauged = any(phase.gauged for phase in phases.values())
        self._degree = 0 if bias is None else bias.sites.shape[1]
        self._phase_of, self._target_of = (torch.empty(self._n_sites, dtype=torch.int32) for _ in range(2))
        for k, phase in enumerate(phases.values()):
            self._phase_of[phase.sites] = k
            self._target_of[phase.sites] = torch.arange(len(phase.sites), dtype=torch.int32)
        self._whole = self._program(torch.arange(self._n_sites))

    @staticmethod
    def serve(n_tokens: int, bias: BoltzmannBias | None, like: Tensor) -> bool:
        """Whether the kernels are there and know networks of so many tokens with this bias, on the device of `like`."""
        known = bias is None or (
            bias.temperature is not None and not bias.n_maps and bias.sites.shape[1] <= MOST_NEIGHBOURS
        )
        return n_tokens == 2 and known and like.device.type == "cpu" and library() is not None

    @property
    def parameters(self) -> list[Tensor]:
        """Those of all perceptrons, in the order of the gradients."""
        return [weight for weight in self._weights if weight is not None]

    def fit(self) -> bool:
        """Whether the weights lie in memory as the kernels read them."""
        every = self._weights
        dtype = next(weight.dtype for weight in every if weight is not None)
        return dtype in (torch.float32, torch.float64) and all(
            (weight is None) == (size is None) if weight is None or size is None else _fits(weight, size, dtype)
            for weight, size in zip(every, self._sizes, strict=True)
        )

    @property
    def block(self) -> int:
        """Configurations that keep every thread busy for a while."""
        return 4 * LANES * torch.get_num_threads()

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, N)`, but for the sites held fixed."""
        tokens, where = torch.empty(u.shape, dtype=torch.uint8), None
        if given is not None:
            tokens.copy_(given.tokens)
            where = given.where.contiguous()
        log_q, log_q_given = self._account(u.contiguous(), tokens, where)
        return Drawn(tokens.view(-1, *self._shape).long(), log_q, log_q_given)

    def log_prob(self, tokens: Tensor, sites: Tensor | None = None) -> Tensor:
        """Log-probabilities `(B,)` of complete configurations `(B, N)`, or of some sites `(n,)` given the others."""
        return self._account(None, tokens.to(torch.uint8).contiguous(), None, sites)[1]

    def redraw(self, tokens: Tensor, sites: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Draw some sites of configurations anew, in their order: their tokens `(B, n)` and log-probability `(B,)`.

        Args:
            tokens: `(B, N)`, with all sites that these depend on.
            sites: int64 `(n,)`, each once.
            u: float64 `(B, n)`.
        """
        drawn = tokens.to(torch.uint8).contiguous()
        drawn = drawn.clone() if drawn is tokens else drawn
        log_q, _ = self._account(u.contiguous(), drawn, None, sites)
        return drawn[:, sites].long(), log_q

    def gradients(self, tokens: Tensor, weights: Tensor) -> list[Tensor]:
        """Those of `(weights * log_q).sum()` by each of `parameters`.

        Args:
            tokens: complete configurations `(B, N)`.
            weights: `(B,)`.
        """
        tokens, n = tokens.to(torch.uint8).contiguous(), len(tokens)
        padded = -(-n // LANES) * LANES
        weights = torch.cat([weights.double(), weights.new_zeros(padded - n, dtype=torch.float64)])
        boards = torch.empty(padded * (self._n_sites + 1), dtype=torch.int8)
        found = [None if w is None else torch.empty_like(w) for w in self._weights]
        places = (ctypes.c_void_p * len(found))(*map(_place, found))
        of_phases = (ctypes.c_void_p * len(self._starts))(*self._pieces(places))
        arrays = (tokens.data_ptr(), weights.data_ptr(), boards.data_ptr(), ctypes.addressof(of_phases))
        self._call("latticear_patches_learn", self._whole, n, *arrays)
        return [gradient for gradient in found if gradient is not None]

    def _account(
        self, u: Tensor | None, tokens: Tensor, where: Tensor | None, sites: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fill in the tokens, of some sites or all, and sum the log-probabilities of those drawn and of those held."""
        program = self._whole if sites is None else self._program(sites)
        n_columns = self._n_sites if sites is None else len(sites)
        log_q, log_q_given = (torch.empty(len(tokens), dtype=torch.float64) for _ in range(2))
        arrays = map(_place, (u, where, tokens, log_q, log_q_given))
        batch = structures.Batch(len(tokens), n_columns, sites is not None, *arrays)
        self._call("latticear_patches_draw", program, ctypes.byref(batch))
        return log_q, log_q_given

    def _program(self, sites: Tensor) -> _Program:
        """What draws these sites, the column of a site being its place among them."""
        phase_of = self._phase_of[sites]
        columns = phase_of.argsort(stable=True)
        drawn, columns = self._target_of[sites[columns]], columns.to(torch.int32)
        records = type(self._phases).from_buffer_copy(self._phases)
        start = 0
        for record, n in zip(records, phase_of.bincount(minlength=len(records)).tolist(), strict=True):
            record.n_drawn = n
            record.drawn, record.columns = (array.data_ptr() + array.itemsize * start for array in (drawn, columns))
            start += n
        order = structures.Order(self._n_sites, self._degree, self._gauged, len(records), ctypes.addressof(records))
        return _Program(order, (records, drawn, columns))

    def _call(self, name: str, program: _Program, *arguments: Any) -> None:
        self._places[:] = [_place(weight) for weight in self._weights]
        kernels, n_threads, record = library(), torch.get_num_threads(), ctypes.byref(program.order)
        is_double, learns = int(self.parameters[0].dtype == torch.float64), int(name.endswith("learn"))
        chosen = range(len(instruction_sets()))[self.instruction_set]
        size = kernels.latticear_patches_size(record, is_double, learns)
        memory = torch.empty(n_threads * size, dtype=torch.uint8)
        getattr(kernels, name)(record, *arguments, chosen, is_double, n_threads, memory.data_ptr())

    @property
    def _weights(self) -> list[Tensor | None]:
        """What the kernels read, phase by phase."""
        return [parameters.get(name) for parameters, name in self._sources]

    def _pieces(self, places: Any) -> Iterator[int | None]:
        """Where those of each phase begin among the places of all; None for a phase without."""
        size = ctypes.sizeof(ctypes.c_void_p)
        return (None if start is None else ctypes.addressof(places) + start * size for start in self._starts)


def attached(kernels: CompiledPhases, tokens: Tensor, known: Tensor | None) -> Tensor:
    """Log-probabilities `(B,)` of complete configurations `(B, N)` with their gradient, computed unless `known`."""
    log_q = kernels.log_prob(tokens) if known is None else known
    result: Tensor = _Attached.apply(kernels, tokens, log_q, *kernels.parameters)
    return result


class _Attached(torch.autograd.Function):
    """Computes everything anew in the backward pass, as `latticear.models.multiscale.recomputed` does."""

    @staticmethod
    def forward(ctx: Any, kernels: CompiledPhases, tokens: Tensor, log_q: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(tokens, *weights)
        ctx.kernels = kernels
        return log_q.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tokens, *_ = ctx.saved_tensors  # raises if they or the weights have changed since the forward pass
        return (None, None, None, *ctx.kernels.gradients(tokens, gradients[0]))


def _fits(weight: Tensor, size: torch.Size, dtype: torch.dtype) -> bool:
    return weight.shape == size and weight.dtype == dtype and weight.is_contiguous() and weight.device.type == "cpu"


def _sources(network: PatchNetwork) -> list[tuple[dict[str, Tensor | None], str]]:
    """Weight and bias of each layer, then of the head, as the kernels read them: where they are, as they may be set."""
    layers: list[Any] = [*network.layers, network]
    return [(layer._parameters, name) for layer in layers for name in ("weight", "bias")]


def _place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _indices(sites: Tensor) -> Tensor:
    return sites.to(torch.int32).contiguous()


def _terms(phase: PhaseModule, bias: BoltzmannBias | None, biased: bool) -> tuple[Tensor, Tensor]:
    """What the energy adds to the log-odds of the targets of a phase, given the tokens of some sites.

    Returns:
        int32 `(T, terms, K)`, sites, and float64 `(T, terms, 2^K)`, the log-odds for each pattern of their tokens, that
        of neighbour k in bit k.
    """
    terms = []
    if bias is not None and biased:
        logits_tpq = _of_patterns(bias.energies[phase.sites], bias.field[phase.sites]) / -_temperature(bias)
        terms.append((bias.sites[phase.sites][:, None], (logits_tpq[..., 1] - logits_tpq[..., 0])[:, None]))
    if bias is not None and phase.summed is not None:
        terms.append((phase.summed.neighbours, _log_sums(phase.summed, _temperature(bias))))
    if not terms:
        n = len(phase.sites)
        return torch.empty(n, 0, 0, dtype=torch.int32), torch.empty(n, 0, 1, dtype=torch.float64)
    neighbours, tables = (torch.cat(parts, 1) for parts in zip(*terms, strict=True))
    return _indices(neighbours), tables.contiguous()


def _temperature(bias: BoltzmannBias) -> float:
    assert bias.temperature is not None
    return bias.temperature


def _log_sums(summed: SummedNeighbours, temperature: float) -> Tensor:
    """What the sums over later neighbours add to the log-odds: `(T, K, 2^K)`."""
    energies_teps = _of_patterns(summed.energies, summed.field)  # s: token of the later neighbour
    energies_tepsq = energies_teps[..., None] + summed.own[:, :, None]
    logits_tepq = (energies_tepsq / -temperature).logsumexp(3)
    return logits_tepq[..., 1] - logits_tepq[..., 0]


def _of_patterns(tables: Tensor, field: Tensor) -> Tensor:
    """Energies of each token for each pattern of neighbours: `(..., K, 2, 2)` and `(..., 2)` give `(..., 2^K, 2)`."""
    degree = tables.shape[-3]
    pattern = torch.arange(2**degree)
    energies = field[..., None, :].expand(*field.shape[:-1], 2**degree, 2)
    for k in range(degree):
        energies = energies + tables[..., k, pattern >> k & 1, :]
    return energies
