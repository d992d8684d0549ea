"""MultiscalePixelCNN draws the sites scale by scale, the coarsest first, in O(log L) phases."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.arguments import did_you_mean
from latticear.hamiltonians import Strengths, exact_conditionals
from latticear.models.base import AbstractModel, Common
from latticear.models.multiscale.compiled import CompiledPhases, attached
from latticear.models.multiscale.coupling_network import CouplingNetwork
from latticear.models.multiscale.drawer import PhaseDrawer
from latticear.models.multiscale.gauge import Gauge
from latticear.models.multiscale.nearest import TAPS, has_seam
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
"""Number of targets times configurations that are computed together: more would not stay in the cache."""

LANES = 256
"""Number of configurations that a thread draws together, the same on any number of threads: rounding depends on it."""


class MultiscalePixelCNN(AbstractModel):
    """An autoregressive network that draws the spins of ever finer sublattices, given those of the coarser ones.

    A raster network has to carry a correlation length of L through local kernels. This network draws a site when there
    are known sites (sites drawn before) on all sides of it, so all relevant spins are close at every scale, and a small
    perceptron of the nearest known sites gives the conditional probability of the site. The module
    `latticear.models.multiscale.order` describes the order. The weights of a step depend on the spacing of its grid,
    not on the lattice: weights trained on a small lattice can be used on a larger one.

    With a bias, conditional probabilities that follow from the energy alone need no perceptron: for nearest-neighbour
    bonds, the odd sublattice is drawn by its heat bath, and half of the sublattice before it by summing over the odd
    one. With two tokens the spin-flip symmetry costs nothing: all inputs are taken relative to one of the known spins.

    Args:
        shape: (H, W), any; where a grid has an odd extent, both its first and its last row are part of the next coarser
            grid.
        n_tokens: q >= 2.
        width, depth: width and number of the hidden layers of each perceptron.
        n_taps: least number of known sites, the nearest ones, that are the inputs of a perceptron.
        periodic: whether known sites across the boundary count as near, for both directions or (y, x).
        translation_invariant: True if all sites of a phase share one perceptron; False if each site has its own, for
            couplings that differ from bond to bond.
        cell: the extents of the unit cell, (y, x), divisors of the shape: the order of scales is that of cells, and the
            sites of a cell are drawn one after the other. (1, 1) suits a lattice that orders as a whole. None chooses
            (2, 2) if the bias has bonds within a sublattice and the extents are even, since such bonds may order each
            sublattice by itself, as in the stripes of the J1-J2 model, and (1, 1) otherwise.
        taps: "regular": the known sites around a target are looked for at offsets that all targets of a phase share;
            "nearest": they are those truly nearest to each target, and targets share a perceptron if these sites lie at
            the same offsets around them, which takes more perceptrons. None chooses "nearest" where a periodic extent
            is odd, since known sites near the boundary lie differently there, and "regular" otherwise.
        coupling_reach: if the bias depends on the couplings of each configuration, the perceptron of a site reads the
            couplings in a square around it that extends this far to each side, in the gauge of the site
            (`latticear.models.multiscale.gauge`).
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as of `AbstractModel`; the
            condition enters every hidden layer.

    Raises:
        ValueError: for q < 2, width, depth, n_taps or coupling_reach < 1, unknown taps, a cell that does not divide the
            shape, or has several sites with the taps "nearest".

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
    draws_in_raster_order: ClassVar[bool] = False
    sites_at_once: ClassVar[dict[str, int]] = {"cpu": 2**22, "cuda": 2**26}
    block: ClassVar[dict[str, int]] = {"cpu": 2 * LANES, "cuda": 4096}
    added_later: ClassVar[dict[str, Any]] = {"taps": "regular"}
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
        taps: str | None = None,
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
        self.taps = self.settled(self.shape, {"periodic": periodic, "taps": taps})["taps"]
        if self.taps not in TAPS:
            raise ValueError(f"taps must be one of {list(TAPS)}, got {taps!r}{did_you_mean(taps, TAPS)}")
        plan = Plan(self.shape, self._around, n_taps, self.bias, cell, self.taps)
        self.cell = plan.cell
        self.embed = None if self._sees_couplings else self.conditioning.embedding(width)
        phases = [part for phase in plan.phases for part in self._networks_of(phase)]
        rank = rank_of(phases, self.shape)
        self.phases = nn.ModuleDict({key_of(phase): self._module(phase, rank) for phase in phases})
        if not any(phase.network for phase in self._phases.values()):
            self.embed = None  # no perceptron uses the condition
        self._grouped = self._groups(phases)
        self._set_rank(rank)
        self._biased = {} if self.bias is None else {k: self.bias.tells(p.sites) for k, p in self._phases.items()}
        self._kernels = TrustedKernels()

    @classmethod
    def settled(cls, shape: tuple[int, int], options: dict[str, Any]) -> dict[str, Any]:
        periodic, taps = options["periodic"], options["taps"]
        around = (periodic, periodic) if isinstance(periodic, bool) else periodic
        return {"taps": taps or ("nearest" if has_seam(shape, around) else "regular")}

    @property
    def _sees_couplings(self) -> bool:
        """Whether the condition holds the couplings of the bias and nothing else; other conditions are embedded."""
        alone = self.bias is not None and (self.n_condition, self.n_condition_maps) == (0, self.bias.n_maps)
        return alone and self.conditioned and self.spin_flip_symmetric

    def _networks_of(self, phase: Phase) -> list[Phase]:
        """The phase, or a phase for each of its sites if each site has a network of its own."""
        shares = self.translation_invariant or not len(phase.taps)
        return [phase] if shares else [phase.only(t) for t in range(len(phase.sites))]

    def _module(self, phase: Phase, rank: Tensor) -> PhaseModule:
        exact = None if self.bias is None else exact_conditionals(self.bias, phase.sites, rank)
        summed = exact if exact is not None and exact.later.any() else None
        gauged = self.n_tokens == 2 and self.spin_flip_symmetric
        network = couplings = None
        n_embedded = self.width if self.embed else 0
        if exact is None and not (gauged and not len(phase.taps)):  # the first spin is a fair coin
            n_inputs = len(phase.taps) * (1 if self.n_tokens == 2 else self.n_tokens)
            n_outputs = 1 if gauged else self.n_tokens
            if self._sees_couplings and self.bias is not None:
                gauge = Gauge(self.bias, self._around, phase.sites, phase.taps, self.coupling_reach)
                n_embedded = 2 * self.width
                couplings = CouplingNetwork(gauge, n_inputs, n_embedded)
            network = PatchNetwork(n_inputs, n_outputs, self.width, self.depth, n_embedded)
        return PhaseModule(phase, self.n_tokens, self.spin_flip_symmetric, network, summed, couplings)

    @property
    def n_products(self) -> int:
        return sum(
            len(phase.sites) * sum(weight.numel() for weight in phase.parameters()) for phase in self._phases.values()
        )

    def counterparts(self, name: str) -> list[str]:
        """Parameters of a network for another lattice from which parameter `name` may be copied, the best first.

        The best is the parameter of the same level; if the other network has no such level, the next finer one. The
        parameter of a single site can be copied from that of the same site, or from one that all sites of a phase
        share.
        """
        parts = re.fullmatch(r"phases\.(\d+)_([a-z]+\d*(?:of\d+)?)(at\d+)?(\..+)", name)
        if parts is None:
            return [name]
        level, kind, site, rest = int(parts[1]), parts[2], parts[3], parts[4]
        own = [name] if site else []
        return own + [f"phases.{k}_{kind}{rest}" for k in range(level, -1, -1)]

    def _groups(self, phases: list[Phase]) -> list[tuple[int, list[str]]]:
        """Level and phases of each step, which consists of the faces or of the edges of a level.

        A phase whose conditionals follow from the energy is part of the step before it, since drawing it does not
        change the importance weight of a configuration.
        """
        groups: list[tuple[int, list[str]]] = []
        begun = ""
        for phase in phases:
            key = key_of(phase)
            kind = f"{phase.level}_{phase.name[:4]}"  # face or edge
            exact = groups and self._phases[key].network is None
            if exact or kind == begun:
                groups[-1][1].append(key)
            else:
                groups.append((phase.level, [key]))
                begun = kind
        return groups

    def _symmetric_logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self._logits(tokens, condition)  # each phase has the symmetry by itself

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        board = Board.of(tokens.flatten(1), self.n_tokens, self._like)
        strengths, embedded = self._given(len(tokens), condition)
        size = (len(tokens), self.n_tokens, math.prod(self.shape))
        logits_bqs = torch.zeros(size, dtype=torch.float64, device=tokens.device)
        for phase in self._phases.values():
            logits_bqs[:, :, phase.sites] = phase.logits(board, slice(None), embedded, strengths).permute(1, 2, 0)
        return logits_bqs.unflatten(2, self.shape)

    def kernels(self) -> CompiledPhases | None:
        """The compiled kernels for the current state of this network; None if PyTorch must compute it."""
        return None if torch.compiler.is_compiling() else self._kernels.of(self)

    def compiled(self) -> CompiledPhases | None:
        """New kernels for this network, not yet checked against its logits; None if kernels do not support it."""
        phases = self._phases.values()
        if not CompiledPhases.supports(self.n_tokens, self.bias, self._like):
            return None
        if not any(phase.network for phase in phases) or any(phase.couplings and not phase.gauged for phase in phases):
            return None
        return CompiledPhases(self.shape, self.n_tokens, self._phases, self.bias, self._biased, self.embed)

    def own_drawer(self) -> Drawer | None:
        """A sampler that draws phase by phase; None for a network without weights, which the plain reference draws."""
        return None if next(self.parameters(), None) is None else PhaseDrawer(self)

    def _log_prob(self, tokens: Tensor, condition: Tensor | None, known: Tensor | None) -> Tensor:
        by_condition = condition is not None and condition.requires_grad  # a gradient that the kernels do not have
        if not by_condition and (kernels := self.kernels()) is not None:
            return attached(kernels, tokens.flatten(1), condition, known)
        board = self.board(tokens.flatten(1))
        if known is not None:
            return self._attached(known, board, condition)
        return self._attached(self.log_prob_of(board, None, condition), board, condition)

    def _attached(self, log_q: Tensor, board: Board, condition: Tensor | None) -> Tensor:
        """The log-probabilities `log_q`, `(B,)`, of complete configurations with a gradient attached to them."""
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
        """Log-probabilities `(B,)` of the targets `places` of a phase; each item sums over some of these targets."""
        for part, logits_tbq in self._conditionals(key, places, board, strengths, embedded):
            chosen = board.tokens[:, self._phases[key].sites[part]].T[..., None]
            yield log_softmax(logits_tbq).gather(2, chosen)[..., 0].sum(0)

    @torch.no_grad()
    def draw_block(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw the configurations that `latticear.sampling.reference.draw_reference` draws, but phase by phase.

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
        """All sites in the order in which they are drawn, as described in `latticear.models.steps.DrawsInSteps`."""
        single = self.cell == SITE  # the members of a larger cell are neighbours on every level
        return [
            DrawingStep(level if single else 0, torch.cat([self._phases[key].sites for key in keys]))
            for level, keys in self._grouped
        ]

    def board(self, tokens: Tensor) -> Board:
        """A board of configurations `(B, N)`; tokens of sites that are not drawn yet are arbitrary."""
        return Board.of(tokens, self.n_tokens, self._like)

    @torch.no_grad()
    def redraw(self, board: Board, sites: Tensor, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Draw some sites anew and return their log-probability; see `latticear.models.steps.DrawsInSteps`."""
        if (kernels := self.kernels()) is None:
            return self._draw(board, sites, u, condition, None)[0]
        tokens, log_q = kernels.redraw(board.tokens, sites, u, condition)
        board.write(sites, tokens.T)
        return log_q

    @torch.no_grad()
    def log_prob_of(self, board: Board, sites: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Log-probability of the board's tokens at some sites, or at all, each given those of lower rank: `(B,)`."""
        if (kernels := self.kernels()) is not None:
            return kernels.log_prob(board.tokens, sites, condition)
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
        """Draw some sites, or all, except those held fixed.

        Returns:
            The log-probabilities of the sites drawn and of the sites held fixed, float64 `(B,)` each.
        """
        conditions = self._given(len(u), condition)
        log_q, log_q_given = (torch.zeros(len(u), dtype=torch.float64, device=u.device) for _ in range(2))
        for key, places, columns in self._targets(sites):
            tokens, done = [], 0
            for part, logits_tbq in self._conditionals(key, places, board, *conditions):
                own = columns[done : done + len(part)]
                done += len(part)
                held = None if given is None else Given(*(values[:, own].T for values in given))
                front = draw_front(logits_tbq, u[:, own].T, held, 0)
                tokens.append(front.tokens)
                log_q += front.log_q
                log_q_given += front.log_q_given
            board.write(self._phases[key].sites[places], torch.cat(tokens))
        return log_q, log_q_given

    def _given(self, n: int, condition: Tensor | None) -> tuple[Strengths | None, Tensor | None]:
        """From the conditions of n configurations: the strengths of the bias, and the embedding, `(width, N or 1, n)`.

        Each is None if the network has no bias or no embedding.
        """
        embedded = None
        if self.embed is not None:
            embedded = F.silu(self.embed(condition)).flatten(2).permute(1, 2, 0)
        return None if self.bias is None else self.bias.strengths(n, condition), embedded

    def _targets(self, sites: Tensor | None) -> Iterator[tuple[str, Tensor, Tensor]]:
        """The phases that draw some of `sites`, or of all sites if None.

        Yields:
            The key of the phase, the indices of those sites among its targets, and their indices in `sites`.
        """
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
        """The logits of the targets `places` of a phase, the bias included, in parts that fit into the cache.

        Yields:
            The indices of some of the targets, `(T,)`, and their logits, float64 `(T, B, q)`.
        """
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
    """The key of a phase in the `ModuleDict`, made of its level and name: the same on every lattice."""
    return phase.name if phase.name.startswith("first") else f"{phase.level}_{phase.name}"
