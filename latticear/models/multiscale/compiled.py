"""The phases of the multiscale order compiled for the CPU: draws, log-probabilities and gradients in one call each.

The kernels (`latticear/kernels/patches.c`) are built when the package is installed. They know two tokens at one
temperature and no other condition; everything else is left to PyTorch, with the same tokens.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from latticear.hamiltonians import BoltzmannBias
from latticear.kernels import structures
from latticear.kernels.library import instruction_sets, library
from latticear.kernels.structures import LANES
from latticear.models.multiscale.phases import PatchNetwork, PhaseModule
from latticear.models.multiscale.tables import tables_of
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
        self._sizes = [size for phase in phases.values() if phase.network is not None for size in _sizes(phase)]
        ends = accumulate(map(len, own))
        self._starts = [end - len(sources) if sources else None for end, sources in zip(ends, own, strict=True)]
        self._places = (ctypes.c_void_p * len(self._sources))()
        self._phases = (structures.Phase * len(phases))()
        self._kept = []  # what the records point to
        for record, (key, phase), place in zip(self._phases, phases.items(), self._pieces(self._places), strict=True):
            arrays = (_indices(phase.sites), _indices(phase.taps.T), *tables_of(phase, bias, biased.get(key, False)))
            self._kept.append(arrays)
            record.n_targets, record.n_taps, record.n_terms = *arrays[1].shape, arrays[3].shape[1]
            record.sites, record.taps, record.neighbours, record.tables = (array.data_ptr() for array in arrays)
            if phase.network is not None:
                record.depth, record.n_outputs = len(phase.network.layers), _n_outputs(phase)
                record.width = _width(phase.network)
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
        dtype = _dtype(every)
        return dtype in (torch.float32, torch.float64) and all(
            weight is size if weight is None or size is None else _fits(weight, size, dtype)
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
        weights = self._weights
        self._places[:] = [_place(weight) for weight in weights]
        kernels, n_threads, record = library(), torch.get_num_threads(), ctypes.byref(program.order)
        is_double, learns = int(_dtype(weights) == torch.float64), int(name.endswith("learn"))
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
    if not torch.is_grad_enabled():
        return log_q
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


def _dtype(weights: list[Tensor | None]) -> torch.dtype | None:
    """That of the first of them; None if there are none."""
    return next((weight.dtype for weight in weights if weight is not None), None)


def _fits(weight: Tensor, size: tuple[int, ...], dtype: torch.dtype) -> bool:
    return weight.shape == size and weight.dtype == dtype and weight.is_contiguous() and weight.is_cpu


def _sources(network: PatchNetwork) -> list[tuple[dict[str, Tensor | None], str]]:
    """Weight and bias of each layer, then of the head, as the kernels read them: where they are, as they may be set."""
    layers: list[Any] = [*network.layers, network]
    return [(layer._parameters, name) for layer in layers for name in ("weight", "bias")]


def _sizes(phase: PhaseModule) -> list[tuple[int, ...] | None]:
    """What the kernels take them to have: hidden layers of one width, and no head without any."""
    assert phase.network is not None
    width, depth, n_outputs = _width(phase.network), len(phase.network.layers), _n_outputs(phase)
    inputs = [len(phase.taps), *[width] * (depth - 1)] if depth else []
    hidden = [size for n_inputs in inputs for size in ((width, n_inputs), (width,))]
    return [*hidden, (n_outputs, width) if depth else None, (n_outputs,)]


def _width(network: PatchNetwork) -> int:
    return 0 if network.weight is None else network.weight.shape[1]


def _n_outputs(phase: PhaseModule) -> int:
    return 1 if phase.gauged else 2


def _place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _indices(sites: Tensor) -> Tensor:
    return sites.to(torch.int32).contiguous()
