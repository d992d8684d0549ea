"""The phases of the multiscale order compiled for the CPU: draws, log-probabilities and gradients in one call each.

The kernels (`latticear/kernels/patches.c`) are built when the package is installed. They support networks of up to
`MOST_TOKENS` tokens; PyTorch computes all other networks, and draws the same tokens as the kernels. What follows from
the condition alone is computed by PyTorch before (`latticear.models.multiscale.given`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from latticear.hamiltonians import BoltzmannBias
from latticear.kernels import structures
from latticear.kernels.library import instruction_sets, library, library_for
from latticear.kernels.structures import LANES, MOST_TOKENS
from latticear.models.multiscale.given import GivenInputs, GivenNetworks
from latticear.models.multiscale.phases import PatchNetwork, PhaseModule
from latticear.models.multiscale.programs import MOST_BONDS, Program, Programs, n_outputs_of, place_of, width_of
from latticear.sampling.reference import Drawn, Given
from latticear.threads import side_by_side

__all__ = ["CompiledPhases", "attached"]

PIECE = 4 * LANES
"""Number of configurations that a thread draws together, and whose conditions are embedded together.

It is the same on any number of threads, because the rounding of the embedding depends on it.
"""

SITES = 2**20
"""Number of sites, in all configurations together, for which what follows from conditions is in memory at a time."""


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
        self._shape, self._n_sites = shape, shape[0] * shape[1]
        own = [[] if phase.network is None else _sources(phase.network) for phase in phases.values()]
        self._sources = [source for sources in own for source in sources]
        self._sizes = [size for phase in phases.values() if phase.network is not None for size in _sizes(phase)]
        ends = accumulate(map(len, own))
        self._starts = [end - len(sources) if sources else None for end, sources in zip(ends, own, strict=True)]
        self._places = (ctypes.c_void_p * len(self._sources))()
        self._programs = Programs(n_tokens, phases, bias, biased, list(self._pieces(self._places)))
        self._given = GivenNetworks(phases, bias if self._programs.energies else None, embed)

    @staticmethod
    def supports(n_tokens: int, bias: BoltzmannBias | None, like: Tensor) -> bool:
        """Whether kernels are installed that support n_tokens tokens and this bias, on the device of `like`."""
        few = n_tokens <= MOST_TOKENS and (bias is None or bias.sites.shape[1] <= MOST_BONDS)
        return few and library_for(like.device) is not None

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
        places = (ctypes.c_void_p * len(gradients))(*map(place_of, gradients))
        of_phases = (ctypes.c_void_p * len(self._starts))(*self._pieces(places))
        with torch.enable_grad():
            inputs = self._inputs(n, condition)
        learned = [part for part in inputs.learned if part.requires_grad]
        by_inputs = {id(part): torch.zeros_like(part) for part in learned}
        arrays = (tokens.data_ptr(), weights.data_ptr(), boards.data_ptr(), ctypes.addressof(of_phases))
        program = self._programs.whole.given(inputs, by_inputs)
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
        program = self._programs.whole if sites is None else self._programs.of(sites)
        n_columns = self._n_sites if sites is None else len(sites)
        log_q, log_q_given = (torch.empty(len(tokens), dtype=torch.float64) for _ in range(2))

        rows = self._read(condition)

        def account(at: slice, n_threads: int) -> None:
            arrays = [None if array is None else array[at] for array in (u, where, tokens, log_q, log_q_given)]
            n = len(tokens[at])
            batch = structures.Batch(n, n_columns, sites is not None, *map(place_of, arrays))
            with torch.no_grad():
                given = program.given(self._inputs(n, None if rows is None else rows[at]))
            self._call("latticear_patches_draw", n_threads, given, ctypes.byref(batch))

        self._in_pieces(account, len(tokens))
        return log_q, log_q_given

    def _in_pieces(self, work: Callable[[slice, int], Any], n: int) -> list[Any]:
        """Do the work for n configurations: in pieces side by side if the rounding depends on their number.

        Otherwise all at once, or, if something is computed for each condition, as many at a time as memory allows.

        Args:
            work: takes a piece and the number of threads for it.
            n: number of configurations.
        """
        size = n
        if self.reads_condition:
            size = PIECE if self.depends_on_number else max(PIECE, SITES // self._n_sites)
        pieces = [slice(start, start + size) for start in range(0, n, max(1, size))]
        if not self.depends_on_number:
            return [work(piece, torch.get_num_threads()) for piece in pieces]
        n_threads = max(1, torch.get_num_threads() // max(1, len(pieces)))
        return side_by_side(lambda at: work(at, n_threads), pieces)

    def _call(self, name: str, n_threads: int, program: Program, *arguments: Any) -> None:
        weights = self._weights
        self._places[:] = [place_of(weight) for weight in weights]
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
    width, depth, n_outputs = width_of(phase.network), len(phase.network.layers), n_outputs_of(phase)
    n_inputs = len(phase.taps) * (1 if phase.n_tokens == 2 else phase.n_tokens)
    inputs = [n_inputs, *[width] * (depth - 1)] if depth else []
    hidden = [size for n_inputs in inputs for size in ((width, n_inputs), (width,))]
    return [*hidden, (n_outputs, width) if depth else None, (n_outputs,)]


def _padded(n: int) -> int:
    return -(-n // LANES) * LANES
