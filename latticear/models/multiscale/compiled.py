"""The phases of the multiscale order compiled for the CPU: draws, log-probabilities and gradients in one call each.

The kernels (`latticear/kernels/patches.c`) are built when the package is installed. They support networks of two tokens
at one temperature without a condition; PyTorch computes all other networks, and draws the same tokens as the kernels.
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
"""Largest number of neighbours of a site: a table has an entry for each of the 2^8 patterns of their tokens."""


class _Program(NamedTuple):
    """The argument of the kernels: phases and sites to draw.

    Attributes:
        order: the C structure that describes the phases in their order.
        kept: objects whose memory `order` points to, kept alive with it.
    """

    order: structures.Order
    kept: Any


class CompiledPhases:
    """Draws configurations of two tokens, and computes log-probabilities and gradients, by the compiled kernels.

    The weights are read anew at each call. The result for a configuration depends neither on the others in the same
    call nor on the number of threads.

    Args:
        shape: (H, W).
        phases: the phases by name, in their order; on the CPU, without a condition.
        bias: the energies of known neighbours at one temperature, or None.
        biased: for each phase by name, whether the bias adds to its logits.

    Attributes:
        instruction_set: index, among the instruction sets of this machine, of the one to use; -1 for the fastest.
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
        self._kept = []  # arrays that the records point to
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
    def supports(n_tokens: int, bias: BoltzmannBias | None, like: Tensor) -> bool:
        """Whether kernels are installed that support n_tokens tokens and this bias, on the device of `like`."""
        bias_supported = bias is None or (
            bias.temperature is not None and not bias.n_maps and bias.sites.shape[1] <= MOST_NEIGHBOURS
        )
        return n_tokens == 2 and bias_supported and like.device.type == "cpu" and library() is not None

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters of all perceptrons, in the order in which `gradients` returns their gradients."""
        return [weight for weight in self._weights if weight is not None]

    def fit(self) -> bool:
        """Whether all weights have the shapes, types and memory layout that the kernels read."""
        every = self._weights
        dtype = _dtype(every)
        return dtype in (torch.float32, torch.float64) and all(
            weight is size if weight is None or size is None else _fits(weight, size, dtype)
            for weight, size in zip(every, self._sizes, strict=True)
        )

    @property
    def block(self) -> int:
        """The number of configurations to draw in one call, large enough to keep every thread busy."""
        return 4 * LANES * torch.get_num_threads()

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, N)`; sites held fixed keep their tokens."""
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
        """Draw the tokens of some sites anew, in the order of the phases.

        Args:
            tokens: configurations `(B, N)`, filled in at all sites that the sites to be drawn depend on.
            sites: int64 `(n,)`, each site once.
            u: float64 `(B, n)`, uniform in [0, 1).

        Returns:
            The tokens drawn, `(B, n)`, and the log-probability of drawing them, `(B,)`.
        """
        drawn = tokens.to(torch.uint8).contiguous()
        drawn = drawn.clone() if drawn is tokens else drawn
        log_q, _ = self._account(u.contiguous(), drawn, None, sites)
        return drawn[:, sites].long(), log_q

    def gradients(self, tokens: Tensor, weights: Tensor) -> list[Tensor]:
        """Gradients of `(weights * log_q).sum()` with respect to each of `parameters`.

        Args:
            tokens: complete configurations `(B, N)`.
            weights: the weight of each configuration, `(B,)`.
        """
        tokens, n = tokens.to(torch.uint8).contiguous(), len(tokens)
        padded = -(-n // LANES) * LANES
        weights = torch.cat([weights.double(), weights.new_zeros(padded - n, dtype=torch.float64)])
        boards = torch.empty(padded * (self._n_sites + 1), dtype=torch.int8)
        gradients = [None if w is None else torch.empty_like(w) for w in self._weights]
        places = (ctypes.c_void_p * len(gradients))(*map(_place, gradients))
        of_phases = (ctypes.c_void_p * len(self._starts))(*self._pieces(places))
        arrays = (tokens.data_ptr(), weights.data_ptr(), boards.data_ptr(), ctypes.addressof(of_phases))
        self._call("latticear_patches_learn", self._whole, n, *arrays)
        return [gradient for gradient in gradients if gradient is not None]

    def _account(
        self, u: Tensor | None, tokens: Tensor, where: Tensor | None, sites: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw or weigh the tokens of `sites`, or of all sites.

        Args:
            u: uniform numbers to draw from; None if the tokens are complete and only their probabilities are wanted.
            tokens: uint8 `(B, N)`, filled in place.
            where: mask of the sites held fixed, or None.
            sites: sites to draw or weigh; None for all.

        Returns:
            The log-probabilities of the drawn sites and of the sites held fixed, `(B,)` each; without `u` all sites
            count as held fixed.
        """
        program = self._whole if sites is None else self._program(sites)
        n_columns = self._n_sites if sites is None else len(sites)
        log_q, log_q_given = (torch.empty(len(tokens), dtype=torch.float64) for _ in range(2))
        arrays = map(_place, (u, where, tokens, log_q, log_q_given))
        batch = structures.Batch(len(tokens), n_columns, sites is not None, *arrays)
        self._call("latticear_patches_draw", program, ctypes.byref(batch))
        return log_q, log_q_given

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
        """The weights and biases that the kernels read, phase by phase; None for a missing one."""
        return [parameters.get(name) for parameters, name in self._sources]

    def _pieces(self, places: Any) -> Iterator[int | None]:
        """Addresses at which the pointers of each phase begin among all `places`; None for phases without a network."""
        size = ctypes.sizeof(ctypes.c_void_p)
        return (None if start is None else ctypes.addressof(places) + start * size for start in self._starts)


def attached(kernels: CompiledPhases, tokens: Tensor, known: Tensor | None) -> Tensor:
    """Log-probabilities `(B,)` of complete configurations `(B, N)`, with their gradient.

    `known` are their values if these have been computed before; None computes them.
    """
    log_q = kernels.log_prob(tokens) if known is None else known
    if not torch.is_grad_enabled():
        return log_q
    result: Tensor = _Attached.apply(kernels, tokens, log_q, *kernels.parameters)
    return result


class _Attached(torch.autograd.Function):
    """Recomputes all activations in the backward pass, as `latticear.models.multiscale.recomputed` does."""

    @staticmethod
    def forward(ctx: Any, kernels: CompiledPhases, tokens: Tensor, log_q: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(tokens, *weights)
        ctx.kernels = kernels
        return log_q.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tokens, *_ = ctx.saved_tensors  # raises if tokens or weights have changed since the forward pass
        return (None, None, None, *ctx.kernels.gradients(tokens, gradients[0]))


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
