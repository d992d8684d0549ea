"""MultiscalePixelCNN: sites by scale, the coarsest first, in O(log L) phases."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.ancestral import Drawn, Given, draw_front, log_softmax
from latticear.engines import kernels_of
from latticear.hamiltonians import exact_conditionals
from latticear.models.base import AbstractModel, Common
from latticear.models.compiled import CompiledPhases, attached
from latticear.models.patches import Board, PatchNetwork, PhaseModule
from latticear.models.recomputed import with_gradient
from latticear.parallel import side_by_side
from latticear.scales import Phase, multiscale_phases, rank_of

__all__ = ["MultiscalePixelCNN"]
COLUMNS = 2**13
"""Targets times configurations that are computed at a time: more would not stay in the cache."""


LANES = 256
"""Configurations that one thread draws at a time; the same on any number of threads, for rounding depends on it."""


class MultiscalePixelCNN(AbstractModel):
    """Draws the spins of ever finer sublattices, each given those of the coarser ones around it.

    A raster network has to carry a correlation length of L through local kernels. Here a site is drawn between known
    sites on all sides, so what it has to know lies close by at every scale, and a small perceptron of the nearest known
    sites tells its conditional probability (`latticear.scales` has the order). The weights of a step belong to its
    spacing, not to the lattice: those of a small lattice serve a larger one.

    With a bias, whatever follows from the energy alone costs no network: with nearest-neighbour bonds the odd
    sublattice by its heat bath, and half of the sublattice before it by summing over the odd one. With two tokens the
    spin-flip symmetry costs nothing: every patch is seen relative to the sign of one of its known spins.

    Args:
        shape: (H, W), any; a grid of odd extent has its first and last row both in the next coarser one.
        n_tokens: q >= 2.
        width, depth: of the hidden layers of each perceptron.
        n_taps: known sites that each of them sees, the nearest ones, at least.
        periodic: whether it sees around the boundary, for both directions or (y, x).
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, as of `AbstractModel`; the condition
            enters every hidden layer.

    Raises:
        ValueError: for q < 2, width, depth or n_taps < 1.

    References:
        Singha, Cellini, Nicoli, Jansen, Kühn, Nakajima, "Multilevel generative samplers for investigating critical
        phenomena" (2025), arXiv 2503.08918; Białas, Korcyl, Stebel, "Hierarchical autoregressive neural networks for
        statistical systems" (2022), arXiv 2203.10989; decimation: Kadanoff, Physics 2 (1966) 263.

    Example:
        >>> model = MultiscalePixelCNN((4, 6))
        >>> samples = model.sample(5, seed=1)
        >>> bool(((model.log_prob(samples.tokens) - samples.log_q).abs() < 1e-4).all())
        True
    """

    name: ClassVar[str] = "multiscale"
    sites_at_once: ClassVar[dict[str, int]] = {"cpu": 2**18, "cuda": 2**26}
    block: ClassVar[dict[str, int]] = {"cpu": 2 * LANES, "cuda": 4096}
    training_defaults: ClassVar[dict[str, Any]] = {
        "objective": "forward-reverse-kl",
        "batch_size": 512,
        "learning_rate": 0.03,
        "ema_decay": 0.998,
    }

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 64,
        depth: int = 2,
        n_taps: int = 24,
        periodic: bool | tuple[bool, bool] = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        if min(width, depth, n_taps) < 1:
            raise ValueError(
                f"width, depth and n_taps must be at least 1, got width={width}, depth={depth}, n_taps={n_taps}"
            )
        self.width, self.depth, self.n_taps = width, depth, n_taps
        self.periodic = periodic
        self.embed = self.conditioning.embedding(width)
        self._around = (periodic, periodic) if isinstance(periodic, bool) else periodic
        phases = self._plan()
        rank = rank_of(phases, self.shape)
        self.phases = nn.ModuleDict({key_of(phase): self._module(phase, rank) for phase in phases})
        if not any(phase.network for phase in self._phases.values()):
            self.embed = None  # nothing reads it
        self._set_rank(rank)
        self._biased = {} if self.bias is None else {k: self.bias.tells(p.sites) for k, p in self._phases.items()}

    def _plan(self) -> list[Phase]:
        """The phases; sites whose conditionals the energy tells are drawn all at once."""
        merged: frozenset[str] = frozenset()
        if self.bias is None:
            return multiscale_phases(self.shape, self._around, self.n_taps)
        for kind in ("edges", "faces"):
            phases = multiscale_phases(self.shape, self._around, self.n_taps, merged | {kind})
            together = [phase.sites for phase in phases if phase.name == kind]
            if together and exact_conditionals(self.bias, together[0], rank_of(phases, self.shape)) is not None:
                merged |= {kind}
        return multiscale_phases(self.shape, self._around, self.n_taps, merged)

    def _module(self, phase: Phase, rank: Tensor) -> PhaseModule:
        exact = None if self.bias is None else exact_conditionals(self.bias, phase.sites, rank)
        summed = exact if exact is not None and exact.later.any() else None
        gauged = self.n_tokens == 2 and self.spin_flip_symmetric
        network = None
        if exact is None and not (gauged and not len(phase.taps)):  # the sign of the first spin is that of a coin
            n_inputs = len(phase.taps) * (1 if self.n_tokens == 2 else self.n_tokens)
            n_outputs = 1 if gauged else self.n_tokens
            network = PatchNetwork(n_inputs, n_outputs, self.width, self.depth, self.width if self.embed else 0)
        return PhaseModule(phase, self.n_tokens, self.spin_flip_symmetric, network, summed)

    def counterparts(self, name: str) -> list[str]:
        """The parameters of the same spacing; a coarser level than there is begins as the next finer one."""
        found = re.fullmatch(r"phases\.(\d+)_(.+)", name)
        if found is None:
            return [name]
        level, rest = int(found[1]), found[2]
        return [f"phases.{k}_{rest}" for k in range(level, -1, -1)]

    def _symmetric_logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self._logits(tokens, condition)  # which has the symmetry, phase by phase

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        board = Board.of(tokens.flatten(1), self.n_tokens, self._like)
        temperatures, embedded = self._given(len(tokens), condition)
        size = (len(tokens), self.n_tokens, math.prod(self.shape))
        logits_bqs = torch.zeros(size, dtype=torch.float64, device=tokens.device)
        for phase in self._phases.values():
            logits_bqs[:, :, phase.sites] = phase.logits(board, slice(None), embedded, temperatures).permute(1, 2, 0)
        return logits_bqs.unflatten(2, self.shape)

    def kernels(self) -> CompiledPhases | None:
        """The same network compiled, as it is now but for the weights; None where the kernels cannot serve it."""
        if self.embed is not None or not CompiledPhases.serve(self.n_tokens, self.bias, self._like):
            return None
        return CompiledPhases(self.shape, self._phases, self.bias, self._biased)

    def _log_prob(self, tokens: Tensor, condition: Tensor | None, known: Tensor | None) -> Tensor:
        if (kernels := kernels_of(self)) is not None:
            return attached(kernels, tokens.flatten(1), known)
        board = Board.of(tokens.flatten(1), self.n_tokens, self._like)
        if known is not None:
            return self._attached(known, board, condition)
        with torch.no_grad():
            given = self._given(len(tokens), condition)
            pieces = side_by_side(lambda key: list(self._log_probs(key, board, *given)), self.phases)
            log_q = torch.stack([piece for of_phase in pieces for piece in of_phase]).sum(0)
        return self._attached(log_q, board, condition)

    def _attached(self, log_q: Tensor, board: Board, condition: Tensor | None) -> Tensor:
        """Known log-probabilities `(B,)` of complete configurations with their gradient."""
        if not torch.is_grad_enabled():
            return log_q
        temperatures, embedded = self._given(len(log_q), condition)
        parts = [(phase, partial(self._log_probs, key, board, temperatures)) for key, phase in self._phases.items()]
        return with_gradient(log_q, parts, embedded)

    def _log_probs(
        self, key: str, board: Board, temperatures: Tensor | None, embedded: Tensor | None
    ) -> Iterator[Tensor]:
        """Log-probabilities of some sites of a phase at a time, `(B,)`."""
        for sites, logits_tbq in self._conditionals(key, board, temperatures, embedded):
            chosen = board.tokens[:, sites].T[..., None]
            yield log_softmax(logits_tbq).gather(2, chosen)[..., 0].sum(0)

    @torch.no_grad()
    def draw_block(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations, phase by phase, as `latticear.ancestral.draw_reference` does rank by rank.

        Args:
            u: float64 `(B, H W)`, uniform in [0, 1).
            condition: `(B, k)` or None.
            given: sites held fixed, or None.
        """
        columns = [slice(start, start + LANES) for start in range(0, len(u), LANES)]
        pieces = side_by_side(
            lambda part: self._drawn(
                u[part],
                None if condition is None else condition[part],
                None if given is None else Given(*(tensor[part] for tensor in given)),
            ),
            columns,
        )
        return Drawn(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))

    def _drawn(self, u: Tensor, condition: Tensor | None, given: Given | None) -> Drawn:
        board = Board.empty(len(u), u.shape[1], self.n_tokens, self._like)
        conditions = self._given(len(u), condition)
        log_q, log_q_given = (torch.zeros(len(u), dtype=torch.float64, device=u.device) for _ in range(2))
        for key, phase in self._phases.items():
            tokens = []
            for sites, logits_tbq in self._conditionals(key, board, *conditions):
                held = None if given is None else Given(*(part[:, sites].T for part in given))
                front = draw_front(logits_tbq, u[:, sites].T, held, 0)
                tokens.append(front.tokens)
                log_q += front.log_q
                log_q_given += front.log_q_given
            board.write(phase.sites, torch.cat(tokens))
        return Drawn(board.tokens.unflatten(1, self.shape), log_q, log_q_given)

    def _given(self, n: int, condition: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Of the conditions of n configurations: temperatures of the bias, and as embedded, `(width, N or 1, n)`."""
        embedded = None
        if self.embed is not None:
            embedded = F.silu(self.embed(condition)).flatten(2).permute(1, 2, 0)
        return None if self.bias is None else self.bias.temperatures(n, condition), embedded

    def _conditionals(
        self, key: str, board: Board, temperatures: Tensor | None, embedded: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Some targets of a phase, `(T,)`, and their logits, bias included, float64 `(T, B, q)`, to the last one."""
        phase = self._phases[key]
        step = max(1, COLUMNS // max(1, len(board.tokens)))
        for start in range(0, len(phase.sites), step):
            part = slice(start, start + step)
            sites = phase.sites[part]
            logits_tbq = phase.logits(board, part, embedded, temperatures)
            if self._biased.get(key):
                assert self.bias is not None
                assert temperatures is not None
                logits_tbq = logits_tbq + self.bias.at(board.tokens, sites, temperatures).transpose(0, 1)
            yield sites, logits_tbq

    @property
    def _phases(self) -> dict[str, PhaseModule]:
        return cast(dict[str, PhaseModule], dict(self.phases.items()))

    @property
    def _like(self) -> Tensor:
        """A tensor of the type and on the device of the weights."""
        return next(self.parameters(), torch.empty(0, device=self.rank.device))


def key_of(phase: Phase) -> str:
    """The name of a phase among the modules: that of its spacing and kind, the same on every lattice."""
    return phase.name if phase.name == "first" else f"{phase.level}_{phase.name}"
