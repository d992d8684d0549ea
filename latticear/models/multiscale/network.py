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

from latticear.hamiltonians import Strengths, exact_conditionals
from latticear.models.base import AbstractModel, Common
from latticear.models.multiscale.compiled import CompiledPhases, attached
from latticear.models.multiscale.coupling_network import CouplingNetwork
from latticear.models.multiscale.drawer import PhaseDrawer
from latticear.models.multiscale.gauge import Gauge
from latticear.models.multiscale.order import SITE, Phase, rank_of
from latticear.models.multiscale.phases import Board, PatchNetwork, PhaseModule
from latticear.models.multiscale.plan import Plan
from latticear.models.multiscale.recomputed import with_gradient
from latticear.models.multiscale.trusted import TrustedKernels
from latticear.models.steps import DrawingStep
from latticear.random_numbers import log_softmax
from latticear.sampling.reference import Drawer, Drawn, Given, draw_front
from latticear.threads import side_by_side

__all__ = ["MultiscalePixelCNN"]

COLUMNS = 2**13
"""Targets times configurations that are computed at a time: more would not stay in the cache."""

LANES = 256
"""Configurations that one thread draws at a time; the same on any number of threads, for rounding depends on it."""


class MultiscalePixelCNN(AbstractModel):
    """Draws the spins of ever finer sublattices, each given those of the coarser ones around it.

    A raster network has to carry a correlation length of L through local kernels. Here a site is drawn between known
    sites on all sides, so what it has to know lies close by at every scale, and a small perceptron of the nearest known
    sites tells its conditional probability (`order` has the order). The weights of a step belong to its
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
        translation_invariant: the sites of a phase share one perceptron; False, for couplings that differ from bond to
            bond: each has its own.
        cell: the extents of the unit cell, (y, x), divisors of the shape: the order of scales is one of cells, and the
            sites of a cell come one after the other. (1, 1) where the whole lattice orders as one; None for that, or,
            if the bias has bonds within a sublattice and the extents are even, for (2, 2): such bonds may order each
            sublattice by itself, as in the stripes of the J1-J2 model.
        coupling_reach: where the bias follows the couplings of each configuration: a site sees those within a square
            that reaches so far to each side, in its gauge (`latticear.models.multiscale.gauge`).
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, as of `AbstractModel`; the condition
            enters every hidden layer.

    Raises:
        ValueError: for q < 2, width, depth, n_taps or coupling_reach < 1, or a cell that does not divide the shape.

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
    sites_at_once: ClassVar[dict[str, int]] = {"cpu": 2**22, "cuda": 2**26}
    block: ClassVar[dict[str, int]] = {"cpu": 2 * LANES, "cuda": 4096}
    training_defaults: ClassVar[dict[str, Any]] = {
        "objective": "forward-reverse-kl",
        "batch_size": 512,
        "learning_rate": 0.03,
        "forward_share": 0.15,
        "ema_decay": 0.998,
    }

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 32,
        depth: int = 2,
        n_taps: int = 24,
        periodic: bool | tuple[bool, bool] = True,
        translation_invariant: bool = True,
        cell: tuple[int, int] | None = None,
        coupling_reach: int = 3,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        if min(width, depth, n_taps) < 1:
            raise ValueError(
                f"width, depth and n_taps must be at least 1, got width={width}, depth={depth}, n_taps={n_taps}"
            )
        if coupling_reach < 1:
            raise ValueError(f"coupling_reach must be at least 1, got {coupling_reach}")
        self.width, self.depth, self.n_taps = width, depth, n_taps
        self.periodic, self.translation_invariant = periodic, translation_invariant
        self.coupling_reach = coupling_reach
        self._around = (periodic, periodic) if isinstance(periodic, bool) else periodic
        plan = Plan(self.shape, self._around, n_taps, self.bias, cell)
        self.cell = plan.cell
        self.embed = None if self._sees_couplings else self.conditioning.embedding(width)
        phases = [part for phase in plan.phases for part in self._networks_of(phase)]
        rank = rank_of(phases, self.shape)
        self.phases = nn.ModuleDict({key_of(phase): self._module(phase, rank) for phase in phases})
        if not any(phase.network for phase in self._phases.values()):
            self.embed = None  # nothing reads it
        self._grouped = self._groups(phases)
        self._set_rank(rank)
        self._biased = {} if self.bias is None else {k: self.bias.tells(p.sites) for k, p in self._phases.items()}
        self._kernels = TrustedKernels()

    @property
    def _sees_couplings(self) -> bool:
        """Whether the condition is the couplings of the bias alone; any other is embedded."""
        alone = self.bias is not None and (self.n_condition, self.n_condition_maps) == (0, self.bias.n_maps)
        return alone and self.conditioned and self.spin_flip_symmetric

    def _networks_of(self, phase: Phase) -> list[Phase]:
        """The phase, or its sites one by one, if each has a network of its own."""
        shares = self.translation_invariant or not len(phase.taps)
        return [phase] if shares else [phase.only(t) for t in range(len(phase.sites))]

    def _module(self, phase: Phase, rank: Tensor) -> PhaseModule:
        exact = None if self.bias is None else exact_conditionals(self.bias, phase.sites, rank)
        summed = exact if exact is not None and exact.later.any() else None
        gauged = self.n_tokens == 2 and self.spin_flip_symmetric
        network = couplings = None
        n_embedded = self.width if self.embed else 0
        if exact is None and not (gauged and not len(phase.taps)):  # the sign of the first spin is that of a coin
            n_inputs = len(phase.taps) * (1 if self.n_tokens == 2 else self.n_tokens)
            n_outputs = 1 if gauged else self.n_tokens
            if self._sees_couplings and self.bias is not None:
                gauge = Gauge(self.bias, self._around, phase.sites, phase.taps, self.coupling_reach)
                n_embedded = 2 * self.width
                couplings = CouplingNetwork(gauge, n_inputs, n_embedded)
            network = PatchNetwork(n_inputs, n_outputs, self.width, self.depth, n_embedded)
        return PhaseModule(phase, self.n_tokens, self.spin_flip_symmetric, network, summed, couplings)

    def counterparts(self, name: str) -> list[str]:
        """The parameters of the same spacing; a coarser level than there is begins as the next finer one.

        Those of a single site are its own, or those that all sites of its phase share.
        """
        found = re.fullmatch(r"phases\.(\d+)_([a-z]+\d*(?:of\d+)?)(at\d+)?(\..+)", name)
        if found is None:
            return [name]
        level, kind, site, rest = int(found[1]), found[2], found[3], found[4]
        own = [name] if site else []
        return own + [f"phases.{k}_{kind}{rest}" for k in range(level, -1, -1)]

    def _groups(self, phases: list[Phase]) -> list[tuple[int, list[str]]]:
        """Level and phases of each step: the faces or the edges of a level.

        What the energy tells belongs to the step before, as it does not change the weight of a configuration.
        """
        groups: list[tuple[int, list[str]]] = []
        begun = ""
        for phase in phases:
            key = key_of(phase)
            kind = f"{phase.level}_{phase.name[:4]}"  # face or edge
            told = groups and self._phases[key].network is None
            if told or kind == begun:
                groups[-1][1].append(key)
            else:
                groups.append((phase.level, [key]))
                begun = kind
        return groups

    def _symmetric_logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self._logits(tokens, condition)  # which has the symmetry, phase by phase

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        board = Board.of(tokens.flatten(1), self.n_tokens, self._like)
        strengths, embedded = self._given(len(tokens), condition)
        size = (len(tokens), self.n_tokens, math.prod(self.shape))
        logits_bqs = torch.zeros(size, dtype=torch.float64, device=tokens.device)
        for phase in self._phases.values():
            logits_bqs[:, :, phase.sites] = phase.logits(board, slice(None), embedded, strengths).permute(1, 2, 0)
        return logits_bqs.unflatten(2, self.shape)

    def kernels(self) -> CompiledPhases | None:
        """What computes this network as it is now in one call; None where PyTorch does."""
        return None if torch.compiler.is_compiling() else self._kernels.of(self)

    def compiled(self) -> CompiledPhases | None:
        """The network for the kernels, built anew and not yet to be trusted; None where they cannot serve it."""
        if self.embed is not None or not CompiledPhases.serve(self.n_tokens, self.bias, self._like):
            return None
        if not any(phase.network for phase in self._phases.values()):
            return None
        return CompiledPhases(self.shape, self._phases, self.bias, self._biased)

    def own_drawer(self) -> Drawer | None:
        """What draws from it phase by phase; None without weights, where the plain reference does."""
        return None if next(self.parameters(), None) is None else PhaseDrawer(self)

    def _log_prob(self, tokens: Tensor, condition: Tensor | None, known: Tensor | None) -> Tensor:
        if (kernels := self.kernels()) is not None:
            return attached(kernels, tokens.flatten(1), known)
        board = self.board(tokens.flatten(1))
        if known is not None:
            return self._attached(known, board, condition)
        return self._attached(self.log_prob_of(board, None, condition), board, condition)

    def _attached(self, log_q: Tensor, board: Board, condition: Tensor | None) -> Tensor:
        """Known log-probabilities `(B,)` of complete configurations with their gradient."""
        if not torch.is_grad_enabled():
            return log_q
        strengths, embedded = self._given(len(log_q), condition)
        parts = [
            (self._phases[key], partial(self._log_probs, key, places, board, strengths))
            for key, places, _ in self._targets(None)
        ]
        return with_gradient(log_q, parts, embedded)

    def _log_probs(
        self, key: str, places: Tensor, board: Board, strengths: Strengths | None, embedded: Tensor | None
    ) -> Iterator[Tensor]:
        """Log-probabilities of some sites of a phase at a time, `(B,)`."""
        for part, logits_tbq in self._conditionals(key, places, board, strengths, embedded):
            chosen = board.tokens[:, self._phases[key].sites[part]].T[..., None]
            yield log_softmax(logits_tbq).gather(2, chosen)[..., 0].sum(0)

    @torch.no_grad()
    def draw_block(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations, phase by phase, as `latticear.sampling.reference.draw_reference` does rank by rank.

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
        log_q, log_q_given = self._draw(board, None, u, condition, given)
        return Drawn(board.tokens.unflatten(1, self.shape), log_q, log_q_given)

    @property
    def steps(self) -> list[DrawingStep]:
        """All sites in the order in which they are drawn, as `latticear.models.steps.DrawsInSteps` says."""
        single = self.cell == SITE  # members of a cell are next to each other on every level
        return [
            DrawingStep(level if single else 0, torch.cat([self._phases[key].sites for key in keys]))
            for level, keys in self._grouped
        ]

    def board(self, tokens: Tensor) -> Board:
        """Configurations `(B, N)` as the phases see them; sites that are not drawn yet may hold anything."""
        return Board.of(tokens, self.n_tokens, self._like)

    @torch.no_grad()
    def redraw(self, board: Board, sites: Tensor, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Draw some sites anew, as `latticear.models.steps.DrawsInSteps` says: their log-probability."""
        if (kernels := self.kernels()) is None:
            return self._draw(board, sites, u, condition, None)[0]
        tokens, log_q = kernels.redraw(board.tokens, sites, u)
        board.write(sites, tokens.T)
        return log_q

    @torch.no_grad()
    def log_prob_of(self, board: Board, sites: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Log-probability of what the board holds at some sites, or at all, each given the lower ranks: `(B,)`."""
        if (kernels := self.kernels()) is not None:
            return kernels.log_prob(board.tokens, sites)
        given = self._given(len(board.tokens), condition)
        of_phases = side_by_side(
            lambda at: list(self._log_probs(at[0], at[1], board, *given)), list(self._targets(sites))
        )
        pieces = [piece for of_phase in of_phases for piece in of_phase]
        return (
            torch.stack(pieces).sum(0)
            if pieces
            else torch.zeros(len(board.tokens), dtype=torch.float64, device=board.tokens.device)
        )

    def _draw(
        self, board: Board, sites: Tensor | None, u: Tensor, condition: Tensor | None, given: Given | None
    ) -> tuple[Tensor, Tensor]:
        """Fill in some sites, or all, but for those held fixed; log-probabilities of the drawn and of the held ones."""
        conditions = self._given(len(u), condition)
        log_q, log_q_given = (torch.zeros(len(u), dtype=torch.float64, device=u.device) for _ in range(2))
        for key, places, columns in self._targets(sites):
            tokens, done = [], 0
            for part, logits_tbq in self._conditionals(key, places, board, *conditions):
                here = columns[done : done + len(part)]
                done += len(part)
                held = None if given is None else Given(*(values[:, here].T for values in given))
                front = draw_front(logits_tbq, u[:, here].T, held, 0)
                tokens.append(front.tokens)
                log_q += front.log_q
                log_q_given += front.log_q_given
            board.write(self._phases[key].sites[places], torch.cat(tokens))
        return log_q, log_q_given

    def _given(self, n: int, condition: Tensor | None) -> tuple[Strengths | None, Tensor | None]:
        """Of the conditions of n configurations: strengths of the bias, and as embedded, `(width, N or 1, n)`."""
        embedded = None
        if self.embed is not None:
            embedded = F.silu(self.embed(condition)).flatten(2).permute(1, 2, 0)
        return None if self.bias is None else self.bias.strengths(n, condition), embedded

    def _targets(self, sites: Tensor | None) -> Iterator[tuple[str, Tensor, Tensor]]:
        """The phases that draw some of the sites, or of all: places among their targets, and columns in `sites`."""
        every = torch.arange(math.prod(self.shape), device=self.rank.device)
        column_of = every
        if sites is not None:
            column_of = torch.full_like(every, -1)
            column_of[sites] = every[: len(sites)]
        for key, phase in self._phases.items():
            columns = column_of[phase.sites]
            places = every[: len(columns)] if sites is None else (columns >= 0).nonzero()[:, 0]
            if len(places):
                yield key, places, columns[places]

    def _conditionals(
        self, key: str, places: Tensor, board: Board, strengths: Strengths | None, embedded: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Some of these targets, `(T,)`, and their logits with the bias, float64 `(T, B, q)`, to the last one."""
        phase = self._phases[key]
        for part in places.split(max(1, COLUMNS // max(1, len(board.tokens)))):
            logits_tbq = phase.logits(board, part, embedded, strengths)
            if self._biased.get(key):
                assert self.bias is not None
                assert strengths is not None
                at = self.bias.at(board.tokens, phase.sites[part], strengths)
                logits_tbq = logits_tbq + at.transpose(0, 1)
            yield part, logits_tbq

    @property
    def _phases(self) -> dict[str, PhaseModule]:
        return cast(dict[str, PhaseModule], dict(self.phases.items()))

    @property
    def _like(self) -> Tensor:
        """A tensor of the type and on the device of the weights."""
        return next(self.parameters(), torch.empty(0, device=self.rank.device))


def key_of(phase: Phase) -> str:
    """The name of a phase among the modules: that of its spacing and kind, the same on every lattice."""
    return phase.name if phase.name.startswith("first") else f"{phase.level}_{phase.name}"
